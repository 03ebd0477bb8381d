package shard

import (
	"errors"
	"fmt"
	"time"

	"github.com/ferris1/wind/persistence"
)

// Phase is where an owner stands in the protocol.
type Phase uint8

// The phases, in their order. OWNERSHIP.md has a heading for each.
const (
	PhaseIdle    Phase = iota
	PhaseClaim         // reading the standing, waiting for another owner to go, claiming
	PhaseCheck         // claimed; is the log as long as it once was?
	PhaseRecover       // rebuilding the world up to the log's end
	PhaseFence         // publishing genesis or the epoch record
	PhaseOwn           // committing ticks
	PhaseStopped
)

var phaseNames = [...]string{"idle", "claim", "check", "recover", "fence", "own", "stopped"}

// String names the phase.
func (p Phase) String() string { return phaseNames[p] }

// OwnerConfig is what an owner is told once.
type OwnerConfig struct {
	Node    string              // this node's id
	Genesis persistence.Genesis // of a new shard. Lineage, Cluster, Shard, Schema and Build count for an old one too

	RetryAfter time.Duration // before the same request is sent again; zero: 200 ms
	LostReads  int           // how often a log that looks too short is read again before the shard is halted; zero: 3
	LoadTries  int           // how often a snapshot is asked for that neither loads nor is damaged, before an older one is; zero: 10
	Rebuild    int           // records to re-simulate in addition so that missing deltas can be published; zero: 4096
	PurgeLog   bool          // remove records below the older of the two newest verified snapshots at once, not only when the log fills
	KeepLog    bool          // never remove any
}

// Owner is the ownership protocol of one shard on one node as a state machine: Step takes an event
// and returns what is to be done. It has no clock, no goroutine and no I/O, and depends on its
// events and its Simulation alone. Not safe for concurrent use.
type Owner struct {
	cfg OwnerConfig
	sim Simulation

	phase    Phase
	now      time.Duration
	stopping bool
	actions  []Action

	op      uint64 // of the newest request
	waiting bool   // for its answer
	asked   Action // the newest request, to be sent again
	retryAt time.Duration

	lease    Held              // the node's lease
	claimed  bool              // lease is the one that the owner key hangs on
	bade     persistence.Epoch // asked for in the newest bid
	epoch    persistence.Epoch // ours, once claimed
	standing Standing
	tail     Tail                 // of the log, as it was before the newest bid
	fitted   bool                 // what was recorded has been compared with this build at least once
	recorded persistence.Recorded // by whoever wrote the log's end before the claim; zero: nothing is known

	evidence  evidence
	lostReads int
	rec       recovery
	chain     *persistence.Chain // proves what is in the log up to the world's place in it
	schema    []byte             // in force there
	out       outstanding

	verified []persistence.SnapshotInfo // snapshots known to fit the log, newest first, two at most
	told     map[string]bool            // causes of trouble, told once each until a record is committed
	halting  error
	haltTry  int
}

// maxTold bounds the causes of trouble that an owner remembers.
const maxTold = 64

// NewOwner returns an owner that waits for EventStart.
func NewOwner(cfg OwnerConfig, sim Simulation) *Owner {
	if cfg.RetryAfter <= 0 {
		cfg.RetryAfter = 200 * time.Millisecond
	}
	if cfg.LostReads <= 0 {
		cfg.LostReads = 3
	}
	if cfg.LoadTries <= 0 {
		cfg.LoadTries = 10
	}
	if cfg.Rebuild <= 0 {
		cfg.Rebuild = 4096
	}
	return &Owner{cfg: cfg, sim: sim, chain: persistence.NewChain(cfg.Genesis.Lineage)}
}

// Phase returns where the owner stands.
func (o *Owner) Phase() Phase { return o.phase }

// Epoch returns the granted generation of ownership, 0 before a claim.
func (o *Owner) Epoch() persistence.Epoch { return o.epoch }

// Last returns the last sequence that is known to be in the log and in the world.
func (o *Owner) Last() persistence.Seq { return o.chain.Seq() }

// Chain returns the hash of record Last.
func (o *Owner) Chain() persistence.Hash { return o.chain.Hash() }

// Claimed reports whether the shard was granted to this owner.
func (o *Owner) Claimed() bool { return o.claimed }

// Outstanding reports whether a record was sent and nobody knows yet whether the log has it.
func (o *Owner) Outstanding() bool { return o.out.active }

// Tail returns the log's end as it was when the owner last looked at it.
func (o *Owner) Tail() Tail { return o.tail }

// Ready reports whether ticks may be proposed: the shard is owned and nothing is outstanding.
func (o *Owner) Ready() bool { return o.phase == PhaseOwn && !o.out.active && !o.stopping }

// Step takes one event and returns what is to be done, in that order. The actions are valid until
// the next Step. It panics when ticks are proposed while the owner is not Ready.
func (o *Owner) Step(ev Event) []Action {
	o.actions = o.actions[:0]
	o.now = max(o.now, ev.Now)
	if o.phase == PhaseStopped {
		return nil
	}
	if ev.Kind == EventLease {
		o.renewed(ev.Lease)
	}
	if o.claimed && o.now >= o.lease.Until {
		// Whatever this event says, it may be old news: others may own the shard by now.
		o.stop(fmt.Errorf("%w: no keepalive was answered in time", ErrLeaseLost))
		return o.actions
	}
	o.take(ev)
	return o.actions
}

