package shard

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// The builds of one game that differ in their types.
type (
	gSpot  struct{ X float64 }
	gSpotZ struct{ Z, X float64 }
	gMore  struct{ N int32 }
	gSell  struct{ N int32 }
)

// grown is walk with one more type, or with another type for its place, depending on before.
func grown[S any](name string, before func(w *ecs.World), after func(w *ecs.World)) ecs.Game {
	type body struct{ Spot S }
	return ecs.Game{Name: "grown", TickRate: 30, Setup: func(w *ecs.World) {
		if before != nil {
			before(w)
		}
		ecs.Component[S](w, name)
		ecs.Handle[tPush](w, "push", func(t *ecs.Tick, c *ecs.Cmd[tPush], s *ecs.Spawner[body]) { s.New(body{}) })
		ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[body]) { s.New(body{}) })
		if after != nil {
			after(w)
		}
	}}
}

func oldBuild() ecs.Game { return grown[gSpot]("spot", nil, nil) }

// TestAnotherSchemaIsRefusedBeforeAnythingIsClaimed starts changed builds on a shard that another build left, was killed on, or
// owns. A build that cannot carry the schema over names the differences and leaves no epoch, halt or record: the old build
// continues.
func TestAnotherSchemaIsRefusedBeforeAnythingIsClaimed(t *testing.T) {
	more := func(w *ecs.World) { ecs.Component[gMore](w, "more") }
	sell := func(w *ecs.World) { ecs.Handle[gSell](w, "sell", func(*ecs.Tick, *ecs.Cmd[gSell]) {}) }
	both := func(w *ecs.World) { more(w); sell(w) }
	for _, build := range []struct {
		name string
		game ecs.Game
		says string // empty: it is carried over
	}{
		{"component renamed", grown[gSpot]("place", nil, nil), "component spot is now place"},
		{"field inserted", grown[gSpotZ]("spot", nil, nil), "component spot.Z (f64) was added"},
		{"component removed", grown[gMore]("other", nil, nil), "component spot was removed"},
		{"neither ticks nor deltas", grown[gSpot]("spot", both, nil), "component more (in front of spot) was added; command sell (in front of push) was added"},
		{"component added in front", grown[gSpot]("spot", more, nil), ""},
		{"component added behind", grown[gSpot]("spot", nil, more), ""},
		{"command added behind", grown[gSpot]("spot", nil, sell), ""},
		{"command added in front", grown[gSpot]("spot", sell, nil), ""},
	} {
		for _, purged := range []bool{false, true} {
			t.Run(strings.ReplaceAll(build.name, " ", "-")+map[bool]string{true: "/purged"}[purged], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newTestbed(t)
					old := func(c *HostConfig) {
						c.Game, c.Build.ID = oldBuild(), "old"
						if purged {
							c.Purge, c.SnapshotEvery = true, 10
						}
					}
					h, _, _ := b.host("a", old)
					if err := b.run(h, 2*time.Second); err != nil {
						t.Fatal(err)
					}
					before, last := b.coord.Standing(), b.last()
					h2, p2, _ := b.host("b", func(c *HostConfig) { c.Game, c.Build.ID = build.game, "new" })
					err := b.run(h2, 2*time.Second)
					if build.says == "" {
						if err != nil || p2.count() == 0 {
							t.Errorf("it ends with %v after %d ticks", err, p2.count())
						}
						return
					}
					if !errors.Is(err, ErrOtherSchema) || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), build.says) ||
						!strings.Contains(err.Error(), "build old") && !purged {
						t.Errorf("it ends with %v", err)
					}
					var typed *persistence.SchemaError
					if !errors.As(err, &typed) || len(typed.Changes) == 0 {
						t.Errorf("it ends with %T", err)
					}
					if now := b.coord.Standing(); !reflect.DeepEqual(now, before) || b.last() != last {
						t.Errorf("it leaves\n%+v and %d records, there were\n%+v and %d", now, b.last(), before, last)
					}
					h3, p3, _ := b.host("c", old)
					if err := b.run(h3, time.Second); err != nil || p3.count() == 0 {
						t.Errorf("the old build ends with %v after %d ticks", err, p3.count())
					}
				})
			})
		}
	}
}

