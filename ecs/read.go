package ecs

import (
	"reflect"
	"unsafe"
)

// Column is a component of a table's entities, in memory layout: row i is Data[i*Stride:(i+1)*Stride], and
// Field.Offset leads into it. It is the world's own memory, padding included: valid until the next Step or
// Apply, never to be written to. Data is empty for components without fields.
type Column struct {
	Data   []byte
	Stride int // bytes
}

// Tables are the world's tables in the order of their creation, empty ones too. The list, the tables' places in it and
// what they hold are valid until the next Step or Apply, which may give empty tables back.
func (w *World) Tables() []*Table { return w.tables }

// Index is the table's place in World.Tables.
func (t *Table) Index() int { return t.index }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.entities) }

// Entities are the table's entities, by row; not to be written to.
func (t *Table) Entities() []Entity { return t.entities }

// Has reports whether the table's entities have a component, by its index in the schema.
func (t *Table) Has(component int) bool {
	return component >= 0 && component < len(t.columnOf) && t.columnOf[component] >= 0
}

// Column is one component of the table's entities, by its index in the schema; ok is false when they do
// not have it.
func (t *Table) Column(component int) (c Column, ok bool) {
	if !t.Has(component) {
		return Column{}, false
	}
	x := &t.columns[t.columnOf[component]]
	return Column{Data: bytesAt(x.live, len(t.entities)*x.c.Size), Stride: x.c.Size}, true
}

// Locate finds the row of e; ok is false when e does not live.
func (w *World) Locate(e Entity) (t *Table, row int, ok bool) {
	if !w.stored(e) {
		return nil, 0, false
	}
	p := w.places[e.id]
	return w.tables[p.table], int(p.row), true
}

// Get copies the T of e between ticks, for tools and tests; ok is false when e does not live or has none.
func Get[T any](w *World, e Entity) (v T, ok bool) {
	c := w.componentOf[reflect.TypeFor[T]()]
	t, row, ok := w.Locate(e)
	if !ok || c == nil || t.columnOf[c.id] < 0 {
		return v, false
	}
	copy(bytesAt(unsafe.Pointer(&v), c.Size), bytesAt(t.columns[t.columnOf[c.id]].at(row), c.Size))
	return v, true
}