// take is Step once the lease is known to hold.
func (o *Owner) take(ev Event) {
	switch ev.Kind {
	case EventLease:
	case EventStart:
		o.phase = PhaseClaim
		o.ask(Action{Kind: ActionStanding})
	case EventStop:
		if o.stopping || !o.out.active || o.phase != PhaseOwn {
			o.stop(nil)
		}
		o.stopping = true
	case EventOvertaken:
		o.stop(fmt.Errorf("%w: %w", ErrFenced, ev.Err))
	case EventPropose:
		o.propose(ev.Ticks)
	case EventUsage:
		o.measure(ev.Tail)
	case EventStored:
		o.stored(ev.Snapshot)
	case EventTimer:
		if o.retryAt > 0 && o.now >= o.retryAt {
			o.retryAt = 0
			o.ask(o.asked)
		}
	default:
		if o.waiting && ev.Op == o.op {
			o.waiting = false
			o.answer(ev)
		}
	}
}

// answer takes the answer to the newest request.
func (o *Owner) answer(ev Event) {
	if o.halting != nil {
		o.halted(ev)
		return
	}
	switch o.phase {
	case PhaseClaim:
		o.claim(ev)
	case PhaseCheck:
		o.check(ev)
	case PhaseRecover:
		o.recover(ev)
	case PhaseFence, PhaseOwn:
		o.commit(ev)
	}
}

// renewed takes news of the node's lease. Another lease than the one that the owner key hangs on
// says nothing about the ownership.
func (o *Owner) renewed(l Held) {
	switch {
	case !o.claimed:
		o.lease = l
	case l.ID == o.lease.ID:
		o.lease.Until = max(o.lease.Until, l.Until)
	}
}

// ask sends a request; its answer is the only one that counts from now on.
func (o *Owner) ask(a Action) {
	o.op++
	a.Op = o.op
	o.asked, o.waiting, o.retryAt = a, true, 0
	o.actions = append(o.actions, a)
}

// again sends the newest request once more, after a while.
func (o *Owner) again() {
	o.waiting = false
	o.retryAt = o.now + o.cfg.RetryAfter
	o.actions = append(o.actions, Action{Kind: ActionTimer, At: o.retryAt})
}

// trouble sends the newest request once more, after a while, and tells an operator why: once for
// each cause, since nothing else shows why a shard does not start.
func (o *Owner) trouble(err error) {
	o.complain(err)
	o.again()
}

func (o *Owner) complain(err error) {
	o.once(o.asked.Kind.String()+": "+err.Error(), fmt.Errorf("shard: %s waits, its request %q is tried again: %w", o.phase, o.asked.Kind, err))
}

// once tells an operator of a cause of trouble that it has not been told of.
func (o *Owner) once(cause string, err error) {
	if o.told[cause] {
		return
	}
	if o.told == nil || len(o.told) >= maxTold {
		o.told = map[string]bool{}
	}
	o.told[cause] = true
	o.alarm(err)
}

// tell adds an action that wants no answer.
func (o *Owner) tell(a Action) { o.actions = append(o.actions, a) }

// alarm tells an operator and goes on.
func (o *Owner) alarm(err error) { o.tell(Action{Kind: ActionAlarm, Err: err}) }

// stop ends this owner. The owner key is given up where it is still ours: the process lives, so
// what it leaves behind is no evidence of a deadly tick.
func (o *Owner) stop(reason error) {
	if o.claimed {
		o.tell(Action{Kind: ActionHandOver, Epoch: o.epoch, Clean: true})
	}
	o.phase, o.waiting, o.retryAt = PhaseStopped, false, 0
	o.tell(Action{Kind: ActionStop, Err: reason})
}

// halt forbids everybody to claim the shard until an operator has looked, then stops.
func (o *Owner) halt(reason error) {
	o.halting = reason
	o.ask(Action{Kind: ActionNote, Note: Note{Halted: reason.Error()}})
}

// halted takes the answer to the note of a halt. A service that cannot be reached does not keep
// this node from stopping: the next one will find what this one found.
func (o *Owner) halted(ev Event) {
	if o.haltTry++; ev.Err != nil && o.haltTry < 5 {
		o.again()
		return
	}
	o.stop(o.isHalted(o.halting))
}

// isHalted is ErrHalted with its reason and the way out.
func (o *Owner) isHalted(reason error) error {
	way := WayOut(HaltedBy(reason.Error()), o.cfg.Genesis.Shard)
	return fmt.Errorf("%w: %w; nobody claims it until an operator has looked: %s", ErrHalted, reason, way)
}

// lasting reports whether an error of a store says something about what is stored, not about the
// way there.
func lasting(err error) bool {
	return errors.Is(err, persistence.ErrNotFound) || errors.Is(err, persistence.ErrGap) ||
		errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrVersion)
}
