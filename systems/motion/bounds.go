package motion

import (
	"math"

	"github.com/ferris1/wind/ecs"
)

// Bounds is the rectangle, in metres, that Clamp, Bounce, Wrap and Cull enforce; the zero value restricts nothing.
type Bounds struct{ MinX, MinY, MaxX, MaxY float64 }

// Contains reports whether a point lies within the bounds or on their border.
func (b Bounds) Contains(x, y float64) bool {
	return x >= b.MinX && x <= b.MaxX && y >= b.MinY && y <= b.MaxY
}

func (b Bounds) empty() bool { return !(b.MaxX > b.MinX) || !(b.MaxY > b.MinY) }

type bounded struct {
	Pos []Position
	Vel []Velocity
}

// Clamp stops moving entities at the border and removes the part of their velocity that points outside.
func Clamp(_ *ecs.Tick, q *ecs.Query[bounded], bounds *ecs.Res[Bounds]) {
	b := *bounds.Get()
	if b.empty() {
		return
	}
	for m := range q.Each {
		pos, vel := m.Pos, m.Vel[:len(m.Pos)]
		for i := range pos {
			if p := &pos[i]; !b.Contains(p.X, p.Y) {
				p.X, vel[i].X = hold(p.X, vel[i].X, b.MinX, b.MaxX)
				p.Y, vel[i].Y = hold(p.Y, vel[i].Y, b.MinY, b.MaxY)
			}
		}
	}
}

// hold does one axis of Clamp. A NaN position becomes the lower border.
func hold(at, v, low, high float64) (float64, float64) {
	switch {
	case at > high:
		return high, min(v, 0)
	case at >= low:
		return at, v
	default:
		return low, max(v, 0)
	}
}

// Bounce reflects moving entities at the border, reversing their velocity without loss.
func Bounce(_ *ecs.Tick, q *ecs.Query[bounded], bounds *ecs.Res[Bounds]) {
	b := *bounds.Get()
	if b.empty() {
		return
	}
	for m := range q.Each {
		pos, vel := m.Pos, m.Vel[:len(m.Pos)]
		for i := range pos {
			if p := &pos[i]; !b.Contains(p.X, p.Y) {
				p.X, vel[i].X = reflect(p.X, vel[i].X, b.MinX, b.MaxX)
				p.Y, vel[i].Y = reflect(p.Y, vel[i].Y, b.MinY, b.MaxY)
			}
		}
	}
}

// reflect does one axis of Bounce. A position more than a whole width outside ends at the opposite border.
func reflect(at, v, low, high float64) (float64, float64) {
	switch {
	case at > high:
		return max(high-(at-high), low), -math.Abs(v)
	case at >= low:
		return at, v
	default:
		return min(low+(low-at), high), math.Abs(v)
	}
}

// Wrap moves an entity that leaves at one border to the opposite one.
func Wrap(_ *ecs.Tick, q *ecs.Query[bounded], bounds *ecs.Res[Bounds]) {
	b := *bounds.Get()
	if b.empty() {
		return
	}
	for m := range q.Each {
		for i := range m.Pos {
			if p := &m.Pos[i]; !b.Contains(p.X, p.Y) {
				p.X = around(p.X, b.MinX, b.MaxX)
				p.Y = around(p.Y, b.MinY, b.MaxY)
			}
		}
	}
}

// around does one axis of Wrap.
func around(at, low, high float64) float64 {
	if at >= low && at <= high {
		return at
	}
	w := high - low
	at -= float64(math.Floor((at-low)/w) * w)
	if at >= low && at < high {
		return at
	}
	return low // rounding, or NaN
}

type culled[T any] struct {
	Self ecs.Entity
	Pos  *Position `ecs:"read"`
	_    ecs.With[T]
}

// Cull despawns every entity with a T that is outside the bounds:
//
//	ecs.System(w, "cull-shots", motion.Cull[projectile.Shot])
func Cull[T any](t *ecs.Tick, q *ecs.Query[culled[T]], bounds *ecs.Res[Bounds]) {
	b := *bounds.Get()
	if b.empty() {
		return
	}
	for c := range q.Each {
		if !b.Contains(c.Pos.X, c.Pos.Y) {
			t.Despawn(c.Self)
		}
	}
}
