package ecs

import "unsafe"

// A view of the shape (Entity)? *A (*B (*C)?)? has the memory layout of one of these, so a func(V) bool has
// the calling convention of a func(viewN) bool: the view travels in registers. Going through a V on the
// stack instead costs three times as much.
type (
	ptr    = unsafe.Pointer
	view1  struct{ a ptr }
	view2  struct{ a, b ptr }
	view3  struct{ a, b, c ptr }
	viewE1 struct {
		e Entity
		a ptr
	}
	viewE2 struct {
		e    Entity
		a, b ptr
	}
	viewE3 struct {
		e       Entity
		a, b, c ptr
	}
)

// lane is a column being walked.
type lane struct {
	base ptr
	size uintptr
}

// fast walks a table with the view in registers. yield points at a func(V) bool, V of one of the shapes above.
// No pointer ever steps past a column's end, where the collector would take it for another object.
func fast(v *view, m *match, yield ptr) bool {
	var l [3]lane
	for k := range v.fields {
		c := &m.t.columns[m.column[k]]
		l[k] = lane{c.live, uintptr(c.c.Size)}
	}
	n := uintptr(len(m.t.entities))
	if v.self {
		switch len(v.fields) {
		case 1:
			return fastE1(m.t.entities, *(*func(viewE1) bool)(yield), l[0])
		case 2:
			return fastE2(m.t.entities, *(*func(viewE2) bool)(yield), l[0], l[1])
		}
		return fastE3(m.t.entities, *(*func(viewE3) bool)(yield), l[0], l[1], l[2])
	}
	switch len(v.fields) {
	case 1:
		return fast1(n, *(*func(view1) bool)(yield), l[0])
	case 2:
		return fast2(n, *(*func(view2) bool)(yield), l[0], l[1])
	}
	return fast3(n, *(*func(view3) bool)(yield), l[0], l[1], l[2])
}

func fast1(n uintptr, y func(view1) bool, a lane) bool {
	var i, d uintptr
	for ; i < n; i++ {
		if !y(view1{unsafe.Add(a.base, d)}) {
			return false
		}
		d += a.size
	}
	return true
}

func fast2(n uintptr, y func(view2) bool, a, b lane) bool {
	if a.size == b.size && a.size > 0 { // one offset serves both
		for d, end := uintptr(0), n*a.size; d < end; d += a.size {
			if !y(view2{unsafe.Add(a.base, d), unsafe.Add(b.base, d)}) {
				return false
			}
		}
		return true
	}
	for i := uintptr(0); i < n; i++ {
		if !y(view2{unsafe.Add(a.base, i*a.size), unsafe.Add(b.base, i*b.size)}) {
			return false
		}
	}
	return true
}

func fast3(n uintptr, y func(view3) bool, a, b, c lane) bool {
	for i := uintptr(0); i < n; i++ {
		if !y(view3{unsafe.Add(a.base, i*a.size), unsafe.Add(b.base, i*b.size), unsafe.Add(c.base, i*c.size)}) {
			return false
		}
	}
	return true
}

func fastE1(es []Entity, y func(viewE1) bool, a lane) bool {
	var d uintptr
	for _, e := range es {
		if !y(viewE1{e, unsafe.Add(a.base, d)}) {
			return false
		}
		d += a.size
	}
	return true
}

func fastE2(es []Entity, y func(viewE2) bool, a, b lane) bool {
	var d0, d1 uintptr
	for _, e := range es {
		if !y(viewE2{e, unsafe.Add(a.base, d0), unsafe.Add(b.base, d1)}) {
			return false
		}
		d0 += a.size
		d1 += b.size
	}
	return true
}

func fastE3(es []Entity, y func(viewE3) bool, a, b, c lane) bool {
	var d0, d1, d2 uintptr
	for _, e := range es {
		if !y(viewE3{e, unsafe.Add(a.base, d0), unsafe.Add(b.base, d1), unsafe.Add(c.base, d2)}) {
			return false
		}
		d0 += a.size
		d1 += b.size
		d2 += c.size
	}
	return true
}
