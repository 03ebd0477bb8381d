package shard

import (
	"errors"
	"fmt"

	"github.com/ferris1/wind/persistence"
)

// outstanding is the one record that was sent and is not yet settled. Its bytes never change: the owner sends them again,
// with the same expectation, until the log has them, or another record, at that sequence.
type outstanding struct {
	active  bool // not yet settled
	record  persistence.Record
	message persistence.Message
	body    []byte // of message, reused
	hash    persistence.Hash

	short  int  // how often the log ended before a record that it had acknowledged
	silent int  // how often an attempt ended without an answer
	full   bool // an operator was told that the log does not accept it
	unsure bool // an attempt may be in the log, or yet come to be
}

// silentTries is how often an attempt may go unanswered before an operator hears of it: a single lost answer is normal.
const silentTries = 3

// genesis begins a new shard: no store knows of anything in this log.
func (o *Owner) genesis() {
	g := o.cfg.Genesis
	if err := o.start(&g); err != nil {
		o.stop(err)
		return
	}
	o.phase = PhaseFence
	o.send(persistence.Record{Kind: persistence.KindGenesis, Epoch: o.epoch, Genesis: &g})
}

// fence publishes the record that begins our epoch. Once it is in the log, no append that an earlier owner still has in
// flight can match its expected sequence.
func (o *Owner) fence() {
	o.phase = PhaseFence
	o.send(persistence.Record{
		Kind: persistence.KindEpoch, Epoch: o.epoch,
		EpochStart: &persistence.EpochStart{Node: o.cfg.Node, Build: o.cfg.Genesis.Build, Schema: o.schemaChanged(), From: o.sim.Tick()},
	})
}

// propose sends the record of the ticks just simulated.
func (o *Owner) propose(ticks []persistence.TickRecord) {
	if o.phase != PhaseOwn || o.out.active {
		panic(fmt.Sprintf("shard: ticks proposed in phase %s with a record outstanding: %v", o.phase, o.out.active))
	}
	o.send(persistence.Record{Kind: persistence.KindTicks, Epoch: o.epoch, Ticks: ticks})
}

// send makes r the outstanding record.
func (o *Owner) send(r persistence.Record) {
	buffer := o.out.body[:0]
	if r.Kind == persistence.KindSeal || o.out.record.Kind != persistence.KindTicks {
		buffer = nil // the record that it follows is being released, or was large: it had a schema
	}
	o.out.record = r
	m, err := o.chain.Link(&o.out.record, buffer)
	if err != nil {
		o.stop(fmt.Errorf("shard: record %d (%s) cannot be written: %w", o.chain.Seq()+1, ticksOf(&o.out.record), err))
		return
	}
	o.out.body, o.out.message, o.out.hash = m.Body, m, persistence.HashOf(m.Body)
	o.out.active, o.out.short, o.out.silent, o.out.full, o.out.unsure = true, 0, 0, false, false
	o.resend()
}

// resend requests the identical append again.
//
//go:noinline
func (o *Owner) resend() {
	o.ask(Action{Kind: ActionAppend, Message: o.out.message, Expect: o.out.record.Seq - 1})
}

// commit settles the outstanding record, for PhaseFence and PhaseOwn.
func (o *Owner) commit(ev *Event) {
	switch ev.Kind {
	case EventAppended:
		o.appended(ev.Err)
	case EventMessage:
		o.found(ev)
	case EventTail:
		o.measured(ev)
	case EventStanding, EventEvidence:
		o.confirm(ev)
	case EventNoted:
		if o.chain.Sealed() && (ev.Err == nil || errors.Is(ev.Err, ErrFenced)) {
			o.over(o.out.record.Seal)
			return
		}
		if errors.Is(ev.Err, ErrFenced) {
			o.stop(ev.Err)
			return
		}
		if ev.Err != nil {
			o.trouble(ev.Err)
			return
		}
		o.own()
	}
}

