package shard

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSnapshotIsDueByWhatARecoveryCosts(t *testing.T) {
	rule := newSnapshotRule(30, 0)
	for _, c := range []struct {
		what      string
		recovered Mileage
		due       bool
	}{
		{"nothing", Mileage{}, false},
		{"less than a minute", Mileage{Ticks: 1799, Bytes: 1 << 20, Work: time.Second}, false},
		{"a minute of ticks, in lives of 20 s", Mileage{Ticks: 1800}, true},
		{"64 MiB of records", Mileage{Ticks: 100, Bytes: 64 << 20}, true},
		{"a recovery of 5 s", Mileage{Ticks: 100, Work: 5 * time.Second}, true},
	} {
		if o := newOdometer(rule, c.recovered); o.due(5000) != c.due {
			t.Errorf("behind a recovery of %s: due %v, want %v", c.what, !c.due, c.due)
		}
	}
}

func TestSnapshotThatIsNotStoredIsTriedAgain(t *testing.T) {
	o := newOdometer(newSnapshotRule(30, 0), Mileage{})
	tick := uint64(0)
	next := func() (ticks int) {
		for ticks = 0; !o.due(tick); ticks++ {
			tick++
			o.drive(Mileage{Ticks: 1, Bytes: 100, Work: time.Millisecond})
		}
		o.attempt(tick)
		return ticks
	}
	for i, want := range []int{1800, 300, 300} { // after each attempt nothing comes of it
		if got := next(); got != want {
			t.Errorf("attempt %d comes after %d ticks, want %d", i+1, got, want)
		}
	}
	for range 10 { // while it is stored
		tick++
		o.drive(Mileage{Ticks: 1})
	}
	o.stored(tick - 10)
	if got := next(); got != 1790 {
		t.Errorf("behind one that was stored the next comes after %d ticks, want 1790", got)
	}
}

// TestNodeThatIsKilledEvery20SecondsHasBoundedRecovery simulates ten minutes of a node that never lives for a snapshot's
// interval, and of one that counts from its own start. The simulator must see the difference.
func TestNodeThatIsKilledEvery20SecondsHasBoundedRecovery(t *testing.T) {
	live := func(forgets bool) (ticks, longest uint64) {
		s := newSim(1, nil)
		s.calm()
		s.cfg.length, s.cfg.forgets, s.cfg.ends = 10*time.Minute, forgets, 0
		s.cfg.rule = newSnapshotRule(20, 0) // of the simulated world: two a tenth of a second
		var kill func()
		kill = func() {
			for _, n := range s.nodes {
				n.crash()
			}
			s.in(20*time.Second, kill)
		}
		s.in(20*time.Second, kill)
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
		return uint64(len(s.ticks)), s.longest
	}
	ticks, longest := live(false)
	t.Logf("%d ticks, the longest recovery simulates %d again", ticks, longest)
	// A minute of ticks, the life in which it is full, and what a crash during the upload costs.
	if most := uint64(60+2*20) * 20; longest > most || longest < 20*20 || ticks < 5000 {
		t.Errorf("of %d ticks a recovery simulates %d again, want at most %d", ticks, longest, most)
	}
	if all, forgotten := live(true); forgotten < all*3/4 {
		t.Errorf("nodes that count from their own start recover %d of %d ticks: nothing would show that", forgotten, all)
	}
}

func TestHostsThatLiveShorterThanAnIntervalMakeSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		for life, want := range []int{0, 0, 1, 1, 2, 2} { // of 25 s; a minute of ticks is 1,800
			h, _, _ := b.host("a", nil)
			if err := b.run(h, 25*time.Second); err != nil {
				t.Fatal(err)
			}
			if all, err := b.snapshots.List(t.Context()); err != nil || len(all) != want {
				t.Errorf("after life %d there are %d snapshots, want %d: %v", life+1, len(all), want, err)
			}
		}
		b.check(walk(0))
	})
}
