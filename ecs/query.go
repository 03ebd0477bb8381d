package ecs

import (
	"reflect"
	"unsafe"
)

// Query yields the entities that match the view V: a struct whose fields are
//
//   - *T: the entity's component, or []T: the components of one table's entities, row by row alike;
//   - Entity, or []Entity: the entities themselves;
//   - With[T] and Without[T]: filters.
//
// A field tagged `ecs:"optional"` is nil where T is missing. A field tagged `ecs:"read"` promises that the
// system does not write through it: change detection then skips the column. A promise that is not kept
// loses changes, which ecstest finds. An Entity first and up to three *T is the fastest shape per entity;
// slices are twice as fast again.
type Query[V any] struct {
	w       *World
	view    view
	seen    int // tables looked at
	matched []match
}

// match is a table that the view matches.
type match struct {
	t      *Table
	column [maxViewFields]int16
}

func (q *Query[V]) bind(w *World) {
	q.w, q.view = w, viewOf(w, reflect.TypeFor[V]())
}

// update looks at the tables that are new.
func (q *Query[V]) update() {
	for ; q.seen < len(q.w.tables); q.seen++ {
		t := q.w.tables[q.seen]
		if !q.view.matches(t) {
			continue
		}
		m := match{t: t}
		for k := range q.view.fields {
			m.column[k] = t.columnOf[q.view.fields[k].c.id]
		}
		q.matched = append(q.matched, m)
	}
}

// Each yields every matching view, in the order of tables and rows: for m := range q.Each. Structural
// changes wait until the system returns, so pointers and slices hold until then and no longer.
func (q *Query[V]) Each(yield func(V) bool) {
	q.update()
	for i := range q.matched {
		m := &q.matched[i]
		if len(m.t.entities) == 0 {
			continue
		}
		for k := range q.view.fields {
			if c := m.column[k]; c >= 0 && !q.view.fields[k].read {
				m.t.columns[c].touched = true
			}
		}
		more := false
		switch {
		case q.view.columns:
			more = q.run(m, yield)
		case q.view.inOrder && len(q.view.fields) >= 1 && len(q.view.fields) <= 3:
			more = fast(&q.view, m, unsafe.Pointer(&yield))
		default:
			more = q.rows(m, yield)
		}
		if !more {
			return
		}
	}
}

// sliceHeader is how a slice lies in memory.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// run yields a table's columns.
func (q *Query[V]) run(m *match, yield func(V) bool) bool {
	var v V
	p := unsafe.Pointer(&v)
	n := len(m.t.entities)
	for k := range q.view.fields {
		if c := m.column[k]; c >= 0 {
			h := (*sliceHeader)(unsafe.Add(p, q.view.fields[k].off))
			h.data, h.len, h.cap = m.t.columns[c].live, n, n
		}
	}
	if q.view.self {
		*(*[]Entity)(unsafe.Add(p, q.view.selfOff)) = m.t.entities[:n:n]
	}
	return yield(v)
}

// rows yields a table's entities for views of any shape.
func (q *Query[V]) rows(m *match, yield func(V) bool) bool {
	var v V
	for row := range m.t.entities {
		q.point(&v, m, row)
		if !yield(v) {
			return false
		}
	}
	return true
}

// point fills the view of one row.
func (q *Query[V]) point(v *V, m *match, row int) {
	p := unsafe.Pointer(v)
	for k := range q.view.fields {
		if c := m.column[k]; c >= 0 {
			*(*unsafe.Pointer)(unsafe.Add(p, q.view.fields[k].off)) = m.t.columns[c].at(row)
		}
	}
	if q.view.self {
		*(*Entity)(unsafe.Add(p, q.view.selfOff)) = m.t.entities[row]
	}
}

// Get is the view of one entity; ok is false when it is dead, not yet stored or does not match. It is
// much dearer than a step of Each. For a view of columns it is always false.
func (q *Query[V]) Get(e Entity) (v V, ok bool) {
	if q.view.columns || !q.w.stored(e) {
		return v, false
	}
	at := q.w.places[e.id]
	m := match{t: q.w.tables[at.table]}
	if !q.view.matches(m.t) {
		return v, false
	}
	for k := range q.view.fields {
		f := &q.view.fields[k]
		m.column[k] = m.t.columnOf[f.c.id]
		if c := m.column[k]; c >= 0 && !f.read {
			m.t.columns[c].touched = true
		}
	}
	q.point(&v, &m, int(at.row))
	return v, true
}

// Count is the number of matching entities.
func (q *Query[V]) Count() (n int) {
	q.update()
	for i := range q.matched {
		n += len(q.matched[i].t.entities)
	}
	return n
}
