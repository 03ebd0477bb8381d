package jetstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ferris1/wind/persistence"
)

// asideDir is the directory in a store that keeps the originals of damaged files: <stream>/<block or index>.<time>.
const asideDir = "damaged"

// Aside describes a damaged file of a stream that was moved aside before the server read it.
type Aside struct {
	Stream string
	File   string // the damaged file, relative to the stream's directory
	Kept   string // where its original is now
	Right  int    // messages in which one flipped bit was repaired
	Lost   int    // messages lost
	Reason string // of the first damage
}

// String returns one sentence.
func (a Aside) String() string {
	done := "is recreated"
	switch {
	case a.Lost == 0 && a.Right > 0:
		done = "a flipped bit was repaired in " + messages(a.Right) + ", nothing is lost"
	case a.Right == 0 && a.Lost > 0:
		done = messages(a.Lost) + " lost"
	case a.Lost > 0:
		done = "a flipped bit was repaired in " + messages(a.Right) + ", " + messages(a.Lost) + " lost"
	}
	return fmt.Sprintf("stream %s, %s: %s (%s); the original is %s", a.Stream, a.File, done, a.Reason, a.Kept)
}

// messages returns "one message" or "n messages".
func messages(n int) string {
	if n == 1 {
		return "one message"
	}
	return fmt.Sprintf("%d messages", n)
}

// DamagedStreamError reports that a stream in a store is damaged and that its data exists nowhere else, so no server is
// started on the store. It matches persistence.ErrCorrupt. The store was not changed.
type DamagedStreamError struct {
	Stream string
	File   string
	Offset int
	Reason string
	Log    bool // the stream is a shard's log
}

// Error returns one sentence with the place and the possible remedies.
func (e *DamagedStreamError) Error() string {
	holds := fmt.Sprintf("its data exists nowhere else: start from a backup, or move %s away and lose its data", e.File)
	if e.Log {
		holds = "a log is never altered: look with `log check`, and start from a backup or another directory"
	}
	return fmt.Sprintf("jetstream: stream %s is damaged in %s at byte %d: %s; %s", e.Stream, e.File, e.Offset, e.Reason, holds)
}

// Is reports whether target is persistence.ErrCorrupt.
func (e *DamagedStreamError) Is(target error) bool { return target == persistence.ErrCorrupt }

// guardStore checks all streams of a store before a server opens it. nats-server (2.15) trusts the sequences in a
// block's rows before it checks a checksum: one flipped bit can take all memory, and without an index it truncates the
// block at the damaged row. Therefore:
//
//   - It walks delta streams, and streams that are not ours, by their rows' headers: 0.4 s per GB with rows of 1 KiB,
//     less than 0.1 s with 160 KiB (BenchmarkGuard).
//   - It reads snapshots, the buckets of services and partitions whole: some 2 GB a second from the page cache.
//   - CheckStore has proven the logs. guardStore walks them for purged rows that are still in their files.
//
// guardStore repairs a row with one flipped bit, as its checksum proves the repair. It moves any other damaged row of a
// delta stream or of the snapshots aside: deltas can be derived, and an older snapshot exists. It does the same to a
// partition, since one room's record must not stop all other rooms; CheckStore has told whose record it is, and tells
// so as long as it is missing. Such damage to a bucket, any damage to a log of its own stream, and a leap in a stream that is not ours are a *DamagedStreamError. It leaves a row cut off at
// the end of the newest block to the server: a crash leaves such a row.
func guardStore(store string) (aside []Aside, err error) {
	entries, err := os.ReadDir(filepath.Join(store, accountDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot look through the store: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") { // a stream that is being deleted
			continue
		}
		g := guard{store: store, files: &streamFiles{dir: filepath.Join(store, accountDir, e.Name()), name: e.Name()}}
		err := g.run()
		aside = append(aside, g.aside...)
		var damaged *DamagedStreamError
		if err != nil && !errors.As(err, &damaged) {
			err = fmt.Errorf("jetstream: cannot look through stream %s: %w", e.Name(), err)
		}
		if err != nil {
			return aside, err
		}
	}
	return aside, nil
}

