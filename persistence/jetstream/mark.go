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

// marksDir contains one file per log stream, beside the server's own files.
const marksDir = "marks"

// The mark of a log records the last acknowledgement, and where the log may begin:
//
//	"WINDMRK1" | sequence u64 | tick u64 | floor u64 | hash of the record's body, 16 bytes |
//	lineage length u8, lineage, zeroes: 65 bytes | xxh3 u64 of all before
//
// All numbers are little-endian. The mark is overwritten in one piece after each acknowledgement, before the append
// returns, and before each purge. That takes about a microsecond, since nothing waits for the disk. A kill -9 loses
// neither the mark nor the log. After a power loss the mark may name a record that the log lacks; then an acknowledged
// record really is lost.
const (
	markMagic   = "WINDMRK1"
	markLineage = 64
	markSize    = 8 + 8 + 8 + 8 + 16 + 1 + markLineage + 8
)

// mark is evidence that a log once reached a record.
type mark struct {
	seq     persistence.Seq
	tick    uint64          // the record's last tick
	floor   persistence.Seq // only records below it were purged
	hash    persistence.Hash
	lineage string
}

// markFile writes the mark of one log. Its methods may be called concurrently.
type markFile struct {
	mu  sync.Mutex
	f   *os.File
	now mark
	buf [markSize]byte
}

func markPath(store, stream string) string { return filepath.Join(store, marksDir, stream) }

// openMark opens a log's mark for writing. A mark of another lineage, or a damaged one, is replaced by one that says
// that the log begins at begin.
func openMark(store, stream, lineage string, begin persistence.Seq) (*markFile, error) {
	if err := os.MkdirAll(filepath.Join(store, marksDir), 0o700); err != nil {
		return nil, fmt.Errorf("jetstream: cannot make the directory of marks: %w", err)
	}
	f, err := os.OpenFile(markPath(store, stream), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot open the mark of %s: %w", stream, err)
	}
	w := &markFile{f: f}
	if w.now, err = readMark(store, stream); err != nil || w.now.lineage != lineage {
		w.now = mark{floor: begin, lineage: lineage}
	}
	return w, nil
}

// reached notes that a record was acknowledged.
func (w *markFile) reached(seq persistence.Seq, tick uint64, hash persistence.Hash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.seq, w.now.tick, w.now.hash = seq, tick, hash
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
	b := append(w.buf[:0], markMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(w.now.seq))
	b = binary.LittleEndian.AppendUint64(b, w.now.tick)
	b = binary.LittleEndian.AppendUint64(b, uint64(w.now.floor))
	b = append(b, w.now.hash[:]...)
	b = append(b, byte(len(w.now.lineage)))
	b = append(b, w.now.lineage...)
	end := markSize - 8
	clear(w.buf[len(b):end])
	b = w.buf[:end]
	b = binary.LittleEndian.AppendUint64(b, xxh3.Hash(b))
	_, _ = w.f.WriteAt(b, 0)
}

func (w *markFile) close() { _ = w.f.Close() }

// readMark returns a log's mark, or the zero mark if none was ever written.
func readMark(store, stream string) (mark, error) {
	b, err := os.ReadFile(markPath(store, stream))
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(b) == 0) {
		return mark{}, nil
	}
	if err != nil {
		return mark{}, err
	}
	const hash, name = 8 + 3*8, 8 + 3*8 + 16 // offsets
	if len(b) != markSize || string(b[:8]) != markMagic || int(b[name]) > markLineage ||
		xxh3.Hash(b[:markSize-8]) != binary.LittleEndian.Uint64(b[markSize-8:]) {
		return mark{}, fmt.Errorf("%s is damaged", markPath(store, stream))
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8+8*i:]) }
	m := mark{seq: persistence.Seq(word(0)), tick: word(1), floor: persistence.Seq(word(2)), lineage: string(b[name+1 : name+1+int(b[name])])}
	copy(m.hash[:], b[hash:name])
	return m, nil
}
