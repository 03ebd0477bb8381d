package persistence

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// FileWriter writes the bytes of an export file, from the first to the last. What it
// has written is an export only once Close has succeeded. Not safe for concurrent use.
type FileWriter struct {
	w      *bufio.Writer
	offset int64
	index  []chunk
	open   chunk // the chunk being filled
	raw    []byte
	deltas uint64 // the tick of the last delta
	target int    // raw bytes after which a chunk is closed
	packer DeltaPacker
	err    error // the first error; it sticks
}

// NewFileWriter begins the export file of the shard that info describes.
func NewFileWriter(to io.Writer, info FileInfo) (*FileWriter, error) {
	description, err := info.encode()
	if err != nil {
		return nil, fmt.Errorf("persistence: cannot describe the file: %w", err)
	}
	w := &FileWriter{w: bufio.NewWriterSize(to, 1<<20), target: chunkTarget}
	prefix := append([]byte(fileMagic), make([]byte, 8)...)
	binary.LittleEndian.PutUint32(prefix[8:], FormatVersion)
	w.write(prefix)
	w.entry(chunkInfo, 0, 0, description)
	w.flush()
	return w, w.err
}

// Message appends a record of the log. The sequences must be consecutive.
func (w *FileWriter) Message(m Message) error {
	if w.open.kind == chunkLog && w.open.entries > 0 && uint64(m.Seq) != w.open.last+1 {
		w.keep(fmt.Errorf("persistence: record %d cannot follow record %d in a file", m.Seq, w.open.last))
		return w.err
	}
	w.entry(chunkLog, uint64(m.Seq), m.Header.FirstTick, m.Body)
	return w.err
}

// Delta appends a whole delta or a gap.
func (w *FileWriter) Delta(d Delta) error {
	if w.full(chunkDeltas) {
		w.packer.Restart() // so that a reader needs no earlier chunk
	}
	packed, err := w.packer.Pack(d)
	var body []byte
	if err == nil {
		body, err = packed.Encode(nil)
	}
	if err == nil && w.deltas > d.Tick {
		err = fmt.Errorf("persistence: the delta of tick %d cannot follow that of tick %d in a file", d.Tick, w.deltas)
	}
	if err != nil {
		w.keep(err)
		return w.err
	}
	w.deltas = d.Tick
	w.entry(chunkDeltas, d.Tick, d.FirstTick(), body)
	w.packer.Stored()
	return w.err
}

// Snapshot appends a snapshot.
func (w *FileWriter) Snapshot(s Snapshot) error {
	body, err := s.Encode(nil)
	if err != nil {
		w.keep(err)
		return w.err
	}
	w.flush() // a snapshot has its own chunk
	w.entry(chunkSnapshot, uint64(s.Seq), s.Tick, body)
	w.flush()
	return w.err
}

// Close writes index and trailer. If any method failed, it returns that error.
func (w *FileWriter) Close() error {
	w.flush()
	at := w.offset
	for i := range w.index {
		w.raw = binary.LittleEndian.AppendUint64(w.raw, uint64(w.index[i].offset))
		w.raw = w.index[i].appendHashed(w.raw)
	}
	w.open = chunk{kind: chunkIndex, entries: uint32(len(w.index))}
	w.flush()
	trailer := binary.LittleEndian.AppendUint64(nil, uint64(at))
	trailer = binary.LittleEndian.AppendUint64(trailer, uint64(w.offset+trailerBytes))
	trailer = binary.LittleEndian.AppendUint64(trailer, uint64(len(w.index)))
	trailer = binary.LittleEndian.AppendUint64(trailer, xxh3.Hash(trailer))
	w.write(append(trailer, fileEnd...))
	if w.err == nil {
		w.keepWrite(w.w.Flush())
	}
	return w.err
}

// full reports whether the next entry of this kind opens a new chunk.
func (w *FileWriter) full(kind chunkKind) bool {
	return w.open.kind != kind || len(w.raw) >= w.target
}

// entry appends one entry to the open chunk, or to a new one.
func (w *FileWriter) entry(kind chunkKind, at, tick uint64, body []byte) {
	if w.full(kind) {
		w.flush()
		w.open = chunk{kind: kind, first: at, tick: tick}
	}
	w.raw = binary.AppendUvarint(w.raw, uint64(len(body)))
	w.raw = append(w.raw, body...)
	w.open.last = at
	w.open.entries++
}

// flush writes the open chunk.
func (w *FileWriter) flush() {
	c := w.open
	if c.kind == 0 {
		return
	}
	payload := w.raw
	c.offset, c.raw = w.offset, uint64(len(w.raw))
	if c.kind == chunkLog || c.kind == chunkDeltas {
		if packed := compress(nil, w.raw); len(packed) < len(w.raw) {
			c.codec, payload = codecZstd, packed
		}
	}
	c.stored = uint64(len(payload))
	c.hash = c.sum(payload)
	w.write(c.append(nil))
	w.write(payload)
	if c.kind != chunkIndex {
		w.index = append(w.index, c)
	}
	w.open, w.raw = chunk{}, w.raw[:0]
}

func (w *FileWriter) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(b)
	w.offset += int64(n)
	w.keepWrite(err)
}

func (w *FileWriter) keepWrite(err error) {
	if err != nil {
		w.keep(fmt.Errorf("persistence: writing the file: %w", err))
	}
}

// keep remembers the first error.
func (w *FileWriter) keep(err error) {
	if w.err == nil {
		w.err = err
	}
}
