package replication

import (
	"testing"

	"github.com/ferris1/wind/ecs"
)

// shove is the command that puts an entity at X/By, Y/By: a command itself holds no NaN.
type shove struct {
	Who      ecs.Entity
	X, Y, By float64
}

type shoved struct{ Pos position }

// shoveGame has three entities in a row, ten metres apart.
var shoveGame = ecs.Game{Name: "shoved", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Component[position](w, "position", ecs.Spatial)
	ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[shoved]) {
		for i := range 3 {
			s.New(shoved{Pos: position{X: 10 * float64(i)}})
		}
	})
	ecs.Handle[shove](w, "shove", func(t *ecs.Tick, c *ecs.Cmd[shove], p *ecs.Comp[position]) {
		if at := p.Get(c.Value.Who); at != nil {
			at.X, at.Y = c.Value.X/c.Value.By, c.Value.Y/c.Value.By // by zero, as a game's mistake would
		}
	})
}}

// TestNobodySeesAnEntityWithoutAPlace: before, NaN and infinities counted as the outermost cells, where everyone else who was lost saw
// the entity at a wrong place, and a lost player's view went there.
func TestNobodySeesAnEntityWithoutAPlace(t *testing.T) {
	for _, lost := range [][2]float64{{0, 0}, {0, 1}, {1, 0}, {-1, 1}, {-1, -1}} { // each divided by zero
		w, err := ecs.New(shoveGame, ecs.Config{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		enc, err := New(w.Schema(), Config{})
		if err != nil {
			t.Fatal(err)
		}
		var seq uint64
		step := func(moves ...shove) {
			var all []ecs.Command
			for _, m := range moves {
				seq++
				all = append(all, ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceOperator}, seq, m))
			}
			if out := w.Step(ecs.Frame{Tick: w.Tick() + 1, Commands: all}); len(out.Failures) > 0 {
				t.Fatal(out.Failures)
			}
			if err := enc.Begin(w, 1); err != nil {
				t.Fatal(err)
			}
		}
		mirrors := map[uint64]*Mirror{}
		views := map[uint64]ecs.Entity{}
		sees := func(session uint64) int {
			m := mirrors[session]
			enc.Update(session, views[session], func(packet []byte) {
				if err := m.Apply(packet); err != nil {
					t.Fatal(err)
				}
			})
			if err := enc.Ack(session, m.AppendAck(nil)); err != nil {
				t.Fatal(err)
			}
			return m.Len()
		}
		step()
		var ents []ecs.Entity
		for _, table := range w.Tables() {
			ents = append(ents, table.Entities()...)
		}
		for i := range uint64(2) {
			m, err := NewMirror(w.Schema())
			if err != nil {
				t.Fatal(err)
			}
			mirrors[i+1], views[i+1] = m, ents[i]
			enc.Join(i + 1)
		}
		if a, b := sees(1), sees(2); a != 3 || b != 3 {
			t.Fatalf("clients see %d and %d of 3 entities", a, b)
		}
		step(shove{ents[1], lost[0], lost[1], 0}, shove{ents[2], lost[0], lost[1], 0}) // a player, who is session 2's view, and another entity
		if a, b := sees(1), sees(2); a != 1 || b != 1 {
			t.Errorf("%v: clients see %d and %d entities, want the one that has a place", lost, a, b)
		}
		if u := enc.Unplaced(); u.Count != 2 || u.Component != "position" || u.First != ents[1] {
			t.Errorf("%v: %+v are told, want %v of 2", lost, u, ents[1])
		}
		step(shove{ents[1], 10, 0, 1}, shove{ents[2], 20, 0, 1})
		if a, b := sees(1), sees(2); a != 3 || b != 3 || enc.Unplaced().Count != 0 {
			t.Errorf("%v: with places again, clients see %d and %d of 3 entities", lost, a, b)
		}
	}
}
