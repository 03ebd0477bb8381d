package damage_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
)

type (
	beast    struct{ damage.Health }
	immortal struct {
		damage.Health
		kept
	}
)
type kept struct{ Yes bool }

// arena is a world with a beast (entity 1), an immortal (2) and a thing without health (3). Each tick script deals the
// wounds. arena returns the deaths of all ticks.
func arena(t *testing.T, ticks int, script func(now uint64, wounds *ecs.Events[damage.Damage])) (*ecs.World, []damage.Death) {
	t.Helper()
	var seen []damage.Death
	w, err := ecs.New(ecs.Game{Name: "damage", TickRate: 30, Setup: func(w *ecs.World) {
		damage.Register(w)
		ecs.Component[kept](w, "kept")
		ecs.Init(w, func(_ *ecs.Tick, b *ecs.Spawner[beast], i *ecs.Spawner[immortal], s *ecs.Spawner[struct{ kept }]) {
			b.New(beast{damage.Full(100)})
			i.New(immortal{Health: damage.Full(50)})
			s.New(struct{ kept }{})
		})
		ecs.System(w, "script", func(t *ecs.Tick, wounds *ecs.Events[damage.Damage]) { script(t.Now(), wounds) })
		ecs.System(w, "damage", damage.Apply)
		ecs.System(w, "bury", damage.Bury[kept])
		ecs.System(w, "note", func(_ *ecs.Tick, d *ecs.Events[damage.Death]) { seen = append(seen, d.All()...) })
	}}, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range ticks {
		if o := w.Step(ecs.Frame{Tick: w.Tick() + 1}); len(o.Failures) > 0 {
			t.Fatal(o.Failures)
		}
	}
	return w, seen
}

func who(id uint32) ecs.Entity { return ecs.EntityFrom(id, 0) }

func points(w *ecs.World, id uint32) int32 {
	h, ok := ecs.Get[damage.Health](w, who(id))
	if !ok {
		return -1
	}
	return h.Points
}

func TestWoundsAddUpInTheirOrder(t *testing.T) {
	w, deaths := arena(t, 2, func(now uint64, wounds *ecs.Events[damage.Damage]) {
		wounds.Emit(damage.Damage{Target: who(1), Points: 30})
		wounds.Emit(damage.Damage{Target: who(1), Points: -25})
		wounds.Emit(damage.Damage{Target: who(2), Points: -25}) // already full
	})
	if points(w, 1) != 90 || points(w, 2) != 50 || len(deaths) != 0 {
		t.Errorf("health is %d and %d after %v, want 90 and 50", points(w, 1), points(w, 2), deaths)
	}
}

func TestADeathHappensOnceAndIsCreditedToTheLastWound(t *testing.T) {
	w, deaths := arena(t, 3, func(_ uint64, wounds *ecs.Events[damage.Damage]) {
		wounds.Emit(damage.Damage{Target: who(2), Source: who(3), Points: 49})
		wounds.Emit(damage.Damage{Target: who(2), Source: who(1), Points: 100})
		wounds.Emit(damage.Damage{Target: who(2), Source: who(3), Points: 100})
		wounds.Emit(damage.Damage{Target: who(2), Points: -10}) // does not raise the dead
	})
	if want := []damage.Death{{Victim: who(2), Killer: who(1)}}; !slices.Equal(deaths, want) {
		t.Errorf("deaths are %v, want %v", deaths, want)
	}
	if points(w, 2) != 0 {
		t.Errorf("the dead entity has %d points", points(w, 2))
	}
}

func TestBuryDespawnsAllButTheKept(t *testing.T) {
	w, deaths := arena(t, 2, func(now uint64, wounds *ecs.Events[damage.Damage]) {
		for id := range uint32(5) {
			wounds.Emit(damage.Damage{Target: who(id), Points: math.MaxInt32})
		}
	})
	if len(deaths) != 2 || points(w, 1) != -1 || points(w, 2) != 0 || w.Len() != 2 {
		t.Errorf("after %v there are %d entities, health %d and %d", deaths, w.Len(), points(w, 1), points(w, 2))
	}
}

func TestExtremeWoundsDoNotOverflow(t *testing.T) {
	w, deaths := arena(t, 1, func(_ uint64, wounds *ecs.Events[damage.Damage]) {
		wounds.Emit(damage.Damage{Target: who(1), Points: math.MinInt32})
		wounds.Emit(damage.Damage{Target: who(2), Points: math.MaxInt32})
		wounds.Emit(damage.Damage{Target: who(2), Points: math.MaxInt32})
	})
	if points(w, 1) != 100 || points(w, 2) != 0 || len(deaths) != 1 {
		t.Errorf("health is %d and %d after %v", points(w, 1), points(w, 2), deaths)
	}
}

func Example() {
	game := ecs.Game{Name: "trap", TickRate: 30, Setup: func(w *ecs.World) {
		damage.Register(w)
		ecs.Component[kept](w, "kept")
		ecs.Init(w, func(_ *ecs.Tick, beasts *ecs.Spawner[beast]) { beasts.New(beast{damage.Full(25)}) })
		ecs.System(w, "trap", func(_ *ecs.Tick, beasts *ecs.Query[struct {
			Self   ecs.Entity
			Health *damage.Health
		}], wounds *ecs.Events[damage.Damage],
		) {
			for b := range beasts.Each {
				wounds.Emit(damage.Damage{Target: b.Self, Points: 10})
			}
		})
		ecs.System(w, "damage", damage.Apply)
		ecs.System(w, "bury", damage.Bury[kept])
	}}
	w, _ := ecs.New(game, ecs.Config{})
	for w.Step(ecs.Frame{Tick: 1}); w.Len() > 0; w.Step(ecs.Frame{Tick: w.Tick() + 1}) {
		h, _ := ecs.Get[damage.Health](w, ecs.EntityFrom(1, 0))
		fmt.Println("tick", w.Tick(), "health", h.Points)
	}
	fmt.Println("tick", w.Tick(), "buried")
	// Output:
	// tick 1 health 15
	// tick 2 health 5
	// tick 3 buried
}
