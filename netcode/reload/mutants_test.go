package reload

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
)

// A mutant breaks the protocol in one way. The simulator finds no fault in the protocol, so it must find one in each
// mutant; otherwise it proves nothing.
type mutant struct {
	name       string
	by         []string // the guarantees that may catch it
	event      func(*Follower, Event) (Event, bool)
	actions    func(*Follower, Event, []Action) []Action
	reply      func(*Coordinator, Reply) Reply
	requests   func(*Coordinator, []Request) []Request
	blindStore bool // a compare-and-set that compares nothing
	deaf       bool // no instance looks at the store
	weather    func(*simConfig)
}

var mutants = []mutant{
	{name: "in force before it is kept", actions: enterFirst, by: []string{"one set", "refused", "committed", "lost"}},
	{name: "kept without a compare", blindStore: true, weather: crowded, by: []string{"lost", "one set", "refused", "committed", "generation"}},
	{name: "committed on another base", event: forgetBase, weather: crowded, by: []string{"lost", "one set", "refused"}},
	{name: "committed without all", reply: takeAll, by: []string{"all or none"}},
	{name: "a timeout taken for a refusal", reply: timeoutIsNo, by: []string{"refused"}},
	{name: "a running write taken for none", event: forgetWrites, weather: repeating, by: []string{"refused"}},
	{name: "a lost answer of the store taken for a refusal", event: lostIsNo, by: []string{"refused"}},
	{name: "a generation that does not rise", requests: sameGeneration, by: []string{"serves", "lost", "one set"}},
	{name: "back to what is older", event: goBack, by: []string{"generation", "one set", "lost", "converge"}},
	{name: "nobody follows", event: deafToWatch, deaf: true, by: []string{"converge"}},
	{name: "nobody looks", deaf: true, by: []string{"converge"}},
	{name: "a store that is lost stays empty", event: neverRefill, by: []string{"converge"}},
	{name: "a late instance runs what it came with", event: startOwn, by: []string{"late"}},
	{name: "one origin, two results", reply: sameResult, weather: mixedBuilds, by: []string{"lost", "one set", "committed"}},
	{name: "a dry run that commits", requests: commitAnyway, by: []string{"refused", "all or none"}},
	{name: "prepared reloads block who follows", event: keepPrepared, by: []string{"converge", "serves", "committed"}},
}

// TestSimulatorCatchesEveryMutant asserts that each deliberate break of the protocol is found.
func TestSimulatorCatchesEveryMutant(t *testing.T) {
	for _, m := range mutants {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			const seeds = 2000
			for seed := uint64(1); seed <= seeds; seed++ {
				err := newSim(seed, m).run()
				if err == nil {
					continue
				}
				if v := (violation{}); !errors.As(err, &v) || !slices.Contains(m.by, v.name) {
					t.Fatalf("seed %d: caught by %v, expected one of %v", seed, err, m.by)
				}
				t.Logf("caught at seed %d: %v", seed, err)
				return
			}
			t.Fatalf("not caught in %d seeds", seeds)
		})
	}
}

// Weather in which some mutants do harm sooner.
func crowded(c *simConfig)     { c.lock, c.slow, c.crash, c.loss, c.twice = 0, 0.2, 0.01, 0, 0.3 }
func repeating(c *simConfig)   { c.lock, c.slow, c.twice, c.loss, c.die = 0, 0.2, 0.6, 0.05, 0 }
func mixedBuilds(c *simConfig) { c.unfit, c.slow, c.loss = true, 0, 0 }

// flowOf returns the flow that an event answers.
func flowOf(f *Follower, ev Event) flowKind {
	if fl := f.flows[ev.Flow]; fl != nil {
		return fl.kind
	}
	return 0
}

// enterFirst swaps the functions when the write is sent.
func enterFirst(f *Follower, _ Event, actions []Action) []Action {
	for _, a := range actions {
		if a.Kind == ActionWrite && flowOf(f, Event{Flow: a.Flow}) == flowCommit {
			f.entered(a.Entry, f.runtime.Commit(a.Entry.Reload))
		}
	}
	return actions
}

// forgetBase replaces a plan's base with what is in force now.
func forgetBase(f *Follower, ev Event) (Event, bool) {
	if ev.Kind == EventKept && flowOf(f, ev) == flowCommit {
		f.catchUp(ev.Entry)
		if p := f.plan(f.flows[ev.Flow].step.Reload); p != nil {
			p.base = f.known()
		}
	}
	return ev, true
}

func takeAll(_ *Coordinator, r Reply) Reply {
	if r.Op == OpPrepare {
		r.Err = nil
	}
	return r
}

func timeoutIsNo(_ *Coordinator, r Reply) Reply {
	if r.Op == OpCommit && r.Err != nil && rpc.ErrorOf(r.Err).Code == rpc.DeadlineExceeded {
		r.Err = rpc.Errorf(rpc.FailedPrecondition, "it did not answer")
	}
	return r
}

// forgetWrites makes a repeated commit be refused, although the first one may be in the store.
func forgetWrites(f *Follower, ev Event) (Event, bool) {
	for i := range f.plans {
		f.plans[i].writes = 0
	}
	return ev, true
}

func lostIsNo(f *Follower, ev Event) (Event, bool) {
	if ev.Kind == EventWritten && ev.Err != nil && flowOf(f, ev) == flowCommit {
		ev.Err, f.flows[ev.Flow].tries = nil, maxTries
		f.plan(f.flows[ev.Flow].step.Reload).writes = 1
	}
	return ev, true
}

func sameGeneration(c *Coordinator, requests []Request) []Request {
	for i := range requests {
		if requests[i].Step.Op == OpCommit {
			requests[i].Step.Generation = max(1, c.generation)
		}
	}
	return requests
}

// goBack puts in force whatever the watch reports.
func goBack(f *Follower, ev Event) (Event, bool) {
	if ev.Kind == EventTold && f.runtime != nil && ev.Entry.Generation < f.generation {
		f.generation = ev.Entry.Generation
	}
	return ev, true
}

func deafToWatch(_ *Follower, ev Event) (Event, bool) { return ev, ev.Kind != EventTold }

func neverRefill(f *Follower, ev Event) (Event, bool) {
	if ev.Kind == EventKept && flowOf(f, ev) == flowLook && ev.Entry.Generation < f.generation {
		ev.Entry = entryOf(f.generation, f.reload, f.runtime.Modules())
	}
	return ev, true
}

func startOwn(f *Follower, ev Event) (Event, bool) {
	if ev.Kind == EventKept && flowOf(f, ev) == flowStart {
		ev.Entry = Entry{}
	}
	return ev, true
}

func sameResult(_ *Coordinator, r Reply) Reply {
	r.Answer.Result = ""
	return r
}

// commitAnyway commits although the others are asked to abort.
func commitAnyway(c *Coordinator, requests []Request) []Request {
	for i := range requests {
		if requests[i].Step.Op == OpAbort {
			requests[i].Step.Op, requests[i].Step.Generation = OpCommit, c.generation+1
		}
	}
	return requests
}

// keepPrepared hides prepared reloads from the follower, so that they take up room.
func keepPrepared(f *Follower, ev Event) (Event, bool) {
	if ev.Kind == EventTold || ev.Kind == EventKept && flowOf(f, ev) == flowLook {
		plans := f.plans
		f.plans = nil
		f.catchUp(ev.Entry)
		f.plans = plans
	}
	return ev, true
}
