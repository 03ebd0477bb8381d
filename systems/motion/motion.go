// Package motion moves entities that have a position and a velocity, and keeps them within bounds.
//
// Register the components once, then the systems that the game needs, in this order: Move, then one of Clamp, Bounce
// and Wrap, then Cull for entities that should vanish outside.
package motion

import "github.com/ferris1/wind/ecs"

// Position is where an entity is, in metres. Clients see it rounded to a centimetre, up to 65 km from the origin.
type Position struct {
	X float64 `wind:"q=0.01,range=-65536..65536"`
	Y float64 `wind:"q=0.01,range=-65536..65536"`
}

// Velocity is how far an entity moves, in metres per tick. Clients do not receive it: they see positions change.
type Velocity struct{ X, Y float64 }

// Register registers Position ("position", which tells replication where an entity is), Velocity ("velocity") and
// Bounds ("bounds").
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
