package ecs

import (
	"reflect"
	"unsafe"
)

// Query yields the entities that match the view V: a struct whose fields are
//
//   - *T: the entity's component, or []T: the components of one table's entities, all slices in the same row order;
//   - Entity, or []Entity: the entities themselves;
//   - With[T] and Without[T]: filters.
//
// A field tagged `ecs:"optional"` is nil if the entity has no T. A field tagged `ecs:"read"` promises that the system
// does not write through it, so change detection skips the column. Breaking the promise loses changes; ecstest finds
// that. The fastest shape per entity is an Entity first and up to three *T; slices are faster still, because the
// compiler sees the loop.
type Query[V any] struct {
	w       *World
	view    view
	seen    uint64                    // the World.shape for which matched is valid
	matched []match                   // tables with rows, in their order
	more    func(unsafe.Pointer) bool // next
}

// match is a table that the view matches.
type match struct {
	t      *Table
	column [maxViewFields]int16
}

func (q *Query[V]) bind(w *World) {
	q.w, q.view = w, viewOf(w, reflect.TypeFor[V]())
	q.more = q.next
}

// update looks at the tables again if any table has gained its first row or lost its last one since.
func (q *Query[V]) update() {
	if q.seen != q.w.shape {
		q.look()
	}
}

func (q *Query[V]) look() {
	q.seen, q.matched = q.w.shape, q.matched[:0]
	for t := range q.w.eachInhabited {
		if q.view.matches(t) {
			m := match{t: t}
			m.find(&q.view)
			q.matched = append(q.matched, m)
		}
	}
}

// find looks up the columns for the view's fields.
func (m *match) find(v *view) {
	for k := range v.fields {
		m.column[k] = m.t.columnOf[v.fields[k].c.id]
	}
}

// Each yields every matching view, in order of tables and rows: for m := range q.Each. Structural changes wait until
// the system returns; pointers and slices are valid until then and no longer.
//
// The compiler inlines Each together with the loop's body, within a budget that only just suffices. That is why next
// makes several views per call, and why it is passed as a parameter: such a call costs less of the budget.
func (q *Query[V]) Each(yield func(V) bool) { each(yield, q.more) }

func each[V any](yield func(V) bool, more func(unsafe.Pointer) bool) {
	var c cursor[V]
	for more(onStack(unsafe.Pointer(&c))) {
		for i := range c.views {
			if !yield(c.views[i]) {
				return
			}
		}
	}
}

// onStack hides the cursor's address from the compiler, which would otherwise move the cursor to the heap. more does
// not keep the address.
func onStack(p unsafe.Pointer) unsafe.Pointer {
	x := uintptr(p) //windvet:allow the address is used only within the call
	return *(*unsafe.Pointer)(unsafe.Pointer(&x))
}

// viewsAtOnce is the number of views in a cursor.
const viewsAtOnce = 32

// cursor is the position of an Each.
type cursor[V any] struct {
	views      []V // to yield now; a part of room
	table, row int // of the next view: an index into Query.matched
	room       [viewsAtOnce]V
}

// next fills the cursor at p with the next views. It returns false at the end.
func (q *Query[V]) next(p unsafe.Pointer) bool {
	c := (*cursor[V])(p)
	if c.table == 0 && c.row == 0 {
		q.update()
	}
	for c.table < len(q.matched) {
		m := &q.matched[c.table]
		n := min(len(m.t.entities)-c.row, viewsAtOnce)
		if n <= 0 {
			c.table, c.row = c.table+1, 0
			continue
		}
		if c.row == 0 {
			q.touch(m)
		}
		if q.view.columns {
			q.slices(unsafe.Pointer(&c.room), m)
			c.views = c.room[:1]
			c.table, c.row = c.table+1, 0
			return true
		}
		q.point(unsafe.Pointer(&c.room), m, c.row, n)
		c.views = c.room[:n]
		c.row += n
		return true
	}
	return false
}

// touch notes that the system may write to the columns.
func (q *Query[V]) touch(m *match) {
	for k := range q.view.fields {
		if c := m.column[k]; c >= 0 && !q.view.fields[k].read {
			m.t.columns[c].touched = true
		}
	}
}

// slices writes the view of a whole table to p.
func (q *Query[V]) slices(p unsafe.Pointer, m *match) {
	n := len(m.t.entities)
	for k := range q.view.fields {
		h := (*sliceHeader)(unsafe.Add(p, q.view.fields[k].off))
		*h = sliceHeader{}
		if c := m.column[k]; c >= 0 {
			*h = sliceHeader{m.t.columns[c].live, n, n}
		}
	}
	if q.view.self {
		*(*[]Entity)(unsafe.Add(p, q.view.selfOff)) = m.t.entities[:n:n]
	}
}

// sliceHeader is the memory layout of a slice.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// point writes the views of n rows, starting at row, to p.
func (q *Query[V]) point(p unsafe.Pointer, m *match, row, n int) {
	size := unsafe.Sizeof(*new(V))
	end := uintptr(n) * size
	if q.view.self {
		d := unsafe.Add(p, q.view.selfOff)
		for i, e := range m.t.entities[row : row+n] {
			*(*Entity)(unsafe.Add(d, uintptr(i)*size)) = e
		}
	}
	fields := q.view.fields
	for k := 0; k < len(fields); k++ {
		d := unsafe.Add(p, fields[k].off)
		a, aStep := m.lane(k, row)
		if k+1 < len(fields) && fields[k+1].off == fields[k].off+unsafe.Sizeof(a) {
			k++
			b, bStep := m.lane(k, row)
			spread2(d, size, end, a, aStep, b, bStep)
			continue
		}
		spread(d, size, end, a, aStep)
	}
}

// lane returns the address of a row in the column of the k-th field and the distance to the next row. Both are zero for
// an optional component that the table lacks.
func (m *match) lane(k, row int) (address, step uintptr) {
	c := m.column[k]
	if c < 0 {
		return 0, 0
	}
	x := &m.t.columns[c]
	return uintptr(x.at(row)), uintptr(x.c.Size) //windvet:allow it becomes a pointer again in the view
}

// spread writes an address to every size-th byte of the end bytes at d, advancing it by a step each time. It writes
// addresses as numbers: d is on a stack, where the collector needs no write barrier, and the tables keep the columns
// alive.
func spread(d unsafe.Pointer, size, end, a, aStep uintptr) {
	for o := uintptr(0); o < end; o += size {
		*(*uintptr)(unsafe.Add(d, o)) = a
		a += aStep
	}
}

// spread2 is spread for two adjacent fields.
func spread2(d unsafe.Pointer, size, end, a, aStep, b, bStep uintptr) {
	for o := uintptr(0); o < end; o += size {
		p := (*[2]uintptr)(unsafe.Add(d, o))
		p[0], p[1] = a, b
		a += aStep
		b += bStep
	}
}

// Get returns the view of one entity; ok is false if the entity is dead, not yet stored or does not match. It costs far
// more than a step of Each. For a view of slices ok is always false.
func (q *Query[V]) Get(e Entity) (v V, ok bool) {
	if q.view.columns || !q.w.stored(e) {
		return v, false
	}
	at := q.w.places[e.id]
	m := match{t: q.w.tables[at.table]}
	if !q.view.matches(m.t) {
		return v, false
	}
	m.find(&q.view)
	q.touch(&m)
	q.point(unsafe.Pointer(&v), &m, int(at.row), 1)
	return v, true
}

// Count returns the number of matching entities.
func (q *Query[V]) Count() (n int) {
	q.update()
	for i := range q.matched {
		n += len(q.matched[i].t.entities)
	}
	return n
}