// appended handles the log's answer to an append.
func (o *Owner) appended(err error) {
	switch {
	case err == nil:
		o.settled()
	case errors.Is(err, persistence.ErrConflict):
		// Refused, perhaps because of an earlier copy of ours: the record at the sequence says.
		o.out.unsure = true
		o.ask(Action{Kind: ActionGet, Seq: o.out.record.Seq})
	case errors.Is(err, ErrTooLarge):
		// A retry would be just as long. Nothing was stored, so the next owner simulates these ticks again.
		o.stop(fmt.Errorf("record %d (%s) has %d bytes: %w", o.out.record.Seq, ticksOf(&o.out.record), len(o.out.body), err))
	case errors.Is(err, persistence.ErrFull):
		o.refused(fmt.Errorf("%w: record %d (tick %d) waits until there is room", persistence.ErrFull, o.out.record.Seq, o.out.record.FirstTick()))
	case errors.Is(err, persistence.ErrAmbiguous):
		o.out.unsure = true
		if o.out.silent++; o.out.silent >= silentTries {
			o.complain(err)
		}
		o.again()
	default:
		o.refused(fmt.Errorf("record %d (tick %d) waits: %w", o.out.record.Seq, o.out.record.FirstTick(), err))
	}
}

// refused repeats an append that the log did not accept after a pause, and tells an operator why, once.
func (o *Owner) refused(why error) {
	if !o.out.full {
		o.out.full = true
		o.alarm(why)
	}
	o.again()
	if o.ending != nil && o.mayGiveUp() {
		o.giveUp()
	}
}

// ticksOf returns the ticks of a record as text.
func ticksOf(r *persistence.Record) string {
	switch first, last := r.FirstTick(), r.LastTick(); {
	case r.Kind != persistence.KindTicks:
		return r.Kind.String()
	case first == last:
		return fmt.Sprintf("tick %d", first)
	default:
		return fmt.Sprintf("ticks %d to %d", first, last)
	}
}

// found handles the record found at the outstanding record's sequence.
func (o *Owner) found(ev *Event) {
	switch {
	case errors.Is(ev.Err, persistence.ErrVersion): // from a node with a newer build
		o.stop(fmt.Errorf("%w: this build cannot read the record at sequence %d: %w", ErrFenced, o.out.record.Seq, ev.Err))
	case errors.Is(ev.Err, persistence.ErrCorrupt):
		o.halt(fmt.Errorf("at sequence %d, the place of record %d of epoch %d, the log has something that no node wrote: %w", o.out.record.Seq, o.out.record.Seq, o.epoch, ev.Err))
	case ev.Err != nil && lasting(ev.Err):
		o.ask(Action{Kind: ActionTail}) // does the log end before it, or was it purged?
	case ev.Err != nil:
		o.trouble(ev.Err)
	case persistence.HashOf(ev.Message.Body) == o.out.hash:
		o.tell(Action{Kind: ActionFound, Seq: o.out.record.Seq, Message: o.out.message})
		o.settled()
	case o.phase == PhaseFence:
		o.overtaken(o.out.record.Seq)
	default:
		o.fenced(ev.Message.Header.Epoch)
	}
}

// fenced stops this owner: another owner's record has the sequence that ours expected.
func (o *Owner) fenced(by persistence.Epoch) {
	o.stop(fmt.Errorf("%w: sequence %d has a record of epoch %d, not ours of epoch %d; nothing of tick %d was released",
		ErrFenced, o.out.record.Seq, by, o.epoch, o.out.record.FirstTick()))
}

// measured handles the log's end, after the log refused the outstanding record and had none at its sequence.
func (o *Owner) measured(ev *Event) {
	switch {
	case ev.Err != nil:
		o.trouble(ev.Err)
	case ev.Tail.Last >= o.out.record.Seq && o.phase == PhaseFence:
		o.overtaken(ev.Tail.Last)
	case ev.Tail.Last >= o.out.record.Seq: // another owner is so far ahead that it purged
		o.fenced(ev.Tail.Epoch)
	case ev.Tail.Last+1 == o.out.record.Seq:
		o.retry()
	default:
		if o.out.short++; o.out.short < o.cfg.LostReads {
			o.retry()
			return
		}
		o.halt(&persistence.LostError{
			Last: ev.Tail.Last, Evidence: "the node that wrote it",
			EvidenceSeq: o.chain.Seq(), EvidenceTick: o.chain.Tick(),
		})
	}
}

// retry resends after a pause.
func (o *Owner) retry() {
	o.asked = Action{Kind: ActionAppend, Message: o.out.message, Expect: o.out.record.Seq - 1}
	o.again()
}

