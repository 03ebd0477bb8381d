package replication

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// errBits means that a block ended before all its bits were read.
var errBits = errors.New("replication: block ends too early")

// bitWriter appends bits to buf, the lowest bit of a value first, the first bit in the
// lowest bit of a byte. Call close to get the bytes.
type bitWriter struct {
	buf []byte
	acc uint64
	n   uint // bits waiting in acc, < 32 between calls
}

// put appends the low width bits of v; width is 0..32, and the higher bits of v must be zero.
func (w *bitWriter) put(v uint32, width uint) {
	w.acc |= uint64(v) << w.n
	w.n += width
	if w.n >= 32 {
		w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(w.acc))
		w.acc >>= 32
		w.n -= 32
	}
}

// put64 appends the low width bits of v, 0..64.
func (w *bitWriter) put64(v uint64, width uint) {
	if width <= 32 {
		w.put(uint32(v), width)
		return
	}
	w.put(uint32(v), 32)
	w.put(uint32(v>>32), width-32)
}

// flag appends one bit.
func (w *bitWriter) flag(b bool) {
	if b {
		w.put(1, 1)
		return
	}
	w.put(0, 1)
}

// close pads the last byte with zero bits and returns all bytes.
func (w *bitWriter) close() []byte {
	for w.n > 0 {
		w.buf = append(w.buf, byte(w.acc))
		w.acc >>= 8
		w.n -= min(w.n, 8)
	}
	return w.buf
}

// uint appends a number that is usually small: a gap, a count, a generation. The classes are
// 0 | 10+4 bits | 110+8 | 1110+16 | 1111+32; each starts where the previous one ends, but the last holds the number itself.
func (w *bitWriter) uint(v uint32) {
	switch {
	case v == 0:
		w.put(0, 1)
	case v < uintBase8:
		w.put(0b01|(v-1)<<2, 6)
	case v < uintBase16:
		w.put(0b011|(v-uintBase8)<<3, 11)
	case v < uintBase32:
		w.put(0b0111|(v-uintBase16)<<4, 20)
	default:
		w.put(0b1111, 4)
		w.put(v, 32)
	}
}

// The first value of each class of bitWriter.uint.
const (
	uintBase8  = 1 + 1<<4
	uintBase16 = uintBase8 + 1<<8
	uintBase32 = uintBase16 + 1<<16
)

// bitReader reads what a bitWriter wrote. A read past the end returns zero and sets short.
type bitReader struct {
	buf   []byte
	pos   uint // in bits
	short bool
}

// get reads width bits, 0..32.
func (r *bitReader) get(width uint) uint32 {
	end := r.pos + width
	if end > uint(len(r.buf))*8 {
		r.short = true
		return 0
	}
	at := r.pos >> 3
	var acc uint64
	if at+8 <= uint(len(r.buf)) {
		acc = binary.LittleEndian.Uint64(r.buf[at:])
	} else {
		for i, b := range r.buf[at:] {
			acc |= uint64(b) << (8 * uint(i))
		}
	}
	v := acc >> (r.pos & 7) & (1<<width - 1)
	r.pos = end
	return uint32(v)
}

// get64 reads width bits, 0..64.
func (r *bitReader) get64(width uint) uint64 {
	if width <= 32 {
		return uint64(r.get(width))
	}
	low := uint64(r.get(32))
	return low | uint64(r.get(width-32))<<32
}

func (r *bitReader) flag() bool { return r.get(1) == 1 }

// uint reads what bitWriter.uint wrote.
func (r *bitReader) uint() uint32 {
	switch {
	case r.get(1) == 0:
		return 0
	case r.get(1) == 0:
		return 1 + r.get(4)
	case r.get(1) == 0:
		return uintBase8 + r.get(8)
	case r.get(1) == 0:
		return uintBase16 + r.get(16)
	default:
		return r.get(32)
	}
}

// left returns the number of unread bits.
func (r *bitReader) left() int { return len(r.buf)*8 - int(r.pos) }

// end checks that everything was read: at most seven bits are left, all zero.
func (r *bitReader) end() error {
	if r.short {
		return errBits
	}
	n := r.left()
	if n >= 8 || r.get(uint(n)) != 0 {
		return errors.New("replication: bytes after the block's end")
	}
	return nil
}

// zigzag maps small numbers of either sign to small unsigned ones.
func zigzag(v int32) uint32   { return uint32(v)<<1 ^ uint32(v>>31) }
func unzigzag(v uint32) int32 { return int32(v>>1) ^ -int32(v&1) }

func zigzag64(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag64(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// classes are the widths that a two-bit selector chooses from, ascending.
type classes [4]uint8

var (
	// stepClasses fits a quantised value's step since its baseline; the last class is
	// replaced by the absolute value.
	stepClasses = classes{4, 7, 11, 32}
	wordClasses = classes{4, 8, 16, 32}
	wideClasses = classes{8, 16, 32, 64}
)

func (w *bitWriter) classed(v uint64, c *classes) {
	n := bits.Len64(v)
	sel := uint32(0)
	for sel < 3 && n > int(c[sel]) {
		sel++
	}
	w.put(sel, 2)
	w.put64(v, uint(c[sel]))
}

func (r *bitReader) classed(c *classes) uint64 {
	return r.get64(uint(c[r.get(2)]))
}
