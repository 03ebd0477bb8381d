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
// slices are faster again, since the compiler sees the loop.
type Query[V any] struct {
	w       *World
	view    view
	seen    uint64                    // World.shape that matched is of
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

// update looks at the tables again if one of them has got its first row, or lost its last, since.
func (q *Query[V]) update() {
	if q.seen != q.w.shape {
		q.look()
	}
}

func (q *Query[V]) look() {
	if mutant == queriesStale && q.seen > 0 {
		return
	}
	q.seen, q.matched = q.w.shape, q.matched[:0]
	for t := range q.w.eachInhabited {
		if q.view.matches(t) {
			m := match{t: t}
			m.find(&q.view)
			q.matched = append(q.matched, m)
		}
	}
}

// find looks up the columns of the view's fields.
func (m *match) find(v *view) {
	for k := range v.fields {
		m.column[k] = m.t.columnOf[v.fields[k].c.id]
	}
}

// Each yields every matching view, in the order of tables and rows: for m := range q.Each. Structural
// changes wait until the system returns, so pointers and slices hold until then and no longer.
//
// It is written to be inlined together with the loop's body, for which the compiler's budget is just enough:
// views are made a few at a time by next, which is passed as a parameter because such a call costs less of it.
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

// onStack hides from the compiler that more gets the address of a cursor, which would move it to the heap.
// more does not keep it.
func onStack(p unsafe.Pointer) unsafe.Pointer {
	x := uintptr(p) //windvet:allow the address is used as one, within the call
	return *(*unsafe.Pointer)(unsafe.Pointer(&x))
}

// viewsAtOnce is how many views a cursor holds.
const viewsAtOnce = 32

// cursor is where an Each stands.
type cursor[V any] struct {
	views      []V // those to yield now, in room
	table, row int // of the next view: an index into Query.matched
	room       [viewsAtOnce]V
}

// next makes the next views of the cursor at p; false when there are no more.
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

// slices makes the view of a whole table at p.
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

// sliceHeader is how a slice lies in memory.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// point makes the views of n rows, from row on, at p.
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

// lane is the address of a row in the column of the k-th field and the distance to the next row's; zeros for
// an optional component that the table does not have.
func (m *match) lane(k, row int) (address, step uintptr) {
	c := m.column[k]
	if c < 0 {
		return 0, 0
	}
	x := &m.t.columns[c]
	return uintptr(x.at(row)), uintptr(x.c.Size) //windvet:allow it becomes a pointer again in the view
}

// spread writes an address, each time a step further, at every size-th byte of end bytes at d. The addresses are
// written as numbers: d is on a stack, where the collector needs no write barrier, and the columns are held by
// their tables.
func spread(d unsafe.Pointer, size, end, a, aStep uintptr) {
	for o := uintptr(0); o < end; o += size {
		*(*uintptr)(unsafe.Add(d, o)) = a
		a += aStep
	}
}

// spread2 is spread for two fields that stand next to each other.
func spread2(d unsafe.Pointer, size, end, a, aStep, b, bStep uintptr) {
	for o := uintptr(0); o < end; o += size {
		p := (*[2]uintptr)(unsafe.Add(d, o))
		p[0], p[1] = a, b
		a += aStep
		b += bStep
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
	m.find(&q.view)
	q.touch(&m)
	q.point(unsafe.Pointer(&v), &m, int(at.row), 1)
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
