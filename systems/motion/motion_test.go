package motion_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/motion"
)

type body struct {
	motion.Position
	motion.Velocity
}

// fleeting marks the entities that Cull takes.
type fleeting struct{ On bool }

// world has one entity per body, starting with entity 1, and runs the systems in order. The bounds are 10 m to each
// side of the origin along x and 5 m along y.
func world(t testing.TB, bodies []body, systems ...any) *ecs.World {
	t.Helper()
	w, err := ecs.New(ecs.Game{Name: "motion", TickRate: 30, Setup: func(w *ecs.World) {
		motion.Register(w)
		ecs.Component[fleeting](w, "fleeting")
		ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[body], b *ecs.Res[motion.Bounds]) {
			*b.Get() = motion.Bounds{MinX: -10, MinY: -5, MaxX: 10, MaxY: 5}
			for _, b := range bodies {
				s.New(b)
			}
		})
		for i, s := range systems {
			ecs.System(w, fmt.Sprintf("system%d", i), s)
		}
	}}, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func run(w *ecs.World, ticks int) {
	for range ticks {
		w.Step(ecs.Frame{Tick: w.Tick() + 1})
	}
}

func at(w *ecs.World, id uint32) body {
	p, _ := ecs.Get[motion.Position](w, ecs.EntityFrom(id, 0))
	v, _ := ecs.Get[motion.Velocity](w, ecs.EntityFrom(id, 0))
	return body{p, v}
}

func Example() {
	w, _ := ecs.New(ecs.Game{Name: "drift", TickRate: 30, Setup: func(w *ecs.World) {
		motion.Register(w)
		ecs.Init(w, func(_ *ecs.Tick, boats *ecs.Spawner[body]) {
			boats.New(body{motion.Position{X: 1, Y: 2}, motion.Velocity{X: 0.5}})
		})
		ecs.System(w, "move", motion.Move)
	}}, ecs.Config{})
	for range 4 {
		w.Step(ecs.Frame{Tick: w.Tick() + 1})
	}
	boat, _ := ecs.Get[motion.Position](w, ecs.EntityFrom(1, 0))
	fmt.Println(boat.X, boat.Y)
	// Output: 3 2
}

func TestMoveAddsTheVelocityEachTick(t *testing.T) {
	w := world(t, []body{{motion.Position{X: 1, Y: -1}, motion.Velocity{X: 0.5, Y: -0.25}}, {}}, motion.Move)
	run(w, 4)
	if got, want := at(w, 1), (body{motion.Position{X: 3, Y: -2}, motion.Velocity{X: 0.5, Y: -0.25}}); got != want {
		t.Errorf("body is %+v, want %+v", got, want)
	}
	if got := at(w, 2); got != (body{}) {
		t.Errorf("a body at rest is %+v", got)
	}
}

func TestBordersHold(t *testing.T) {
	p, v := func(x, y float64) motion.Position { return motion.Position{X: x, Y: y} }, func(x, y float64) motion.Velocity { return motion.Velocity{X: x, Y: y} }
	for _, c := range []struct {
		name   string
		border any
		from   body
		want   body
	}{
		{"clamp inside", motion.Clamp, body{p(9, 4), v(1, 1)}, body{p(10, 5), v(1, 1)}},
		{"clamp one axis", motion.Clamp, body{p(9, 0), v(3, 1)}, body{p(10, 1), v(0, 1)}},
		{"clamp low", motion.Clamp, body{p(-9, -4), v(-3, -3)}, body{p(-10, -5), v(0, 0)}},
		{"clamp coming back", motion.Clamp, body{p(-20, 0), v(3, 0)}, body{p(-10, 0), v(3, 0)}},
		{"bounce inside", motion.Bounce, body{p(0, 0), v(1, 1)}, body{p(1, 1), v(1, 1)}},
		{"bounce high", motion.Bounce, body{p(9, 4), v(3, 2)}, body{p(8, 4), v(-3, -2)}},
		{"bounce low", motion.Bounce, body{p(-9, 0), v(-3, 1)}, body{p(-8, 1), v(3, 1)}},
		{"bounce far", motion.Bounce, body{p(9, 0), v(90, 0)}, body{p(-10, 0), v(-90, 0)}},
		{"wrap inside", motion.Wrap, body{p(9, 4), v(1, 1)}, body{p(10, 5), v(1, 1)}},
		{"wrap high", motion.Wrap, body{p(9, 4), v(3, 2)}, body{p(-8, -4), v(3, 2)}},
		{"wrap far low", motion.Wrap, body{p(0, 0), v(-53, 0)}, body{p(7, 0), v(-53, 0)}},
		{"clamp not a number", motion.Clamp, body{p(math.NaN(), 0), v(1, 0)}, body{p(-10, 0), v(1, 0)}},
		{"wrap not a number", motion.Wrap, body{p(math.NaN(), 0), v(1, 0)}, body{p(-10, 0), v(1, 0)}},
	} {
		w := world(t, []body{c.from}, motion.Move, c.border)
		if run(w, 1); at(w, 1) != c.want {
			t.Errorf("%s: %+v becomes %+v, want %+v", c.name, c.from, at(w, 1), c.want)
		}
	}
}

func TestNoBoundsMeansNoBorder(t *testing.T) {
	free := func(_ *ecs.Tick, b *ecs.Res[motion.Bounds]) { *b.Get() = motion.Bounds{} }
	from := body{motion.Position{X: 50}, motion.Velocity{X: 1}}
	w := world(t, []body{from}, free, motion.Clamp, motion.Bounce, motion.Wrap, motion.Cull[motion.Velocity])
	if run(w, 2); at(w, 1) != from || w.Len() != 1 {
		t.Errorf("without bounds %+v becomes %+v, of %d bodies", from, at(w, 1), w.Len())
	}
}

func TestCullTakesOnlyItsKindAndOnlyOutside(t *testing.T) {
	mark := func(_ *ecs.Tick, marks *ecs.Comp[fleeting]) {
		for _, id := range []uint32{1, 2} {
			marks.Set(ecs.EntityFrom(id, 0), fleeting{true})
		}
	}
	out := body{Position: motion.Position{X: 10.5}}
	w := world(t, []body{out, {}, out}, mark, motion.Cull[fleeting])
	run(w, 1)
	for id, alive := range map[uint32]bool{1: false, 2: true, 3: true} {
		if _, ok := ecs.Get[motion.Position](w, ecs.EntityFrom(id, 0)); ok != alive {
			t.Errorf("entity %d lives: %v, want %v", id, ok, alive)
		}
	}
}
