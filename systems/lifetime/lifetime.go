// Package lifetime ends entities at a tick that was known when they began.
package lifetime

import "github.com/ferris1/wind/ecs"

// Lifetime ends an entity in tick Until. It holds a tick, not a countdown: a value that changes in every tick would
// cost its bytes in every delta.
type Lifetime struct{ Until uint64 }

// Of is the lifetime of what is spawned in this tick and shall live through n more.
func Of(t *ecs.Tick, n uint32) Lifetime { return Lifetime{Until: t.Now() + uint64(n)} }

// Register makes Lifetime ("lifetime") known.
func Register(w *ecs.World) { ecs.Component[Lifetime](w, "lifetime") }

type mortal struct {
	Self ecs.Entity
	Life *Lifetime `ecs:"read"`
}

// Expire despawns everything whose last tick has come. Its last tick is Until: register Expire after what still works
// with it.
func Expire(t *ecs.Tick, q *ecs.Query[mortal]) {
	for m := range q.Each {
		if t.Now() >= m.Life.Until {
			t.Despawn(m.Self)
		}
	}
}
