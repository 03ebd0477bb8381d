package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/ferris1/wind/ecs"
)

var sizes = []int{10_000, 100_000, 1_000_000}

// each runs a benchmark at every size, a million only without -short, and reports nanoseconds per entity.
func each(b *testing.B, f func(b *testing.B, n int)) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if n > 100_000 && testing.Short() {
				b.Skip("a million entities in -short")
			}
			b.ReportAllocs()
			f(b, n)
			b.ReportMetric(ns(b.Elapsed(), b.N*n), "ns/entity")
		})
	}
}

func BenchmarkColumnsBare(b *testing.B) {
	each(b, func(b *testing.B, n int) {
		c := newColumns(n)
		for b.Loop() {
			c.move()
		}
	})
}

func BenchmarkArcheByID(b *testing.B) {
	each(b, func(b *testing.B, n int) {
		w := newArcheWorld(n)
		for b.Loop() {
			w.moveByID()
		}
	})
}

func BenchmarkArcheGeneric(b *testing.B) {
	each(b, func(b *testing.B, n int) {
		w := newArcheWorld(n)
		for b.Loop() {
			w.moveGeneric()
		}
	})
}

// inside benchmarks a loop within a system in a world's fourth tick.
func inside[V any](b *testing.B, loop func(*ecs.Query[V])) {
	each(b, func(b *testing.B, n int) {
		measuring := false
		w, err := newWorld(game(n, func(_ *ecs.Tick, q *ecs.Query[V]) {
			for measuring && b.Loop() {
				loop(q)
			}
		}), 1)
		if err != nil {
			b.Fatal(err)
		}
		measuring = true
		if o := step(w); len(o.Failures) > 0 {
			b.Fatal(o.Failures)
		}
	})
}

func BenchmarkPerEntity(b *testing.B) { inside(b, moveRows) }
func BenchmarkWithEntity(b *testing.B) {
	ids := uint32(0)
	inside(b, func(q *ecs.Query[namedRow]) { ids += moveNamedRows(q) })
	runtime.KeepAlive(ids)
}
func BenchmarkColumns(b *testing.B) { inside(b, moveRuns) }

// ticks benchmarks whole ticks, including the delta's bytes.
func ticks(b *testing.B, system any) {
	each(b, func(b *testing.B, n int) {
		w, err := newWorld(game(n, system), 1)
		if err != nil {
			b.Fatal(err)
		}
		delta := step(w).Delta.AppendTo(nil)
		for b.Loop() {
			delta = step(w).Delta.AppendTo(delta[:0])
		}
		b.ReportMetric(float64(len(delta))/float64(n), "B/entity")
	})
}

func BenchmarkTick(b *testing.B) {
	ticks(b, func(_ *ecs.Tick, q *ecs.Query[run]) { moveRuns(q) })
}

func BenchmarkTickReadOnlyVelocity(b *testing.B) {
	ticks(b, func(_ *ecs.Tick, q *ecs.Query[readRun]) { moveReadRuns(q) })
}

func BenchmarkTickPerEntity(b *testing.B) {
	ticks(b, func(_ *ecs.Tick, q *ecs.Query[row]) { moveRows(q) })
}

func BenchmarkTickAtRest(b *testing.B) { ticks(b, nil) }

