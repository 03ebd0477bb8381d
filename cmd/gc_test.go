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
			n.look(c.rooms, c.share)
		}
		if got := n.look(c.rooms, c.share); got != c.want {
			t.Errorf("at %d %% with rooms (%v) and a share of %v: %d %%, want %d", c.now, c.rooms, c.share, got, c.want)
		}
	}
	burst := collector{growth: leanGC}
	for i, share := range []float64{0.001, 0.2, 0.2, 0.001, 0.2, 0.2, 0.2, 0.001} {
		if got := burst.look(true, share); got != leanGC {
			t.Errorf("look %d: a burst makes it %d %%", i, got)
		}
	}
	for share := 0.0001; share < 0.1; share *= 1.1 { // at the usual growth
		n, changes := collector{growth: usualGC}, 0
		for range 100 {
			before, costs := n.growth, share
			if before == leanGC {
				costs *= usualGC / leanGC
			}
			if n.look(true, costs) != before {
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
