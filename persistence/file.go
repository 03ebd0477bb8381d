package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/zeebo/xxh3"
)

// File is an export file: a shard's log, and its deltas and snapshots if they
// were exported too. It verifies every chunk that it reads. It is safe for
// concurrent use.
type File struct {
	src    io.ReaderAt
	closer io.Closer
	size   int64
	info   FileInfo
	chunks map[chunkKind][]chunk

	mu     sync.Mutex // guards the last chunk read
	cached int64      // its offset
	loaded [][]byte   // its entries
}

// OpenFile opens an export file and reads its index. For a truncated or damaged
// file it returns a *CorruptError that says how much is intact, for a newer
// version a *VersionError.
func OpenFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("persistence: export file: %w", err)
	}
	stat, err := f.Stat()
	if err == nil && stat.IsDir() {
		err = fmt.Errorf("%s is a folder", path)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("persistence: export file: %w", err)
	}
	file, err := ReadFile(f, stat.Size())
	if err != nil {
		f.Close()
		return nil, named(path, err)
	}
	file.closer = f
	return file, nil
}

// ErrNoExport reports that a file has neither the begin nor the end of an export.
var ErrNoExport = errors.New("not an export of Wind")

// notBegun returns the error for a file that does not begin as an export: one that was damaged or cut there, or another file.
func (f *File) notBegun() error {
	begin, _ := f.bytes(0, min(f.size, 8))
	end, _ := f.bytes(f.size-8, 8)
	if f.size > 0 && strings.HasPrefix(fileMagic, string(begin)) || string(end) == fileEnd {
		return &CorruptError{What: "file", Reason: "its first bytes are damaged, or it was cut there"}
	}
	return &CorruptError{What: "file", Reason: "it is " + ErrNoExport.Error(), Err: ErrNoExport}
}

// named puts a file's path into an error about its content.
func named(path string, err error) error {
	var corrupt *CorruptError
	var version *VersionError
	switch {
	case errors.As(err, &corrupt):
		c := *corrupt
		c.What = "file " + path
		return &c
	case errors.As(err, &version):
		v := *version
		v.What = "file " + path
		return &v
	}
	return fmt.Errorf("persistence: export file %s: %w", path, err)
}

// ReadFile is like OpenFile, but takes any io.ReaderAt. size is the number of bytes in src.
func ReadFile(src io.ReaderAt, size int64) (*File, error) {
	f := &File{src: src, size: size, chunks: map[chunkKind][]chunk{}, cached: -1}
	prefix, err := f.bytes(0, prefixBytes)
	if err != nil || string(prefix[:8]) != fileMagic || binary.LittleEndian.Uint32(prefix[12:]) != 0 {
		return nil, f.notBegun()
	}
	if v := binary.LittleEndian.Uint32(prefix[8:]); v < 1 || v > FormatVersion {
		return nil, &VersionError{What: "file", Found: int(min(v, 1<<31-1)), Known: FormatVersion}
	}
	index, err := f.readIndex()
	if err != nil {
		return nil, f.intactUpTo(err)
	}
	for _, c := range index {
		f.chunks[c.kind] = append(f.chunks[c.kind], c)
	}
	info := f.chunks[chunkInfo]
	if len(info) != 1 || info[0].entries != 1 {
		return nil, &CorruptError{What: "file", Reason: fmt.Sprintf("%d descriptions", len(info))}
	}
	entries, err := f.load(info[0])
	if err != nil {
		return nil, err
	}
	f.info, err = decodeInfo(entries[0])
	return f, err
}

// Close closes the file that OpenFile opened.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// Info describes the shard whose history the file contains.
func (f *File) Info() FileInfo { return f.info }

// Log returns the file's log.
func (f *File) Log() *FileLog { return &FileLog{f} }

// Deltas returns the file's deltas, nil when it has none.
func (f *File) Deltas() *FileDeltas {
	if len(f.chunks[chunkDeltas]) == 0 {
		return nil
	}
	return &FileDeltas{f}
}

// Snapshots returns the file's snapshots, nil when it has none.
func (f *File) Snapshots() *FileSnapshots {
	if len(f.chunks[chunkSnapshot]) == 0 {
		return nil
	}
	return &FileSnapshots{f}
}

// Source returns the file as the source of a replay or a check.
func (f *File) Source() Source {
	s := Source{Log: f.Log(), Lineage: f.info.Lineage, Info: f.info}
	if d := f.Deltas(); d != nil {
		s.Deltas = d
	}
	if n := f.Snapshots(); n != nil {
		s.Snapshots = n
	}
	return s
}

// bytes reads n bytes at the offset. It allocates nothing for a range outside the file.
func (f *File) bytes(offset, n int64) ([]byte, error) {
	if offset < 0 || n < 0 || n > f.size || offset > f.size-n {
		return nil, io.ErrUnexpectedEOF
	}
	b := make([]byte, n)
	if got, err := f.src.ReadAt(b, offset); got < len(b) {
		return nil, err
	}
	return b, nil
}

