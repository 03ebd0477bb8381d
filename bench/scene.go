package bench

import (
	"github.com/ferris1/wind/ecs"
	arche "github.com/mlange-42/arche/ecs"
	"github.com/mlange-42/arche/generic"
)

// Position and Velocity are the two components, 16 bytes each, that every loop works on.
type (
	Position struct{ X, Y float64 } // metres
	Velocity struct{ X, Y float64 } // metres per tick
)

// Tag marks every fourth entity, so that there are two archetypes.
type Tag struct{ Kind int32 }

// start returns the initial components of entity i, the same in every kind of world.
func start(i int) (Position, Velocity) {
	return Position{X: float64(i % 1000), Y: float64(i / 1000)}, Velocity{X: 1, Y: 0.25}
}

// columns is the bare loop: two slices, nothing else.
type columns struct {
	pos []Position
	vel []Velocity
}

func newColumns(n int) *columns {
	c := &columns{pos: make([]Position, n), vel: make([]Velocity, n)}
	for i := range n {
		c.pos[i], c.vel[i] = start(i)
	}
	return c
}

func (c *columns) move() {
	pos, vel := c.pos, c.vel[:len(c.pos)]
	for i := range pos {
		pos[i].X += vel[i].X
		pos[i].Y += vel[i].Y
	}
}

// archeWorld is the same scene in arche alone: the base of the ratios.
type archeWorld struct {
	world    arche.World
	pos, vel arche.ID
	filter   arche.Mask
	generic  *generic.Filter2[Position, Velocity]
}

func newArcheWorld(n int) *archeWorld {
	w := &archeWorld{world: arche.NewWorld(1024)}
	w.pos, w.vel = arche.ComponentID[Position](&w.world), arche.ComponentID[Velocity](&w.world)
	tag := arche.ComponentID[Tag](&w.world)
	w.filter = arche.All(w.pos, w.vel)
	w.generic = generic.NewFilter2[Position, Velocity]()
	for i := range n {
		ids := []arche.ID{w.pos, w.vel, tag}
		if i%4 != 0 {
			ids = ids[:2]
		}
		e := w.world.NewEntity(ids...)
		p, v := start(i)
		*(*Position)(w.world.Get(e, w.pos)) = p
		*(*Velocity)(w.world.Get(e, w.vel)) = v
	}
	return w
}

// moveByID and moveGeneric are arche's two APIs; the faster one is the base.
func (w *archeWorld) moveByID() {
	q := w.world.Query(w.filter)
	for q.Next() {
		p, v := (*Position)(q.Get(w.pos)), (*Velocity)(q.Get(w.vel))
		p.X += v.X
		p.Y += v.Y
	}
}

func (w *archeWorld) moveGeneric() {
	q := w.generic.Query(&w.world)
	for q.Next() {
		p, v := q.Get()
		p.X += v.X
		p.Y += v.Y
	}
}

// The views for the same loop in Wind: by entity, by entity with its id, by columns, and by columns with a read-only
// velocity.
type (
	row struct {
		Pos *Position
		Vel *Velocity
	}
	namedRow struct {
		Self ecs.Entity
		Pos  *Position
		Vel  *Velocity
	}
	run struct {
		Pos []Position
		Vel []Velocity
	}
	readRun struct {
		Pos []Position
		Vel []Velocity `ecs:"read"`
	}
)

func moveRows(q *ecs.Query[row]) {
	for m := range q.Each {
		m.Pos.X += m.Vel.X
		m.Pos.Y += m.Vel.Y
	}
}

// moveNamedRows also reads each entity. It returns a mix of all ids, so that the compiler does not drop the reads.
func moveNamedRows(q *ecs.Query[namedRow]) (ids uint32) {
	for m := range q.Each {
		m.Pos.X += m.Vel.X
		m.Pos.Y += m.Vel.Y
		ids ^= m.Self.ID()
	}
	return ids
}

func moveRuns(q *ecs.Query[run]) {
	for m := range q.Each {
		pos, vel := m.Pos, m.Vel[:len(m.Pos)]
		for i := range pos {
			pos[i].X += vel[i].X
			pos[i].Y += vel[i].Y
		}
	}
}

func moveReadRuns(q *ecs.Query[readRun]) {
	for m := range q.Each {
		pos, vel := m.Pos, m.Vel[:len(m.Pos)]
		for i := range pos {
			pos[i].X += vel[i].X
			pos[i].Y += vel[i].Y
		}
	}
}

type (
	plainBody struct {
		Position
		Velocity
	}
	taggedBody struct {
		Position
		Velocity
		Tag
	}
)

// game returns the scene as a game with one system. With a nil system the entities do not move.
func game(entities int, system any) ecs.Game {
	return ecs.Game{Name: "bench", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Component[Position](w, "position")
		ecs.Component[Velocity](w, "velocity")
		ecs.Component[Tag](w, "tag")
		ecs.Init(w, func(_ *ecs.Tick, plain *ecs.Spawner[plainBody], tagged *ecs.Spawner[taggedBody]) {
			for i := range entities {
				if p, v := start(i); i%4 == 0 {
					tagged.New(taggedBody{p, v, Tag{Kind: 1}})
				} else {
					plain.New(plainBody{p, v})
				}
			}
		})
		if system != nil {
			ecs.System(w, "move", system)
		}
	}}
}

// newWorld creates a world of g and steps it past its first ticks, which spawn everything.
func newWorld(g ecs.Game, seed uint64) (*ecs.World, error) {
	w, err := ecs.New(g, ecs.Config{Seed: seed})
	if err != nil {
		return nil, err
	}
	for range 3 {
		step(w)
	}
	return w, nil
}

func step(w *ecs.World) ecs.Output { return w.Step(ecs.Frame{Tick: w.Tick() + 1}) }
