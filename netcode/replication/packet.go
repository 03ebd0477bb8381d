package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// FORMAT.md, "Packet" and "Block", specifies these bytes.

const (
	maxDepth     = 10
	maxFragments = 255
	maxRadius    = 32                         // cells
	maxCell      = 1 << 20                    // greatest coordinate of a cell
	maxHeader    = 1 + 4*10 + 1 + 2*4         // bytes, at most
	maxBlockHead = 1 + 2*2 + 2 + 2*10 + 2 + 3 // bytes, at most, including the length
)

// header begins every packet.
type header struct {
	codec  byte
	epoch  uint64
	stream uint64 // of the client: a newer stream voids older ones
	seq    uint64 // of the packet in its stream, from 1
	tick   uint64
	area   area
}

// area is the square of cells that a client sees: from -radius to +radius around x, y.
type area struct {
	x, y   int32
	radius int32 // -1: no cells at all
}

func (a area) has(x, y int32) bool {
	return x >= a.x-a.radius && x <= a.x+a.radius && y >= a.y-a.radius && y <= a.y+a.radius
}

func (h *header) append(b []byte) []byte {
	b = append(b, h.codec)
	b = binary.AppendUvarint(b, h.epoch)
	b = binary.AppendUvarint(b, h.stream)
	b = binary.AppendUvarint(b, h.seq)
	b = binary.AppendUvarint(b, h.tick)
	b = binary.AppendUvarint(b, uint64(h.area.radius+1))
	if h.area.radius >= 0 {
		b = binary.AppendVarint(b, int64(h.area.x))
		b = binary.AppendVarint(b, int64(h.area.y))
	}
	return b
}

// The low bits of a block's first byte; the depth is above them.
const (
	blockGlobal   = 1 << 0 // of the global cell
	blockBased    = 1 << 1 // against a baseline
	blockFragment = 1 << 2 // a piece of a body
	blockDepth    = 3      // shift
)

// blockHead precedes the body of a block.
type blockHead struct {
	segKey
	version, base uint64
	piece, pieces int // pieces is 0 for a whole block
}

// segKey names a segment of a cell.
type segKey struct {
	cellKey
	depth   uint8
	segment uint16
}

// cellKey names a cell of the plane, or the global one.
type cellKey struct {
	x, y   int32
	global bool
}

func (k *blockHead) append(b []byte, h *header) []byte {
	flags := k.depth << blockDepth
	if k.global {
		flags |= blockGlobal
	}
	if k.base != 0 {
		flags |= blockBased
	}
	if k.pieces != 0 {
		flags |= blockFragment
	}
	b = append(b, flags)
	if !k.global {
		b = binary.AppendVarint(b, int64(k.x-h.area.x))
		b = binary.AppendVarint(b, int64(k.y-h.area.y))
	}
	if k.depth > 0 {
		b = binary.AppendUvarint(b, uint64(k.segment))
	}
	b = binary.AppendUvarint(b, h.tick-k.version)
	if k.base != 0 {
		b = binary.AppendUvarint(b, k.version-k.base)
	}
	if k.pieces != 0 {
		b = append(b, byte(k.piece), byte(k.pieces))
	}
	return b
}

var errPacket = errors.New("replication: packet ends too early")

// parser reads a packet. It keeps its first error.
type parser struct {
	b   []byte
	err error
}

func (p *parser) byte() byte {
	if len(p.b) == 0 {
		p.fail(errPacket)
		return 0
	}
	v := p.b[0]
	p.b = p.b[1:]
	return v
}

// uint reads a number from 0 to limit.
func (p *parser) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > limit {
		p.fail(errPacket)
		return 0
	}
	p.b = p.b[n:]
	return v
}

// int reads a number from -limit to limit.
func (p *parser) int(limit int64) int64 {
	v, n := binary.Varint(p.b)
	if n <= 0 || v > limit || v < -limit {
		p.fail(errPacket)
		return 0
	}
	p.b = p.b[n:]
	return v
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
	p.b = nil
}

const anyUint = 1<<64 - 1

func (p *parser) header() (h header) {
	h.codec = p.byte()
	h.epoch = p.uint(anyUint)
	h.stream = p.uint(anyUint)
	h.seq = p.uint(anyUint >> 1)
	h.tick = p.uint(anyUint >> 1)
	h.area.radius = int32(p.uint(maxRadius+1)) - 1
	if h.area.radius >= 0 {
		h.area.x = int32(p.int(2 * maxCell))
		h.area.y = int32(p.int(2 * maxCell))
	}
	if p.err == nil && (h.seq == 0 || h.tick == 0) {
		p.fail(errors.New("replication: packet without a number or a tick"))
	}
	return h
}

// block reads a block's head and body. The body aliases the packet.
func (p *parser) block(h *header) (k blockHead, body []byte) {
	flags := p.byte()
	k.global = flags&blockGlobal != 0
	if k.depth = flags >> blockDepth; k.depth > maxDepth {
		p.fail(fmt.Errorf("replication: cell depth %d exceeds %d", k.depth, maxDepth))
	}
	if !k.global {
		limit := int64(max(h.area.radius, 0))
		k.x = h.area.x + int32(p.int(limit))
		k.y = h.area.y + int32(p.int(limit))
		if h.area.radius < 0 {
			p.fail(errors.New("replication: a cell in a packet without an area"))
		}
	}
	if k.depth > 0 {
		k.segment = uint16(p.uint(1<<k.depth - 1))
	}
	k.version = h.tick - p.uint(h.tick-1)
	if flags&blockBased != 0 {
		k.base = k.version - p.uint(k.version-1)
		if k.base == k.version {
			p.fail(errors.New("replication: a block whose base is its own version"))
		}
	}
	if flags&blockFragment != 0 {
		k.piece, k.pieces = int(p.byte()), int(p.byte())
		if k.pieces < 2 || k.piece >= k.pieces {
			p.fail(fmt.Errorf("replication: piece %d of %d", k.piece, k.pieces))
		}
	}
	n := p.uint(uint64(len(p.b)))
	if n > uint64(len(p.b)) {
		p.fail(errPacket)
	}
	if p.err != nil {
		return k, nil
	}
	body, p.b = p.b[:n:n], p.b[n:]
	return k, body
}

// appendBytes appends the length of body, then body.
func appendBytes(b, body []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}
