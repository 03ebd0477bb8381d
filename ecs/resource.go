package ecs

import (
	"fmt"
	"reflect"
	"unsafe"
)

// resource is a registered singleton. Like a column of one row it has a live and a committed value.
type resource struct {
	form *form
	live unsafe.Pointer
	old  unsafe.Pointer
	zero uint64 // hash of the zero value
}

// contribution is the value's part of the checksum, none while it is zero: so a game may gain a resource
// without other checksums for what was before.
func (r *resource) contribution(value unsafe.Pointer) uint64 {
	return r.form.hash(Entity{}, value) - r.zero
}

// Res is the world's resource T.
type Res[T any] struct{ p *T }

func (r *Res[T]) bind(w *World) {
	t := reflect.TypeFor[T]()
	x := w.resourceOf[t]
	if x == nil {
		refuse("ecs: %s is not a registered resource", t)
	}
	r.p = (*T)(x.live)
}

// Get points at the resource, to read and to write inside systems and handlers.
func (r *Res[T]) Get() *T { return r.p }

// ResourceOf copies the resource T of a world between ticks, for tools and tests. It panics when T is not
// registered.
func ResourceOf[T any](w *World) T {
	r := w.resourceOf[reflect.TypeFor[T]()]
	if r == nil {
		panic(fmt.Sprintf("ecs: %s is not a registered resource", reflect.TypeFor[T]()))
	}
	return *(*T)(r.live)
}

// ResourceColumn is a resource as a column of one row, by its index in the schema. It panics on an index
// that is not there.
func (w *World) ResourceColumn(index int) Column {
	r := w.resources[index]
	return Column{Data: bytesAt(r.live, r.form.Size), Stride: r.form.Size}
}
