package shard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// A mutant breaks the protocol in one way. The simulator finds no fault in the owner; that proves something only if it finds
// one in each mutant.
type mutant struct {
	name string
	make func() func(o *Owner, ev Event) (Event, bool) // new for each seed
	by   []string                                      // the invariants that may catch it
	not  []string                                      // invariants not to check, to see the harm itself
	only func(c *simConfig) bool                       // the weather that it needs; nil: any
}

// goingMutants break what a node does after its host has ended.
var goingMutants = []struct {
	name string
	make func() func(Ended, Next) Next // new for each seed
	by   string
	not  []string
}{
	{"exit at a lost lease", breaks(exitOn(ErrLeaseLost)), "going on", nil},
	{"exit at a lost lease, the harm", breaks(exitOn(ErrLeaseLost)), "served", []string{"going on"}},
	{"exit when fenced", breaks(exitOn(ErrFenced)), "going on", nil},
	{"exit at a halt", breaks(exitOn(ErrHalted)), "going on", nil},
	{"a stop that is not obeyed", breaks(func(e Ended, n Next) Next { return Next{} }), "stop", nil},
	{"pauses that grow without an end", endlessPauses, "served", nil},
}

func breaks(f func(Ended, Next) Next) func() func(Ended, Next) Next {
	return func() func(Ended, Next) Next { return f }
}

func exitOn(reason error) func(Ended, Next) Next {
	return func(e Ended, n Next) Next {
		n.Exit = n.Exit || errors.Is(e.Err, reason)
		return n
	}
}

// endlessPauses makes each pause four times as long as the one before.
func endlessPauses() func(Ended, Next) Next {
	pause := rejoinFirst
	return func(_ Ended, n Next) Next {
		if !n.Exit {
			pause *= 4
			n.After = pause
		}
		return n
	}
}

// TestSimulatorCatchesNodesThatDoNotComeBack is like TestSimulatorCatchesEveryMutant, but for the time after an owner's end.
func TestSimulatorCatchesNodesThatDoNotComeBack(t *testing.T) {
	for _, m := range goingMutants {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			const seeds = 3000
			for seed := uint64(1); seed <= seeds; seed++ {
				s := newSim(seed, nil)
				s.cfg.rejoin, s.ignore = m.make(), m.not
				err := s.run()
				if err == nil {
					continue
				}
				var v violation
				if !errors.As(err, &v) || v.name != m.by {
					t.Fatalf("seed %d: caught by %v, expected %s", seed, err, m.by)
				}
				t.Logf("caught at seed %d: %v", seed, err)
				return
			}
			t.Fatalf("not caught in %d seeds", seeds)
		})
	}
}

var mutants = []mutant{
	{"two outstanding records", newPipeliner, []string{"I6"}, []string{"deltas"}, nil},
	{"two outstanding records, the harm", newPipeliner, []string{"I1", "I2", "I4"}, []string{"I6", "deltas"}, nil},
	{"release before the acknowledgement", perOwner(releaseEarly), []string{"I1", "I2", "I7"}, nil, nil},
	{"re-read the last sequence and publish on top", perOwner(publishOnTop), []string{"I1", "I2", "I3", "I4", "I6", "I7"}, nil, nil},
	{"lease counted from the answer's receipt", perOwner(leaseFromReceipt), []string{"lease"}, nil, func(c *simConfig) bool { return c.slow > 0.05 && c.pause > 0 }},
	{"no check for lost history", perOwner(skipLostHistory), []string{"I9", "I1", "I2"}, nil, nil},
	{"a foreign record at our sequence taken for ours", perOwner(blindSettle), []string{"I1", "I7"}, nil, nil},
	{"release after the lease's end", perOwner(ignoreLease), []string{"lease"}, nil, nil},
	{"no look at the recorded schema before the claim", perOwner(skipSchema), []string{"schema"}, nil, nil},
	{"a lifted halt that is not heard of", perOwner(deafToLifts), []string{"served"}, nil, func(c *simConfig) bool { return c.trouble && c.ends == 0 && !c.closes }},
	{"a full log purged up to one snapshot", perOwner(purgeBehindOne), []string{"I8"}, nil, nil},
	{"a snapshot that cannot be loaded, requested forever", perOwner(loadForEver), []string{"load"}, nil, nil},
	{"ticks after the room's end", perOwner(playOn), []string{"I4", "sealed"}, nil, nil},
	{"an end without a seal", perOwner(neverSeal), []string{"going on", "sealed"}, nil, nil},
	{"a sealed log claimed and fenced", perOwner(breakSeal), []string{"I11", "I4"}, nil, nil},
	{"snapshots used unverified", perOwner(trustSnapshots), []string{"I1", "I2", "I4", "I5", "deltas"}, nil, nil},
}

