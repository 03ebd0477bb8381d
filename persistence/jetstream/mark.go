package jetstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/ferris1/wind/persistence"
)

// marksDir contains one file per stream of logs, beside the server's own files.
const marksDir = "marks"

// The mark of a log records the last acknowledgement, and where the log may begin:
//
//	"WINDMRK1" | sequence u64 | tick u64 | floor u64 | hash of the record's body, 16 bytes |
//	lineage length u8, lineage, zeroes: 65 bytes | xxh3 u64 of all before
//
// The file of a partition has such a mark for each log that it holds, one after another in no order, each with the
// record's sequence in the stream and the shard's name:
//
//	"WINDMRK2" | the same | stream sequence u64 | name length u8, name, zeroes: 41 bytes | xxh3 u64 of all before
//
// or as many zeroes. All numbers are little-endian. A mark is overwritten in one piece after each acknowledgement,
// before the append returns, and before each purge. That takes about a microsecond, since nothing waits for the disk. A
// kill -9 loses neither the mark nor the log. After a power loss the mark may name a record that the log lacks; then an
// acknowledged record really is lost.
const (
	markMagic   = "WINDMRK1"
	markLineage = 64
	markSize    = 8 + 8 + 8 + 8 + 16 + 1 + markLineage + 8

	slotMagic = "WINDMRK2"
	slotShard = 40
	slotSize  = markSize + 8 + 1 + slotShard
)

// mark is evidence that a log once reached a record.
type mark struct {
	seq     persistence.Seq
	tick    uint64          // the record's last tick
	floor   persistence.Seq // only records below it were purged
	hash    persistence.Hash
	lineage string

	// In a partition:
	shard string
	at    uint64 // the record's sequence in the stream; 0: not known
}

// encode appends the mark to b.
func (m *mark) encode(b []byte) []byte {
	begin, magic := len(b), markMagic
	if m.shard != "" {
		magic = slotMagic
	}
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.seq))
	b = binary.LittleEndian.AppendUint64(b, m.tick)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.floor))
	b = append(b, m.hash[:]...)
	b = padded(b, m.lineage, markLineage)
	if m.shard != "" {
		b = binary.LittleEndian.AppendUint64(b, m.at)
		b = padded(b, m.shard, slotShard)
	}
	return binary.LittleEndian.AppendUint64(b, xxh3.Hash(b[begin:]))
}

// padded appends the length of s, s, and zeroes up to n bytes.
func padded(b []byte, s string, n int) []byte {
	var zeroes [markLineage]byte
	s = s[:min(len(s), n)]
	b = append(b, byte(len(s)))
	b = append(b, s...)
	return append(b, zeroes[:n-len(s)]...)
}

// parseMark is the inverse of encode. It returns false for anything else.
func parseMark(b []byte) (m mark, ok bool) {
	magic := markMagic
	if len(b) == slotSize {
		magic = slotMagic
	}
	const hash, name = 8 + 3*8, 8 + 3*8 + 16 // offsets
	end := len(b) - 8
	if len(b) != slotSize && len(b) != markSize || string(b[:8]) != magic || int(b[name]) > markLineage ||
		xxh3.Hash(b[:end]) != binary.LittleEndian.Uint64(b[end:]) {
		return mark{}, false
	}
	word := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	m = mark{seq: persistence.Seq(word(8)), tick: word(16), floor: persistence.Seq(word(24)), lineage: string(b[name+1 : name+1+int(b[name])])}
	copy(m.hash[:], b[hash:name])
	if len(b) == slotSize {
		const shard = markSize // the stream's sequence is where the checksum of the other kind is
		m.at = word(markSize - 8)
		m.shard = string(b[shard+1 : shard+1+min(int(b[shard]), slotShard)])
	}
	return m, true
}

// markFile writes the mark of one log. Its methods may be called concurrently.
type markFile struct {
	mu    sync.Mutex
	f     *os.File
	at    int64      // where in f
	table *markTable // of a partition, which owns f; nil otherwise
	now   mark
	buf   [slotSize]byte

	written bool // now is in f
	removed bool // the place in the table may be another log's
}

func markPath(store, stream string) string { return filepath.Join(store, marksDir, stream) }

// openMark opens a log's mark for writing. A mark of another lineage, or a damaged one, is replaced by one that says
// that the log begins at begin.
func openMark(store, stream, lineage string, begin persistence.Seq) (*markFile, error) {
	f, err := openMarks(store, stream)
	if err != nil {
		return nil, err
	}
	w := &markFile{f: f}
	if w.now, err = readMark(store, stream); err != nil || w.now.lineage != lineage {
		w.now = mark{floor: begin, lineage: lineage}
	}
	return w, nil
}

func openMarks(store, stream string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(store, marksDir), 0o700); err != nil {
		return nil, fmt.Errorf("jetstream: cannot make the directory of marks: %w", err)
	}
	f, err := os.OpenFile(markPath(store, stream), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot open the mark of %s: %w", stream, err)
	}
	return f, nil
}

// reached notes that a record was acknowledged. at is its sequence in the stream.
func (w *markFile) reached(seq persistence.Seq, tick uint64, hash persistence.Hash, at uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.seq, w.now.tick, w.now.hash, w.now.at = seq, tick, hash, at
	w.write()
}

// purges notes that the records below floor are about to be purged.
func (w *markFile) purges(floor persistence.Seq) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.floor = max(w.now.floor, floor)
	w.write()
}

// write overwrites the mark. A missing or outdated mark proves less but never anything wrong, so a failed write does
// not fail the commit.
func (w *markFile) write() {
	if !w.removed {
		_, _ = w.f.WriteAt(w.now.encode(w.buf[:0]), w.at)
		w.written = true
	}
}

func (w *markFile) close() {
	if w.table != nil {
		w.table.leave(w)
	} else {
		_ = w.f.Close()
	}
}

// readMark returns a log's mark, or the zero mark if none was ever written.
func readMark(store, stream string) (mark, error) {
	b, err := os.ReadFile(markPath(store, stream))
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(b) == 0) {
		return mark{}, nil
	}
	if err != nil {
		return mark{}, err
	}
	m, ok := parseMark(b)
	if !ok || m.shard != "" {
		return mark{}, fmt.Errorf("%s is damaged", markPath(store, stream))
	}
	return m, nil
}
