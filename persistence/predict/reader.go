package predict

import (
	"encoding/binary"
	"errors"
)

var (
	errShort  = errors.New("it ends early")
	errNumber = errors.New("a number in it is too large")
	errLonger = errors.New("a number in it is not in its shortest form")
)

// reader reads untrusted bytes. The first failure sticks, and everything read after it is zero or empty.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// uvarint reads a number. It refuses any but the shortest form, since the body could not be reproduced from it.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n == 0:
		r.fail(errShort)
	case n < 0:
		r.fail(errNumber)
	case n > 1 && r.b[n-1] == 0:
		r.fail(errLonger)
	default:
		r.b = r.b[n:]
		return v
	}
	return 0
}

// below reads a uvarint smaller than n.
func (r *reader) below(n int) int {
	v := r.uvarint()
	if r.err == nil && v >= uint64(n) {
		r.fail(errNumber)
	}
	if r.err != nil {
		return 0
	}
	return int(v)
}

func (r *reader) uint32() uint32 { return uint32(r.below(1 << 32)) }

// count reads the number of items that follow, each of at least size bytes. It refuses more than fit in the rest.
func (r *reader) count(size int) int {
	n := r.below(1<<31 - 1)
	if n > len(r.b)/max(size, 1) {
		r.fail(errShort)
		return 0
	}
	return n
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// take returns the next n bytes, nil if fewer are left.
func (r *reader) take(n int) []byte {
	if n > len(r.b) || n < 0 {
		r.fail(errShort)
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func appendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func zigzag32(d uint32) uint32   { return d<<1 ^ uint32(int32(d)>>31) }
func unzigzag32(z uint32) uint32 { return z>>1 ^ -(z & 1) }