func (f *File) readIndex() ([]chunk, error) {
	trailer, err := f.bytes(f.size-trailerBytes, trailerBytes)
	if err != nil || string(trailer[32:]) != fileEnd {
		return nil, fmt.Errorf("its end is missing: it was cut, or its last bytes were changed")
	}
	if got := xxh3.Hash(trailer[:24]); got != binary.LittleEndian.Uint64(trailer[24:]) {
		return nil, fmt.Errorf("its trailer is damaged")
	}
	at, size, n := int64(binary.LittleEndian.Uint64(trailer)), binary.LittleEndian.Uint64(trailer[8:]), binary.LittleEndian.Uint64(trailer[16:])
	if size != uint64(f.size) {
		return nil, fmt.Errorf("it has %d bytes, but its trailer says %d", f.size, size)
	}
	c, payload, err := f.chunk(at)
	if err != nil {
		return nil, fmt.Errorf("its index is damaged: %w", err)
	}
	if c.kind != chunkIndex || uint64(len(payload)) != n*indexBytes || uint64(c.entries) != n {
		return nil, fmt.Errorf("its index does not hold %d chunks", n)
	}
	index := make([]chunk, n)
	for i := range index {
		b := payload[i*indexBytes:]
		offset := int64(binary.LittleEndian.Uint64(b))
		if index[i], err = parseHashed(b[8:], offset, f.size-offset-chunkBytes); err != nil {
			return nil, err
		}
		if i > 0 && offset <= index[i-1].offset {
			return nil, fmt.Errorf("its index is not in order")
		}
	}
	return index, nil
}

// chunk reads and verifies the chunk at the offset. It returns the payload as stored.
func (f *File) chunk(offset int64) (chunk, []byte, error) {
	header, err := f.bytes(offset, chunkBytes)
	if err != nil {
		return chunk{}, nil, fmt.Errorf("no chunk at byte %d: %w", offset, err)
	}
	c, err := parseHashed(header, offset, f.size-offset-chunkBytes)
	if err != nil {
		return c, nil, err
	}
	payload, err := f.bytes(offset+chunkBytes, int64(c.stored))
	if err != nil {
		return c, nil, err
	}
	return f.proven(header, payload, c)
}

// listed reads and verifies a chunk that the index lists, in one read.
func (f *File) listed(want chunk) (chunk, []byte, error) {
	b, err := f.bytes(want.offset, chunkBytes+int64(want.stored))
	if err != nil {
		return chunk{}, nil, err
	}
	c, err := parseHashed(b, want.offset, f.size-want.offset-chunkBytes)
	if err != nil {
		return c, nil, err
	}
	return f.proven(b, b[chunkBytes:], c)
}

// proven compares a chunk's header and payload with their hash.
func (f *File) proven(header, payload []byte, c chunk) (chunk, []byte, error) {
	copy(c.hash[:], header[hashedBytes:])
	if c.stored != uint64(len(payload)) || c.sum(payload) != c.hash {
		return c, nil, fmt.Errorf("the bytes do not match their hash")
	}
	return c, payload, nil
}

// load returns the verified entries of a chunk that the index lists.
func (f *File) load(want chunk) ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cached == want.offset {
		return f.loaded, nil
	}
	c, payload, err := f.listed(want)
	if err != nil {
		return nil, want.corrupt("%v", err)
	}
	if c.hash = (Hash{}); c != want {
		return nil, want.corrupt("its header does not match the index")
	}
	if c.codec == codecZstd {
		if payload, err = decompress(payload, int(c.raw)); err != nil {
			return nil, want.corrupt("%v", err)
		}
	}
	var entries [][]byte
	for len(payload) > 0 {
		n, used := binary.Uvarint(payload)
		if used <= 0 || n > uint64(len(payload)-used) {
			return nil, want.corrupt("entry %d is longer than the chunk", len(entries))
		}
		end := used + int(n)
		entries = append(entries, payload[used:end:end])
		payload = payload[end:]
	}
	if len(entries) != int(c.entries) {
		return nil, want.corrupt("%d entries, but its header says %d", len(entries), c.entries)
	}
	f.cached, f.loaded = want.offset, entries
	return entries, nil
}

// intactUpTo walks the chunks of a file without a usable index from the front and
// returns an error that says where it breaks.
func (f *File) intactUpTo(cause error) error {
	e := &CorruptError{What: "file", Seq: 1, Reason: cause.Error(), Err: cause}
	offset := int64(prefixBytes)
	for {
		c, _, err := f.chunk(offset)
		if err != nil {
			break
		}
		offset += chunkBytes + int64(c.stored)
		if c.kind != chunkLog {
			continue
		}
		e.Seq = Seq(c.last) + 1
		if entries, err := f.load(indexed(c)); err == nil && len(entries) > 0 {
			if r, err := DecodeRecord(entries[len(entries)-1]); err == nil {
				e.Tick = r.LastTick() + 1
			}
		}
	}
	e.Reason += fmt.Sprintf("; intact are its first %d of %d bytes", offset, f.size)
	if e.Seq > 1 {
		e.Reason += fmt.Sprintf(", with the records up to %d", e.Seq-1)
	}
	if e.Tick > 1 {
		e.Reason += fmt.Sprintf(" (tick %d)", e.Tick-1)
	}
	return e
}

// indexed returns the header as the index stores it: without the hash.
func indexed(c chunk) chunk { c.hash = Hash{}; return c }
