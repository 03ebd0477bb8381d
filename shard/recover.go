package shard

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ferris1/wind/persistence"
)

// recovery is the state of PhaseRecover: the world is rebuilt from the newest snapshot that fits
// the log, or from genesis, record by record up to the log's end.
type recovery struct {
	target persistence.Seq // rebuild up to here

	bases  []persistence.SnapshotInfo // still to try, best first
	proof  *persistence.Record        // the record at the base's sequence
	body   []byte                     // its bytes
	atBase bool                       // looking for a base, not yet reading records

	record *persistence.Record // being applied
	next   int                 // index of its next tick

	byDelta  bool   // re-simulation diverged once: apply deltas instead
	diverged uint64 // first tick that diverged, 0 if none
	older    bool   // the world is recovered; proving an older snapshot, up to which to purge
	rereads  int    // of the evidence, after a record could not be read
	loads    int    // failed loads of the current base that do not prove damage
	unsure   bool   // such a base was given up, though it may still load
}

// begin rebuilds the world up to target.
func (o *Owner) begin(target persistence.Seq) {
	o.phase = PhaseRecover
	o.rec = recovery{target: target}
	o.rebase()
}

// rebase starts again from the best base.
func (o *Owner) rebase() {
	o.rec.bases = o.bases()
	o.rec.record, o.rec.atBase = nil, true
	o.tryBase()
}

