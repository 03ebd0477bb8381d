// Package respawn brings the dead back: Fall takes the dead that have a Respawn out of play, Rise returns them with
// full health after their delay, at a place that the game chooses.
//
// Register damage.Apply, Fall and Rise in this order. Systems that should skip the fallen put ecs.Without[respawn.Down]
// in their views.
package respawn

import (
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/motion"
)

// Respawn marks an entity that comes back DelayTicks after its death.
type Respawn struct{ DelayTicks uint32 }

// Down marks a dead entity that comes back in tick Until.
type Down struct{ Until uint64 }

// Risen is the event of an entity's return, with its new position.
type Risen struct {
	Entity ecs.Entity
	X, Y   float64 // metres
}

// Register registers Respawn ("respawn"), Down ("down") and the event Risen ("risen").
func Register(w *ecs.World) {
	ecs.Component[Respawn](w, "respawn")
	ecs.Component[Down](w, "down", ecs.Replicated)
	ecs.Event[Risen](w, "risen")
}

// Fall marks this tick's dead that have a Respawn as Down.
func Fall(t *ecs.Tick, deaths *ecs.Events[damage.Death], who *ecs.Comp[Respawn], down *ecs.Comp[Down]) {
	for _, d := range deaths.All() {
		if r := who.Get(d.Victim); r != nil {
			down.Set(d.Victim, Down{Until: t.Now() + uint64(r.DelayTicks)})
		}
	}
}

// Place returns where e comes back, in metres. It may depend only on its arguments (t.Rand(e) is its randomness) and on
// values that the closure captured in Setup.
type Place func(t *ecs.Tick, e ecs.Entity) (x, y float64)

type fallen struct {
	Self   ecs.Entity
	Down   *Down `ecs:"read"`
	Pos    *motion.Position
	Health *damage.Health
}

// Rise returns the system that brings back entities whose delay has passed. With a nil place they return where they
// fell.
func Rise(place Place) func(*ecs.Tick, *ecs.Query[fallen], *ecs.Comp[Down], *ecs.Events[Risen]) {
	return func(t *ecs.Tick, q *ecs.Query[fallen], down *ecs.Comp[Down], risen *ecs.Events[Risen]) {
		for f := range q.Each {
			if t.Now() < f.Down.Until {
				continue
			}
			if place != nil {
				f.Pos.X, f.Pos.Y = place(t, f.Self)
			}
			f.Health.Points = f.Health.Max
			down.Remove(f.Self)
			risen.Emit(Risen{Entity: f.Self, X: f.Pos.X, Y: f.Pos.Y})
		}
	}
}
