package ecs

import (
	"reflect"
	"unsafe"
)

// Comp gives random access to the component T, and adds and removes it. Random access costs 3 to 27 times as much as a
// step of a query: for neighbour lookups, gather values into dense arrays first.
type Comp[T any] struct {
	w *World
	c *component
}

func (c *Comp[T]) bind(w *World) {
	c.w, c.c = w, w.component(reflect.TypeFor[T](), reflect.TypeFor[Comp[T]]())
}

// Get returns a pointer to the T of e, for reading and writing, or nil if e is dead, not yet stored or has no T. The
// pointer is valid until the system returns.
func (c *Comp[T]) Get(e Entity) *T {
	if !c.w.stored(e) {
		return nil
	}
	p := c.w.places[e.id]
	t := c.w.tables[p.table]
	k := t.columnOf[c.c.id]
	if k < 0 {
		return nil
	}
	col := &t.columns[k]
	col.touched = true
	return (*T)(col.at(int(p.row)))
}

// Has reports whether e has a T.
func (c *Comp[T]) Has(e Entity) bool {
	return c.w.stored(e) && c.w.tables[c.w.places[e.id].table].mask.has(c.c.id)
}

// Set gives e the value v when the system returns, whether or not e has a T. It does nothing if e is dead.
func (c *Comp[T]) Set(e Entity, v T) {
	if c.w.pool.alive(e) {
		c.w.queue = append(c.w.queue, op{kind: opAdd, entity: e, arg: int32(c.c.id), values: len(c.w.queued)})
		c.w.queued = append(c.w.queued, bytesAt(unsafe.Pointer(&v), c.c.Size)...)
	}
}

// Remove takes T from e when the system returns. It does nothing if e is dead or has no T.
func (c *Comp[T]) Remove(e Entity) {
	if c.w.pool.alive(e) {
		c.w.queue = append(c.w.queue, op{kind: opRemove, entity: e, arg: int32(c.c.id)})
	}
}
