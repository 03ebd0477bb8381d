package persistence

import (
	"context"
	"fmt"
	"iter"

	"github.com/ferris1/wind/ecs"
)

// applyDeltas advances the world by the delta stream alone. With Verify it
// compares every delta with the log's record of its tick.
func (p *Replay) applyDeltas(ctx context.Context, last Seq) error {
	next, stop := func() (loggedTick, error, bool) { return loggedTick{}, nil, false }, func() {}
	if p.o.Verify {
		next, stop = iter.Pull2(p.loggedTicks(proven(p.src.Log.Read(ctx, p.chain.Seq()+1, last), p.chain)))
	}
	defer stop()
	for d, err := range p.src.deltas(ctx, p.world.Tick()+1) {
		if err != nil {
			return err
		}
		if p.o.To > 0 && d.FirstTick() > p.o.To {
			return nil
		}
		if err := p.follows(&d); err != nil {
			return err
		}
		if p.o.Verify {
			logged, err, ok := next()
			if err != nil {
				return err
			}
			if !ok {
				return nil // deltas of ticks that are not in the log: lost reports them
			}
			if err := logged.compare(&d); err != nil {
				return err
			}
		}
		if err := p.world.Apply(d.Body); err != nil {
			return p.unapplied(&d, err)
		}
		if have := p.world.Checksum(); have != d.Checksum {
			return &DivergedError{Seq: d.RecordSeq, Tick: d.Tick, Recorded: d.Checksum, Computed: have, Reason: "checksum of the delta"}
		}
		p.result.Seq, p.result.Epoch = d.RecordSeq, d.Epoch
		if err := p.ticked(); err != nil {
			return err
		}
	}
	return nil
}

// unapplied returns the error for a delta that does not apply: a *SchemaError if the schema at the log's end breaks deltas
// (an epoch on the way may have introduced it), else a *CorruptError.
func (p *Replay) unapplied(d *Delta, err error) error {
	if p.end.Breaks()&ecs.BreaksDeltas != 0 {
		e := *p.end
		e.Err = fmt.Errorf("the delta of tick %d: %w", d.Tick, err)
		return &e
	}
	return &CorruptError{What: "delta", Seq: d.RecordSeq, Tick: d.Tick, Reason: err.Error(), Err: err}
}

// follows returns an error if d is not the delta of the next tick.
func (p *Replay) follows(d *Delta) error {
	due := p.world.Tick() + 1
	switch {
	case d.Lineage != p.chain.Lineage() && p.chain.Lineage() != "":
		return &CorruptError{What: "delta", Seq: d.RecordSeq, Tick: d.Tick, Reason: fmt.Sprintf("its lineage is %s, not %s", d.Lineage, p.chain.Lineage())}
	case d.Gap != nil:
		return fmt.Errorf("%w: ticks %d to %d are not in the delta stream: %s", ErrGap, d.Gap.FromTick, d.Gap.ToTick, d.Gap.Reason)
	case d.Tick < due:
		return &CorruptError{What: "delta", Seq: d.RecordSeq, Tick: d.Tick, Rule: "I2", Reason: fmt.Sprintf("it comes where tick %d was expected", due)}
	case d.Tick > due:
		return &CorruptError{What: "delta", Seq: d.RecordSeq, Tick: due, Reason: fmt.Sprintf("it is missing: tick %d follows", d.Tick), Err: ErrGap}
	}
	return nil
}

// loggedTick is a tick with the sequence and epoch of its record.
type loggedTick struct {
	seq   Seq
	epoch Epoch
	tick  *TickRecord
}

// loggedTicks yields the ticks of records, and counts the records.
func (p *Replay) loggedTicks(records iter.Seq2[*Record, error]) iter.Seq2[loggedTick, error] {
	return func(yield func(loggedTick, error) bool) {
		for r, err := range records {
			if err != nil {
				yield(loggedTick{}, err)
				return
			}
			p.result.Records++
			for i := range r.Ticks {
				if !yield(loggedTick{seq: r.Seq, epoch: r.Epoch, tick: &r.Ticks[i]}, nil) {
					return
				}
			}
		}
	}
}

// compare returns an error if d is not the delta of the logged tick.
func (l loggedTick) compare(d *Delta) error {
	bad := func(what string, have, want any) error {
		return &CorruptError{What: "delta", Seq: d.RecordSeq, Tick: d.Tick, Reason: fmt.Sprintf("its %s is %v, the log has %v", what, have, want)}
	}
	switch {
	case d.Tick != l.tick.Tick:
		return bad("tick", d.Tick, l.tick.Tick)
	case d.RecordSeq != l.seq:
		return bad("record", d.RecordSeq, l.seq)
	case d.Epoch != l.epoch:
		return bad("epoch", d.Epoch, l.epoch)
	case d.Checksum != l.tick.Checksum:
		return bad("checksum", hex16(d.Checksum), hex16(l.tick.Checksum))
	}
	return nil
}
