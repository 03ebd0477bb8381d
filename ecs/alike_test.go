package ecs_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestWorldsThatAreAlike: a world that is like another has the same types, goes the way that it would go alone, and both can be
// stepped at once (run it with -race). Options of a registration, such as Transient, stay each world's own.
func TestWorldsThatAreAlike(t *testing.T) {
	type options struct {
		Bodies int32 `usage:"bodies"`
	}
	type moved struct {
		Self ecs.Entity
		Pos  *pos
		Vel  *vel
	}
	game := ecs.Game{Name: "alike", TickRate: 30, Options: options{Bodies: 10}, Setup: func(w *ecs.World) {
		ecs.Component[pos](w, "position")
		ecs.Component[vel](w, "velocity")
		n := ecs.OptionsOf[options](w).Bodies
		ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[posVel]) {
			for range n {
				s.New(posVel{pos{1, 2}, vel{1, 0.25}})
			}
		})
		ecs.System(w, "move", func(t *ecs.Tick, q *ecs.Query[moved]) {
			for m := range q.Each {
				r := t.Rand(m.Self)
				m.Pos.X += m.Vel.X + r.Float64()
			}
		})
	}}
	made := func(options string, like *ecs.World) *ecs.World {
		w, err := ecs.New(game, ecs.Config{Seed: 7, Options: []byte(options), Like: like})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	run := func(w *ecs.World) uint64 {
		for range 50 {
			w.Step(ecs.Frame{Tick: w.Tick() + 1})
		}
		return w.Checksum()
	}
	all := []string{"", `{"bodies":3}`, `{"bodies":40}`, ""}
	first := made("", nil)
	sums := make([]uint64, len(all))
	var running sync.WaitGroup
	for i, o := range all {
		w := made(o, first)
		if !bytes.Equal(w.Schema().JSON(), made(o, nil).Schema().JSON()) {
			t.Errorf("options %s: another schema", o)
		}
		running.Go(func() { sums[i] = run(w) })
	}
	want := run(first)
	running.Wait()
	for i, o := range all {
		if alone := run(made(o, nil)); sums[i] != alone {
			t.Errorf("options %s: the checksum is %016x, alone %016x", o, sums[i], alone)
		}
	}
	if sums[0] != want || sums[0] == sums[1] {
		t.Errorf("checksums %x, the first world's is %x", sums, want)
	}

	plain := ecs.Game{Name: "g", TickRate: 1, Setup: func(w *ecs.World) { ecs.Component[mark](w, "mark") }}
	transient := plain
	transient.Setup = func(w *ecs.World) { ecs.Component[mark](w, "mark", ecs.Transient) }
	a, err := ecs.New(plain, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := ecs.New(transient, ecs.Config{Like: a})
	if err != nil {
		t.Fatal(err)
	}
	if a.Schema().Components[0].Transient || !b.Schema().Components[0].Transient {
		t.Errorf("transient: %v, %v", a.Schema().Components[0].Transient, b.Schema().Components[0].Transient)
	}
}
