package etcd

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard"
)

type place struct{ X float64 }

// drift is a game with one walker.
var drift = ecs.Game{Name: "drift", TickRate: 100, Setup: func(w *ecs.World) {
	ecs.Component[place](w, "place")
	ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[struct{ Place place }]) { s.New(struct{ Place place }{place{1}}) })
	ecs.System(w, "drift", func(_ *ecs.Tick, q *ecs.Query[struct{ Place *place }]) {
		for m := range q.Each {
			m.Place.X += 0.25
		}
	})
}}

// witness remembers every tick that any owner released.
type witness struct {
	mu    *sync.Mutex
	ticks map[uint64]uint64 // checksum
	twice *int
}

func (witness) Own(*ecs.World, uint64) {}
func (witness) Disown(error)           {}
func (witness) Latch(_ *ecs.World, _ uint64, dst []ecs.Command, _ int) []ecs.Command {
	return dst
}

func (w witness) Release(_ *ecs.World, _, _ uint64, outputs []ecs.Output) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range outputs {
		if _, ok := w.ticks[o.Tick]; ok {
			*w.twice++
		}
		w.ticks[o.Tick] = o.Checksum
	}
}

// TestTwoHostsRaceForAShard runs two real hosts that compete for one shard while its owner key is deleted again and
// again, as an impatient standby would do.
func TestTwoHostsRaceForAShard(t *testing.T) {
	c := cluster(t)
	store := persistence.NewMemory()
	seen := witness{mu: &sync.Mutex{}, ticks: map[uint64]uint64{}, twice: new(int)}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var wg sync.WaitGroup
	var fenced, owned int
	for _, id := range []string{"a", "b"} {
		n, s := member(t, c, id, 30*time.Second) // nobody waits for a lease here
		lineage, err := s.AgreeLineage(t.Context(), "lineage-"+id)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				h, err := shard.New(shard.HostConfig{
					Game: drift, Cluster: "test", Shard: "main", Node: id, Lineage: lineage,
					Log: store.Log(), Deltas: store.Deltas(), Frontend: seen, Ownership: s, Lease: n,
				})
				if err != nil {
					t.Error(err)
					return
				}
				err = h.Run(ctx)
				seen.mu.Lock()
				if h.Stats().Ticks > 0 {
					owned++
				}
				if errors.Is(err, shard.ErrFenced) {
					fenced++
				} else if err != nil {
					t.Errorf("%s: %v", id, err)
				}
				seen.mu.Unlock()
			}
		})
	}
	thief, err := Look(c, "test", "main")
	if err != nil {
		t.Fatal(err)
	}
	// Each theft waits for an owner that makes ticks, so that a slow machine covers as much as a fast one.
	for stolen, fences := 0, 0; fences < 8 && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		seen.mu.Lock()
		ticks := len(seen.ticks)
		fences = fenced
		seen.mu.Unlock()
		if ticks < stolen+5 {
			continue
		}
		st, err := thief.Read(t.Context())
		if err != nil || st.Owner == "" {
			continue
		}
		if ok, err := thief.TakeOver(t.Context(), st); err == nil && ok {
			stolen = ticks
		}
	}
	stop()
	wg.Wait()
	report, err := persistence.Check(t.Context(), persistence.Source{Log: store.Log(), Deltas: store.Deltas()}, persistence.CheckOptions{Game: &drift})
	if err != nil || report.Broken() {
		t.Errorf("log check: %v, %+v", err, report)
	}
	if *seen.twice > 0 {
		t.Errorf("%d ticks were released twice", *seen.twice)
	}
	for tick := uint64(1); tick <= uint64(len(seen.ticks)); tick++ {
		if _, ok := seen.ticks[tick]; !ok {
			t.Fatalf("tick %d was never released", tick)
		}
	}
	if fenced < 8 || len(seen.ticks) < 40 {
		t.Errorf("%d owners, %d fenced, %d ticks: too little happened", owned, fenced, len(seen.ticks))
	}
	t.Logf("%d owners, %d of them fenced, %d ticks, %d epochs", owned, fenced, len(seen.ticks), report.Epochs)
}
