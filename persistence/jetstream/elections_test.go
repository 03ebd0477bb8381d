package jetstream

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// insist appends the writer's next record as an owner does: it sends the identical bytes again until it knows.
func insist(t *testing.T, s *Shard, w *writer) error {
	m, r, err := w.next()
	if err != nil {
		return err
	}
	for end := time.Now().Add(30 * time.Second); ; {
		err := s.log.Append(testContext(t), m, w.chain.Seq())
		if errors.Is(err, persistence.ErrConflict) {
			got, getErr := s.log.Get(testContext(t), w.chain.Seq()+1)
			switch {
			case getErr == nil && bytes.Equal(got.Body, m.Body):
				err = nil
			case getErr == nil:
				return fmt.Errorf("another record is at %d: %w", w.chain.Seq()+1, err)
			}
		}
		if err == nil {
			w.chain.Advance(r, persistence.HashOf(m.Body))
			return nil
		}
		if !errors.Is(err, persistence.ErrConflict) && !errors.Is(err, persistence.ErrAmbiguous) || time.Now().After(end) {
			return err
		}
	}
}

// TestRoomsOutliveElections: three servers elect leaders again and again while rooms write to the same partition. Every
// room has all that it was told is stored, in order and once, and so do its deltas.
func TestRoomsOutliveElections(t *testing.T) {
	site := site{addrs: startCluster(t, 1<<36), replicas: 3}
	names := neighbours("main", 4)[1:]
	type played struct {
		shard  *Shard
		w      *writer
		stored atomic.Int64
	}
	rooms := make([]*played, len(names))
	for i, name := range names {
		c := site.connect(t, site.addrs[i])
		s, err := Create(testContext(t), c, "dev", name, testLineage, Options{Shared: true, Replicas: 3, AckTimeout: 700 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		rooms[i] = &played{shard: s, w: newWriter()}
	}
	var stop atomic.Bool
	var group sync.WaitGroup
	for _, r := range rooms {
		group.Go(func() {
			for !stop.Load() {
				if err := insist(t, r.shard, r.w); err != nil {
					t.Errorf("%s after record %d: %v", r.shard.ref.Shard, r.w.chain.Seq(), err)
					return
				}
				if tick := r.w.chain.Tick(); tick > 0 {
					if err := r.shard.deltas.Publish(testContext(t), []persistence.Delta{deltaOf(tick, 50)}); err != nil {
						t.Errorf("%s: delta of tick %d: %v", r.shard.ref.Shard, tick, err)
						return
					}
				}
				r.stored.Add(1)
			}
		})
	}
	c := site.connect(t, "")
	for i := range 8 {
		for _, stream := range []string{rooms[0].shard.log.name, rooms[0].shard.deltas.name} {
			if _, err := c.nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 10*time.Second); err != nil {
				t.Errorf("election %d: %v", i, err)
			}
		}
		for _, r := range rooms { // let them write under each leader
			for begun := r.stored.Load(); r.stored.Load() < begun+20 && !t.Failed(); {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	stop.Store(true)
	group.Wait()
	if t.Failed() {
		return
	}
	for _, r := range rooms {
		fresh, err := Open(testContext(t), site.connect(t, ""), "dev", r.shard.ref.Shard, testLineage, Options{Replicas: 3})
		if err != nil {
			t.Fatal(err)
		}
		resumeFrom(t, fresh, r.w)
		tick := uint64(0)
		for _, d := range readDeltas(t, fresh.deltas, 0) {
			if tick++; d.Tick != tick {
				t.Fatalf("%s: the delta of tick %d comes after that of tick %d", r.shard.ref.Shard, d.Tick, tick-1)
			}
		}
		if tick != r.w.chain.Tick() {
			t.Errorf("%s: %d deltas of %d ticks", r.shard.ref.Shard, tick, r.w.chain.Tick())
		}
		t.Logf("%s: %d records", r.shard.ref.Shard, r.w.chain.Seq())
		fresh.Close()
	}
}