// overtaken handles a refused fence: it applies the records that came before it and fences again after them. The refused
// record can never match again.
func (o *Owner) overtaken(end persistence.Seq) {
	o.out.active = false
	o.phase = PhaseRecover
	if o.chain.Seq() == 0 {
		o.begin(end) // another node's genesis
		return
	}
	o.rec = recovery{target: end, byDelta: o.rec.byDelta, diverged: o.rec.diverged}
	o.read()
}

// settled continues once the outstanding record is in the log.
func (o *Owner) settled() {
	rec := &o.out.record
	if o.chain.Seq() < rec.Seq {
		o.chain.Advance(rec, o.out.hash)
	}
	o.out.active = false
	clear(o.told)
	switch rec.Kind {
	case persistence.KindGenesis:
		o.fence()
	case persistence.KindEpoch:
		if len(rec.EpochStart.Schema) > 0 {
			o.schema = rec.EpochStart.Schema
		}
		o.ask(Action{Kind: ActionStanding})
	case persistence.KindTicks:
		o.tell(Action{Kind: ActionRelease, Seq: rec.Seq, Epoch: rec.Epoch, Message: o.out.message})
		if s := ended(rec); s != nil {
			o.ending = s
		}
		switch {
		case o.ending != nil:
			o.seal()
		case o.stopping:
			o.stop(nil)
		}
	case persistence.KindSeal:
		o.sealed()
	}
}

// confirm repeats the check for lost history after the fence. The previous owner could write until then; only now is the
// evidence of its records final, and none of it may lie above our fence.
func (o *Owner) confirm(ev *Event) {
	if ev.Err != nil {
		o.trouble(ev.Err)
		return
	}
	if ev.Kind == EventStanding {
		attempt := o.standing.Attempt
		o.standing = ev.Standing
		o.standing.Attempt = attempt
		o.ask(Action{Kind: ActionEvidence})
		return
	}
	now := evidence{delta: ev.Delta, snapshots: ev.Snapshots}
	if err := now.history(&o.standing).Lost(o.out.record.Seq-1, o.sim.Tick(), o.epoch); err != nil {
		o.halt(fmt.Errorf("while this node recovered: %w", err))
		return
	}
	if o.ending != nil {
		o.seal() // nobody plays in a room that has ended
		return
	}
	o.announce()
}

// announce notes, before the first tick, the log's end and the next tick: a later start that finds the same tick knows that
// this one died in it.
func (o *Owner) announce() {
	a := Attempt{Tick: o.sim.Tick() + 1, Count: 1, Epoch: o.epoch}
	if last := o.standing.Attempt; last.Tick == a.Tick {
		a.Count = last.Count + 1
	}
	o.phase = PhaseFence
	o.ask(Action{Kind: ActionNote, Note: Note{High: persistence.Mark{Seq: o.chain.Seq(), Epoch: o.epoch}, Attempt: a}})
}

// own begins the steady state.
func (o *Owner) own() {
	o.phase = PhaseOwn
	o.evidence, o.recorded, o.rec = evidence{}, persistence.Recorded{}, recovery{} // recovery is over, and may be hours ago when the room ends
	if o.schemaChanged() == nil {
		o.schema = o.sim.Schema() // which the node's rooms share
	}
	o.tell(Action{Kind: ActionOwn, Epoch: o.epoch, Seq: o.chain.Seq()})
	if o.stopping {
		o.stop(nil)
	}
}

// Proven returns the newest snapshot that this owner knows to fit the log, or the zero value.
func (o *Owner) Proven() persistence.SnapshotInfo {
	if len(o.verified) == 0 {
		return persistence.SnapshotInfo{}
	}
	return o.verified[0]
}

// stored records a snapshot that was stored and restored from the store. It fits the log, since it was taken from the world
// of a committed record. Records before the older of the two newest such snapshots may be purged. The last record never is,
// because a snapshot's record is kept.
func (o *Owner) stored(s *persistence.Snapshot) {
	if o.phase != PhaseOwn || len(o.verified) > 0 && s.Seq <= o.verified[0].Seq {
		return
	}
	o.verified = append([]persistence.SnapshotInfo{s.Info()}, o.verified[:min(1, len(o.verified))]...)
	if !o.cfg.PurgeLog || len(o.verified) < 2 {
		return
	}
	o.tell(Action{Kind: ActionPurge, Seq: o.verified[1].Seq, Info: o.verified[1]})
}
