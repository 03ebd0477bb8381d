package ecs_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// Every limit that Restore, Apply and DecodeFrame keep, a world that steps keeps first: at the limit what it writes is
// read, and one above it says so by name. Types, names and options are held to theirs at registration, before there is
// anything to write: see register_test.go, options_test.go.

// setsGame spawns an entity of a set of components that no other has, by number, one a tick: by component access,
// spawners or by adding to an entity.
func setsGame(how string) ecs.Game {
	g := statusGame(0, 1<<30)
	plain := g.Setup
	g.Setup = func(w *ecs.World) {
		plain(w)
		ecs.Resource[struct{ Failed, Got int32 }](w, "count")
		ecs.System(w, "make", func(t *ecs.Tick, a *ecs.Access, s *ecs.Spawner[struct{ statusBase }]) {
			for i := range 100 { // 100 sets a tick
				n := (int(t.Now())-1)*100 + i
				e, ids, values := ecs.Entity{}, []int{0}, [][]byte{make([]byte, 4)}
				if how == "adding" {
					e = s.New(struct{ statusBase }{statusBase{uint32(n)}})
				}
				for bit := range 16 {
					if n>>bit&1 == 0 {
						continue
					}
					if how == "adding" {
						a.Set(e, bit+1, []byte{1})
					}
					ids, values = append(ids, bit+1), append(values, []byte{1})
				}
				if how == "access" {
					if _, err := a.Spawn(ids, values); err != nil {
						panic(err)
					}
				}
			}
		})
		ecs.System(w, "touch", func(_ *ecs.Tick, q *ecs.Query[statusView], c *ecs.Comp[status0]) { // stays among the sets that there are
			for v := range q.Each {
				v.Base.N++
				if !c.Has(v.Self) {
					c.Set(v.Self, status0{1})
				}
				return
			}
		})
	}
	return g
}

func TestLimitOfTables(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		defer ecs.SetTableLimits(700, 100)()
	}
	for _, how := range []string{"access", "adding"} {
		g := setsGame(how)
		w, follower := newWorldOf(t, g), newWorldOf(t, g)
		step := func() ecs.Output {
			o := w.Step(ecs.Frame{Tick: w.Tick() + 1})
			if err := follower.Apply(o.Delta.AppendTo(nil)); err != nil {
				t.Fatalf("%s: %d tables: %v", how, len(w.Tables()), err)
			}
			if w.Recompute() != o.Checksum {
				t.Fatalf("%s: the checksum is not that of the values", how)
			}
			return o
		}
		restore := func() *ecs.World {
			x, err := ecs.Restore(g, w.AppendSnapshot(nil))
			if err != nil {
				t.Fatalf("%s: %d tables: %v", how, len(w.Tables()), err)
			}
			return x
		}
		for len(w.Tables())+100 <= ecs.MaxTables() {
			if o := step(); len(o.Failures) > 0 {
				t.Fatalf("%s: %d tables, and %v", how, len(w.Tables()), o.Failures)
			}
		}
		restore()
		full, living := len(w.Tables()), w.Len()
		for range 3 {
			before := restore()
			o := step()
			if len(o.Failures) != 1 || o.Failures[0].System != "make" || o.Failures[0].Rejected || !strings.Contains(o.Failures[0].Reason, fmt.Sprintf("too many different sets of components: a world has at most %d", ecs.MaxTables())) {
				t.Fatalf("%s: %d tables: %v", how, len(w.Tables()), o.Failures)
			}
			if w.Len() != living {
				t.Errorf("%s: %d entities after the failure, %d before", how, w.Len(), living)
			}
			if again := before.Step(ecs.Frame{Tick: o.Tick}); again.Checksum != o.Checksum || len(again.Failures) != 1 || again.Failures[0] != o.Failures[0] {
				t.Errorf("%s: a replay of the failure differs", how)
			}
			restore()
		}
		if got := len(w.Tables()); got > ecs.MaxTables() || how == "adding" && got != full {
			t.Errorf("%s: %d tables, %d at the limit", how, got, full)
		}
	}
}
