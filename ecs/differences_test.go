package ecs_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestDifferencesNameEveryFieldThatIsAnother changes one thing at a time in a copy of a world and expects exactly that
// difference.
func TestDifferencesNameEveryFieldThatIsAnother(t *testing.T) {
	game := func(change func(t *ecs.Tick, spots *ecs.Query[struct {
		E ecs.Entity
		S *dSpot
		L *dLife
	}], r *ecs.Res[dScore]),
	) ecs.Game {
		return dGame(func(w *ecs.World) {
			dFirst(w)
			ecs.System(w, "change", change)
		})
	}
	type view = struct {
		E ecs.Entity
		S *dSpot
		L *dLife
	}
	same := func(*ecs.Tick, *ecs.Query[view], *ecs.Res[dScore]) {}
	third := func(do func(t *ecs.Tick, v *view)) func(*ecs.Tick, *ecs.Query[view], *ecs.Res[dScore]) {
		return func(t *ecs.Tick, q *ecs.Query[view], _ *ecs.Res[dScore]) {
			i := 0
			for v := range q.Each {
				if i++; i == 3 && t.Now() == 2 {
					do(t, &v)
				}
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*ecs.Tick, *ecs.Query[view], *ecs.Res[dScore])
		want   []string
	}{
		"nothing":    {same, nil},
		"two fields": {third(func(_ *ecs.Tick, v *view) { v.S.Y, v.L.Left = 1.5, 77 }), []string{"component spot of entity 3, Y: 0 recorded, 1.5 computed", "component life of entity 3, Left: 4 recorded, 77 computed"}},
		"an entity":  {third(func(t *ecs.Tick, v *view) { t.Despawn(v.E) }), []string{"entity 3: alive recorded, dead computed"}},
		"a resource": {func(_ *ecs.Tick, _ *ecs.Query[view], r *ecs.Res[dScore]) { r.Get().Total = 9 }, []string{"resource score, Total: 0 recorded, 9 computed"}},
	} {
		a, err := ecs.New(game(same), ecs.Config{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		b, err := ecs.New(game(c.change), ecs.Config{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		for tick := uint64(1); tick <= 2; tick++ {
			a.Step(ecs.Frame{Tick: tick})
			b.Step(ecs.Frame{Tick: tick})
		}
		all, n := ecs.Differences(a, b, 0)
		var got []string
		for _, d := range all {
			got = append(got, d.Between("recorded", "computed"))
		}
		if n != len(c.want) || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: %d differences\n  %s", name, n, strings.Join(got, "\n  "))
		}
		if few, n := ecs.Differences(a, b, 1); n != len(c.want) || len(few) > 1 {
			t.Errorf("%s: %d of %d differences", name, len(few), n)
		}
	}
}

// TestDifferencesAreThereExactlyWhenChecksumsDiffer compares diverged worlds of the chaotic game.
func TestDifferencesAreThereExactlyWhenChecksumsDiffer(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		a, err := ecs.New(chaos, ecs.Config{Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		b, err := ecs.New(chaos, ecs.Config{Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		apart := uint64(1 + rng.IntN(40))
		for tick := uint64(1); tick <= 40; tick++ {
			f := ecs.Frame{Tick: tick}
			a.Step(f)
			if tick == apart {
				f.Commands = append(f.Commands, ecs.NewCommand(b, ecs.Source{Kind: ecs.SourceOperator}, 1, Quake{int32(rng.IntN(9))}))
			}
			b.Step(f)
			if _, n := ecs.Differences(a, b, 3); (n > 0) != (a.Checksum() != b.Checksum()) {
				t.Fatalf("seed %d, tick %d: %d differences, checksums %016x and %016x", seed, tick, n, a.Checksum(), b.Checksum())
			}
		}
	}
}
