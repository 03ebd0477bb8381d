package ecs

import (
	"encoding/binary"
	"errors"
)

var (
	errTruncated = errors.New("truncated")
	errVarint    = errors.New("a number is too large")
)

// reader reads bytes from outside. The first failure sticks; everything read after it is zero or empty.
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

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n > 0:
		r.b = r.b[n:]
		return v
	case n == 0:
		r.fail(errTruncated)
	default:
		r.fail(errVarint)
	}
	return 0
}

// uint32 reads a uvarint of at most 32 bits.
func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > 1<<32-1 {
		r.fail(errVarint)
		return 0
	}
	return uint32(v)
}

// below reads a uvarint smaller than n.
func (r *reader) below(n int) int {
	v := r.uvarint()
	if r.err == nil && v >= uint64(n) {
		r.fail(errVarint)
	}
	if r.err != nil {
		return 0
	}
	return int(v)
}

// count reads the number of items to come, each of at least size bytes. It never exceeds what the remaining bytes can
// hold.
func (r *reader) count(size int) int {
	v := r.uvarint()
	if r.err == nil && v > uint64(len(r.b)/max(size, 1)) {
		r.fail(errTruncated)
	}
	if r.err != nil {
		return 0
	}
	return int(v)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errTruncated)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return le64(b)
	}
	return 0
}

// take returns the next n bytes, nil if fewer remain.
func (r *reader) take(n int) []byte {
	if n > len(r.b) || n < 0 {
		r.fail(errTruncated)
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// bytes reads a length and that many bytes.
func (r *reader) bytes() []byte { return r.take(r.count(1)) }

// end fails if any bytes are left.
func (r *reader) end() {
	if len(r.b) > 0 {
		r.fail(errors.New("bytes after the end"))
	}
}

func appendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func appendBytes(b, v []byte) []byte { return append(appendUvarint(b, uint64(len(v))), v...) }

func appendString(b []byte, s string) []byte { return append(appendUvarint(b, uint64(len(s))), s...) }
