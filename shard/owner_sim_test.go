package shard

import (
	"flag"
	"testing"
	"time"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed of the simulator alone")
	simSeeds = flag.Uint64("sim.seeds", 0, "run so many seeds of the simulator, without a time limit")
	simFrom  = flag.Uint64("sim.from", 1, "first seed")
)

// TestSimulatedClusterKeepsTheInvariants simulates thousands of short lives of a cluster.
func TestSimulatedClusterKeepsTheInvariants(t *testing.T) {
	if *simSeed > 0 {
		if err := newSim(*simSeed, nil).run(); err != nil {
			t.Fatalf("seed %d: %v", *simSeed, err)
		}
		return
	}
	seeds, limit := *simSeeds, time.Duration(0)
	if seeds == 0 {
		seeds, limit = 3000, 10*time.Second
	}
	start := time.Now()
	var done, fences, commits, alarms, losses, idle, foreign int
	stops := map[string]int{}
	for seed := *simFrom; seed < *simFrom+seeds; seed++ {
		if limit > 0 && done >= 300 && time.Since(start) > limit {
			break
		}
		s := newSim(seed, nil)
		if err := s.run(); err != nil {
			t.Fatalf("seed %d: %v (again: go test -run %s -sim.seed %d)", seed, err, t.Name(), seed)
		}
		done++
		fences, commits, alarms, losses = fences+s.fences, commits+s.commits, alarms+s.alarms, losses+s.losses
		for why, n := range s.stops {
			stops[why] += n
		}
		foreign += int(s.part.last) - len(s.log)
		if s.commits == 0 {
			idle++
		}
	}
	t.Logf("%d seeds in %s: %d ownerships, %d records committed among %d of neighbours, %d alarms, %d truncations, %d seeds without a commit; owners ended: %v",
		done, time.Since(start).Round(time.Millisecond), fences, commits, foreign, alarms, losses, idle, stops)
	if commits < 50*done || foreign < 100*done || fences < done || idle > done/10 {
		t.Errorf("the simulated clusters do too little for the invariants to mean anything")
	}
}
