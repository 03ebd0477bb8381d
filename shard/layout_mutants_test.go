package shard

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// layoutMutants break how a log is kept in a stream that it shares with other rooms.
var layoutMutants = []struct {
	name  string
	owner func() func(o *Owner, ev Event) (Event, bool) // nil: unchanged
	plant func(s *sim)
	by    []string          // the invariants that may catch it
	not   []string          // invariants not to check, to see the harm itself
	only  func(s *sim) bool // the seeds to run; nil: all
}{
	{"two outstanding records", newPipeliner, func(s *sim) { s.eager = true }, []string{"I6"}, []string{"deltas"}, nil},
	{"two outstanding records, the harm", newPipeliner, func(s *sim) { s.eager = true }, []string{"I1", "I2", "I4"}, []string{"I6", "deltas"}, nil},
	{"a fence by the stream's last sequence", nil, fenceBy(func(s *sim, f simFence) simFence {
		return simFence{last: s.part.last} // read right before the append, since neighbours write too
	}), []string{"I1", "I2", "I4", "I11"}, nil, nil},
	{"a fence by the last sequence of the stream that the owner wrote", nil, fenceBy(func(s *sim, f simFence) simFence {
		return simFence{last: f.last}
	}), []string{"served", "sealed"}, nil, nil},
	{"a fence that a neighbour's record satisfies", nil, fenceBy(func(s *sim, f simFence) simFence {
		other := s.part.neighbours[0].simRoom
		return simFence{simFilter{room: other}, other.end(true)}
	}), []string{"I1", "I2", "I4", "I11"}, nil, nil},
	{"epochs and ticks under different filters", nil, func(s *sim) {
		s.part.fence = func(_ *simNode, kind string, f simFence) simFence {
			f.filter.literal = kind == "epoch"
			return f
		}
	}, []string{"I1", "I2", "I4", "I11"}, nil, func(s *sim) bool { return s.part.replicated }},
	{"an acknowledgement of a neighbour taken for one's own", nil, func(s *sim) { s.part.greedy = true }, []string{"I1", "I4", "I6", "I7"}, nil, nil},
	{"a purge that removes a neighbour's records", nil, func(s *sim) {
		s.part.purge = func(r *simRoom, below persistence.Seq) {
			place := r.places[min(int(below), len(r.places))-1]
			s.purgeBelow(place)
			for _, x := range s.part.neighbours {
				x.purgeBelow(place)
			}
		}
	}, []string{"I12", "I8"}, nil, nil},
	{"a removal that takes the seal too", nil, func(s *sim) {
		s.part.remove = func(r *simRoom) { r.first = persistence.Seq(len(r.log)) + 1 }
	}, []string{"I11"}, []string{"I12"}, ends},
	{"a seal outside the filter", nil, fenceBy(func(s *sim, f simFence) simFence {
		f.filter.literal = true
		return f
	}), []string{"I11"}, nil, ends},
}

// ends chooses the seeds in which the room ends.
func ends(s *sim) bool { return s.cfg.ends > 0 || s.cfg.closes }

// fenceBy changes the condition of each append of the shard.
func fenceBy(change func(s *sim, f simFence) simFence) func(s *sim) {
	return func(s *sim) {
		s.part.fence = func(n *simNode, _ string, f simFence) simFence { return change(s, f) }
	}
}

// TestSimulatorCatchesEveryLayout asserts that each deliberate break of the layout is found, and says in how many seeds.
func TestSimulatorCatchesEveryLayout(t *testing.T) {
	const seeds = 100 // with neighbours
	for _, m := range layoutMutants {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			start, ran, caught, first, by := time.Now(), 0, 0, uint64(0), map[string]int{}
			for seed := uint64(1); ran < seeds; seed++ {
				var owner func(o *Owner, ev Event) (Event, bool)
				if m.owner != nil {
					owner = m.owner()
				}
				s := newSim(seed, owner)
				if s.part.alone || m.only != nil && !m.only(s) {
					continue
				}
				ran++
				s.ignore = slices.Clone(m.not)
				for _, name := range []string{"served", "sealed"} { // a broken layout does not go on either: the graver harm counts
					if !slices.Contains(m.by, name) {
						s.ignore = append(s.ignore, name)
					}
				}
				m.plant(s)
				var v violation
				switch err := s.run(); {
				case err == nil:
				case !errors.As(err, &v) || !slices.Contains(m.by, v.name):
					t.Fatalf("seed %d: caught by %v, expected one of %v", seed, err, m.by)
				default:
					if caught++; first == 0 {
						first = seed
						t.Log(err)
					}
					by[v.name]++
				}
			}
			t.Logf("caught in %d of %d seeds, first in seed %d, in %s: %v", caught, ran, first, time.Since(start).Round(time.Millisecond), by)
			if caught == 0 {
				t.Error("not caught")
			}
		})
	}
}

// TestAPartitionRefusesAnOwnerThatOverlooksItsSeal: in a stream of its own, a log has the rule that nothing follows a seal from its
// readers. In a partition the stream itself refuses: the seal is the last message under the filter, and no writer expects it.
func TestAPartitionRefusesAnOwnerThatOverlooksItsSeal(t *testing.T) {
	for _, alone := range []bool{false, true} {
		ran, broken := 0, 0
		for seed := uint64(1); ran < 20; seed++ {
			s := newSim(seed, breakSeal)
			if !ends(s) || s.cfg.trouble || s.part.alone != alone {
				continue
			}
			ran++
			s.ignore = []string{"served", "sealed", "going on", "removed", "I9"}
			var v violation
			switch err := s.run(); {
			case errors.As(err, &v) && v.name == "I11":
				broken++
			case err != nil:
				t.Errorf("seed %d: %v", seed, err)
			}
		}
		t.Logf("alone %v: of %d seeds, something follows the seal in %d", alone, ran, broken)
		if alone != (broken > 0) {
			t.Errorf("alone %v: something follows the seal in %d of %d seeds", alone, broken, ran)
		}
	}
}
