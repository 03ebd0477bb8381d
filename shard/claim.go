package shard

import (
	"errors"
	"fmt"

	"github.com/ferris1/wind/persistence"
)

// claim is PhaseClaim: read the standing, wait while another node owns or the shard is halted, look at the log's end and at
// who wrote it, bid.
func (o *Owner) claim(ev Event) {
	switch ev.Kind {
	case EventStanding:
		if ev.Err != nil {
			o.trouble(ev.Err)
			return
		}
		o.bidOn(ev.Standing)
	case EventFree:
		if ev.Err != nil { // the wait broke off; reading tells whether it was long enough
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
			// Lost to another node, or granted without our hearing of it: the standing tells.
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

// bidOn decides by the standing whether this node may bid.
func (o *Owner) bidOn(s Standing) {
	o.standing = s
	switch {
	case s.Halted != "":
		o.once("halted: "+s.Halted, o.isHalted(errors.New(s.Halted)))
		o.ask(Action{Kind: ActionAwait, Standing: s}) // until it is lifted
	case s.Lineage != "" && s.Lineage != o.cfg.Genesis.Lineage:
		o.stop(fmt.Errorf("%w: the shard's lineage is %s, the log's is %s: this is not its log; do --nats and --etcd name servers of one cluster?", ErrRefused, s.Lineage, o.cfg.Genesis.Lineage))
	case s.Owner == o.cfg.Node && s.OwnerLease == o.lease.ID && s.Epoch == o.bade:
		o.granted(s.Epoch) // perhaps by a bid whose answer was lost
	case s.Owner == o.cfg.Node && s.OwnerLease == o.lease.ID:
		o.tell(Action{Kind: ActionHandOver, Epoch: s.Epoch, Clean: true}) // left by an earlier owner of this process
		o.asked = Action{Kind: ActionStanding}
		o.again()
	case s.Owner != "" && !o.fitted:
		o.ask(Action{Kind: ActionTail}) // a node that could never take over does not wait for it
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

// look decides by the log's end whether this node may bid. What the log says of the build that wrote it is
// read first: a node that cannot carry it over leaves before it has claimed or written anything.
func (o *Owner) look(t Tail) {
	s := o.standing
	o.tail = t
	switch {
	case t.Missing && s.Owner != "":
		o.await()
	case t.Missing && s.Epoch > 0:
		o.halt(fmt.Errorf("%w: epoch %d was granted, but the log does not exist", persistence.ErrLost, s.Epoch))
	case t.Missing:
		o.stop(fmt.Errorf("%w: the log does not exist", ErrRefused))
	case s.Owner == "" && o.cfg.KeepLog && t.over(fullPercent):
		o.stop(fmt.Errorf("%w: %d of %d bytes are used, and a node with --purge=never does not claim a shard over %d %%: start it without --purge=never, %s",
			persistence.ErrFull, t.UsedBytes, t.LimitBytes, fullPercent, WayOut(LogFull, o.cfg.Genesis.Shard)))
	case t.Last == 0:
		o.recorded = persistence.Recorded{}
		o.bid()
	default:
		o.ask(Action{Kind: ActionRecorded})
	}
}

// compare takes what the log says of the build that wrote it. Of a log that cannot be read so far, recovery
// finds out what is wrong.
func (o *Owner) compare(ev Event) {
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

// fits is the Simulation's; every error of it is ErrRefused.
func (o *Owner) fits(r *persistence.Recorded) error {
	err := o.sim.Fits(r)
	if err != nil && !errors.Is(err, ErrRefused) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// bid claims with an epoch above all that were ever granted or written: etcd may have been
// restored from an old backup, a log may be copied from elsewhere. While another node owns, it waits.
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

// await waits until the owner is gone.
func (o *Owner) await() { o.ask(Action{Kind: ActionAwait, Standing: o.standing}) }

// granted begins the check for lost history. The standing is read again: the owner before us may
// have noted more since.
func (o *Owner) granted(epoch persistence.Epoch) {
	o.claimed, o.epoch = true, epoch
	o.phase = PhaseCheck
	o.ask(Action{Kind: ActionStanding})
}

// evidence is what others than the log know of it.
type evidence struct {
	delta     *persistence.Delta // newest, without its body; nil when there is none
	snapshots []persistence.SnapshotInfo
}

// history is all that is known of the log beside itself.
func (e *evidence) history(st *Standing) *persistence.History {
	h := &persistence.History{Accepted: st.Accepted}
	h.KnowsHigh(st.High)
	h.KnowsDelta(e.delta)
	h.KnowsSnapshots(e.snapshots)
	return h
}

// check is PhaseCheck. Evidence is read before the log's end, so that a log which grows meanwhile
// is never called too short.
func (o *Owner) check(ev Event) {
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

// weigh compares the log's end with the evidence. A replica that lags may report an old end, so a
// log that looks too short is read again before the shard is halted.
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

// matchHigh takes the record at the high-water mark. A log that was cut and has grown again is long
// enough, but what stands there is of another epoch.
func (o *Owner) matchHigh(ev Event) {
	if ev.Err == nil {
		if err := o.evidence.history(&o.standing).Replaced(o.standing.High, ev.Message.Header.Epoch); err != nil {
			o.halt(err)
			return
		}
	}
	o.begin(o.rec.target)
}
