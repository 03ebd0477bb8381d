package client

import (
	"reflect"
	"sync"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/replication"
)

// View is what a client sees of the world. It is valid, and may be read, only
// inside the call that hands it out.
type View struct {
	mirror  *replication.Mirror
	self    ecs.Entity
	rate    int
	session uint64
	scratch []byte
}

// Tick is the newest tick of which something arrived; 0 before the first.
func (v *View) Tick() uint64 { return v.mirror.Tick() }

// Rate is the shard's ticks per second.
func (v *View) Rate() int { return v.rate }

// Session is the client's session id.
func (v *View) Session() uint64 { return v.session }

// Self is the entity that the client sees the world from (ecs.Tick.Control),
// zero while it has none. It need not be in sight yet.
func (v *View) Self() ecs.Entity { return v.self }

// Each yields the entities in sight, ascending by id.
func (v *View) Each(yield func(ecs.Entity) bool) { v.mirror.Each(yield) }

// Has reports whether e is in sight.
func (v *View) Has(e ecs.Entity) bool { return v.mirror.Has(e) }

// Len is the number of entities in sight.
func (v *View) Len() int { return v.mirror.Len() }

// Mirror is the replication state behind the view, for what the View has no
// method for.
func (v *View) Mirror() *replication.Mirror { return v.mirror }

// Get returns a component of an entity in sight by its registered name. ok is
// false when e is not in sight, has no such replicated component, or T is not
// its type.
func Get[T any](v *View, e ecs.Entity, component string) (value T, ok bool) {
	v.scratch, ok = v.mirror.Packed(v.scratch[:0], e, component)
	return unpack[T](v.scratch, ok)
}

// ResourceOf returns a replicated resource by its registered name; ok is false
// before it arrived.
func ResourceOf[T any](v *View, resource string) (value T, ok bool) {
	v.scratch, ok = v.mirror.PackedResource(v.scratch[:0], resource)
	return unpack[T](v.scratch, ok)
}

func unpack[T any](b []byte, ok bool) (value T, _ bool) {
	c := codecOf[T]()
	if !ok || c == nil || len(b) != c.Size() {
		return value, false
	}
	err := c.Decode(b, &value)
	return value, err == nil
}

// codecs holds the plan of every type that was read or sent, so that it is made
// once: reflect.Type to *ecs.Codec[T], nil for a type that has none.
var codecs sync.Map

func codecOf[T any]() *ecs.Codec[T] {
	t := reflect.TypeFor[T]()
	if c, ok := codecs.Load(t); ok {
		return c.(*ecs.Codec[T])
	}
	var plan *ecs.Codec[T]
	if c, err := ecs.NewCodec[T](); err == nil {
		plan = &c
	}
	codecs.Store(t, plan)
	return plan
}
