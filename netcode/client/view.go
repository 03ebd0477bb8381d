package client

import (
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
	return replication.Get[T](v.mirror, e, component)
}

// ResourceOf returns a replicated resource by its registered name; ok is false
// before it arrived.
func ResourceOf[T any](v *View, resource string) (value T, ok bool) {
	return replication.ResourceOf[T](v.mirror, resource)
}
