package ecs

import "unsafe"

func bytesAt(p unsafe.Pointer, n int) []byte { return unsafe.Slice((*byte)(p), n) }

// pack appends n values that lie one after another at p.
func (f *form) pack(dst []byte, p unsafe.Pointer, n int) []byte {
	if f.mask == nil {
		return append(dst, bytesAt(p, n*f.Size)...)
	}
	for i := range n {
		for _, s := range f.spans {
			dst = append(dst, bytesAt(unsafe.Add(p, i*f.Size+s.off), s.n)...)
		}
	}
	return dst
}

// unpack fills n values at p from the first n*Packed bytes of src. It does not touch padding.
func (f *form) unpack(p unsafe.Pointer, src []byte, n int) {
	if f.mask == nil {
		copy(bytesAt(p, n*f.Size), src[:n*f.Size])
		return
	}
	for i := range n {
		for _, s := range f.spans {
			copy(bytesAt(unsafe.Add(p, i*f.Size+s.off), s.n), src[:s.n])
			src = src[s.n:]
		}
	}
}

// proper reports whether every bool and text at p is valid, as Go and this package write them.
func (f *form) proper(p unsafe.Pointer) bool {
	for _, s := range f.checks {
		for i := range s.n {
			b := bytesAt(unsafe.Add(p, s.off+i*s.width), s.width)
			if s.kind == KindBool && b[0] > 1 || s.kind == KindText && !textOK(b) {
				return false
			}
		}
	}
	return true
}
