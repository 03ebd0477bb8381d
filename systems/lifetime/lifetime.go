// Package lifetime ends entities at a tick chosen when they are spawned.
package lifetime

import "github.com/ferris1/wind/ecs"

// Lifetime ends an entity in tick Until. It stores a tick, not a countdown: a value that changes every tick would add
// its bytes to every delta.
type Lifetime struct{ Until uint64 }

// Of returns the lifetime of an entity that is spawned in this tick and lives through n more.
func Of(t *ecs.Tick, n uint32) Lifetime { return Lifetime{Until: t.Now() + uint64(n)} }

// Register registers Lifetime ("lifetime").
func Register(w *ecs.World) { ecs.Component[Lifetime](w, "lifetime") }

type mortal struct {
	Self ecs.Entity
	Life *Lifetime `ecs:"read"`
}

// Expire despawns every entity in its last tick, Until. Register Expire after the systems that still use such entities.
func Expire(t *ecs.Tick, q *ecs.Query[mortal]) {
	for m := range q.Each {
		if t.Now() >= m.Life.Until {
			t.Despawn(m.Self)
		}
	}
}
