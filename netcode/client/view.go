package client

import (
	"reflect"
	"sync"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/replication"
)

// View is what a client sees of the world. It is valid only inside the call that
// passes it.
type View struct {
	mirror  *replication.Mirror
	self    ecs.Entity
	rate    int
	session uint64
	scratch []byte

	place  *place  // nil: the game has no spatial component
	ahead  *ahead  // nil: nothing is predicted
	tracks *tracks // made for the first Position
	clock  Clock   // of the inputs
}

// Tick returns the newest tick for which an update has arrived; 0 before the first.
func (v *View) Tick() uint64 { return v.mirror.Tick() }

// Rate returns the shard's ticks per second.
func (v *View) Rate() int { return v.rate }

// Session returns the client's session id.
func (v *View) Session() uint64 { return v.session }

// Self returns the entity from which the client sees the world (ecs.Tick.Control),
// or zero if it has none. That entity may not be in sight yet.
func (v *View) Self() ecs.Entity { return v.self }

// Each yields the entities in sight, ascending by id.
func (v *View) Each(yield func(ecs.Entity) bool) { v.mirror.Each(yield) }

// Has reports whether e is in sight.
func (v *View) Has(e ecs.Entity) bool { return v.mirror.Has(e) }

// updated takes what the mirror has got. tick is the last one that the client has sampled.
func (v *View) updated(tick uint64, now time.Time) {
	if v.ahead != nil {
		v.ahead.update(tick, now)
	}
	if v.tracks != nil {
		v.tracks.update(now)
	}
}

// Len returns the number of entities in sight.
func (v *View) Len() int { return v.mirror.Len() }

// Ahead returns the tick that Own describes. ok is false while nothing is predicted.
func (v *View) Ahead() (tick uint64, ok bool) {
	if v.ahead == nil || !v.ahead.world.Alive() {
		return 0, false
	}
	return v.ahead.world.Tick(), true
}

// Position returns where to draw an entity at a time, in metres. The client's own entity is where the client predicts it (Config.Game), between two
// ticks, with what the last corrections have left. Any other is drawn a little in the past, between two updates; one whose updates stay away goes on for a
// quarter of a second and then stops. Neither jumps, unless the entity does. Calls with earlier times than before count as the last one.
// ok is false if the entity is not in sight or has no position.
func (v *View) Position(e ecs.Entity, now time.Time) (x, y float64, ok bool) {
	if v.place == nil || v.mirror == nil {
		return 0, 0, false
	}
	if e == v.self && v.ahead != nil {
		if x, y, ok = v.ahead.where(v.clock.Now(now), now); ok {
			return x, y, true
		}
	}
	if v.tracks == nil {
		v.tracks = &tracks{view: v, play: playback{rate: float64(v.rate)}, of: map[ecs.Entity]*track{}}
		v.tracks.update(now)
	}
	return v.tracks.position(e, now)
}

// Mirror returns the replication state behind the view, for uses that View has no
// method for.
func (v *View) Mirror() *replication.Mirror { return v.mirror }

// Get returns a component of an entity in sight by its registered name. ok is
// false if e is not in sight or has no such replicated component, or if T is not
// the component's type.
func Get[T any](v *View, e ecs.Entity, component string) (value T, ok bool) {
	v.scratch, ok = v.mirror.Packed(v.scratch[:0], e, component)
	return unpack[T](v.scratch, ok)
}

// Own returns a component of the entity that the client controls, as it will be after the tick that the client has sampled last. What the client does not
// predict is as in the newest update.
func Own[T any](v *View, component string) (value T, ok bool) {
	if v.ahead != nil && v.ahead.world.Alive() {
		v.scratch, ok = v.ahead.predicted(v.scratch[:0], component)
		return unpack[T](v.scratch, ok)
	}
	return Get[T](v, v.self, component)
}

// ResourceOf returns a replicated resource by its registered name. ok is false if
// it has not arrived yet, or if T is not its type.
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

// codecs caches the codec of every type read or sent: from reflect.Type to
// *ecs.Codec[T], nil for a type that cannot have one.
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