func (b *testbed) last() persistence.Seq {
	b.t.Helper()
	last, err := b.store.Log().Last(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return last
}

// TestANodeThatCouldNeverTakeOverDoesNotWait: a node refuses while another node owns, and also if the owner's build changed the
// schema while it waited.
func TestANodeThatCouldNeverTakeOverDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		host := func(id string, g ecs.Game) (*Host, *players) {
			h, p, _ := b.host(id, func(c *HostConfig) { c.Game, c.Build.ID = g, id })
			return h, p
		}
		run := func(h *Host) (stop context.CancelFunc, done chan error) {
			ctx, stop := context.WithCancel(t.Context())
			done = make(chan error, 1)
			go func() { done <- h.Run(ctx) }()
			time.Sleep(time.Second)
			return stop, done
		}
		newest := grown[gSpot]("spot", nil, func(w *ecs.World) { ecs.Component[gMore](w, "more") })
		a, _ := host("a", oldBuild())
		stopA, doneA := run(a)
		renamed, _ := host("r", grown[gSpot]("place", nil, nil))
		if err := b.run(renamed, time.Minute); !errors.Is(err, ErrOtherSchema) {
			t.Errorf("beside an owner it ends with %v", err)
		}
		waits, _ := host("w", oldBuild())
		stopW, doneW := run(waits) // behind a
		b.coord.Edit(func(s *Standing) { s.Halted = "so that nobody claims at once" })
		stopA()
		if err := <-doneA; err != nil {
			t.Fatal(err)
		}
		stopW()
		if err := <-doneW; err != nil {
			t.Fatal(err)
		}
		b.coord.Edit(func(s *Standing) { s.Halted = "" })
		n, pn := host("n", newest)
		stopN, doneN := run(n)
		again, _ := host("w2", oldBuild()) // the log's end is the newest build's
		if err := b.run(again, time.Minute); !errors.Is(err, ErrOtherSchema) || !strings.Contains(err.Error(), "component more was removed") || !strings.Contains(err.Error(), "build n") {
			t.Errorf("behind a newer build it ends with %v", err)
		}
		stopN()
		if err := <-doneN; err != nil || pn.count() == 0 {
			t.Errorf("the newest build ends with %v", err)
		}
	})
}

// TestABuildThatDivergesLeavesTheShardToTheOneThatRecorded: if the deltas are missing too, only the build that recorded the log
// halts the shard.
func TestABuildThatDivergesLeavesTheShardToTheOneThatRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		build := func(bias uint64, id string) func(*HostConfig) {
			return func(c *HostConfig) { c.Game, c.Build.ID, c.Deltas, c.Snapshots = walk(bias), id, nil, nil }
		}
		h, _, _ := b.host("a", build(0, "old"))
		if err := b.run(h, time.Second); err != nil {
			t.Fatal(err)
		}
		h, _, _ = b.host("b", build(10, "new"))
		if err := b.run(h, time.Second); !errors.Is(err, ErrRefused) || !errors.Is(err, persistence.ErrDiverged) || !strings.Contains(err.Error(), "build old") {
			t.Errorf("another build ends with %v", err)
		}
		if s := b.coord.Standing(); s.Halted != "" || s.Owner != "" {
			t.Errorf("another build leaves %+v", s)
		}
		h, p, _ := b.host("c", build(0, "old"))
		if err := b.run(h, time.Second); err != nil || p.count() == 0 {
			t.Errorf("the old build ends with %v", err)
		}
		h, _, _ = b.host("d", build(10, "old"))
		if err := b.run(h, time.Second); !errors.Is(err, ErrHalted) {
			t.Errorf("a build that is not deterministic ends with %v", err)
		}
	})
}

// TestRecoveryNamesWhatADivergedTickComputedOtherwise: a start logs a bounded number of differing values, recorded and computed.
func TestRecoveryNamesWhatADivergedTickComputedOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", func(c *HostConfig) { c.Config.Options = []byte(`{"walkers":200}`) })
		if err := b.run(h, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		h2, p, _ := b.host("b", func(c *HostConfig) { c.Game, c.Logger = walk(31), slog.New(slog.NewTextHandler(&log, nil)) })
		if err := b.run(h2, time.Second); err != nil || p.count() == 0 {
			t.Fatalf("it goes on with %v", err)
		}
		want := `component place of entity 1, X: 15.5 recorded, 15.625 computed`
		if n := strings.Count(log.String(), "msg=\"this value differs from the log's\""); !strings.Contains(log.String(), want) || n != persistence.MaxDifferences+1 || !strings.Contains(log.String(), "and 180 more") {
			t.Errorf("%d lines, want %q:\n%s", n, want, log.String())
		}
	})
}

// TestABuildThatNumbersOtherwisePublishesNoOldDeltas: ticks that the previous owner could not publish become a gap, since
// readers decode them with the schema of that time; the new build's own ticks are published.
func TestABuildThatNumbersOtherwisePublishesNoOldDeltas(t *testing.T) {
	front := grown[gSpot]("spot", func(w *ecs.World) { ecs.Component[gMore](w, "more") }, nil)
	behind := grown[gSpot]("spot", nil, func(w *ecs.World) { ecs.Component[gMore](w, "more") })
	for name, game := range map[string]ecs.Game{"front": front, "behind": behind} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			h, p, _ := b.host("a", func(c *HostConfig) { c.Game, c.Deltas = oldBuild(), &stuckDeltas{c.Deltas, true} })
			if err := b.run(h, 2*time.Second); err != nil {
				t.Fatal(err)
			}
			old := uint64(p.count())
			h2, _, _ := b.host("b", func(c *HostConfig) { c.Game = game })
			if err := b.run(h2, 2*time.Second); err != nil {
				t.Fatal(err)
			}
			next := uint64(1)
			for d, err := range b.store.Deltas().Read(t.Context(), 1) {
				if err != nil {
					t.Fatal(err)
				}
				if d.FirstTick() != next || (d.Gap != nil) != (name == "front" && d.Tick <= old) {
					t.Fatalf("%s: tick %d of %d old ones: a gap: %v", name, d.Tick, old, d.Gap != nil)
				}
				next = d.Tick + 1
			}
			if next <= old+30 {
				t.Errorf("%s: the stream ends at tick %d, the new build began at %d", name, next-1, old+1)
			}
		})
	}
}
