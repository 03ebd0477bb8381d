// Package interest keeps, for each watcher, a list of the entities near it, and emits events when one enters or leaves:
// the area of interest of a turret, a shop, a quest or a sleeping dragon. (What a client sees is
// not decided here but in netcode/replication: ecs.Game.SightMetres.)
package interest

import (
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/grid"
	"github.com/ferris1/wind/systems/motion"
)

// MaxSeen is how many entities a watcher sees at most; the nearest ones enter first.
const MaxSeen = 16

// Watcher watches around its own position.
type Watcher struct {
	Radius float64 // a target enters within this many metres
	Keep   float64 // a target leaves beyond this many metres; a value below Radius counts as Radius. The gap prevents flicker.
}

// Seen lists the entities near a Watcher: Who[:Count], in the order they entered. Only Watch writes it.
type Seen struct {
	Who   [MaxSeen]ecs.Entity
	Count uint32
}

// Has reports whether the watcher sees e.
func (s *Seen) Has(e ecs.Entity) bool {
	for _, w := range s.Who[:s.Count] {
		if w == e {
			return true
		}
	}
	return false
}

// Entered and Left report a change in a watcher's Seen. A target that dies leaves.
type (
	Entered struct{ Watcher, Target ecs.Entity }
	Left    struct{ Watcher, Target ecs.Entity }
)

// Register registers Watcher ("watcher"), Seen ("seen") and the events Entered ("entered") and Left ("left").
func Register(w *ecs.World) {
	ecs.Component[Watcher](w, "watcher")
	ecs.Component[Seen](w, "seen")
	ecs.Event[Entered](w, "entered")
	ecs.Event[Left](w, "left")
}

// Options shape the grid in which Watch looks for targets.
type Options struct {
	Area grid.Area // where most targets are; required
	Cell float64   // side of a cell in metres, about the usual Radius; 0: 10 m
}

type watching struct {
	Self    ecs.Entity
	Pos     *motion.Position `ecs:"read"`
	Watcher *Watcher         `ecs:"read"`
	Seen    *Seen
}

type watched[Target any] struct {
	Self ecs.Entity
	Pos  *motion.Position `ecs:"read"`
	_    ecs.With[Target]
}

// Watch returns the system that updates the Seen of every Watcher with the entities that have a Target and a position,
// except the watcher itself.
//
//	ecs.System(w, "watch-players", interest.Watch[Player](interest.Options{Area: area}))
func Watch[Target any](o Options) func(*ecs.Tick, *ecs.Query[watching], *ecs.Query[watched[Target]], *ecs.Events[Entered], *ecs.Events[Left]) {
	if o.Cell == 0 {
		o.Cell = 10
	}
	near := grid.New[ecs.Entity](o.Area, o.Cell)
	return func(_ *ecs.Tick, watchers *ecs.Query[watching], targets *ecs.Query[watched[Target]], entered *ecs.Events[Entered], left *ecs.Events[Left]) {
		near.Reset()
		for t := range targets.Each {
			near.Add(t.Pos.X, t.Pos.Y, t.Self)
		}
		near.Build()
		for w := range watchers.Each {
			keep := max(w.Watcher.Radius, w.Watcher.Keep)
			w.Seen.drop(func(e ecs.Entity) bool {
				t, ok := targets.Get(e)
				if ok && within(t.Pos, w.Pos, keep) {
					return false
				}
				left.Emit(Left{Watcher: w.Self, Target: e})
				return true
			})
			for w.Seen.Count < MaxSeen {
				it := near.Nearest(w.Pos.X, w.Pos.Y, w.Watcher.Radius, func(it *grid.Item[ecs.Entity]) bool {
					return it.Value != w.Self && !w.Seen.Has(it.Value)
				})
				if it == nil {
					break
				}
				w.Seen.Who[w.Seen.Count] = it.Value
				w.Seen.Count++
				entered.Emit(Entered{Watcher: w.Self, Target: it.Value})
			}
		}
	}
}

// drop removes the entities that gone returns true for and keeps the order of the others.
func (s *Seen) drop(gone func(ecs.Entity) bool) {
	n := uint32(0)
	for _, e := range s.Who[:s.Count] {
		if !gone(e) {
			s.Who[n] = e
			n++
		}
	}
	clear(s.Who[n:])
	s.Count = n
}

func within(a, b *motion.Position, radius float64) bool {
	dx, dy := a.X-b.X, a.Y-b.Y
	return float64(dx*dx)+float64(dy*dy) <= float64(radius*radius)
}
