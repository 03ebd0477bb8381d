package arena

import (
	"math"

	"github.com/ferris1/wind/ecs/detmath"
)

// Brain decides for a bot: it circles the nearest enemy, keeps its distance and shoots. It belongs to a client,
// not to the simulation, and knows only what that client sees.
type Brain struct {
	state uint64 // of splitmix64
	last  Angle
	orbit float64 // direction in which it circles, 1 or -1
	left  int     // ticks until it reconsiders the direction
}

// Enemy is the position of someone to shoot at.
type Enemy struct{ X, Y float64 }

const (
	inRange  = 30.0 // metres within which a bot shoots
	distance = 8.0  // metres that it keeps from its enemy
)

// NewBrain returns a Brain. Brains with equal seeds behave alike, those with different seeds differently.
func NewBrain(seed uint64) *Brain { return &Brain{state: seed, orbit: 1} }

// Next returns the input for the next tick of a player at (x, y). The aim differs in every tick.
func (b *Brain) Next(x, y float64, enemies []Enemy) Input {
	if b.left--; b.left < 0 {
		b.left = 30 + int(b.rand()%90)
		b.orbit = 1 - 2*float64(b.rand()&1)
	}
	in := Input{Aim: b.last + 300} // look around
	e, away := nearest(x, y, enemies)
	if away > 0 && away < math.Inf(1) {
		in.Aim = angleOf(e.X-x, e.Y-y) + Angle(b.rand()%401) - 200 // a degree to either side
		in.Fire = away < inRange
	}
	in.MoveX, in.MoveY = b.walk(e.X-x, e.Y-y, away)
	if in.Aim == b.last {
		in.Aim++
	}
	b.last = in.Aim
	return in
}

// walk circles an enemy at (dx, dy), approaching it when far and backing off when near. Without an enemy it walks where
// the bot looks.
func (b *Brain) walk(dx, dy, away float64) (x, y int8) {
	vx, vy := b.last.Vector()
	if away > 0 && away < math.Inf(1) {
		near := min(max((away-distance)/distance, -1), 1)
		vx = dx/away*near - dy/away*b.orbit
		vy = dy/away*near + dx/away*b.orbit
	}
	long := max(math.Sqrt(vx*vx+vy*vy), 1)
	return int8(detmath.ToInt32(vx / long * 100)), int8(detmath.ToInt32(vy / long * 100))
}

func nearest(x, y float64, enemies []Enemy) (best Enemy, away float64) {
	away = math.Inf(1)
	for _, e := range enemies {
		if d := math.Sqrt((e.X-x)*(e.X-x) + (e.Y-y)*(e.Y-y)); d < away {
			best, away = e, d
		}
	}
	return best, away
}

func (b *Brain) rand() uint64 {
	b.state += 0x9E3779B97F4A7C15
	z := b.state
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
