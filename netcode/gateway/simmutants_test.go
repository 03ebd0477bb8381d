package gateway

import (
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
)

// simMutant plants a bug.
type simMutant struct {
	event          func(s *sim, x *simSession, e *event) bool
	blind          func(a *action) bool // this write ignores the revision
	notReconnected bool
	stamps         bool
	noGrace        bool
}

var simMutants = map[string]simMutant{
	"the newer stamp wins":            {stamps: true},
	"no look after a reconnect":       {notReconnected: true},
	"no look from time to time":       {event: func(_ *sim, x *simSession, e *event) bool { return neverCheck(x) }},
	"writes that compare nothing":     {blind: func(a *action) bool { return true }},
	"a release that compares nothing": {blind: func(a *action) bool { return a.record.Left }},
	"what may have been executed is sent again": {event: func(_ *sim, x *simSession, e *event) bool {
		if e.kind == eventAnswer && e.answer.Err != nil && e.answer.Err.Code == rpc.Unavailable {
			e.answer.Err = notBegun("nobody is there").Err
		}
		return true
	}},
	"requests overtake a login": {event: func(_ *sim, x *simSession, e *event) bool {
		if e.kind == eventRequest {
			x.m.login = nil
		}
		return true
	}},
	"two instances at once": {noGrace: true},
	"a write that came second is taken for one that came first": {event: func(_ *sim, x *simSession, e *event) bool {
		if e.kind == eventWritten && !e.failed && e.revision == 0 {
			e.revision = 1 << 61
		}
		return true
	}},
	"a write that failed is taken for one that came first": {event: func(_ *sim, x *simSession, e *event) bool {
		if e.kind == eventWritten && e.failed {
			e.failed, e.revision = false, 1<<61
		}
		return true
	}},
	"an instance that was not there is picked again": {event: func(_ *sim, x *simSession, e *event) bool {
		for _, b := range x.m.bindings {
			b.avoid = ""
		}
		return true
	}},
}

// neverCheck postpones the next check.
func neverCheck(x *simSession) bool {
	if c := x.m.claim; c != nil && c.checkAt < 1<<60 {
		c.checkAt += 1 << 60
	}
	return true
}

// TestGatewaysInTrouble plays many runs, each determined by its seed.
func TestGatewaysInTrouble(t *testing.T) {
	seeds, first := *simSeeds, uint64(1)
	if *simSeed != 0 {
		seeds, first = *simSeed, *simSeed
	}
	for seed := first; seed <= seeds; seed++ {
		if err := newSim(seed, simMutant{}).run(); err != nil {
			t.Fatalf("%v\nrun it alone with -sim-seed %d", err, seed)
		}
	}
}

// TestTheSimulationFindsEveryMutant asserts that each planted bug is found.
func TestTheSimulationFindsEveryMutant(t *testing.T) {
	for name, m := range simMutants {
		t.Run(name, func(t *testing.T) {
			const seeds = 3000
			for seed := uint64(1); seed <= seeds; seed++ {
				if err := newSim(seed, m).run(); err != nil {
					t.Logf("found: %v", err)
					return
				}
			}
			t.Fatalf("not found in %d runs", seeds)
		})
	}
}