// bases returns the snapshots worth trying, best first. The newest means the least work. If the delta stream lags behind it,
// an older one comes first, from which the missing deltas can be re-simulated, unless that is too far back. An info with
// sequence 0 means genesis.
func (o *Owner) bases() []persistence.SnapshotInfo {
	var all []persistence.SnapshotInfo
	for _, s := range o.evidence.snapshots {
		if s.Seq <= o.rec.target {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil
	}
	var known persistence.Seq
	if d := o.evidence.delta; d != nil {
		known = d.RecordSeq
	}
	reach := max(all[0].Seq, persistence.Seq(o.cfg.Rebuild)) - persistence.Seq(o.cfg.Rebuild)
	for i, s := range all {
		if s.Seq <= known && s.Seq >= reach {
			copy(all[1:i+1], all[:i])
			all[0] = s
			return all
		}
	}
	if reach == 0 {
		return append([]persistence.SnapshotInfo{{Name: "genesis"}}, all...)
	}
	return all
}

// published returns the last tick in the delta stream.
func (o *Owner) published() uint64 { return publishedThrough(o.evidence.delta) }

// tryBase tries the next snapshot, or begins with genesis if none is left.
func (o *Owner) tryBase() {
	r := &o.rec
	r.loads = 0
	if len(r.bases) > 0 {
		o.ask(Action{Kind: ActionGet, Seq: max(r.bases[0].Seq, 1)})
		return
	}
	o.fromGenesis()
}

// fromGenesis rebuilds the world from the log's first record on.
func (o *Owner) fromGenesis() {
	o.rec.atBase = false
	o.chain, o.schema, o.ending = persistence.NewChain(o.cfg.Genesis.Lineage), nil, nil
	o.read()
}

// badBase continues with the next snapshot. A snapshot that does not fit the log is never used: it may be damaged, or from a
// history that was given up.
func (o *Owner) badBase(why error) {
	o.alarm(fmt.Errorf("snapshot %s is not used: %w", o.rec.bases[0].Name, why))
	o.rec.bases = o.rec.bases[1:]
	o.tryBase()
}

// read requests the next record.
func (o *Owner) read() {
	if o.chain.Seq() >= o.rec.target {
		o.recovered()
		return
	}
	o.ask(Action{Kind: ActionRead, Seq: o.chain.Seq() + 1, To: o.rec.target})
}

// recover is PhaseRecover.
func (o *Owner) recover(ev *Event) {
	if o.rec.older {
		o.older(ev)
		return
	}
	if ev.Err != nil && !lasting(ev.Err) {
		if ev.Kind == EventLoaded && o.unloaded(ev.Err) {
			return
		}
		o.trouble(ev.Err)
		return
	}
	switch ev.Kind {
	case EventMessage:
		if o.rec.atBase {
			o.proveBase(ev)
		} else {
			o.record(ev)
		}
	case EventLoaded:
		o.restore(ev)
	case EventDelta:
		o.delta(ev)
	case EventEvidence:
		o.evidence.snapshots = ev.Snapshots
		o.rebase()
	}
}

// proveBase checks a snapshot against its record in the log.
func (o *Owner) proveBase(ev *Event) {
	base := o.rec.bases[0]
	if base.Seq == 0 { // the log's first record may be purged or still there
		if o.rec.bases = o.rec.bases[1:]; ev.Err != nil {
			o.tryBase()
		} else {
			o.fromGenesis()
		}
		return
	}
	if ev.Err != nil {
		o.badBase(ev.Err)
		return
	}
	r, err := persistence.DecodeRecord(ev.Message.Body)
	if err == nil && (r.Epoch != base.Epoch || r.Kind == persistence.KindTicks && r.Checksum() != base.Checksum) {
		err = fmt.Errorf("record %d has epoch %d and checksum %016x", base.Seq, r.Epoch, r.Checksum())
	}
	if err != nil {
		o.badBase(err)
		return
	}
	o.rec.proof, o.rec.body = r, ev.Message.Body
	o.ask(Action{Kind: ActionLoad, Info: base})
}

// restore makes the world of a loaded snapshot.
func (o *Owner) restore(ev *Event) {
	err := ev.Err
	if err == nil {
		err = ev.Snapshot.Verify(o.rec.proof, o.rec.body)
	}
	if g := o.cfg.Genesis; err == nil && (ev.Snapshot.Lineage != g.Lineage || ev.Snapshot.Shard != g.Shard || ev.Snapshot.Cluster != g.Cluster) {
		err = fmt.Errorf("it belongs to lineage %s, shard %s of cluster %s", ev.Snapshot.Lineage, ev.Snapshot.Shard, ev.Snapshot.Cluster)
	}
	if err == nil {
		err = o.sim.Restore(ev.Snapshot)
	}
	if errors.Is(err, ErrRefused) {
		o.stop(err)
		return
	}
	if err == nil && (o.sim.Tick() != ev.Snapshot.Tick || o.sim.Checksum() != ev.Snapshot.Checksum) {
		err = fmt.Errorf("it restores to tick %d with checksum %016x", o.sim.Tick(), o.sim.Checksum())
	}
	if err != nil {
		o.badBase(err)
		return
	}
	o.chain, o.schema = persistence.ChainFrom(ev.Snapshot), ev.Snapshot.Schema
	o.verified = append(o.verified[:0], ev.Snapshot.Info())
	o.rec.atBase, o.ending = false, ended(o.rec.proof)
	o.gapBefore(ev.Snapshot.Tick)
	o.read()
}

// unloaded counts a failed attempt to load a snapshot and, after enough of them, continues with the next: a store may never
// answer a request for something damaged.
func (o *Owner) unloaded(err error) bool {
	r := &o.rec
	if r.loads++; r.loads < o.cfg.LoadTries {
		return false
	}
	r.unsure = true
	o.badBase(fmt.Errorf("it cannot be loaded after %d attempts: %w", r.loads, err))
	return true
}

// gapBefore tells the delta stream's readers which ticks this node cannot rebuild, because its base is after them.
func (o *Owner) gapBefore(tick uint64) {
	if from := o.published() + 1; from <= tick {
		o.tell(Action{Kind: ActionGap, Gap: persistence.Gap{FromTick: from, ToTick: tick, Reason: "the stream did not have them when an owner recovered from a later snapshot: they were not published (deltas off, or their owner died first), or dropped (by age or size)"}})
	}
}

// record handles the next record of the log.
func (o *Owner) record(ev *Event) {
	r := &o.rec
	if ev.Err != nil && (r.rereads < o.cfg.LostReads || r.unsure) {
		// The previous owner may be alive and have purged records up to a newer snapshot; or the snapshot before the log's
		// first record did not load, and may load by now.
		r.rereads++
		r.unsure = false
		o.asked = Action{Kind: ActionEvidence}
		o.again()
		return
	}
	if ev.Err != nil {
		o.halt(fmt.Errorf("record %d of %d (tick %d on) cannot be read: %w", o.chain.Seq()+1, r.target, o.chain.Tick()+1, ev.Err))
		return
	}
	rec, err := o.chain.Next(ev.Message)
	if err != nil {
		o.halt(err)
		return
	}
	if rec.Epoch >= o.epoch {
		o.stop(fmt.Errorf("%w: epoch %d is in the log at sequence %d, but ours is %d", ErrFenced, rec.Epoch, rec.Seq, o.epoch))
		return
	}
	switch rec.Kind {
	case persistence.KindGenesis:
		if err := o.start(rec.Genesis); err != nil {
			o.stop(err)
			return
		}
	case persistence.KindEpoch:
		if len(rec.EpochStart.Schema) > 0 {
			o.schema = rec.EpochStart.Schema
		}
		if err := o.since(rec); err != nil {
			o.stop(err)
			return
		}
	case persistence.KindTicks:
		r.record, r.next, o.ending = rec, 0, ended(rec)
		o.apply()
		return
	case persistence.KindSeal:
		o.over(rec.Seal)
		return
	}
	o.read()
}

// since compares this build with one that began an epoch after the claim's look at the log: an owner whose key was already
// gone.
func (o *Owner) since(r *persistence.Record) error {
	if r.Epoch <= o.recorded.Epoch {
		return nil
	}
	o.recorded.Epoch, o.recorded.Build, o.recorded.Schema = r.Epoch, r.EpochStart.Build, o.schema
	return o.fits(&o.recorded)
}

// start makes the world of tick 0.
func (o *Owner) start(g *persistence.Genesis) error {
	if o.recorded.Epoch == 0 { // the log was empty at the claim's look
		o.recorded = persistence.Recorded{Genesis: g, Schema: g.Schema, Build: g.Build}
		if err := o.fits(&o.recorded); err != nil {
			return err
		}
	}
	if err := o.sim.Begin(g); err != nil {
		if errors.Is(err, ErrRefused) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	o.schema = g.Schema
	return nil
}

// apply takes the world through the ticks of the current record.
func (o *Owner) apply() {
	r := &o.rec
	for r.next < len(r.record.Ticks) {
		t := &r.record.Ticks[r.next]
		if r.byDelta {
			o.ask(Action{Kind: ActionDelta, Tick: t.Tick, Standing: o.standing})
			return
		}
		if !o.resimulate(t) {
			return
		}
	}
	r.record = nil
	o.read()
}

// resimulate steps through a recorded tick. It returns false if that failed and it began something else.
func (o *Owner) resimulate(t *persistence.TickRecord) bool {
	r := &o.rec
	diverged := o.sim.Resimulate(r.record.Seq, t)
	if diverged == nil {
		if t.Tick > o.published() {
			o.sim.Keep(r.record.Seq, r.record.Epoch)
		}
		r.next++
		return true
	}
	if r.byDelta {
		o.cannot(fmt.Errorf("%w, and the delta of that tick is missing too", diverged))
		return false
	}
	r.diverged, r.byDelta = t.Tick, true
	o.alarm(fmt.Errorf("%w: continuing with the recorded deltas instead of the game's own results", diverged))
	o.rebase()
	return false
}

// delta handles the delta stream's answer for the current tick. Without a delta it simulates the tick after all: from a
// correct world, most ticks of a diverging game do not diverge.
func (o *Owner) delta(ev *Event) {
	r := &o.rec
	t := &r.record.Ticks[r.next]
	d := ev.Delta
	if ev.Err != nil || d == nil || d.Gap != nil || d.Tick != t.Tick || d.Checksum != t.Checksum || d.Lineage != o.cfg.Genesis.Lineage {
		if o.resimulate(t) {
			o.apply()
		}
		return
	}
	if err := o.sim.Apply(d); err != nil {
		o.cannot(fmt.Errorf("tick %d diverges from its record %d, and its delta cannot be applied: %w", t.Tick, r.record.Seq, err))
		return
	}
	if t.Tick == r.diverged {
		if err := o.sim.Explain(); err != nil {
			o.alarm(err)
		}
	}
	r.next++
	o.apply()
}

// cannot ends a recovery with a wrong result. If another build recorded the log's end, this build is to blame: it refuses, and
// the shard stays free for the other. Otherwise no node can do better: it halts the shard, so that an operator looks.
func (o *Owner) cannot(reason error) {
	by, own := o.recorded.Build.ID, o.cfg.Genesis.Build.ID
	if by == "" || by == own {
		o.halt(reason)
		return
	}
	o.stop(fmt.Errorf("%w: this is build %s, and build %s recorded the log's end: use that one: %w", ErrRefused, own, by, reason))
}

// recovered continues once the world is at the log's end.
func (o *Owner) recovered() {
	if o.sim.Checksum() != o.chain.Checksum() && o.chain.Checksum() != 0 {
		o.cannot(fmt.Errorf("the recovered world of tick %d has checksum %016x, but the log says %016x", o.sim.Tick(), o.sim.Checksum(), o.chain.Checksum()))
		return
	}
	if o.published() > o.sim.Tick() {
		// Only after an operator accepted a loss: the stream has ticks that the log lost.
		o.tell(Action{Kind: ActionGap, Gap: persistence.Gap{FromTick: o.sim.Tick() + 1, ToTick: o.published(), Reason: persistence.VoidReason}})
		o.evidence.delta = &persistence.Delta{Tick: o.sim.Tick(), RecordSeq: o.chain.Seq()}
	}
	a := o.standing.Attempt
	if a.Tick == o.sim.Tick()+1 && a.Count >= 2 && o.ending == nil {
		o.halt(fmt.Errorf("%d starts died in tick %d", a.Count, a.Tick))
		return
	}
	o.makeSpace()
}

// schemaChanged returns the world's schema if it differs from the one in force.
func (o *Owner) schemaChanged() []byte {
	if have := o.sim.Schema(); !bytes.Equal(o.schema, have) {
		return have
	}
	return nil
}
