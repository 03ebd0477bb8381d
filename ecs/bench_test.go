package ecs_test

import (
	"fmt"
	"testing"
	"time"

	arche "github.com/mlange-42/arche/ecs"
	"github.com/mlange-42/arche/generic"

	"github.com/ferris1/wind/ecs"
)

// The world of the benchmarks: 100,000 entities with two 16-byte components each, in two tables.
const benchEntities = 100_000

type (
	pos  struct{ X, Y float64 }
	vel  struct{ X, Y float64 }
	heft struct{ Kilograms int32 }

	posVel struct {
		pos
		vel
	}
	posVelHeft struct {
		pos
		vel
		heft
	}

	rowView struct {
		P *pos
		V *vel
	}
	selfView struct {
		Self ecs.Entity
		P    *pos
		V    *vel
	}
	columnView struct {
		P []pos
		V []vel
	}
	readView struct {
		P []pos
		V []vel `ecs:"read"`
	}
)

func moveRows(_ *ecs.Tick, q *ecs.Query[rowView]) {
	for m := range q.Each {
		m.P.X += m.V.X
		m.P.Y += m.V.Y
	}
}

func moveSelf(_ *ecs.Tick, q *ecs.Query[selfView]) {
	for m := range q.Each {
		m.P.X += m.V.X
		m.P.Y += m.V.Y
	}
}

func moveColumns(_ *ecs.Tick, q *ecs.Query[columnView]) {
	for c := range q.Each {
		move(c.P, c.V)
	}
}

func moveRead(_ *ecs.Tick, q *ecs.Query[readView]) {
	for c := range q.Each {
		move(c.P, c.V)
	}
}

func move(p []pos, v []vel) {
	v = v[:len(p)]
	for i := range p {
		p[i].X += v[i].X
		p[i].Y += v[i].Y
	}
}

// benchGame has entities, a given percentage of them moving, and at most one system.
func benchGame(system any, movingPercent int) ecs.Game {
	return ecs.Game{Name: "bench", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Component[pos](w, "position")
		ecs.Component[vel](w, "velocity")
		ecs.Component[heft](w, "heft")
		if system != nil {
			ecs.System(w, "move", system)
		}
		ecs.Init(w, func(_ *ecs.Tick, light *ecs.Spawner[posVel], heavy *ecs.Spawner[posVelHeft]) {
			for i := range benchEntities {
				v := vel{}
				if i%100 < movingPercent {
					v = vel{1, 0.25}
				}
				p := pos{X: float64(i)}
				if i%4 == 0 {
					heavy.New(posVelHeft{p, v, heft{1}})
				} else {
					light.New(posVel{p, v})
				}
			}
		})
	}}
}

func benchWorld(tb testing.TB, system any, movingPercent int) *ecs.World {
	w, err := ecs.New(benchGame(system, movingPercent), ecs.Config{Seed: 1})
	if err != nil {
		tb.Fatal(err)
	}
	for range 3 {
		step(w)
	}
	return w
}

func step(w *ecs.World) ecs.Output { return w.Step(ecs.Frame{Tick: w.Tick() + 1}) }

// archeLoops are arche's two ways to do the work of the systems above.
func archeLoops() (byGeneric, byID func()) {
	w := arche.NewWorld(1024)
	p, v := arche.ComponentID[pos](&w), arche.ComponentID[vel](&w)
	light, heavy := generic.NewMap2[pos, vel](&w), generic.NewMap3[pos, vel, heft](&w)
	for i := range benchEntities {
		if i%4 == 0 {
			heavy.NewWith(&pos{X: float64(i)}, &vel{1, 0.25}, &heft{1})
		} else {
			light.NewWith(&pos{X: float64(i)}, &vel{1, 0.25})
		}
	}
	f := generic.NewFilter2[pos, vel]()
	byGeneric = func() {
		q := f.Query(&w)
		for q.Next() {
			p, v := q.Get()
			p.X += v.X
			p.Y += v.Y
		}
	}
	all := arche.All(p, v)
	byID = func() {
		q := w.Query(&all)
		for q.Next() {
			p, v := (*pos)(q.Get(p)), (*vel)(q.Get(v))
			p.X += v.X
			p.Y += v.Y
		}
	}
	return byGeneric, byID
}

func perEntity(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEntities, "ns/entity")
}

// BenchmarkLoop compares bare loops over all entities.
func BenchmarkLoop(b *testing.B) {
	byGeneric, byID := archeLoops()
	w := benchWorld(b, nil, 100)
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"arche-generic", byGeneric},
		{"arche-id", byID},
		{"rows", w.Bind(moveRows)},
		{"rows-with-entity", w.Bind(moveSelf)},
		{"columns", w.Bind(moveColumns)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.run()
			}
			perEntity(b)
		})
	}
}

