package jetstream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// mended is the result of repairing a damaged block.
type mended struct {
	whole  []byte // the intact rows, including those in which one flipped bit was repaired
	right  int    // rows with a repaired bit
	lost   int    // damaged pieces between the intact rows
	reason string // of the first repair or loss
	spans  []span // the lost pieces, and the row that a crash cut off
}

// span is a piece of a block without an intact row.
type span struct {
	at     int // in the block
	after  int // in the intact rows: before the row at this offset
	bytes  []byte
	tail   bool // nothing follows it, so that it may be a write that a crash cut off
	cut    bool // it is one, and does not count as lost
	reason string
}

// last returns the highest sequence of the intact rows.
func (m *mended) last() (last uint64) {
	for at, n := 0, 0; at < len(m.whole); at += n {
		n, _ = rowLength(m.whole[at:], nil)
		last = max(last, binary.LittleEndian.Uint64(m.whole[at+4:])&^(erasedBit|tombstoneBit))
	}
	return last
}

// Bounds of the search for a flipped bit: damaged rows tried per block, and the longest row in bytes in which every bit
// is tried.
const (
	mostUnflips  = 64
	unflipsWhole = 4 << 10
)

// mend reads a block's rows. It repairs a row with a single flipped bit, as the checksum proves the repair. It drops
// any other damaged row and continues at the next intact one. It does not count a row that a crash cut off at the end
// of the newest block. It repairs a last row in which only the length has a flipped bit like any other.
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
		s := span{at: at, after: len(m.whole), bytes: b[at:], tail: newest && next < 0 && (n == 0 || at+n >= len(b)), reason: bad}
		if next >= 0 {
			s.bytes = b[at:next]
		}
		if next < 0 && newest && n == 0 && at > 0 && row == nil {
			s.cut = true
			m.spans = append(m.spans, s)
			break
		}
		if m.reason == "" {
			m.reason = fmt.Sprintf("at byte %d: %s", at, bad)
		}
		if row != nil && (next < 0 || at+len(row) <= next) {
			m.whole, m.right, at = append(m.whole, row...), m.right+1, at+len(row)
			continue
		}
		m.spans = append(m.spans, s)
		if m.lost++; next < 0 {
			break
		}
		at = next
	}
	return m
}

// soundRow is rowLength for a stream of ours. It also checks that the subject is one of the stream's subjects, since
// the subject's length is outside the checksum.
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
	_, isShared := sharedBy(stream)
	_, kind, shared := parseSharedSubject(subject)
	if odd >= 0 || !strings.HasPrefix(subject, subjectsOf(stream)) || delta && !strings.HasSuffix(subject, ".delta") ||
		isShared && (!shared || delta != (kind == "delta")) {
		return n, "a message whose subject is not one of the stream's"
	}
	return n, ""
}

// unflip returns the first row of b with its one flipped bit repaired, or nil if no single bit repairs it. It tries
// every bit of the row's frame, and every bit of a short row.
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

// nextRow returns the offset of the next intact row at or after an offset, or -1 if no more follow. A row begins 22
// bytes before its subject, or is a tombstone.
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

// subjectsOf returns the common prefix of the subjects of a stream of ours.
func subjectsOf(stream string) string {
	if bucket, ok := strings.CutPrefix(stream, objectPrefix); ok {
		return "$O." + bucket + "."
	}
	if bucket, ok := strings.CutPrefix(stream, kvStreamPrefix); ok {
		return kvSubjectPrefix + bucket + "."
	}
	if partition, ok := sharedBy(stream); ok {
		return partition
	}
	return subjectPrefix
}

// sharedBy returns the common prefix of the subjects of a partition, of logs or of deltas.
func sharedBy(stream string) (prefix string, ok bool) {
	cluster, k, ok := parsePartitionStream(strings.TrimSuffix(stream, deltaSuffix))
	return subjectPrefix + cluster + "." + partitionPrefix + strconv.Itoa(k) + ".", ok
}
