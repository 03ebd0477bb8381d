package ecs

import (
	"reflect"
	"unsafe"
)

// Comp gives random access to the component T, and adds and removes it. Random access costs 3 to 27 times
// as much as a step of a query: gather what neighbours read into dense arrays.
type Comp[T any] struct {
	w *World
	c *component
}

func (c *Comp[T]) bind(w *World) {
	c.w, c.c = w, w.component(reflect.TypeFor[T](), reflect.TypeFor[Comp[T]]())
}

// Get points at the T of e, to read and to write; nil when e is dead, not yet stored or has none. The
// pointer holds until the system returns.
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

// Set gives e the value v when the system returns, whether it has a T or not. Nothing happens when e is dead.
func (c *Comp[T]) Set(e Entity, v T) {
	if c.w.pool.alive(e) {
		c.w.queue = append(c.w.queue, op{kind: opAdd, entity: e, arg: int32(c.c.id), values: len(c.w.queued)})
		c.w.queued = append(c.w.queued, bytesAt(unsafe.Pointer(&v), c.c.Size)...)
	}
}

// Remove takes T from e when the system returns. Nothing happens when e is dead or has none.
func (c *Comp[T]) Remove(e Entity) {
	if c.w.pool.alive(e) {
		c.w.queue = append(c.w.queue, op{kind: opRemove, entity: e, arg: int32(c.c.id)})
	}
}
