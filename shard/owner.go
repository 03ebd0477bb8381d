package shard

import (
	"errors"
	"fmt"
	"time"

	"github.com/ferris1/wind/persistence"
)

// Phase is an owner's phase in the protocol.
type Phase uint8

// The phases, in order. OWNERSHIP.md has a section for each.
const (
	PhaseIdle    Phase = iota
	PhaseClaim         // reading the standing, waiting while another node owns, claiming
	PhaseCheck         // claimed; checking that the log is as long as it once was
	PhaseRecover       // rebuilding the world up to the log's end
	PhaseFence         // publishing genesis or the epoch record
	PhaseOwn           // committing ticks
	PhaseStopped
)

var phaseNames = [...]string{"idle", "claim", "check", "recover", "fence", "own", "stopped"}

// String returns the phase's name.
func (p Phase) String() string { return phaseNames[p] }

// OwnerConfig configures an Owner.
type OwnerConfig struct {
	Node    string              // this node's id
	Genesis persistence.Genesis // of a new shard. Lineage, Cluster, Shard, Schema and Build also apply to an existing one

	RetryAfter time.Duration // pause before the same request is sent again; zero: 200 ms
	LostReads  int           // how often to read again a log that looks too short, before the shard is halted; zero: 3
	LoadTries  int           // how often to request a snapshot that neither loads nor is damaged, before an older one; zero: 10
	Rebuild    int           // additional records to re-simulate so that missing deltas can be published; zero: 4096
	PurgeLog   bool          // purge below the older of the two newest verified snapshots after each snapshot, not only when the log fills
	KeepLog    bool          // never purge
	NoWait     bool          // stop (ErrOwned) instead of waiting while another node owns the shard
}

// Owner is the ownership protocol of one shard on one node, as a state machine: Step takes an event and returns actions. It
// has no clock, goroutine or I/O, and depends only on its events and its Simulation. Not safe for concurrent use.
type Owner struct {
	cfg OwnerConfig
	sim Simulation

	phase    Phase
	now      time.Duration
	stopping bool
	actions  []Action

	op      uint64 // of the newest request
	waiting bool   // for that request's answer
	asked   Action // the newest request, to be sent again
	retryAt time.Duration

	lease    Held              // the node's lease
	claimed  bool              // the owner key is attached to lease
	bade     persistence.Epoch // the epoch of the newest bid
	epoch    persistence.Epoch // ours, once claimed
	standing Standing
	tail     Tail                 // the log's end before the newest bid
	fitted   bool                 // this build was compared with recorded at least once
	recorded persistence.Recorded // by the build that wrote the log's end before the claim; zero: not known

	evidence  evidence
	lostReads int
	rec       recovery
	chain     *persistence.Chain // proves the log up to the world's sequence
	schema    []byte             // in force at that sequence
	out       outstanding
	ending    *persistence.Seal // of a room whose log is to be sealed, or is; nil: it goes on

	verified []persistence.SnapshotInfo // snapshots known to fit the log, newest first, at most two
	told     map[string]bool            // causes of trouble already reported since the last commit
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

// Phase returns the owner's phase.
func (o *Owner) Phase() Phase { return o.phase }

// Epoch returns the granted epoch, 0 before a claim.
func (o *Owner) Epoch() persistence.Epoch { return o.epoch }

// Last returns the last sequence known to be in the log and in the world.
func (o *Owner) Last() persistence.Seq { return o.chain.Seq() }

// Chain returns the hash of record Last.
func (o *Owner) Chain() persistence.Hash { return o.chain.Hash() }

// Claimed reports whether the shard was granted to this owner.
func (o *Owner) Claimed() bool { return o.claimed }

// Outstanding reports whether a record was sent and is not settled yet. While a log is being sealed one always is.
func (o *Owner) Outstanding() bool { return o.out.active || o.ending != nil && o.phase == PhaseOwn }

// Tail returns the log's end as of the owner's last look at it.
func (o *Owner) Tail() Tail { return o.tail }

// Ready reports whether ticks may be proposed: the shard is owned and nothing is outstanding.
func (o *Owner) Ready() bool {
	return o.phase == PhaseOwn && !o.out.active && !o.stopping && o.ending == nil
}

// Step handles one event and returns the actions to perform, in order. They are valid until the next Step. Step panics if
// ticks are proposed while the owner is not Ready.
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
		// Whatever this event says may be outdated: another node may own the shard by now.
		o.stop(fmt.Errorf("%w: no keepalive was answered in time", ErrLeaseLost))
		return o.actions
	}
	o.take(&ev)
	return o.actions
}

