package shard

import (
	"errors"
	"fmt"

	"github.com/ferris1/wind/persistence"
)

// claim is PhaseClaim: read the standing, wait while another node owns the shard or it is halted, read the log's end and the
// build that wrote it, bid.
func (o *Owner) claim(ev *Event) {
	switch ev.Kind {
	case EventStanding:
		if ev.Err != nil {
			o.trouble(ev.Err)
			return
		}
		o.bidOn(ev.Standing)
	case EventFree:
		if ev.Err != nil { // the wait was interrupted; the next read says whether it may end
			o.complain(ev.Err)
			o.asked = Action{Kind: ActionStanding}
			o.again()
			return
		}
		o.ask(Action{Kind: ActionStanding})
	case EventTail:
		if ev.Err != nil {
			o.trouble(ev.Err)
			return
		}
		o.look(ev.Tail)
	case EventRecorded:
		o.compare(ev)
	case EventClaimed:
		if ev.Err != nil || !ev.Granted {
			// Lost to another node, or granted with a lost answer: the standing says which.
			if ev.Err != nil {
				o.complain(ev.Err)
			}
			o.asked = Action{Kind: ActionStanding}
			o.again()
			return
		}
		o.bidOn(Standing{Owner: o.cfg.Node, OwnerLease: o.asked.Bid.Lease, Epoch: o.asked.Bid.Epoch})
	}
}

// bidOn decides from the standing whether this node may bid.
func (o *Owner) bidOn(s Standing) {
	o.standing = s
	switch {
	case s.Ended && s.Owner == "":
		o.stop(fmt.Errorf("%w: its end is noted", ErrEnded))
	case s.Halted != "" && o.cfg.NoWait:
		o.stop(o.isHalted(errors.New(s.Halted)))
	case s.Halted != "":
		o.once("halted: "+s.Halted, o.isHalted(errors.New(s.Halted)))
		o.ask(Action{Kind: ActionAwait, Standing: s}) // until it is lifted
	case s.Lineage != "" && s.Lineage != o.cfg.Genesis.Lineage:
		o.stop(fmt.Errorf("%w: the shard's lineage is %s, but the log's is %s: this is not its log; do --nats and --etcd name servers of one cluster?", ErrRefused, s.Lineage, o.cfg.Genesis.Lineage))
	case s.Owner == o.cfg.Node && s.OwnerLease == o.lease.ID && s.Epoch == o.bade:
		o.granted(s.Epoch) // a bid whose answer was lost
	case s.Owner == o.cfg.Node && s.OwnerLease == o.lease.ID:
		o.tell(Action{Kind: ActionHandOver, Epoch: s.Epoch, Clean: true}) // left by an earlier owner of this process
		o.asked = Action{Kind: ActionStanding}
		o.again()
	case s.Owner != "" && !o.fitted && !o.cfg.NoWait:
		o.ask(Action{Kind: ActionTail}) // a node that could never take over does not wait
	case s.Owner != "":
		o.await()
	case o.now >= o.lease.Until:
		o.complain(errors.New("the node has no lease at the moment"))
		o.asked = Action{Kind: ActionStanding}
		o.again()
	default:
		o.ask(Action{Kind: ActionTail})
	}
}

// look decides from the log's end whether this node may bid. It first reads which build wrote the log: a node that cannot
// carry that over leaves before it claims or writes anything.
func (o *Owner) look(t Tail) {
	s := o.standing
	o.tail = t
	switch {
	case t.Sealed:
		o.stop(fmt.Errorf("%w: record %d, after tick %d, seals its log", ErrEnded, t.Last, t.Tick))
	case t.Missing && s.Owner != "":
		o.await()
	case t.Missing && s.Epoch > 0:
		o.halt(fmt.Errorf("%w: epoch %d was granted, but the log does not exist", persistence.ErrLost, s.Epoch))
	case t.Missing:
		o.stop(fmt.Errorf("%w: the log does not exist", ErrRefused))
	case s.Owner == "" && o.cfg.KeepLog && t.over(fullPercent):
		o.stop(fmt.Errorf("%w: %d of %d bytes are used, and a node with --purge=never does not claim a shard above %d %%: start it without --purge=never, %s",
			persistence.ErrFull, t.UsedBytes, t.LimitBytes, fullPercent, WayOut(LogFull, o.cfg.Genesis.Shard)))
	case t.Last == 0:
		o.recorded = persistence.Recorded{}
		o.bid()
	default:
		o.ask(Action{Kind: ActionRecorded})
	}
}