// BenchmarkTick measures a whole tick: systems, change detection, checksum and delta.
func BenchmarkTick(b *testing.B) {
	for _, c := range []struct {
		name   string
		system any
	}{{"rows", moveRows}, {"columns", moveColumns}, {"columns-read", moveRead}} {
		for _, moving := range []int{100, 10, 0} {
			b.Run(fmt.Sprintf("%s/moving=%d%%", c.name, moving), func(b *testing.B) {
				w := benchWorld(b, c.system, moving)
				b.ReportAllocs()
				for b.Loop() {
					step(w)
				}
				perEntity(b)
			})
		}
	}
}

// BenchmarkRatio alternates the loops and the ticks and reports the best time of each as a multiple of that of arche's
// faster loop: on a shared machine, only the best times of one run are comparable.
func BenchmarkRatio(b *testing.B) {
	byGeneric, byID := archeLoops()
	bare := benchWorld(b, nil, 100)
	tick := func(system any) func() {
		w := benchWorld(b, system, 100)
		return func() { step(w) }
	}
	encoded := func(system any) func() {
		w := benchWorld(b, system, 100)
		var delta []byte
		return func() { delta = step(w).Delta.AppendTo(delta[:0]) }
	}
	const forever = time.Hour
	cases := []struct {
		name string
		run  func()
		best time.Duration
	}{
		{"arche-generic", byGeneric, forever},
		{"arche-id", byID, forever},
		{"rows/arche", bare.Bind(moveRows), forever},
		{"self/arche", bare.Bind(moveSelf), forever},
		{"columns/arche", bare.Bind(moveColumns), forever},
		{"tick-columns/arche", tick(moveColumns), forever},
		{"tick-read/arche", tick(moveRead), forever},
		{"tick-rows/arche", tick(moveRows), forever},
		{"tick-columns+encode/arche", encoded(moveColumns), forever},
	}
	for b.Loop() {
		for i := range cases {
			start := time.Now()
			cases[i].run()
			cases[i].best = min(cases[i].best, time.Since(start))
		}
	}
	faster := float64(min(cases[0].best, cases[1].best))
	b.ReportMetric(faster/benchEntities, "arche-ns/entity")
	for _, c := range cases[2:] {
		b.ReportMetric(float64(c.best)/faster, c.name)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkDelta encodes and applies the delta of a tick in which everything moves.
func BenchmarkDelta(b *testing.B) {
	b.Run("append", func(b *testing.B) {
		o := step(benchWorld(b, moveColumns, 100))
		buf := o.Delta.AppendTo(nil)
		b.ReportAllocs()
		for b.Loop() {
			buf = o.Delta.AppendTo(buf[:0])
		}
		b.ReportMetric(float64(len(buf))/benchEntities, "B/entity")
		perEntity(b)
	})
	b.Run("apply", func(b *testing.B) {
		leader, follower := benchWorld(b, moveColumns, 100), benchWorld(b, moveColumns, 100)
		var buf []byte
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			buf = step(leader).Delta.AppendTo(buf[:0])
			b.StartTimer()
			if err := follower.Apply(buf); err != nil {
				b.Fatal(err)
			}
		}
		perEntity(b)
	})
}

// BenchmarkSnapshot saves, restores and recomputes a world.
func BenchmarkSnapshot(b *testing.B) {
	w := benchWorld(b, moveColumns, 100)
	buf := w.AppendSnapshot(nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = w.AppendSnapshot(buf[:0])
		}
		b.ReportMetric(float64(len(buf))/benchEntities, "B/entity")
		perEntity(b)
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			if _, err := ecs.Restore(w.Game(), buf); err != nil {
				b.Fatal(err)
			}
		}
		perEntity(b)
	})
	b.Run("recompute", func(b *testing.B) {
		for b.Loop() {
			w.Recompute()
		}
		perEntity(b)
	})
}

// BenchmarkChurn spawns 500 entities and despawns 500 per tick.
func BenchmarkChurn(b *testing.B) {
	type life struct{ Ticks uint16 }
	type shot struct {
		pos
		vel
		life
	}
	g := ecs.Game{Name: "churn", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Component[pos](w, "position")
		ecs.Component[vel](w, "velocity")
		ecs.Component[life](w, "life")
		ecs.System(w, "shoot", func(_ *ecs.Tick, shots *ecs.Spawner[shot]) {
			for i := range 500 {
				shots.New(shot{pos{float64(i), 1}, vel{1, 1}, life{2}})
			}
		})
		ecs.System(w, "age", func(t *ecs.Tick, q *ecs.Query[struct {
			Self ecs.Entity
			L    *life
		}],
		) {
			for v := range q.Each {
				if v.L.Ticks--; v.L.Ticks == 0 {
					t.Despawn(v.Self)
				}
			}
		})
	}}
	w, err := ecs.New(g, ecs.Config{})
	if err != nil {
		b.Fatal(err)
	}
	for range 100 {
		step(w)
	}
	b.ReportAllocs()
	for b.Loop() {
		step(w)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/spawn+despawn")
}
