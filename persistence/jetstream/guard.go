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

// asideDir holds, below a store, what was damaged, as it was: <stream>/<block or index>.<time>.
const asideDir = "damaged"

// Aside is a piece of a stream that was damaged, and was set aside before the server saw it.
type Aside struct {
	Stream string
	File   string // that was damaged, below the stream's directory
	Kept   string // where its original lies now
	Right  int    // messages in which one flipped bit was put right
	Lost   int    // messages that are gone
	Reason string // of the first
}

// String is one sentence.
func (a Aside) String() string {
	done := "is made anew"
	switch {
	case a.Lost == 0 && a.Right > 0:
		done = "a flipped bit was put right in " + messages(a.Right) + ", nothing is lost"
	case a.Right == 0 && a.Lost > 0:
		done = messages(a.Lost) + " lost"
	case a.Lost > 0:
		done = "a flipped bit was put right in " + messages(a.Right) + ", " + messages(a.Lost) + " lost"
	}
	return fmt.Sprintf("stream %s, %s: %s (%s); the original is %s", a.Stream, a.File, done, a.Reason, a.Kept)
}

// messages counts them in words.
func messages(n int) string {
	if n == 1 {
		return "one message"
	}
	return fmt.Sprintf("%d messages", n)
}

// DamagedStreamError says that a stream in a store is damaged and holds what nothing else does, so that no server is
// started on it. It is persistence.ErrCorrupt. The store was not touched.
type DamagedStreamError struct {
	Stream string
	File   string
	Offset int
	Reason string
	Log    bool // it is a shard's log
}

// Error is one sentence with the place and the ways out.
func (e *DamagedStreamError) Error() string {
	holds := fmt.Sprintf("what was stored there is nowhere else: start from a backup, or move %s away and lose what it holds", e.File)
	if e.Log {
		holds = "a log is never altered: look with `log check`, and start from a backup or another directory"
	}
	return fmt.Sprintf("jetstream: stream %s is damaged in %s at byte %d: %s; %s", e.Stream, e.File, e.Offset, e.Reason, holds)
}

// Is reports whether target is persistence.ErrCorrupt.
func (e *DamagedStreamError) Is(target error) bool { return target == persistence.ErrCorrupt }

// guardStore looks through all streams of a store before a server opens it. nats-server (2.15) trusts the sequences in a
// block's rows before it looks at a checksum: one flipped bit can take all memory, and where it has no index it cuts the
// block at the damaged row. So
//
//   - delta streams, and streams that are not ours, are walked by their rows' headers: 0.4 s per GB with rows of 1 KiB, less than
//     0.1 s with 160 KiB (BenchmarkGuard);
//   - snapshots and the buckets of services are read whole, some 2 GB a second from the page cache;
//   - logs were proven by CheckStore, and are walked here for what was purged and still lies in their files.
//
// A row in which one bit is flipped is put right, as its checksum proves. Another damaged row of a delta stream or of the
// snapshots is set aside: deltas can be derived, and a snapshot is one of two. Such damage to a bucket, and any to a log,
// is a *DamagedStreamError, as is a leap in a stream that is not ours. A row that is cut at the end of the newest block is
// left to the server: a crash leaves it.
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

// guard looks through one stream.
type guard struct {
	store string
	files *streamFiles
	last  uint64 // sequence so far
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

// described refuses a bucket whose description is damaged or missing: the server would leave it out, with one line in its
// log, and whoever opens it next would get an empty one. Logs were proven, and what is derivable is made anew.
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
	return nil // nothing is stored: a process that died while it made the bucket leaves it so
}

// derivable reports whether a stream's damage costs nothing that is nowhere else.
func derivable(stream string) bool {
	shardLog, isDelta := strings.CutSuffix(stream, deltaSuffix)
	_, _, ok := parseLogStream(shardLog)
	return isDelta && ok || isSnapshots(stream)
}

// isSnapshots reports whether a stream is that of a cluster's snapshots.
func isSnapshots(stream string) bool {
	bucket, isObject := strings.CutPrefix(stream, objectPrefix+streamPrefix)
	return isObject && strings.HasSuffix(bucket, snapshotSuffix)
}

// whole reports whether each row of a stream is proven, and not only walked along.
func whole(stream string) bool {
	return isSnapshots(stream) || strings.HasPrefix(stream, kvStreamPrefix+streamPrefix)
}

// look returns where a block is damaged, "" where it is not, or not in a way that matters.
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

// walk looks at the rows' headers, and at the checksum of a row whose sequence leaps.
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
				// Of a log CheckStore has proven what is before it, and that nothing was acknowledged behind it; in a
				// stream that is not ours the server ends the block here.
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

// window reads a file here and there: a page at a time, more where the rows are short.
type window struct {
	f    *os.File
	size int64
	buf  [64 << 10]byte
	from int64
	have int
}

const page = 4 << 10

// compressed begins a block that the server has compressed, which it never does for a stream of ours.
const compressed = "cmp"

// at returns n bytes at an offset, fewer at the file's end. They are valid until the next call.
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

// mend writes a block anew without its damaged rows, and keeps the original. The server's index goes aside with it, so
// that it makes one of the rows that are left. Where rows would be lost that are nowhere else it returns refused.
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
		return nil // a crash cut its end
	}
	if m.lost > 0 && !derivable(g.files.name) {
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

// keep copies a file to where damaged ones are kept.
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

// replaceFile writes a file anew in one step.
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
