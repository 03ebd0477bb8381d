package ecs

import (
	"fmt"
	"reflect"
	"unsafe"
)

// resource is a registered singleton. Like a one-row column, it has a live and a committed value.
type resource struct {
	form *form
	live unsafe.Pointer
	old  unsafe.Pointer
	zero uint64 // hash of the zero value
}

// contribution returns the value's part of the checksum, 0 for the zero value. A game can therefore gain a resource
// without changing the checksums of earlier ticks.
func (r *resource) contribution(value unsafe.Pointer) uint64 {
	return r.form.hash(Entity{}, value) - r.zero
}

// Res gives access to the world's resource T.
type Res[T any] struct{ p *T }

func (r *Res[T]) bind(w *World) {
	t := reflect.TypeFor[T]()
	x := w.resourceOf[t]
	if x == nil {
		refuse("ecs: %s is not a registered resource", t)
	}
	r.p = (*T)(x.live)
}

// Get returns a pointer to the resource, for reading and writing inside systems and handlers.
func (r *Res[T]) Get() *T { return r.p }

// ResourceOf returns a copy of the resource T of a world between ticks, for tools and tests. It panics if T is not
// registered.
func ResourceOf[T any](w *World) T {
	r := w.resourceOf[reflect.TypeFor[T]()]
	if r == nil {
		panic(fmt.Sprintf("ecs: %s is not a registered resource", reflect.TypeFor[T]()))
	}
	return *(*T)(r.live)
}

// ResourceColumn returns a resource, by its index in the schema, as a one-row column. It panics if the index is out of
// range.
func (w *World) ResourceColumn(index int) Column {
	r := w.resources[index]
	return Column{Data: bytesAt(r.live, r.form.Size), Stride: r.form.Size}
}
