package ecs

import (
	"reflect"
	"unsafe"
)

// Column is one component of a table's entities, in memory layout: row i is Data[i*Stride:(i+1)*Stride], with fields at
// Field.Offset. It is the world's own memory, padding included: valid until the next Step or Apply, never to be
// modified. Data is empty for components without fields.
type Column struct {
	Data   []byte
	Stride int // bytes
}

// Tables returns the world's tables in order of creation, empty ones included. The list, the tables' indices and their
// contents are valid until the next Step or Apply, which may give empty tables back.
func (w *World) Tables() []*Table { return w.tables }

// Index returns the table's index in World.Tables.
func (t *Table) Index() int { return t.index }

// Len returns the number of rows.
func (t *Table) Len() int { return len(t.entities) }

// Entities returns the table's entities, by row. The caller must not modify them.
func (t *Table) Entities() []Entity { return t.entities }

// Has reports whether the table's entities have a component, by its index in the schema.
func (t *Table) Has(component int) bool {
	return component >= 0 && component < len(t.columnOf) && t.columnOf[component] >= 0
}

// Column returns one component of the table's entities, by its index in the schema; ok is false if they lack it.
func (t *Table) Column(component int) (c Column, ok bool) {
	if !t.Has(component) {
		return Column{}, false
	}
	x := &t.columns[t.columnOf[component]]
	return Column{Data: bytesAt(x.live, len(t.entities)*x.c.Size), Stride: x.c.Size}, true
}

// Locate finds the row of e; ok is false if e is not alive.
func (w *World) Locate(e Entity) (t *Table, row int, ok bool) {
	if !w.stored(e) {
		return nil, 0, false
	}
	p := w.places[e.id]
	return w.tables[p.table], int(p.row), true
}

// Get returns a copy of the T of e between ticks, for tools and tests; ok is false if e is dead or has no T.
func Get[T any](w *World, e Entity) (v T, ok bool) {
	c := w.componentOf[reflect.TypeFor[T]()]
	t, row, ok := w.Locate(e)
	if !ok || c == nil || t.columnOf[c.id] < 0 {
		return v, false
	}
	copy(bytesAt(unsafe.Pointer(&v), c.Size), bytesAt(t.columns[t.columnOf[c.id]].at(row), c.Size))
	return v, true
}