func perOwner(f func(o *Owner, ev Event) (Event, bool)) func() func(*Owner, Event) (Event, bool) {
	return func() func(*Owner, Event) (Event, bool) { return f }
}

// TestSimulatorCatchesEveryMutant asserts that each deliberate break of the protocol is found.
func TestSimulatorCatchesEveryMutant(t *testing.T) {
	for _, m := range mutants {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			const seeds = 3000
			start := time.Now()
			for seed := uint64(1); seed <= seeds; seed++ {
				s := newSim(seed, m.make())
				if m.only != nil && !m.only(&s.cfg) {
					continue
				}
				s.ignore = slices.Clone(m.not)
				for _, name := range []string{"served", "sealed"} { // a broken protocol does not go on either: the graver harm counts
					if !slices.Contains(m.by, name) {
						s.ignore = append(s.ignore, name)
					}
				}
				s.eager = strings.HasPrefix(m.name, "two outstanding")
				err := s.run()
				if err == nil {
					continue
				}
				var v violation
				if !errors.As(err, &v) || !slices.Contains(m.by, v.name) {
					t.Fatalf("seed %d: caught by %v, expected one of %v", seed, err, m.by)
				}
				t.Logf("caught at seed %d in %s: %v", seed, time.Since(start).Round(time.Millisecond), err)
				return
			}
			t.Fatalf("not caught in %d seeds", seeds)
		})
	}
}

// playOn does not notice that its own record ends the room.
func playOn(o *Owner, ev Event) (Event, bool) {
	if ev.Kind == EventAppended && ev.Err == nil && o.phase == PhaseOwn && ev.Op == o.op && o.waiting {
		for i := range o.out.record.Ticks {
			o.out.record.Ticks[i].Outbox = nil
		}
	}
	return ev, true
}

// neverSeal stops at the room's end and leaves the seal to others, who do the same.
func neverSeal(o *Owner, ev Event) (Event, bool) {
	if ev.Kind == EventAppended && o.phase == PhaseOwn && ev.Err == nil && ev.Op == o.op && o.waiting && ended(&o.out.record) != nil {
		o.stop(ErrEnded)
		return ev, false
	}
	return ev, true
}

// breakSeal overlooks a seal, in the log's end and in recovery.
func breakSeal(o *Owner, ev Event) (Event, bool) {
	ev.Tail.Sealed = false
	if ev.Kind == EventMessage && o.phase == PhaseRecover && ev.Op == o.op && o.waiting && !o.rec.atBase && ev.Message.Header.Kind == persistence.KindSeal.String() {
		o.waiting, o.ending = false, nil
		o.chain.Advance(&persistence.Record{Kind: persistence.KindEpoch, Seq: ev.Message.Seq, Epoch: ev.Message.Header.Epoch}, persistence.HashOf(ev.Message.Body))
		o.recovered()
		return ev, false
	}
	return ev, true
}

// purgeBehindOne counts the newest snapshot twice when the log fills.
func purgeBehindOne(o *Owner, ev Event) (Event, bool) {
	if ev.Kind == EventUsage && o.phase == PhaseOwn && len(o.verified) > 0 && ev.Tail.over(warnPercent) {
		o.tell(Action{Kind: ActionPurge, Seq: o.verified[0].Seq, Info: o.verified[0]})
		return ev, false
	}
	return ev, true
}

// newPipeliner takes a second record while the first is outstanding.
func newPipeliner() func(o *Owner, ev Event) (Event, bool) {
	type first struct {
		op   uint64
		seq  persistence.Seq
		hash persistence.Hash
	}
	piped := map[*Owner][]first{}
	return func(o *Owner, ev Event) (Event, bool) {
		if ev.Kind == EventPropose && o.out.active && o.phase == PhaseOwn {
			// As if it were settled: the next record follows it, and its release waits for its answer.
			piped[o] = append(piped[o], first{o.op, o.out.record.Seq, o.out.hash})
			rec := o.out.record
			o.chain.Advance(&rec, o.out.hash)
			o.out.active, o.out.body = false, nil
			return ev, true
		}
		for i, p := range piped[o] {
			if ev.Kind == EventAppended && ev.Op == p.op {
				if ev.Err == nil {
					piped[o] = slices.Delete(piped[o], i, i+1)
				} // else it is never sent again: a plain pipelining client hears of an error too late
				return ev, false
			}
		}
		return ev, true
	}
}

