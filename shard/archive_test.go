package shard

import (
	"runtime"
	"testing"
	"time"
)

// archiveHost returns a host that has run for a while and stopped, with an archive of its own that
// nobody empties, and for which it is always time for a snapshot.
func archiveHost(t *testing.T) *Host {
	b := newTestbed(t)
	h, _, _ := b.host("a", nil)
	if err := b.run(h, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	h.cfg.SnapshotEvery = 0
	h.archive = &archive{jobs: make(chan job, 2)}
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
	h.archive.purge(1)
	h.archive.purge(2)
	if h.snapshot(1, 1); h.archive.last != 0 || h.archive.busy.Load() {
		t.Errorf("a snapshot that was not sent counts as taken at tick %d, busy %v", h.archive.last, h.archive.busy.Load())
	}
	<-h.archive.jobs
	if h.snapshot(1, 1); h.archive.last != h.sim.world.Tick() || !h.archive.busy.Load() {
		t.Error("there is room again, and no snapshot is taken")
	}
}
