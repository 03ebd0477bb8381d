package ecs

import (
	"unsafe"

	arche "github.com/mlange-42/arche/ecs"
)

// Table holds the entities with exactly the same components, one row each, in arche's storage. Removing a row moves the
// last one into the gap. The order of rows is part of a world's state.
type Table struct {
	index    int
	mask     mask
	ids      []arche.ID
	entities []Entity       // by row: arche does not expose its own column
	columns  []column       // by component id
	columnOf []int16        // by component id; -1 if the table lacks it
	edges    map[int]*Table // target of adding (id) or removing (^id) a component
	nothing  uint64         // what columns without bytes point to
}

// column is one component of a table. The committed values lie beside the live rows in arche's memory.
type column struct {
	c       *component
	live    unsafe.Pointer
	old     []byte // the committed rows, as of the last detect; empty for transients and tags
	touched bool   // a row may differ from its committed value
}

// place is an entity's table and row. It is stale if the entity has no row: see World.stored.
type place struct{ table, row int32 }

var nowhere = place{-1, -1}

func (c *column) at(row int) unsafe.Pointer { return unsafe.Add(c.live, row*c.c.Size) }

// committed returns the row's value as of the last detect. Only compared columns have one.
func (c *column) committed(row int) unsafe.Pointer {
	if len(c.old) == 0 {
		return c.live
	}
	return unsafe.Pointer(&c.old[row*c.c.Size])
}

// compared reports whether the column takes part in change detection.
func (c *column) compared() bool { return !c.c.Transient && c.c.Size > 0 }

// stored reports whether e has a row. A spawned entity gets its row when its system returns.
func (w *World) stored(e Entity) bool {
	if e.id == 0 || int(e.id) >= len(w.places) {
		return false
	}
	p := w.places[e.id]
	if uint(p.table) >= uint(len(w.tables)) { // covers nowhere too
		return false
	}
	t := w.tables[p.table]
	return int(p.row) < len(t.entities) && t.entities[p.row] == e
}

// table returns the table with exactly these components, creating it if necessary.
func (w *World) table(m mask) *Table {
	if t := w.tableOf[m]; t != nil {
		return t
	}
	if len(w.tables) >= maxTables { // Restore, Apply, Access and fits check before
		panic("ecs: too many tables")
	}
	t := &Table{index: len(w.tables), mask: m, columnOf: make([]int16, len(w.components))}
	for i, c := range w.components {
		t.columnOf[i] = -1
		if m.has(i) {
			t.columnOf[i] = int16(len(t.columns))
			t.ids = append(t.ids, c.arche)
			t.columns = append(t.columns, column{c: c, live: unsafe.Pointer(&t.nothing)})
		}
	}
	w.layoutSum += w.tableHash(t)
	w.tables, w.tableOf[m] = append(w.tables, t), t
	w.enlist(t)
	w.changes.newTables = append(w.changes.newTables, t)
	return t
}

// tableHash hashes a table's components, by name, with its index in the list.
func (w *World) tableHash(t *Table) uint64 {
	h := mum(uint64(t.index)^k1, k3)
	var names uint64 // a sum, so that the order of registration does not matter
	for i := range t.columns {
		names += mum(h^t.columns[i].c.seed, k2)
	}
	return mum(h^names, k1)
}

// neighbour returns the table that adding or removing c leads to.
func (w *World) neighbour(from *Table, c *component, add bool) *Table {
	key := c.id
	if !add {
		key = ^c.id
	}
	if t := from.edges[key]; t != nil {
		return t
	}
	m := from.mask
	m.flip(c.id)
	t := w.table(m)
	if from.edges == nil {
		from.edges = map[int]*Table{}
	}
	from.edges[key] = t
	return t
}

// relocate rereads the addresses of the columns: arche moves them when a table grows. The table must have rows.
func (w *World) relocate(t *Table) {
	first := toArche(t.entities[0])
	for i := range t.columns {
		if t.columns[i].c.Size > 0 {
			t.columns[i].live = w.arche.GetUnchecked(first, t.ids[i])
		}
	}
}

// moved reports whether the last row is not where the columns place it.
func (w *World) moved(t *Table) bool {
	row := len(t.entities) - 1
	for i := range t.columns {
		if c := &t.columns[i]; c.c.Size > 0 { // they all move together
			// As numbers: the columns' address may lie beyond the end of their old memory, where no pointer may go.
			is := uintptr(w.arche.GetUnchecked(toArche(t.entities[row]), c.c.arche)) //windvet:allow compared, not kept
			was := uintptr(c.live)                                                   //windvet:allow compared, not kept
			return is != was+uintptr(row*c.c.Size)
		}
	}
	return false
}

// appendRow mirrors arche: e has just become the last row of t. Its committed values are zero.
func (w *World) appendRow(t *Table, e Entity) int {
	row := len(t.entities)
	if row == 0 {
		w.settled(t)
	}
	t.entities = append(t.entities, e)
	for int(e.id) >= len(w.places) {
		w.places = append(w.places, nowhere)
	}
	w.places[e.id] = place{int32(t.index), int32(row)}
	for i := range t.columns {
		if c := &t.columns[i]; c.compared() {
			c.old = extend(c.old, c.c.Size)
		}
	}
	w.layoutSum += layoutHash(e, t.index, row)
	if w.moved(t) {
		w.relocate(t)
	}
	return row
}

// extend appends n zero bytes and grows the capacity by at least half.
func extend(b []byte, n int) []byte {
	l := len(b)
	if l+n > cap(b) {
		b = append(make([]byte, 0, max(l+l/2, firstRows*n, l+n)), b...)
	}
	b = b[:l+n]
	clear(b[l:])
	return b
}

// dropRow mirrors arche's removal: the last row moves into the gap.
func (w *World) dropRow(t *Table, row int) {
	last := len(t.entities) - 1
	w.layoutSum -= layoutHash(t.entities[row], t.index, row)
	if row != last {
		m := t.entities[last]
		w.layoutSum += layoutHash(m, t.index, row) - layoutHash(m, t.index, last)
		t.entities[row] = m
		w.places[m.id].row = int32(row)
	}
	t.entities = t.entities[:last]
	if last == 0 {
		w.deserted(t)
	}
	for i := range t.columns {
		c := &t.columns[i]
		if !c.compared() {
			continue
		}
		n := c.c.Size
		if row != last {
			copy(c.old[row*n:(row+1)*n], c.old[last*n:])
		}
		c.old = c.old[:last*n]
	}
}