func BenchmarkDeltaApply(b *testing.B) {
	each(b, func(b *testing.B, n int) {
		g := game(n, func(_ *ecs.Tick, q *ecs.Query[run]) { moveRuns(q) })
		leader, err := newWorld(g, 1)
		if err != nil {
			b.Fatal(err)
		}
		follower, err := newWorld(g, 1)
		if err != nil {
			b.Fatal(err)
		}
		var delta []byte
		for b.Loop() {
			b.StopTimer()
			delta = step(leader).Delta.AppendTo(delta[:0])
			b.StartTimer()
			if err := follower.Apply(delta); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSnapshot(b *testing.B) {
	each(b, func(b *testing.B, n int) {
		w, err := newWorld(game(n, nil), 1)
		if err != nil {
			b.Fatal(err)
		}
		var snapshot []byte
		for b.Loop() {
			snapshot = w.AppendSnapshot(snapshot[:0])
		}
		b.ReportMetric(float64(len(snapshot))/float64(n), "B/entity")
	})
}

func BenchmarkRestore(b *testing.B) {
	each(b, func(b *testing.B, n int) {
		g := game(n, nil)
		w, err := newWorld(g, 1)
		if err != nil {
			b.Fatal(err)
		}
		snapshot := w.AppendSnapshot(nil)
		for b.Loop() {
			if _, err := ecs.Restore(g, snapshot); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRecompute(b *testing.B) {
	each(b, func(b *testing.B, n int) {
		w, err := newWorld(game(n, nil), 1)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			w.Recompute()
		}
	})
}

// The loops must do the same work, or their ratios mean nothing.
func TestEveryLoopMovesEveryEntity(t *testing.T) {
	const n, rounds = 1000, 4
	bare, byID, generic := newColumns(n), newArcheWorld(n), newArcheWorld(n)
	for range rounds {
		bare.move()
		byID.moveByID()
		generic.moveGeneric()
	}
	want := 0.0
	for _, p := range bare.pos {
		want += p.X + p.Y
	}
	sum := func(w *archeWorld) (sum float64, count int) {
		for q := w.generic.Query(&w.world); q.Next(); count++ {
			p, _ := q.Get()
			sum += p.X + p.Y
		}
		return sum, count
	}
	for name, w := range map[string]*archeWorld{"by id": byID, "generic": generic} {
		if got, count := sum(w); got != want || count != n {
			t.Errorf("arche %s: %d entities add up to %v, want %v", name, count, got, want)
		}
	}
	for name, system := range map[string]any{
		"per entity":  func(_ *ecs.Tick, q *ecs.Query[row]) { moveRows(q) },
		"with entity": func(_ *ecs.Tick, q *ecs.Query[namedRow]) { moveNamedRows(q) },
		"columns":     func(_ *ecs.Tick, q *ecs.Query[run]) { moveRuns(q) },
		"read only":   func(_ *ecs.Tick, q *ecs.Query[readRun]) { moveReadRuns(q) },
	} {
		w, err := newWorld(game(n, system), 1)
		if err != nil {
			t.Fatal(err)
		}
		if o := step(w); len(o.Failures) > 0 {
			t.Fatal(o.Failures)
		}
		got, count := 0.0, 0
		for id := range uint32(n) {
			if p, ok := ecs.Get[Position](w, ecs.EntityFrom(id+1, 0)); ok {
				got += p.X + p.Y
				count++
			}
		}
		if got != want || count != n || w.Checksum() != w.Recompute() {
			t.Errorf("wind %s: %d entities add up to %v, want %v", name, count, got, want)
		}
	}
}

func TestTickReportsEveryLoopAndJudges(t *testing.T) {
	r, err := Tick(context.Background(), TickOptions{Entities: 2000, Ticks: 20, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Tick(context.Background(), TickOptions{Entities: 2000, Ticks: 20, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if r.Checksum != again.Checksum || r.AllocsPerTick != 0 || r.DeltaBytes < 16 || r.DeltaBytes > 20 {
		t.Errorf("checksums %s and %s, %d allocations, %v bytes per entity", r.Checksum, again.Checksum, r.AllocsPerTick, r.DeltaBytes)
	}
	judged := 0
	for _, l := range r.Loops {
		if l.MinNs <= 0 || l.MedianNs < l.MinNs || l.Ratio <= 0 || l.MedianRatio <= 0 || l.Pass != (l.TargetRatio == 0 || l.Ratio <= l.TargetRatio) {
			t.Errorf("loop %+v", l)
		}
		if l.TargetRatio > 0 {
			judged++
		}
	}
	if _, ok := r.Loop("columns"); judged != 4 || !ok || r.Pass != (len(r.Failed) == 0) {
		t.Errorf("%d loops are judged: %+v", judged, r)
	}
	b, err := json.Marshal(r)
	if err != nil || !json.Valid(b) {
		t.Errorf("cannot encode the result as JSON: %v", err)
	}
}

func TestTickRefusesNonsenseAndStops(t *testing.T) {
	for _, o := range []TickOptions{{Entities: -1}, {Ticks: -1}, {Entities: 10_000_001}} {
		if _, err := Tick(context.Background(), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Tick(ctx, TickOptions{Entities: 100}); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
}

func TestAllocationsAreCounted(t *testing.T) {
	var keep []byte
	if n := allocations(50, func() { keep = make([]byte, 64) }); n != 1 {
		t.Errorf("%d allocations per run, want 1", n)
	}
	if n := allocations(50, func() { keep[0]++ }); n != 0 {
		t.Errorf("%d allocations per run, want 0", n)
	}
}
