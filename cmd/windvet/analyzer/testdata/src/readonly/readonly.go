// Package readonly has systems that write fields tagged read.
package readonly

import (
	"slices"

	"github.com/ferris1/wind/ecs"
)

type Pos struct {
	X, Y float64
	Slot [4]int32
}

func (p *Pos) move()        { p.X = 1 }
func (p *Pos) get() float64 { return p.X }
func set(p *Pos)            { p.X = 1 }
func look(p *Pos) float64   { return p.X }

type row struct {
	Self ecs.Entity
	Pos  *Pos `ecs:"read"`
	Vel  *Pos
	Old  *Pos `ecs:"optional,read"`
}

type columns struct {
	Pos []Pos `ecs:"read"`
	Vel []Pos
}

func Setup(w *ecs.World) {
	ecs.System(w, "rows", rows)
	ecs.System(w, "cols", cols)
}

func rows(t *ecs.Tick, q *ecs.Query[row]) {
	for m := range q.Each {
		m.Pos.X = 1     // want `Pos is tagged ecs:"read" and is written here: remove the tag, or the world will miss the change`
		m.Pos.Slot[1]++ // want `Pos is tagged ecs:"read"`
		*m.Pos = Pos{}  // want `Pos is tagged ecs:"read"`
		m.Old.Y -= 1    // want `Old is tagged ecs:"read"`
		m.Pos.move()    // want `Pos is tagged ecs:"read"`
		set(m.Pos)      // want `Pos is tagged ecs:"read"`
		p := m.Pos
		p.Y = 2 // want `Pos is tagged ecs:"read"`
		x := &m.Pos.X
		*x = 3 // want `Pos is tagged ecs:"read"`
		m.Vel.X = look(m.Pos) + m.Pos.get()
		m.Pos = m.Vel // the view's own pointer
		copied := *m.Vel
		copied.X = 1
	}
}

func cols(t *ecs.Tick, q *ecs.Query[columns]) {
	for m := range q.Each {
		for i := range m.Pos {
			m.Pos[i].X = 1 // want `Pos is tagged ecs:"read"`
			p := &m.Pos[i]
			p.X = 1 // want `Pos is tagged ecs:"read"`
			m.Vel[i].X = m.Pos[i].X
		}
		pos := m.Pos
		pos[0] = Pos{}        // want `Pos is tagged ecs:"read"`
		copy(m.Pos, m.Vel)    // want `Pos is tagged ecs:"read"`
		clear(m.Pos)          // want `Pos is tagged ecs:"read"`
		slices.Reverse(m.Pos) // want `Pos is tagged ecs:"read"`
		copy(m.Vel, m.Pos)
		for _, v := range m.Pos {
			v.X = 1 // a copy
		}
	}
}