// releaseEarly releases a record's effects when the record is sent.
func releaseEarly(o *Owner, ev Event) (Event, bool) {
	if ev.Kind != EventPropose || o.phase != PhaseOwn || o.out.active {
		return ev, true
	}
	o.take(&ev)
	o.tell(Action{Kind: ActionRelease, Seq: o.out.record.Seq, Epoch: o.epoch})
	return ev, false
}

// publishOnTop answers a refusal or a timeout with the last sequence and the same ticks after it.
func publishOnTop(o *Owner, ev Event) (Event, bool) {
	switch {
	case o.phase != PhaseOwn || !o.waiting || ev.Op != o.op:
	case ev.Kind == EventAppended && ev.Err != nil && !errors.Is(ev.Err, persistence.ErrFull):
		o.ask(Action{Kind: ActionTail})
		return ev, false
	case ev.Kind == EventTail && ev.Err == nil:
		o.ask(Action{Kind: ActionGet, Seq: ev.Tail.Last})
		return ev, false
	case ev.Kind == EventMessage && ev.Err == nil:
		r := o.out.record
		r.Seq, r.Prev = ev.Message.Seq+1, persistence.HashOf(ev.Message.Body)
		body, err := r.Encode(nil)
		if err != nil {
			panic(err)
		}
		o.out.record, o.out.message, o.out.hash = r, r.Message(body), persistence.HashOf(body)
		o.resend()
		return ev, false
	}
	return ev, true
}

// leaseFromReceipt counts the lease from the arrival of the answer.
func leaseFromReceipt(_ *Owner, ev Event) (Event, bool) {
	if ev.Kind == EventLease {
		ev.Lease.Until = ev.Now + simTTL - simMargin
	}
	return ev, true
}

// ignoreLease never checks the lease.
func ignoreLease(_ *Owner, ev Event) (Event, bool) {
	if ev.Kind == EventLease {
		ev.Lease.Until = 1 << 60
	}
	return ev, true
}

// skipLostHistory sees no evidence.
func skipLostHistory(o *Owner, ev Event) (Event, bool) {
	switch {
	case ev.Kind == EventStanding && o.phase != PhaseClaim:
		ev.Standing.High = persistence.Mark{}
	case ev.Kind == EventEvidence:
		ev.Delta, ev.Snapshots = nil, nil
	}
	return ev, true
}

// skipSchema claims without a look at the recorded schema, and accepts whatever it finds afterwards.
func skipSchema(_ *Owner, ev Event) (Event, bool) {
	if ev.Kind == EventRecorded {
		ev.Recorded = persistence.Recorded{}
	}
	return ev, true
}

// deafToLifts waits forever once it has seen a halt.
func deafToLifts(o *Owner, ev Event) (Event, bool) {
	return ev, ev.Kind != EventFree || o.standing.Halted == ""
}

// blindSettle takes any record at our sequence for ours.
func blindSettle(o *Owner, ev Event) (Event, bool) {
	if ev.Kind == EventMessage && o.phase == PhaseOwn && o.waiting && ev.Op == o.op && ev.Err == nil {
		o.waiting = false
		o.settled()
		return ev, false
	}
	return ev, true
}

// loadForEver requests the same snapshot again, however often loading fails.
func loadForEver(o *Owner, ev Event) (Event, bool) {
	if ev.Kind == EventLoaded && ev.Err != nil && !lasting(ev.Err) {
		o.rec.loads = 0
	}
	return ev, true
}

// trustSnapshots makes the log agree with the snapshot instead of the other way round.
func trustSnapshots(o *Owner, ev Event) (Event, bool) {
	if ev.Kind == EventLoaded && ev.Err == nil && o.phase == PhaseRecover && o.waiting && ev.Op == o.op {
		o.waiting = false
		o.rec.atBase = false
		if err := o.sim.Restore(ev.Snapshot); err != nil {
			panic(fmt.Sprint("the simulated snapshot is unreadable: ", err))
		}
		o.chain = persistence.ChainFrom(ev.Snapshot)
		o.rec.record = nil
		o.gapBefore(ev.Snapshot.Tick)
		if o.chain.Seq() >= o.rec.target {
			o.fence()
		} else {
			o.read()
		}
		return ev, false
	}
	return ev, true
}
