package lifetime_test

import (
	"fmt"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/lifetime"
)

type spark struct{ lifetime.Lifetime }

var sparks = ecs.Game{Name: "sparks", TickRate: 30, Setup: func(w *ecs.World) {
	lifetime.Register(w)
	ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[spark]) {
		for _, n := range []uint32{0, 1, 3} {
			s.New(spark{lifetime.Of(t, n)})
		}
	})
	ecs.System(w, "expire", lifetime.Expire)
}}

func Example() {
	w, _ := ecs.New(sparks, ecs.Config{})
	for range 4 {
		w.Step(ecs.Frame{Tick: w.Tick() + 1})
		fmt.Println("after tick", w.Tick(), "sparks", w.Len())
	}
	// Output:
	// after tick 1 sparks 2
	// after tick 2 sparks 1
	// after tick 3 sparks 1
	// after tick 4 sparks 0
}

func TestALifetimeCostsNothingInTheDelta(t *testing.T) {
	w, err := ecs.New(sparks, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w.Step(ecs.Frame{Tick: 1})
	w.Step(ecs.Frame{Tick: 2})
	o := w.Step(ecs.Frame{Tick: 3})
	for i := range w.Schema().Components {
		if n := o.Delta.Changed(i); n != 0 {
			t.Errorf("%d values changed in a tick in which nothing ended", n)
		}
	}
}