// guard checks one stream.
type guard struct {
	store string
	files *streamFiles
	last  uint64 // highest sequence so far
	aside []Aside
}

func (g *guard) run() error {
	if err := g.files.list(); err != nil {
		return err
	}
	if err := g.described(); err != nil {
		return err
	}
	for i, block := range g.files.blocks {
		at, reason, err := g.look(block)
		if err != nil {
			return err
		}
		if reason == "" {
			continue
		}
		if err := g.mend(block, i == len(g.files.blocks)-1, &DamagedStreamError{Stream: g.files.name, File: g.files.path(block), Offset: at, Reason: reason}); err != nil {
			return err
		}
	}
	if err := g.end(); err != nil {
		return err
	}
	return g.consumers()
}

// described refuses a bucket whose description is damaged or missing. The server would skip it with one line in its
// log, and the next process to open the bucket would get an empty one. CheckStore has proven the logs, and derivable
// streams are recreated.
func (g *guard) described() error {
	if !strings.HasPrefix(g.files.name, kvStreamPrefix) {
		return nil
	}
	_, err := openStreamFiles(g.store, g.files.name)
	if err == nil {
		return nil
	}
	for _, block := range g.files.blocks {
		if info, statErr := os.Stat(g.files.path(block)); statErr == nil && info.Size() > 0 {
			return &DamagedStreamError{Stream: g.files.name, File: g.files.dir, Reason: err.Error()}
		}
	}
	return nil // empty: a process died while it created the bucket
}

// derivable reports whether damage to a stream loses no data that exists nowhere else.
func derivable(stream string) bool {
	shardLog, isDelta := strings.CutSuffix(stream, deltaSuffix)
	_, _, ok := parseLogStream(shardLog)
	return isDelta && (ok || isPartition(shardLog)) || isSnapshots(stream)
}

// isPartition reports whether a stream holds the logs of rooms.
func isPartition(stream string) bool {
	_, _, ok := parsePartitionStream(stream)
	return ok
}

// isSnapshots reports whether a stream stores a cluster's snapshots.
func isSnapshots(stream string) bool {
	bucket, isObject := strings.CutPrefix(stream, objectPrefix+streamPrefix)
	return isObject && strings.HasSuffix(bucket, snapshotSuffix)
}

// whole reports whether every row of a stream is proven by its checksum, instead of only walking the headers.
func whole(stream string) bool {
	return isSnapshots(stream) || isPartition(stream) || strings.HasPrefix(stream, kvStreamPrefix+streamPrefix)
}

// look returns the offset of a block's first damage and the reason, or reason "" if it has no damage that matters.
func (g *guard) look(block int) (at int, reason string, err error) {
	newest := block == g.files.blocks[len(g.files.blocks)-1]
	h := keyedHash(g.files.name + "-" + strconv.Itoa(block))
	if !whole(g.files.name) {
		return g.walk(block, h, newest)
	}
	b, err := os.ReadFile(g.files.path(block))
	for err == nil && at < len(b) {
		n, reason := soundRow(b[at:], g.files.name, h)
		if reason != "" {
			return at, reason, nil
		}
		g.last = max(g.last, binary.LittleEndian.Uint64(b[at+4:])&^(erasedBit|tombstoneBit))
		at += n
	}
	return 0, "", err
}

