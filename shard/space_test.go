package shard

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence"
)

// smallLog limits the testbed's log to the given bytes (a tick takes about 150) and makes snapshots frequent.
func (b *testbed) smallLog(bytes int64) func(*HostConfig) {
	b.store.MaxLogBytes = bytes
	return func(c *HostConfig) { c.SnapshotEvery, c.MeasureEvery = 25, 100*time.Millisecond }
}

func (b *testbed) first() persistence.Seq {
	b.t.Helper()
	first, err := b.store.Log().First(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return first
}

// TestALogThatFillsLosesItsOldestRecords: a shard writes many times its log's limit and never waits for room.
func TestALogThatFillsLosesItsOldestRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", b.smallLog(32<<10))
		if err := b.run(h, time.Minute); err != nil {
			t.Fatal(err)
		}
		if s := h.Stats(); p.count() < 1790 || s.MaxDebt > 8 {
			t.Errorf("%d ticks in a minute, at worst %d behind", p.count(), s.MaxDebt)
		}
		e, err := b.store.Log().Extent(t.Context())
		if err != nil || e.Used > e.Limit/100*90 || e.Used < e.Limit/100*40 || b.first() < 1000 {
			t.Errorf("the log begins at %d and holds %+v, error %v", b.first(), e, err)
		}
		b.check(walk(0))
	})
}

// TestASmallLogHasItsSnapshotsInTime: a log that fills in less than the minute between two snapshots gets two snapshots before.
func TestASmallLogHasItsSnapshotsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		b.store.MaxLogBytes = 400 << 10
		h, p, _ := b.host("a", nil)
		if err := b.run(h, 5*time.Minute); err != nil {
			t.Fatal(err)
		}
		if s := h.Stats(); p.count() < 8950 || s.MaxDebt > 8 || b.first() < 1000 {
			t.Errorf("%d ticks in five minutes, at worst %d behind; the log begins at %d", p.count(), s.MaxDebt, b.first())
		}
	})
}

// TestALogKeepsAllUntilItIsNearlyFull: below the mark nothing is purged.
func TestALogKeepsAllUntilItIsNearlyFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", b.smallLog(1<<20))
		if err := b.run(h, time.Minute); err != nil {
			t.Fatal(err)
		}
		if b.first() != 1 || h.Stats().Snapshots < 10 || len(h.Stats().Conditions) > 0 {
			t.Errorf("the log begins at %d after %d snapshots, conditions %v", b.first(), h.Stats().Snapshots, h.Stats().Conditions)
		}
	})
}

// TestAFullLogHasAWayOut: a shard that never purges runs until its log is full, and reports it before and then. A start that
// may purge makes room below two proven snapshots before it writes anything; a start that may not is refused.
func TestAFullLogHasAWayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		keep := func(c *HostConfig) { b.smallLog(32 << 10)(c); c.KeepLog = true }
		h, p, _ := b.host("a", keep)
		var warned, full []Condition
		go func() {
			for len(full) == 0 {
				time.Sleep(50 * time.Millisecond)
				i := slices.IndexFunc(h.Stats().Conditions, func(c Condition) bool { return c.Kind == LogFull })
				if i < 0 {
					continue
				}
				if c := h.Stats().Conditions[i]; c.Stops {
					full = append(full, c)
				} else if len(warned) < 20 {
					warned = append(warned, c)
				}
			}
		}()
		if err := b.run(h, time.Minute); err != nil {
			t.Fatal(err)
		}
		if len(warned) == 0 || !strings.Contains(warned[len(warned)-1].Text, "full in about") || len(full) == 0 {
			t.Fatalf("warned %v, full %v", warned, full)
		}
		if b.first() != 1 {
			t.Errorf("a log that keeps all begins at %d", b.first())
		}
		refused, _, _ := b.host("b", keep)
		if err := b.run(refused, 5*time.Second); !errors.Is(err, persistence.ErrFull) {
			t.Errorf("a start that may not purge: %v", err)
		}
		again, p2, _ := b.host("b", b.smallLog(32<<10))
		if err := b.run(again, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		if p2.count() < 550 || p2.released[0] != p.released[len(p.released)-1]+1 || b.first() == 1 {
			t.Errorf("%d ticks were made from %d on, after %d; the log begins at %d", p2.count(), p2.released[0], p.released[len(p.released)-1], b.first())
		}
		b.check(walk(0))
	})
}
