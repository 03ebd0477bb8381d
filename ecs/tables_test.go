package ecs_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
)

// The status game: entities have sixteen independent status effects that come and go at random. So nearly every change
// leads to one of 65,536 sets of components that no entity had before.
type (
	statusBase struct{ N uint32 }
	status0    struct{ V uint8 }
	status1    struct{ V uint8 }
	status2    struct{ V uint8 }
	status3    struct{ V uint8 }
	status4    struct{ V uint8 }
	status5    struct{ V uint8 }
	status6    struct{ V uint8 }
	status7    struct{ V uint8 }
	status8    struct{ V uint8 }
	status9    struct{ V uint8 }
	statusA    struct{ V uint8 }
	statusB    struct{ V uint8 }
	statusC    struct{ V uint8 }
	statusD    struct{ V uint8 }
	statusE    struct{ V uint8 }
	statusF    struct{ V uint8 }
)

type statusView struct {
	Self ecs.Entity
	Base *statusBase
}

// addStatus registers one effect and a system that flips it for each entity, in one tick out of the given number.
func addStatus[T any](w *ecs.World, name string, odds int) {
	ecs.Component[T](w, name)
	ecs.System(w, "flip-"+name, func(t *ecs.Tick, q *ecs.Query[statusView], c *ecs.Comp[T]) {
		for v := range q.Each {
			r := t.Rand(v.Self)
			switch {
			case r.IntN(odds) > 0:
			case c.Has(v.Self):
				c.Remove(v.Self)
			default:
				c.Set(v.Self, *new(T))
			}
		}
	})
}

func statusGame(entities, odds int) ecs.Game {
	return ecs.Game{Name: "status", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Component[statusBase](w, "base")
		ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[struct{ statusBase }]) {
			for i := range entities {
				s.New(struct{ statusBase }{statusBase{uint32(i)}})
			}
		})
		addStatus[status0](w, "status0", odds)
		addStatus[status1](w, "status1", odds)
		addStatus[status2](w, "status2", odds)
		addStatus[status3](w, "status3", odds)
		addStatus[status4](w, "status4", odds)
		addStatus[status5](w, "status5", odds)
		addStatus[status6](w, "status6", odds)
		addStatus[status7](w, "status7", odds)
		addStatus[status8](w, "status8", odds)
		addStatus[status9](w, "status9", odds)
		addStatus[statusA](w, "status-a", odds)
		addStatus[statusB](w, "status-b", odds)
		addStatus[statusC](w, "status-c", odds)
		addStatus[statusD](w, "status-d", odds)
		addStatus[statusE](w, "status-e", odds)
		addStatus[statusF](w, "status-f", odds)
	}}
}