// take handles an event once the lease is known to be valid.
func (o *Owner) take(ev *Event) {
	switch ev.Kind {
	case EventLease:
	case EventStart:
		o.enter()
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
	case EventEnd:
		o.end(ev.End)
	case EventStored:
		o.stored(ev.Snapshot)
	case EventTimer:
		if o.retryAt > 0 && o.now >= o.retryAt {
			o.repeat()
		}
	default:
		if o.waiting && ev.Op == o.op {
			o.waiting = false
			o.answer(ev)
		}
	}
}

// What makes an Action is not inlined: it is large, and the stacks of thousands of rooms would have room for each place that makes one.

// enter begins the protocol.
//
//go:noinline
func (o *Owner) enter() {
	o.phase = PhaseClaim
	o.ask(Action{Kind: ActionStanding})
}

// repeat sends the newest request again.
//
//go:noinline
func (o *Owner) repeat() {
	o.retryAt = 0
	o.ask(o.asked)
}

// answer handles the answer to the newest request.
func (o *Owner) answer(ev *Event) {
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

// renewed handles news of the node's lease. Once the shard is claimed, it ignores leases other than the owner key's.
func (o *Owner) renewed(l Held) {
	switch {
	case !o.claimed:
		o.lease = l
	case l.ID == o.lease.ID:
		o.lease.Until = max(o.lease.Until, l.Until)
	}
}

// ask sends a request. From then on only its answer counts.
//
//go:noinline
func (o *Owner) ask(a Action) {
	o.op++
	a.Op = o.op
	o.asked, o.waiting, o.retryAt = a, true, 0
	o.actions = append(o.actions, a)
}

// again repeats the newest request after a pause.
//
//go:noinline
func (o *Owner) again() {
	o.waiting = false
	o.retryAt = o.now + o.cfg.RetryAfter
	o.actions = append(o.actions, Action{Kind: ActionTimer, At: o.retryAt})
}

// trouble repeats the newest request after a pause and tells an operator why, once for each cause: nothing else shows why a
// shard does not start.
func (o *Owner) trouble(err error) {
	o.complain(err)
	o.again()
}

func (o *Owner) complain(err error) {
	o.once(o.asked.Kind.String()+": "+err.Error(), fmt.Errorf("shard: %s waits and repeats its request %q: %w", o.phase, o.asked.Kind, err))
}

// once reports a cause of trouble that was not reported yet.
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

// tell adds an action that needs no answer.
//
//go:noinline
func (o *Owner) tell(a Action) { o.actions = append(o.actions, a) }

// alarm tells an operator, and the owner continues.
func (o *Owner) alarm(err error) { o.tell(Action{Kind: ActionAlarm, Err: err}) }

// stop ends this owner and releases the owner key if it is still ours. The process lives, so the key's attempt is no evidence
// of a deadly tick.
//
//go:noinline
func (o *Owner) stop(reason error) {
	if o.claimed {
		o.tell(Action{Kind: ActionHandOver, Epoch: o.epoch, Clean: true, Err: reason})
	}
	o.phase, o.waiting, o.retryAt = PhaseStopped, false, 0
	o.tell(Action{Kind: ActionStop, Err: reason})
}

// halt bars every node from claiming the shard until an operator has looked, then stops.
func (o *Owner) halt(reason error) {
	o.halting = reason
	o.ask(Action{Kind: ActionNote, Note: Note{Halted: reason.Error()}})
}

// halted handles the answer to the note of a halt. This node stops even if the service cannot be reached: the next node will
// find what this one found.
func (o *Owner) halted(ev *Event) {
	if o.haltTry++; ev.Err != nil && o.haltTry < 5 {
		o.again()
		return
	}
	o.stop(o.isHalted(o.halting))
}

// isHalted returns ErrHalted with its reason and the way out.
func (o *Owner) isHalted(reason error) error {
	way := WayOut(HaltedBy(reason.Error()), o.cfg.Genesis.Shard)
	return fmt.Errorf("%w: %w; no node claims it until an operator has looked: %s", ErrHalted, reason, way)
}

// lasting reports whether an error of a store concerns the stored data rather than access to it.
func lasting(err error) bool {
	return errors.Is(err, persistence.ErrNotFound) || errors.Is(err, persistence.ErrGap) ||
		errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrVersion)
}
