package jetstream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
)

// mended is what is left of a block that was damaged.
type mended struct {
	whole  []byte // its rows, those in which one bit was flipped put right
	right  int    // such rows
	lost   int    // damaged pieces between the whole rows
	reason string // of the first that was put right or is lost
}

// last returns the highest sequence in a row that is whole.
func (m *mended) last() (last uint64) {
	for at, n := 0, 0; at < len(m.whole); at += n {
		n, _ = rowLength(m.whole[at:], nil)
		last = max(last, binary.LittleEndian.Uint64(m.whole[at+4:])&^(erasedBit|tombstoneBit))
	}
	return last
}

// Bounds of the search for a flipped bit: rows of a block, and the bytes of one in which every bit is tried.
const (
	mostUnflips  = 64
	unflipsWhole = 4 << 10
)

// mend reads a block's rows. A damaged one in which a single bit is flipped is put right: the checksum proves it. Of
// others it keeps nothing, and goes on at the next whole row. The end of the newest block that a crash cut is not counted;
// a last row whose length alone is flipped is put right like any other.
func mend(b []byte, stream string, h hash.Hash64, newest bool) (m mended) {
	for at := 0; at < len(b); {
		n, bad := soundRow(b[at:], stream, h)
		if bad == "" {
			m.whole = append(m.whole, b[at:at+n]...)
			at += n
			continue
		}
		next := nextRow(b, at+1, stream, h)
		var row []byte
		if m.right+m.lost < mostUnflips {
			row = unflip(b[at:], stream, h)
		}
		if next < 0 && newest && n == 0 && at > 0 && row == nil {
			break
		}
		if m.reason == "" {
			m.reason = fmt.Sprintf("at byte %d: %s", at, bad)
		}
		if row != nil && (next < 0 || at+len(row) <= next) {
			m.whole, m.right, at = append(m.whole, row...), m.right+1, at+len(row)
			continue
		}
		if m.lost++; next < 0 {
			break
		}
		at = next
	}
	return m
}

// soundRow is rowLength for a stream of ours: the subject must be one of its subjects, since its length is outside the
// checksum.
func soundRow(b []byte, stream string, h hash.Hash64) (n int, reason string) {
	if n, reason = rowLength(b, h); reason != "" {
		return n, reason
	}
	if binary.LittleEndian.Uint64(b[4:])&tombstoneBit != 0 || binary.LittleEndian.Uint64(b[4:])&erasedBit != 0 {
		return n, ""
	}
	subject := string(b[blockHeader : blockHeader+int(binary.LittleEndian.Uint16(b[20:]))])
	odd := strings.IndexFunc(subject, func(c rune) bool { return c <= ' ' || c > '~' })
	delta := strings.HasSuffix(stream, deltaSuffix) && strings.HasPrefix(stream, streamPrefix)
	if odd >= 0 || !strings.HasPrefix(subject, subjectsOf(stream)) || delta && !strings.HasSuffix(subject, ".delta") {
		return n, "a message whose subject is not one of the stream's"
	}
	return n, ""
}

// unflip returns the row that b begins with, with the one bit put right that is flipped in it; nil when it is not one bit.
// It tries every bit of the row's frame, and of all of it where it is short.
func unflip(b []byte, stream string, h hash.Hash64) []byte {
	try := func(at int) []byte {
		for bit := range 8 {
			b[at] ^= 1 << bit
			n, reason := soundRow(b, stream, h)
			var row []byte
			if reason == "" {
				row = bytes.Clone(b[:n])
			}
			if b[at] ^= 1 << bit; row != nil {
				return row
			}
		}
		return nil
	}
	if len(b) < blockHeader+blockChecksum {
		return nil
	}
	for at := range blockHeader {
		if row := try(at); row != nil {
			return row
		}
	}
	n, subject := int(binary.LittleEndian.Uint32(b)&^hasHeaderBit), int(binary.LittleEndian.Uint16(b[20:]))
	end := min(blockHeader+subject+4, len(b)) // the length of its headers
	if n <= unflipsWhole {
		end = min(n, len(b))
	}
	for at := blockHeader; at < end; at++ {
		if row := try(at); row != nil {
			return row
		}
	}
	return nil
}

// nextRow finds the next whole row at or behind an offset; -1 when there is none. A row begins 22 bytes before its
// subject, or is a tombstone.
func nextRow(b []byte, at int, stream string, h hash.Hash64) int {
	subject := subjectsOf(stream)
	for ; at+blockHeader+blockChecksum <= len(b); at++ {
		word := binary.LittleEndian.Uint32(b[at:])
		n := int(word &^ hasHeaderBit)
		if n < blockHeader+blockChecksum || n > len(b)-at {
			continue
		}
		tombstone := n == blockHeader+blockChecksum && binary.LittleEndian.Uint64(b[at+4:])&tombstoneBit != 0
		if !tombstone && !strings.HasPrefix(string(b[at+blockHeader:min(at+blockHeader+len(subject), len(b))]), subject) {
			continue
		}
		if _, reason := soundRow(b[at:], stream, h); reason == "" {
			return at
		}
	}
	return -1
}

// subjectsOf is what the subjects of a stream of ours begin with.
func subjectsOf(stream string) string {
	if bucket, ok := strings.CutPrefix(stream, objectPrefix); ok {
		return "$O." + bucket + "."
	}
	if bucket, ok := strings.CutPrefix(stream, kvStreamPrefix); ok {
		return kvSubjectPrefix + bucket + "."
	}
	return subjectPrefix
}
