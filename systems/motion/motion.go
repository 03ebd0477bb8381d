// Package motion moves what has a position and a velocity, and keeps it within bounds.
//
// Register the components once, then as systems what the game wants, in this order: Move, then one of Clamp, Bounce
// and Wrap, then Cull for what should vanish outside.
package motion

import "github.com/ferris1/wind/ecs"

// Position is where an entity is, in metres. Clients see it in steps of a centimetre, and within 65 km of the origin.
type Position struct {
	X float64 `wind:"q=0.01,range=-65536..65536"`
	Y float64 `wind:"q=0.01,range=-65536..65536"`
}

// Velocity is how far an entity moves, in metres per tick. Clients do not get it: they see positions change.
type Velocity struct{ X, Y float64 }

// Register makes Position ("position", which places entities for replication), Velocity ("velocity") and Bounds
// ("bounds") known.
func Register(w *ecs.World) {
	ecs.Component[Position](w, "position", ecs.Spatial)
	ecs.Component[Velocity](w, "velocity")
	ecs.Resource[Bounds](w, "bounds")
}

type moving struct {
	Pos []Position
	Vel []Velocity `ecs:"read"`
}

// Move advances every entity that has a position and a velocity by one tick.
func Move(_ *ecs.Tick, q *ecs.Query[moving]) {
	for m := range q.Each {
		pos, vel := m.Pos, m.Vel[:len(m.Pos)]
		for i := range pos {
			pos[i].X += vel[i].X
			pos[i].Y += vel[i].Y
		}
	}
}
