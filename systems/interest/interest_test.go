package interest_test

import (
	"fmt"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/grid"
	"github.com/ferris1/wind/systems/interest"
	"github.com/ferris1/wind/systems/motion"
)

type (
	player struct{ On bool }
	tower  struct {
		motion.Position
		interest.Watcher
		interest.Seen
		player // the tower is a target too, and must not see itself
	}
)

type guest struct {
	motion.Position
	motion.Velocity
	player
}

// yard is a world with guests and, at the origin, a tower (entity 1) that sees 5 m far and loses sight at 7 m.
func yard(guests ...guest) ecs.Game {
	return ecs.Game{Name: "yard", TickRate: 30, Setup: func(w *ecs.World) {
		motion.Register(w)
		interest.Register(w)
		ecs.Component[player](w, "player")
		ecs.Init(w, func(_ *ecs.Tick, t *ecs.Spawner[tower], g *ecs.Spawner[guest]) {
			t.New(tower{Watcher: interest.Watcher{Radius: 5, Keep: 7}})
			for _, x := range guests {
				g.New(x)
			}
		})
		ecs.System(w, "move", motion.Move)
		ecs.System(w, "watch", interest.Watch[player](interest.Options{Area: grid.Area{MinX: -20, MinY: -20, MaxX: 20, MaxY: 20}}))
	}}
}

func walks(x, vx float64) guest {
	return guest{motion.Position{X: x}, motion.Velocity{X: vx}, player{}}
}

// watch steps w and counts its events.
func watch(w *ecs.World) (entered, left int) {
	for _, e := range w.Step(ecs.Frame{Tick: w.Tick() + 1}).Events {
		switch e.Name {
		case "entered":
			entered += e.Count
		case "left":
			left += e.Count
		}
	}
	return entered, left
}

func Example() {
	w, _ := ecs.New(yard(walks(-8, 1)), ecs.Config{})
	for range 16 {
		if entered, left := watch(w); entered+left > 0 {
			g, _ := ecs.Get[motion.Position](w, ecs.EntityFrom(2, 0))
			fmt.Println("guest at", g.X, "entered", entered, "left", left)
		}
	}
	// Output:
	// guest at -5 entered 1 left 0
	// guest at 8 entered 0 left 1
}

func TestBetweenTheRadiiNothingChanges(t *testing.T) {
	w, err := ecs.New(yard(walks(6, 0), walks(4, 0.25)), ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	entered, left := 0, 0
	for range 10 { // the second guest walks from 4.25 m to 6.5 m
		e, l := watch(w)
		entered, left = entered+e, left+l
	}
	if entered != 1 || left != 0 {
		t.Errorf("%d entered and %d left, want 1 and 0", entered, left)
	}
}

func TestTheDeadLeave(t *testing.T) {
	g := yard(walks(1, 0), walks(2, 0))
	setup := g.Setup
	g.Setup = func(w *ecs.World) {
		setup(w)
		ecs.System(w, "die", func(t *ecs.Tick) {
			if t.Now() == 3 {
				t.Despawn(ecs.EntityFrom(2, 0))
			}
		})
	}
	w, err := ecs.New(g, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for range 6 {
		_, l := watch(w)
		left += l
	}
	s, _ := ecs.Get[interest.Seen](w, ecs.EntityFrom(1, 0))
	if left != 1 || s.Count != 1 || s.Who[0] != ecs.EntityFrom(3, 0) || s.Has(ecs.EntityFrom(2, 0)) {
		t.Errorf("%d left; seen are %d, first %v", left, s.Count, s.Who[0])
	}
}

func TestTheNearestEnterFirstAndNoMoreThanFit(t *testing.T) {
	var guests []guest
	for i := range interest.MaxSeen + 4 {
		guests = append(guests, walks(4.9-float64(i)*0.2, 0))
	}
	w, err := ecs.New(yard(guests...), ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if entered, _ := watch(w); entered != interest.MaxSeen {
		t.Errorf("%d entered, want %d", entered, interest.MaxSeen)
	}
	s, _ := ecs.Get[interest.Seen](w, ecs.EntityFrom(1, 0))
	last := uint32(len(guests) + 1) // the nearest
	for i, e := range s.Who {
		if e.ID() != last-uint32(i) {
			t.Fatalf("place %d has entity %v, want %d", i, e, last-uint32(i))
		}
	}
	if entered, left := watch(w); entered+left != 0 {
		t.Errorf("a full list changes: %d entered, %d left", entered, left)
	}
}