// compare checks this build against the one that wrote the log. If the log cannot be read that far, recovery finds out why.
func (o *Owner) compare(ev *Event) {
	if ev.Err != nil && !lasting(ev.Err) {
		o.trouble(ev.Err)
		return
	}
	o.recorded = persistence.Recorded{}
	if ev.Err == nil {
		o.recorded = ev.Recorded
		if err := o.fits(&o.recorded); err != nil {
			o.stop(err)
			return
		}
	}
	o.bid()
}

// fits calls the Simulation's Fits; every error is an ErrRefused.
func (o *Owner) fits(r *persistence.Recorded) error {
	err := o.sim.Fits(r)
	if err != nil && !errors.Is(err, ErrRefused) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// bid claims with an epoch above all that were ever granted or written: etcd may have been restored from an old backup, or
// the log copied from elsewhere. While another node owns the shard, bid waits.
func (o *Owner) bid() {
	o.fitted = true
	s := o.standing
	if s.Owner != "" {
		o.await()
		return
	}
	o.bade = max(s.Epoch, o.tail.Epoch) + 1
	o.ask(Action{Kind: ActionClaim, Bid: Bid{
		Node: o.cfg.Node, Lease: o.lease.ID, Epoch: o.bade,
		EpochRevision: s.EpochRevision, Lineage: o.cfg.Genesis.Lineage,
	}})
}

// await waits until the owner is gone, or gives up.
func (o *Owner) await() {
	if o.cfg.NoWait {
		o.stop(fmt.Errorf("%w: node %s has it, with epoch %d", ErrOwned, o.standing.Owner, o.standing.Epoch))
		return
	}
	o.ask(Action{Kind: ActionAwait, Standing: o.standing})
}

// granted begins the check for lost history. It reads the standing again: the previous owner may have noted more since.
func (o *Owner) granted(epoch persistence.Epoch) {
	o.claimed, o.epoch = true, epoch
	o.phase = PhaseCheck
	o.ask(Action{Kind: ActionStanding})
}

// evidence is what other stores know about the log.
type evidence struct {
	delta     *persistence.Delta // newest, without its body; nil if none exists
	snapshots []persistence.SnapshotInfo
}

// history returns all that other stores know about the log.
func (e *evidence) history(st *Standing) *persistence.History {
	h := &persistence.History{Accepted: st.Accepted}
	h.KnowsHigh(st.High)
	h.KnowsDelta(e.delta)
	h.KnowsSnapshots(e.snapshots)
	return h
}

// check is PhaseCheck. It reads the evidence before the log's end, so that a log that grows meanwhile never looks too short.
func (o *Owner) check(ev *Event) {
	if ev.Err != nil && !(ev.Kind == EventMessage && lasting(ev.Err)) {
		o.trouble(ev.Err)
		return
	}
	switch ev.Kind {
	case EventStanding:
		if o.standing = ev.Standing; o.standing.Halted != "" {
			o.stop(o.isHalted(errors.New(o.standing.Halted)))
			return
		}
		o.ask(Action{Kind: ActionEvidence})
	case EventEvidence:
		o.evidence = evidence{delta: ev.Delta, snapshots: ev.Snapshots}
		o.ask(Action{Kind: ActionTail})
	case EventTail:
		o.weigh(ev.Tail)
	case EventMessage:
		o.matchHigh(ev)
	}
}

// weigh compares the log's end with the evidence. A lagging replica may report an old end, so a log that looks too short is
// read again before the shard is halted.
func (o *Owner) weigh(t Tail) {
	err := o.evidence.history(&o.standing).Lost(t.Last, t.Tick, o.epoch)
	if t.Missing {
		err = &persistence.LostError{Evidence: "the coordination service", EvidenceSeq: o.standing.High.Seq}
	}
	if err != nil && o.lostReads < o.cfg.LostReads {
		o.lostReads++
		o.again()
		return
	}
	if err != nil {
		o.halt(err)
		return
	}
	if t.Last == 0 {
		o.genesis()
		return
	}
	o.tail = t
	o.rec.target = t.Last
	if high := o.standing.High.Seq; high > 0 && high <= t.Last {
		o.ask(Action{Kind: ActionGet, Seq: high})
		return
	}
	o.begin(t.Last)
}

// matchHigh checks the record at the high-water mark. A log that was cut and has grown again is long enough, but that record
// is from another epoch.
func (o *Owner) matchHigh(ev *Event) {
	if ev.Err == nil {
		if err := o.evidence.history(&o.standing).Replaced(o.standing.High, ev.Message.Header.Epoch); err != nil {
			o.halt(err)
			return
		}
	}
	o.begin(o.rec.target)
}
