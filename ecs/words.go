package ecs

import "unsafe"

// word reads the j-th word of a value of the given size. The last word may be short.
func word(p unsafe.Pointer, j, size int) uint64 {
	off := j * 8
	p = unsafe.Add(p, off)
	switch n := size - off; {
	case n >= 8:
		return *(*uint64)(p)
	case n == 4:
		return uint64(*(*uint32)(p))
	default:
		var v uint64
		for i := range n {
			v |= uint64(*(*byte)(unsafe.Add(p, i))) << (8 * i)
		}
		return v
	}
}

// masked returns word with the padding cleared.
func (f *form) masked(p unsafe.Pointer, j int) uint64 {
	v := word(p, j, f.Size)
	if f.mask != nil {
		v &= f.mask[j]
	}
	return v
}

// hash returns the checksum contribution of e's value at p.
func (f *form) hash(e Entity, p unsafe.Pointer) uint64 {
	h := (e.key() ^ f.seed) * k0
	n := (f.Size + 7) / 8
	if n == 0 {
		return mum(h, k1) // a tag: only its presence counts
	}
	for j := 0; j < n; j += 2 {
		a, b := f.masked(p, j), uint64(0)
		if j+1 < n {
			b = f.masked(p, j+1)
		}
		h = mum(a^h, b^k1)
	}
	return h
}

// equal compares bits, without padding: == would equate 0 with -0 and never a NaN with itself.
func (f *form) equal(p, q unsafe.Pointer) bool {
	for j := range (f.Size + 7) / 8 {
		if f.masked(p, j) != f.masked(q, j) {
			return false
		}
	}
	return true
}