// TestEmptiedTablesAreGivenBack plays the status game. Every 30th tick it restores the world from its snapshot, which
// must not grow, and compares futures for a while; a follower applies the deltas. WIND_LONG=1 plays 10,000 ticks.
func TestEmptiedTablesAreGivenBack(t *testing.T) {
	ticks, entities := 210, 60
	if os.Getenv("WIND_LONG") != "" {
		ticks, entities = 10_000, 300
	} else {
		defer ecs.SetTableLimits(ecs.MaxTables(), 256)()
	}
	g := statusGame(entities, 16)
	live, follower, restored := newWorldOf(t, g), newWorldOf(t, g), (*ecs.World)(nil)
	var q ecs.Query[statusView]
	visit := live.Bind(func(_ *ecs.Tick, found *ecs.Query[statusView]) { q = *found })
	given, largest := 0, 0
	for range ticks {
		before := len(live.Tables())
		f := ecs.Frame{Tick: live.Tick() + 1}
		o := live.Step(f)
		if len(o.Failures) > 0 {
			t.Fatalf("tick %d: %v", f.Tick, o.Failures)
		}
		if len(live.Tables()) < before {
			given++
		}
		delta := o.Delta.AppendTo(nil)
		if err := follower.Apply(delta); err != nil {
			t.Fatal(err)
		}
		if restored != nil {
			if again := restored.Step(f); !bytes.Equal(again.Delta.AppendTo(nil), delta) {
				t.Fatalf("tick %d: the restored world has a different future", f.Tick)
			}
		}
		if f.Tick%30 != 0 {
			continue
		}
		visit()
		if n, living := q.Matched(), len(live.Tables())-live.Uninhabited(); n != living {
			t.Fatalf("tick %d: a query visits %d tables, %d have rows", f.Tick, n, living)
		}
		if have, need := live.Nodes(); have > 2*need+2*live.MayKeep() {
			t.Fatalf("tick %d: arche has %d nodes, %d are needed", f.Tick, have, need)
		}
		snapshot := live.AppendSnapshot(nil)
		if largest = max(largest, len(snapshot)); f.Tick > 60 && len(snapshot) > 48<<10 {
			t.Fatalf("tick %d: the snapshot has %d bytes", f.Tick, len(snapshot))
		}
		var err error
		if restored, err = ecs.Restore(g, snapshot); err != nil {
			t.Fatalf("tick %d: %v", f.Tick, err)
		}
		if !bytes.Equal(follower.AppendSnapshot(nil), snapshot) || !bytes.Equal(restored.AppendSnapshot(nil), snapshot) {
			t.Fatalf("tick %d: restored and following worlds have different snapshots", f.Tick)
		}
	}
	t.Logf("%d tables given back %d times; the largest snapshot has %d bytes", len(live.Tables()), given, largest)
	if given < ticks/30 {
		t.Errorf("tables were given back %d times in %d ticks", given, ticks)
	}
}

func newWorldOf(t testing.TB, g ecs.Game) *ecs.World {
	t.Helper()
	w, err := ecs.New(g, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// BenchmarkOldWorld compares ticks of a status game that has run for long with ticks of a world restored from its
// snapshot, which has the same entities and tables but none of arche's past. The two alternate.
func BenchmarkOldWorld(b *testing.B) {
	for _, c := range []struct{ entities, odds, ticks int }{{300, 16, 1000}, {64, 16, 2000}, {64, 512, 20_000}} {
		b.Run(fmt.Sprintf("entities=%d/odds=%d", c.entities, c.odds), func(b *testing.B) {
			g := statusGame(c.entities, c.odds)
			old := newWorldOf(b, g)
			for range c.ticks {
				old.Step(ecs.Frame{Tick: old.Tick() + 1})
			}
			var aged, fresh []time.Duration
			step := func(w *ecs.World) time.Duration {
				from := time.Now()
				w.Step(ecs.Frame{Tick: w.Tick() + 1})
				return time.Since(from)
			}
			for b.Loop() {
				young, err := ecs.Restore(g, old.AppendSnapshot(nil))
				if err != nil {
					b.Fatal(err)
				}
				for range 10 {
					aged, fresh = append(aged, step(old)), append(fresh, step(young))
				}
			}
			mean := func(all []time.Duration) (sum time.Duration) {
				slices.Sort(all)
				all = all[:len(all)-len(all)/100] // drop outliers caused by the machine
				for _, d := range all {
					sum += d
				}
				return sum / time.Duration(len(all))
			}
			b.ReportMetric(float64(mean(aged).Microseconds()), "old-µs/tick")
			b.ReportMetric(float64(mean(fresh).Microseconds()), "fresh-µs/tick")
			b.ReportMetric(float64(mean(aged))/float64(mean(fresh)), "old/fresh")
		})
	}
}

// TestGivenBackTablesAreGone: a world whose tables come and go does not grow. A reference to one dropped table, in the
// unused end of some slice, must not keep the others alive through their edges.
func TestGivenBackTablesAreGone(t *testing.T) {
	defer ecs.SetTableLimits(ecs.MaxTables(), 64)()
	w := newWorldOf(t, statusGame(40, 16))
	heap := func(ticks int) uint64 {
		for range ticks {
			w.Step(ecs.Frame{Tick: w.Tick() + 1})
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap(200)
	if after := heap(1000); after > before+16<<20 {
		t.Errorf("1,000 ticks later the heap holds %d MiB more", (after-before)>>20)
	}
	runtime.KeepAlive(w)
}
