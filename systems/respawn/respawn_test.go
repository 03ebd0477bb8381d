package respawn_test

import (
	"fmt"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/respawn"
)

type hero struct {
	motion.Position
	damage.Health
	respawn.Respawn
}

// cliff is a game whose hero (entity 1) falls to death in the given ticks, and is back at (7, 8) after 3 ticks.
func cliff(place respawn.Place, ticks ...uint64) ecs.Game {
	return ecs.Game{Name: "cliff", TickRate: 30, Setup: func(w *ecs.World) {
		motion.Register(w)
		damage.Register(w)
		respawn.Register(w)
		ecs.Init(w, func(_ *ecs.Tick, heroes *ecs.Spawner[hero]) {
			heroes.New(hero{motion.Position{X: 1}, damage.Full(30), respawn.Respawn{DelayTicks: 3}})
		})
		ecs.System(w, "cliff", func(t *ecs.Tick, wounds *ecs.Events[damage.Damage]) {
			for _, at := range ticks {
				if at == t.Now() {
					wounds.Emit(damage.Damage{Target: ecs.EntityFrom(1, 0), Points: 100})
				}
			}
		})
		ecs.System(w, "damage", damage.Apply)
		ecs.System(w, "fall", respawn.Fall)
		ecs.System(w, "bury", damage.Bury[respawn.Respawn])
		ecs.System(w, "rise", respawn.Rise(place))
	}}
}

func town(*ecs.Tick, ecs.Entity) (x, y float64) { return 7, 8 }

func Example() {
	w, _ := ecs.New(cliff(town, 2), ecs.Config{})
	for range 6 {
		w.Step(ecs.Frame{Tick: w.Tick() + 1})
		h, _ := ecs.Get[damage.Health](w, ecs.EntityFrom(1, 0))
		p, _ := ecs.Get[motion.Position](w, ecs.EntityFrom(1, 0))
		_, down := ecs.Get[respawn.Down](w, ecs.EntityFrom(1, 0))
		fmt.Println("tick", w.Tick(), "health", h.Points, "at", p.X, p.Y, "down", down)
	}
	// Output:
	// tick 1 health 30 at 1 0 down false
	// tick 2 health 0 at 1 0 down true
	// tick 3 health 0 at 1 0 down true
	// tick 4 health 0 at 1 0 down true
	// tick 5 health 30 at 7 8 down false
	// tick 6 health 30 at 7 8 down false
}

func TestRisenIsToldOnceAndDeathCanComeAgain(t *testing.T) {
	w, err := ecs.New(cliff(nil, 2, 4, 5, 6), ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	told := map[uint64]int{}
	for range 12 {
		o := w.Step(ecs.Frame{Tick: w.Tick() + 1})
		if len(o.Failures) > 0 {
			t.Fatal(o.Failures)
		}
		for _, e := range o.Events {
			if e.Name == "risen" {
				told[w.Tick()] += e.Count
			}
		}
	}
	// Tick 4's wound hits the dead, tick 5's comes before the return in the same tick, and tick 6's kills again.
	if len(told) != 2 || told[5] != 1 || told[9] != 1 {
		t.Errorf("Risen events in ticks %v, want once in 5 and once in 9", told)
	}
	if p, _ := ecs.Get[motion.Position](w, ecs.EntityFrom(1, 0)); p.X != 1 {
		t.Errorf("without a place the hero rises at %v, want where it fell", p)
	}
}
