package persistence

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/ferris1/wind/ecs"
)

// The export file: magic and version, chunks, the index as the last chunk, a
// trailer. FORMAT.md, "The export file", has the byte tables.
const (
	fileMagic    = "WINDLOG\n"
	fileEnd      = "WINDEND\n"
	prefixBytes  = 16 // magic, version, zero
	chunkMagic   = "CHNK"
	chunkBytes   = 72 // header of a chunk
	hashedBytes  = 56 // of that header: what its hash covers, besides the payload
	indexBytes   = 8 + hashedBytes
	trailerBytes = 40
	chunkTarget  = 1 << 20 // raw bytes after which a chunk is closed
	maxChunkRaw  = 2 * MaxSnapshotBytes
)

// chunkKind says what a chunk contains.
type chunkKind uint8

const (
	chunkInfo chunkKind = iota + 1
	chunkLog
	chunkDeltas
	chunkSnapshot
	chunkIndex
)

const (
	codecNone = 0
	codecZstd = 1
)

// chunk is the header of a chunk.
type chunk struct {
	offset  int64 // in the file; not in the header itself
	kind    chunkKind
	codec   uint8
	entries uint32
	first   uint64 // log: sequence; deltas: tick; snapshot: sequence
	last    uint64
	tick    uint64 // the first tick in it
	raw     uint64 // bytes of the payload before compression
	stored  uint64 // bytes of the payload in the file
	hash    Hash   // of the 56 bytes before it and the stored payload
}

// append appends the header to b. The hash must be set.
func (c *chunk) append(b []byte) []byte {
	b = c.appendHashed(b)
	return append(b, c.hash[:]...)
}

func (c *chunk) appendHashed(b []byte) []byte {
	b = append(b, chunkMagic...)
	b = append(b, byte(c.kind), c.codec, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, c.entries)
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, v := range []uint64{c.first, c.last, c.tick, c.raw, c.stored} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// parseHashed reads what appendHashed wrote. room is how many bytes the file has
// after the header.
func parseHashed(b []byte, offset int64, room int64) (chunk, error) {
	c := chunk{offset: offset, kind: chunkKind(b[4]), codec: b[5], entries: binary.LittleEndian.Uint32(b[8:])}
	c.first, c.last = binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	c.tick = binary.LittleEndian.Uint64(b[32:])
	c.raw, c.stored = binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:])
	switch {
	case string(b[:4]) != chunkMagic:
		return c, fmt.Errorf("no chunk at byte %d", offset)
	case c.kind < chunkInfo || c.kind > chunkIndex || c.codec > codecZstd || b[6] != 0 || b[7] != 0 || binary.LittleEndian.Uint32(b[12:]) != 0:
		return c, fmt.Errorf("a chunk of unknown kind at byte %d", offset)
	case room < 0 || c.stored > uint64(room) || c.raw > maxChunkRaw || (c.codec == codecNone && c.raw != c.stored):
		return c, fmt.Errorf("the chunk at byte %d declares %d bytes, %d are left", offset, c.stored, max(room, 0))
	case uint64(c.entries) > c.raw || c.first > c.last:
		return c, fmt.Errorf("the chunk at byte %d declares %d entries from %d to %d in %d bytes", offset, c.entries, c.first, c.last, c.raw)
	}
	return c, nil
}

// sum returns the hash of the chunk with this payload.
func (c *chunk) sum(payload []byte) Hash {
	h := xxh3.New()
	_, _ = h.Write(c.appendHashed(make([]byte, 0, chunkBytes)))
	_, _ = h.Write(payload)
	return h.Sum128().Bytes()
}

// what describes a chunk's content in errors.
func (c *chunk) what() string {
	switch c.kind {
	case chunkLog:
		return fmt.Sprintf("records %d to %d", c.first, c.last)
	case chunkDeltas:
		return fmt.Sprintf("deltas of ticks %d to %d", c.first, c.last)
	case chunkSnapshot:
		return fmt.Sprintf("the snapshot at record %d", c.first)
	case chunkInfo:
		return "the description"
	}
	return "the index"
}

// fileAtRecord is what a *CorruptError names that is about a chunk with records or a snapshot.
const fileAtRecord = "file at record"

// corrupt returns a *CorruptError for the chunk, with sequence and tick.
func (c *chunk) corrupt(format string, args ...any) error {
	e := &CorruptError{What: "file", Tick: c.tick, Reason: fmt.Sprintf("%s (bytes %d to %d of the file): ", c.what(), c.offset, c.offset+chunkBytes+int64(c.stored)-1) + fmt.Sprintf(format, args...)}
	if c.kind == chunkLog || c.kind == chunkSnapshot {
		e.What, e.Seq = fileAtRecord, Seq(c.first)
	}
	return e
}

// FileInfo describes the shard whose history a file contains.
type FileInfo struct {
	Lineage  string
	Cluster  string
	Shard    string
	Game     string
	TickRate int // ticks per second
}

func (i *FileInfo) encode() ([]byte, error) {
	w := newWriter(nil)
	w.mapLen(8)
	w.uint(keyVersion, FormatVersion)
	w.str("kind", "export", maxKindBytes)
	w.str("lineage", i.Lineage, maxLineage)
	w.str("cluster", i.Cluster, ecs.MaxName)
	w.str("shard", i.Shard, ecs.MaxName)
	w.str("game", i.Game, maxNameBytes)
	if w.limit("rate", i.TickRate, 240); i.TickRate < 0 {
		return nil, fmt.Errorf("the tick rate is %d", i.TickRate)
	}
	w.uint("rate", uint64(i.TickRate))
	w.sum(0)
	return w.done()
}

func decodeInfo(b []byte) (FileInfo, error) {
	r, f, err := open("file", b, 4<<10)
	if err != nil {
		return FileInfo{}, err
	}
	if kind := f.str("kind", maxKindBytes); kind != "export" {
		r.fail("unknown kind %q", kind)
	}
	i := FileInfo{Lineage: f.str("lineage", maxLineage), Cluster: f.str("cluster", ecs.MaxName), Shard: f.str("shard", ecs.MaxName), Game: f.str("game", maxNameBytes)}
	i.TickRate = f.count("rate", 240)
	return i, r.close(f)
}
