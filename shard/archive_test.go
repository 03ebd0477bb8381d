package shard

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence"
)

// archiveHost returns a host that has run for a while and stopped, with an archive that nobody empties and a snapshot always
// due.
func archiveHost(t *testing.T) *Host {
	b := newTestbed(t)
	h, _, _ := b.host("a", nil)
	if err := b.run(h, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	h.archive = &archive{jobs: make(chan job, 2), wake: func() {}}
	return h
}

func TestSnapshotIsBusyBeforeAnybodyHasIt(t *testing.T) {
	h := archiveHost(t)
	const snapshots = 20_000
	done, early := make(chan struct{}), 0
	go func() {
		defer close(done)
		for got, looks := 0, 0; got < snapshots; looks++ {
			select { // hardly ever asleep: as close behind the sender as can be
			case <-h.archive.jobs:
				got++
				if !h.archive.busy.Load() {
					early++
				}
				for !h.archive.busy.CompareAndSwap(true, false) {
					runtime.Gosched()
				}
			default:
				if looks%1000 == 0 {
					runtime.Gosched()
				}
			}
		}
	}()
	for range snapshots {
		h.snapshot(1, 1)
		for h.archive.busy.Load() {
			runtime.Gosched()
		}
	}
	<-done
	if early > 0 {
		t.Errorf("%d of %d snapshots were received before the archive was busy", early, snapshots)
	}
}

func TestSnapshotThatFindsTheWayFullComesSoonAgain(t *testing.T) {
	h := archiveHost(t)
	h.archive.purge(persistence.SnapshotInfo{Seq: 1}, 1)
	h.archive.purge(persistence.SnapshotInfo{Seq: 2}, 2)
	if h.snapshot(1, 1); h.archive.at != 0 || h.archive.busy.Load() {
		t.Errorf("a snapshot that was not sent counts as taken at tick %d, busy %v", h.archive.at, h.archive.busy.Load())
	}
	<-h.archive.jobs
	if h.snapshot(1, 1); h.archive.at != h.sim.world.Tick() || !h.archive.busy.Load() {
		t.Error("there is room again, and no snapshot is taken")
	}
}

// silentSnapshots is a store that never answers requests for some snapshots, like a server that cannot read the message.
type silentSnapshots struct {
	persistence.SnapshotWriter
	silent func(persistence.SnapshotInfo) bool
}

func (s silentSnapshots) Get(ctx context.Context, info persistence.SnapshotInfo) (persistence.Snapshot, error) {
	if s.silent(info) {
		time.Sleep(50 * time.Millisecond)
		return persistence.Snapshot{}, errors.New("no answer came")
	}
	return s.SnapshotWriter.Get(ctx, info)
}

// TestRecoveryTriesTheOlderSnapshot: recovery requests a silent snapshot for a while, then uses the older one.
func TestRecoveryTriesTheOlderSnapshot(t *testing.T) {
	for _, purge := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			h, p, _ := b.host("a", func(c *HostConfig) { c.SnapshotEvery, c.Purge = 25, purge })
			if err := b.run(h, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			all, err := b.snapshots.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var a *alarms
			h2, p2, _ := b.host("b", func(c *HostConfig) {
				a = newAlarms(c)
				c.Snapshots = silentSnapshots{c.Snapshots, func(i persistence.SnapshotInfo) bool { return i.Name == all[0].Name }}
			})
			if err := b.run(h2, 30*time.Second); err != nil {
				t.Fatal(err)
			}
			if p2.count() == 0 || p2.released[0] != p.released[len(p.released)-1]+1 {
				t.Errorf("purged %v: %d ticks were made", purge, p2.count())
			}
			if a.count("snapshot "+all[0].Name+" is not used: it cannot be loaded") != 1 {
				t.Errorf("purged %v: an operator is told %q", purge, a.told)
			}
		})
	}
}

// TestSilentSnapshotStoreIsWaitedFor: a store that never answers does not halt a shard whose log was purged.
func TestSilentSnapshotStoreIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", func(c *HostConfig) { c.SnapshotEvery, c.Purge = 25, true })
		if err := b.run(h, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		back := time.Now().Add(3 * time.Minute)
		h2, p2, _ := b.host("b", func(c *HostConfig) {
			c.Snapshots = silentSnapshots{c.Snapshots, func(persistence.SnapshotInfo) bool { return time.Now().Before(back) }}
		})
		if err := b.run(h2, 5*time.Minute); err != nil {
			t.Fatal(err)
		}
		if halted := b.coord.Standing().Halted; halted != "" || p2.count() == 0 || p2.released[0] != p.released[len(p.released)-1]+1 {
			t.Errorf("%d ticks were made, halted %q", p2.count(), halted)
		}
	})
}

// TestNothingIsPurgedBehindASnapshotThatWentBad: a purge reads the older of two proven snapshots again before it removes the
// log's beginning.
func TestNothingIsPurgedBehindASnapshotThatWentBad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", func(c *HostConfig) {
			c.SnapshotEvery, c.Purge = 25, true
			c.Snapshots = silentSnapshots{c.Snapshots, func(persistence.SnapshotInfo) bool { return true }}
		})
		if err := b.run(h, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if first, err := b.store.Log().First(t.Context()); err != nil || first != 1 || h.Stats().Snapshots < 4 {
			t.Errorf("the log begins at %d after %d snapshots: %v", first, h.Stats().Snapshots, err)
		}
	})
}