// walk checks the rows' headers, and the checksum of a row whose sequence leaps.
func (g *guard) walk(block int, h hash.Hash64, newest bool) (at int, reason string, err error) {
	f, err := os.Open(g.files.path(block))
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return 0, "", err
	}
	w := window{f: f, size: i.Size()}
	for pos := int64(0); pos < w.size; {
		head, err := w.at(pos, blockHeader)
		if err != nil {
			return 0, "", err
		}
		if pos == 0 && bytes.HasPrefix(head, []byte(compressed)) {
			return 0, "", nil
		}
		word := uint32(0)
		if len(head) == blockHeader {
			word = binary.LittleEndian.Uint32(head)
		}
		n := int64(word &^ hasHeaderBit)
		if n < blockHeader+blockChecksum || n > blockMaxLength || pos+n > w.size {
			if _, _, isLog := parseLogStream(g.files.name); isLog && newest || !isLog && !derivable(g.files.name) {
				// In a log, CheckStore has proven the records before this row, and that none after it was
				// acknowledged. In a stream that is not ours, the server ends the block here.
				return 0, "", nil
			}
			return int(pos), "a message of impossible length", nil
		}
		seq := binary.LittleEndian.Uint64(head[4:]) &^ (erasedBit | tombstoneBit)
		if seq > g.last+maxLeap {
			row := make([]byte, n)
			if _, err := f.ReadAt(row, pos); err != nil {
				return 0, "", err
			}
			if _, reason := rowLength(row, h); reason != "" {
				return int(pos), reason, nil
			}
		}
		g.last = max(g.last, seq)
		pos += n
	}
	return 0, "", nil
}

// window reads parts of a file: one page at a time, more if the rows are short.
type window struct {
	f    *os.File
	size int64
	buf  [64 << 10]byte
	from int64
	have int
}

const page = 4 << 10

// compressed is the prefix of a compressed block. The server never compresses our streams.
const compressed = "cmp"

// at returns n bytes at an offset, or fewer at the end of the file. They are valid until the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < w.from || off+int64(n) > w.from+int64(w.have) {
		want := page
		if off < w.from+int64(w.have)+page { // the next row begins where the window ends
			want = len(w.buf)
		}
		have, err := w.f.ReadAt(w.buf[:want], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		w.from, w.have = off, have
	}
	b := w.buf[off-w.from : w.have]
	return b[:min(n, len(b))], nil
}

// mend rewrites a block without its damaged rows and keeps the original. It also moves the server's index aside, so
// that the server rebuilds it from the remaining rows. If that would lose rows that exist nowhere else, it returns
// refused.
func (g *guard) mend(block int, newest bool, refused *DamagedStreamError) error {
	if _, _, refused.Log = parseLogStream(g.files.name); refused.Log {
		return refused
	}
	path := g.files.path(block)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m := mend(b, g.files.name, keyedHash(g.files.name+"-"+strconv.Itoa(block)), newest)
	g.last = max(g.last, m.last())
	if m.reason == "" {
		return nil // only a row that a crash cut off at the end
	}
	if m.lost > 0 && !derivable(g.files.name) && !isPartition(g.files.name) {
		return refused
	}
	kept, err := g.keep(path)
	if err != nil {
		return err
	}
	if err := replaceFile(path, m.whole); err != nil {
		return err
	}
	g.aside = append(g.aside, Aside{Stream: g.files.name, File: filepath.Join("msgs", filepath.Base(path)), Kept: kept, Right: m.right, Lost: m.lost, Reason: m.reason})
	index := filepath.Join(g.files.dir, "msgs", "index.db")
	if _, err := g.keep(index); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Remove(index); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// keep copies a damaged file into asideDir and returns the copy's path.
func (g *guard) keep(path string) (string, error) {
	rel, err := filepath.Rel(g.files.dir, path)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(g.store, asideDir, g.files.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	to := filepath.Join(dir, strings.ReplaceAll(rel, string(filepath.Separator), "-")+"."+time.Now().UTC().Format("20060102T150405.000000000"))
	return to, copyFile(path, to)
}

// replaceFile replaces a file's contents atomically.
func replaceFile(path string, b []byte) error {
	f, err := os.OpenFile(path+".mended", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".mended", path)
}
