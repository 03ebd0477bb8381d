// Package projectile moves shots and finds what they hit on their way.
//
// Fly tests a shot along the whole segment from its last position to its new one, so nothing fast flies through
// anything thin. It uses the bodies' positions at the time it runs: register it after the systems that move them.
package projectile

import (
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/grid"
	"github.com/ferris1/wind/systems/motion"
)

// Shot flies straight until it hits a Body. It carries its own velocity instead of a motion.Velocity: Fly moves it, and
// only its position changes in flight. Clients see its velocity and its owner.
type Shot struct {
	VX     float64    `wind:"q=0.001,range=-128..128"` // metres per tick
	VY     float64    `wind:"q=0.001,range=-128..128"`
	Radius float64    `wind:"-"` // metres; 0 is a point
	Owner  ecs.Entity // who fired it; the shot never hits its owner. May be zero
	Team   uint32     `wind:"-"` // the shot passes through bodies of this team; 0: through none
	Points int32      `wind:"-"` // damage it does
}

// Body makes an entity a target: a circle around its position.
type Body struct {
	Radius float64 // metres
	Team   uint32  // 0: no team
}

// Hit is the event of a shot that hit a body. Fly despawns the shot.
type Hit struct {
	Shot, Owner, Target ecs.Entity
	X, Y                float64 // where the shot was when they touched, metres
	Points              int32
}

// Options shape the grid in which Fly looks for bodies.
type Options struct {
	Area grid.Area // where most bodies are; required
	Cell float64   // side of a cell in metres, about as far as a shot flies in a tick; 0: 4 m
}

// Register registers Shot ("shot"), Body ("body") and the event Hit ("hit").
func Register(w *ecs.World) {
	ecs.Component[Shot](w, "shot")
	ecs.Component[Body](w, "body")
	ecs.Event[Hit](w, "hit")
}

type flying struct {
	Self ecs.Entity
	Pos  *motion.Position
	Shot *Shot `ecs:"read"`
}

type body[Spared any] struct {
	Self ecs.Entity
	Pos  *motion.Position `ecs:"read"`
	Body *Body            `ecs:"read"`
	_    ecs.Without[Spared]
}

// target holds what a shot needs to know about a body.
type target struct {
	self   ecs.Entity
	radius float64
	team   uint32
}

// Fly returns the system that moves every shot by one tick. When a shot touches bodies on its way, Fly emits a Hit with
// the first one and despawns the shot. Shots pass through bodies that have a Spared component:
//
//	ecs.System(w, "fly", projectile.Fly[respawn.Down](projectile.Options{Area: area}))
//
// If a shot touches two bodies at the same time, it hits the first in the grid's order.
func Fly[Spared any](o Options) func(*ecs.Tick, *ecs.Query[flying], *ecs.Query[body[Spared]], *ecs.Events[Hit]) {
	if o.Cell == 0 {
		o.Cell = 4
	}
	bodies := grid.New[target](o.Area, o.Cell)
	return func(t *ecs.Tick, shots *ecs.Query[flying], targets *ecs.Query[body[Spared]], hits *ecs.Events[Hit]) {
		if shots.Count() == 0 {
			return
		}
		bodies.Reset()
		widest := 0.0 // the largest radius of a body
		for b := range targets.Each {
			bodies.Add(b.Pos.X, b.Pos.Y, target{b.Self, b.Body.Radius, b.Body.Team})
			widest = max(widest, b.Body.Radius)
		}
		bodies.Build()
		for s := range shots.Each {
			hit, when := first(bodies, s.Pos, s.Shot, widest)
			s.Pos.X += float64(s.Shot.VX * when)
			s.Pos.Y += float64(s.Shot.VY * when)
			if !hit.IsZero() {
				hits.Emit(Hit{Shot: s.Self, Owner: s.Shot.Owner, Target: hit, X: s.Pos.X, Y: s.Pos.Y, Points: s.Shot.Points})
				t.Despawn(s.Self)
			}
		}
	}
}

// first returns the body that a shot touches first in this tick and when, or no entity and 1.
func first(bodies *grid.Grid[target], from *motion.Position, s *Shot, widest float64) (hit ecs.Entity, when float64) {
	when = 1
	reach := widest + s.Radius
	x, y := from.X+s.VX, from.Y+s.VY
	for it := range bodies.Box(min(from.X, x)-reach, min(from.Y, y)-reach, max(from.X, x)+reach, max(from.Y, y)+reach) {
		b := &it.Value
		if b.self == s.Owner || s.Team != 0 && b.team == s.Team {
			continue
		}
		at, touched := sweep(from.X, from.Y, s.VX, s.VY, it.X, it.Y, b.radius+s.Radius)
		if touched && (at < when || hit.IsZero()) {
			hit, when = b.self, at
		}
	}
	return hit, when
}

// Wound turns this tick's hits into damage.Damage from the shots' owners. Register it after Fly, before damage.Apply.
func Wound(_ *ecs.Tick, hits *ecs.Events[Hit], wounds *ecs.Events[damage.Damage]) {
	for _, h := range hits.All() {
		wounds.Emit(damage.Damage{Target: h.Target, Source: h.Owner, Points: h.Points})
	}
}
