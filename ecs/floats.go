package ecs

import "unsafe"

// The bits of the only NaN that a world stores.
const (
	nan32 = 0x7FC00000
	nan64 = 0x7FF8000000000001
)

func isNaN64(bits uint64) bool { return bits&^(1<<63) > 0x7FF<<52 }
func isNaN32(bits uint32) bool { return bits&^(1<<31) > 0xFF<<23 }

// canonical replaces every NaN at p with the same one: the NaN that an operation yields differs by machine.
func (f *form) canonical(p unsafe.Pointer) {
	for _, s := range f.floats {
		for i := range s.n {
			if s.wide {
				if v := (*uint64)(unsafe.Add(p, s.off+8*i)); isNaN64(*v) {
					*v = nan64
				}
			} else if v := (*uint32)(unsafe.Add(p, s.off+4*i)); isNaN32(*v) {
				*v = nan32
			}
		}
	}
}

// finite reports whether no float at p is infinite or NaN.
func (f *form) finite(p unsafe.Pointer) bool {
	for _, s := range f.floats {
		for i := range s.n {
			var v float64
			if s.wide {
				v = *(*float64)(unsafe.Add(p, s.off+8*i))
			} else {
				v = float64(*(*float32)(unsafe.Add(p, s.off+4*i)))
			}
			if v-v != 0 {
				return false
			}
		}
	}
	return true
}
