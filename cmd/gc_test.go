package cmd

import "testing"

// TestCollectionsAreFrequentWhileTheyCostLittle: a node with idle rooms collects more often; one that allocates much, or has no
// rooms, does not; and no load makes it change its mind all the time: collections at the lean growth cost six times as much.
func TestCollectionsAreFrequentWhileTheyCostLittle(t *testing.T) {
	for _, c := range []struct {
		now   int
		rooms bool
		share float64
		want  int
	}{
		{usualGC, false, 0, usualGC},
		{usualGC, true, 0.0005, leanGC},
		{leanGC, true, 0.002, leanGC},
		{leanGC, true, 0.02, usualGC},
		{usualGC, true, 0.005, usualGC},
		{leanGC, false, 0.0005, usualGC},
	} {
		n := collector{growth: c.now}
		for range gcBurst - 1 {
			n.judge(c.rooms, c.share)
		}
		if n.judge(c.rooms, c.share); n.growth != c.want {
			t.Errorf("at %d %% with rooms (%v) and a share of %v: %d %%, want %d", c.now, c.rooms, c.share, n.growth, c.want)
		}
	}
	burst := collector{growth: leanGC}
	for i, share := range []float64{0.001, 0.2, 0.2, 0.001, 0.2, 0.2, 0.2, 0.001} {
		if burst.judge(true, share); burst.growth != leanGC {
			t.Errorf("judgement %d: a burst makes it %d %%", i, burst.growth)
		}
	}
	for share := 0.0001; share < 0.1; share *= 1.1 { // at the usual growth
		n, changes := collector{growth: usualGC}, 0
		for range 100 {
			before, costs := n.growth, share
			if before == leanGC {
				costs *= usualGC / leanGC
			}
			if n.judge(true, costs); n.growth != before {
				changes++
			}
		}
		if changes > 1 {
			t.Errorf("a node whose collections take %v changes its mind %d times", share, changes)
		}
	}
	if collecting() < 0 {
		t.Error("collections take negative time")
	}
}

// TestATakeoverIsNotHeldUpByCollections: while a node takes over many rooms, its heap may grow at once, and it is lean again afterwards.
// Collections that cost much for another reason are given some time to become fewer.
func TestATakeoverIsNotHeldUpByCollections(t *testing.T) {
	n := collector{growth: leanGC}
	for i, c := range []struct {
		returning int
		share     float64
		want      int
	}{{0, 0.005, leanGC}, {gcMany, 0.005, usualGC}, {200, 0.1, usualGC}, {gcMany - 1, 0.1, leanGC}, {0, 0.3, leanGC}} {
		if got := n.look(hosting{true, c.returning}, c.share); got != c.want {
			t.Errorf("look %d: %d %%, want %d", i, got, c.want)
		}
	}
	looks := 5
	for ; n.look(hosting{any: true}, 0.05) == leanGC; looks++ {
	}
	if want := gcBurst*gcLooks - 1; looks != want {
		t.Errorf("collections that cost 5 %% are rarer after %d looks, want %d", looks, want)
	}
}
