package projectile_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/damage"
	"github.com/ferris1/wind/systems/grid"
	"github.com/ferris1/wind/systems/motion"
	"github.com/ferris1/wind/systems/projectile"
)

type thing struct {
	motion.Position
	projectile.Body
	damage.Health
}
type (
	spared struct{ Yes bool }
	bullet struct {
		motion.Position
		projectile.Shot
	}
)

// post is a body of radius 0.5.
func post(x, y float64, team uint32) thing {
	return thing{motion.Position{X: x, Y: y}, projectile.Body{Radius: 0.5, Team: team}, damage.Full(100)}
}

func from(x, y, vx, vy float64) bullet {
	return bullet{motion.Position{X: x, Y: y}, projectile.Shot{VX: vx, VY: vy, Points: 10}}
}

// rangeOf makes a world of things (entities 1…) and, after them, shots. Shots spare the things whose index is in
// ghosts.
func rangeOf(t testing.TB, things []thing, shots []bullet, ghosts ...int) *ecs.World {
	t.Helper()
	w, err := ecs.New(ecs.Game{Name: "range", TickRate: 30, Setup: func(w *ecs.World) {
		motion.Register(w)
		damage.Register(w)
		projectile.Register(w)
		ecs.Component[spared](w, "spared")
		ecs.Init(w, func(_ *ecs.Tick, a *ecs.Spawner[thing], b *ecs.Spawner[bullet], marks *ecs.Comp[spared]) {
			for i, th := range things {
				if e := a.New(th); slices.Contains(ghosts, i) {
					marks.Set(e, spared{true})
				}
			}
			for _, s := range shots {
				b.New(s)
			}
		})
		ecs.System(w, "fly", projectile.Fly[spared](projectile.Options{Area: grid.Area{MinX: -20, MinY: -20, MaxX: 20, MaxY: 20}}))
		ecs.System(w, "wound", projectile.Wound)
		ecs.System(w, "damage", damage.Apply)
	}}, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func run(t testing.TB, w *ecs.World, ticks int) {
	t.Helper()
	for range ticks {
		if o := w.Step(ecs.Frame{Tick: w.Tick() + 1}); len(o.Failures) > 0 {
			t.Fatal(o.Failures)
		}
	}
}

// wounded returns the ids of the things that were hit.
func wounded(w *ecs.World, things int) (ids []uint32) {
	for id := uint32(1); id <= uint32(things); id++ {
		if h, _ := ecs.Get[damage.Health](w, ecs.EntityFrom(id, 0)); h.Points < 100 {
			ids = append(ids, id)
		}
	}
	return ids
}

func Example() {
	w, _ := ecs.New(ecs.Game{Name: "duel", TickRate: 30, Setup: func(w *ecs.World) {
		motion.Register(w)
		damage.Register(w)
		projectile.Register(w)
		ecs.Component[spared](w, "spared")
		ecs.Init(w, func(_ *ecs.Tick, things *ecs.Spawner[thing], shots *ecs.Spawner[bullet]) {
			things.New(post(5, 0, 0))
			shots.New(from(0, 0, 100, 0)) // 100 metres per tick: the post is a metre thick
		})
		ecs.System(w, "fly", projectile.Fly[spared](projectile.Options{Area: grid.Area{MaxX: 10, MaxY: 10}}))
		ecs.System(w, "wound", projectile.Wound)
		ecs.System(w, "damage", damage.Apply)
	}}, ecs.Config{})
	w.Step(ecs.Frame{Tick: 1})
	h, _ := ecs.Get[damage.Health](w, ecs.EntityFrom(1, 0))
	fmt.Println("health", h.Points, "entities", w.Len())
	// Output: health 90 entities 1
}

func TestAShotHitsTheFirstBodyOnItsWay(t *testing.T) {
	things := []thing{post(9, 0, 0), post(5, 0.3, 0), post(7, 0, 0), post(-1, 0, 0)}
	w := rangeOf(t, things, []bullet{from(0, 0, 30, 0)})
	run(t, w, 1)
	if got := wounded(w, 4); !slices.Equal(got, []uint32{2}) || w.Len() != 4 {
		t.Errorf("wounded are %v of %d entities, want 2 alone and the shot gone", got, w.Len())
	}
}

func TestAShotThatMissesFliesOn(t *testing.T) {
	w := rangeOf(t, []thing{post(5, 0.6, 0), post(5, -30, 0)}, []bullet{from(0, 0, 1.5, 0), from(0, -30, 2, 0)})
	run(t, w, 2)
	if p, ok := ecs.Get[motion.Position](w, ecs.EntityFrom(3, 0)); !ok || p.X != 3 {
		t.Errorf("after two ticks the shot is at %v", p)
	}
	run(t, w, 3)
	if got := wounded(w, 2); !slices.Equal(got, []uint32{2}) { // even outside the grid's area
		t.Errorf("wounded are %v, want 2", got)
	}
}

func TestSparedBodiesAreFlownThrough(t *testing.T) {
	mine := from(0, 0, 30, 0)
	mine.Team = 7
	mine.Owner = ecs.EntityFrom(1, 0)
	things := []thing{post(0, 0, 0), post(3, 0, 7), post(4, 0, 0), post(6, 0, 8)}
	w := rangeOf(t, things, []bullet{mine}, 2)
	run(t, w, 1)
	if got := wounded(w, 4); !slices.Equal(got, []uint32{4}) {
		t.Errorf("wounded are %v, want 4: 1 owns the shot, 2 is of its team, 3 is spared", got)
	}
}

func TestARadiusWidensTheShot(t *testing.T) {
	wide := from(0, 0, 30, 0)
	wide.Radius = 0.2
	for _, c := range []struct {
		b   bullet
		hit bool
	}{{from(0, 0, 30, 0), false}, {wide, true}} {
		w := rangeOf(t, []thing{post(5, 0.6, 0)}, []bullet{c.b})
		run(t, w, 1)
		if got := len(wounded(w, 1)) == 1; got != c.hit {
			t.Errorf("a shot of radius %v hits: %v", c.b.Radius, got)
		}
	}
}

func TestOnlyThePositionOfAShotChanges(t *testing.T) {
	w := rangeOf(t, nil, []bullet{from(0, 0, 1, 1)})
	run(t, w, 1)
	o := w.Step(ecs.Frame{Tick: 2})
	for i, c := range w.Schema().Components {
		if n := o.Delta.Changed(i); n != 0 && c.Name != "position" {
			t.Errorf("%d values of %s changed", n, c.Name)
		}
	}
}
