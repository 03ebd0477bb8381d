package script_test

import (
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/script"
)

type thing struct {
	position
	velocity
}

const things = 20_000

// movers makes a world of many things. Its system "go" moves them in Go if inGo, its system "move" by the script.
func movers(b *testing.B, source string, inGo bool) *ecs.World {
	b.Helper()
	g := ecs.Game{Name: "movers", TickRate: 30, Setup: func(w *ecs.World) {
		script.Register(w, script.Config{})
		ecs.Component[position](w, "position")
		ecs.Component[velocity](w, "velocity")
		ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[thing]) {
			for i := range things {
				s.New(thing{velocity: velocity{X: 0.001 * float64(i), Y: 1}})
			}
		})
		ecs.System(w, "go", func(_ *ecs.Tick, q *ecs.Query[struct {
			Pos []position
			Vel []velocity `ecs:"read"`
		}],
		) {
			if !inGo {
				return
			}
			for v := range q.Each {
				for i := range v.Pos {
					v.Pos[i].X += float64(v.Vel[i].X * 0.5)
					v.Pos[i].Y += float64(v.Vel[i].Y * 0.5)
				}
			}
		})
		script.System(w, "move")
	}}
	w, err := ecs.New(g, ecs.Config{})
	if err != nil {
		b.Fatal(err)
	}
	commands, err := script.Commands(w, operator, 1, []script.Module{mod("a.star", source)}, script.MaxBudget)
	if err != nil {
		b.Fatal(err)
	}
	if f := failure(step(w, commands...)); f != "" {
		b.Fatal(f)
	}
	return w
}

// BenchmarkAgainstGo moves 20,000 things: in Go by columns, with one bulk call of a script for each axis, and with a
// loop in the script. All three also commit what they wrote. The benchmark reports nanoseconds per thing for the
// whole tick, and the ratio to Go.
func BenchmarkAgainstGo(b *testing.B) {
	const nothing = "def system_move(tick):\n\tpass\n"
	worlds := []*ecs.World{
		movers(b, nothing, false),
		movers(b, nothing, true),
		movers(b, "def system_move(tick):\n\tq = query('position', 'velocity')\n\tq.integrate('position.X', 'velocity.X', times=0.5)\n\tq.integrate('position.Y', 'velocity.Y', times=0.5)\n", false),
		movers(b, "def system_move(tick):\n\tfor e in query('position', 'velocity'):\n\t\te.set('position.X', e.get('position.X') + e.get('velocity.X') * 0.5)\n\t\te.set('position.Y', e.get('position.Y') + e.get('velocity.Y') * 0.5)\n", false),
	}
	var spent [4]time.Duration
	n := 0
	for b.Loop() {
		for i, w := range worlds {
			begin := time.Now()
			step(w)
			spent[i] += time.Since(begin)
		}
		n++
	}
	each := func(i int) float64 { return float64(spent[i]) / float64(n*things) }
	b.ReportMetric(each(1), "go-tick-ns/thing")
	b.ReportMetric(each(2), "bulk-tick-ns/thing")
	b.ReportMetric(each(3), "loop-tick-ns/thing")
	b.ReportMetric(each(2)/each(1), "bulk/go")
	b.ReportMetric(each(3)/each(1), "loop/go")
}

// BenchmarkEmpty measures a system without work.
func BenchmarkEmpty(b *testing.B) {
	w := newWorld(b)
	reload(b, w, mod("a.star", "def system_move(tick):\n\tpass\n"))
	b.ReportAllocs()
	for b.Loop() {
		step(w)
	}
}
