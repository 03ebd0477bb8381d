package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
)

// deltaCheck walks the delta stream while the checker walks the log.
type deltaCheck struct {
	c       *checker
	next    func() (Delta, error, bool)
	close   func()
	current Delta
	have    bool   // current has not been compared with a tick yet
	over    bool   // the stream has ended
	last    uint64 // the last tick that the stream has covered; 0 before the first
	hurt    bool   // what followed the last delta could not be read
	hurtBy  int    // the finding that says so
	parts   int    // further unreadable places of the same run
	missing uint64 // the first tick of a run without deltas; 0 outside a run
	until   loggedTick
	began   uint64 // the stream's last tick when the check began
	grown   Seq    // the log's present end; 0 until it is read
	err     error  // of the store: it could not read the stream to its end
}

func newDeltaCheck(ctx context.Context, c *checker) *deltaCheck {
	d := &deltaCheck{c: c, close: func() {}, over: true}
	if c.src.Deltas != nil {
		d.began = d.end(ctx)
		d.next, d.close = iter.Pull2(c.src.deltas(ctx, 1))
		d.over = false
	}
	return d
}

// tick compares the logged tick with its delta. body is the expected body of the
// delta, nil when unknown.
func (d *deltaCheck) tick(l loggedTick, body []byte) {
	for d.peek() && d.current.Tick < l.tick.Tick {
		d.unmatched()
	}
	if !d.peek() || d.current.FirstTick() > l.tick.Tick {
		d.without(l)
		return
	}
	d.reportMissing()
	d.hurt, d.parts = false, 0
	if d.current.Gap != nil {
		if d.current.Tick == l.tick.Tick {
			d.gap()
		}
		return
	}
	d.have, d.last = false, d.current.Tick
	d.c.report.Deltas++
	err := l.compare(&d.current)
	if own := d.c.chain.Lineage(); err == nil && own != "" && d.current.Lineage != own {
		d.c.strange(Finding{Where: "deltas", Seq: l.seq, Tick: l.tick.Tick}, d.current.Lineage)
		return
	}
	if err == nil && body != nil && !bytes.Equal(body, d.current.Body) {
		err = fmt.Errorf("its %d bytes differ from the %d that re-simulation produced", len(d.current.Body), len(body))
	}
	if err == nil {
		return
	}
	if i := d.c.about(l.seq); i >= 0 && d.c.report.Findings[i].Where == "log" && d.c.report.Findings[i].Tick == l.tick.Tick {
		d.c.follow(i, fmt.Sprintf("the delta of tick %d: %s", l.tick.Tick, bare(err))) // the record differs from what was published
		return
	}
	d.c.find(Finding{Where: "deltas", Seq: l.seq, Tick: l.tick.Tick, What: bare(err)})
}

// peek sets current to the next delta and returns false at the end.
func (d *deltaCheck) peek() bool {
	for !d.have && !d.over {
		delta, err, ok := d.next()
		switch {
		case !ok:
			d.over = true
		case err != nil:
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				d.err, d.over = err, true
				break
			}
			if d.hurt {
				if d.parts++; d.parts <= maxListed {
					d.c.follow(d.hurtBy, bare(err))
				}
				break
			}
			d.hurt, d.hurtBy = true, d.c.findError("deltas", err)
			if i := d.hurtBy; i >= 0 && d.c.report.Findings[i].Tick == 0 {
				d.c.report.Findings[i].Tick = d.last + 1
			}
		case delta.FirstTick() <= d.last:
			f := Finding{Where: "deltas", Invariant: "I2", Seq: delta.RecordSeq, Tick: delta.Tick, What: fmt.Sprintf("it comes after the delta of tick %d", d.last)}
			d.hurt, d.hurtBy = true, d.c.find(f)
		default:
			d.current, d.have = delta, true
		}
	}
	return d.have
}

// unmatched drops a delta whose tick is not in the log: the log begins later, or
// has a hole that was already reported.
func (d *deltaCheck) unmatched() {
	if n := len(d.c.breaks); n > 0 {
		d.c.breaks[n-1].deltas++
	}
	if d.current.Gap != nil {
		d.gap()
		return
	}
	d.have, d.last = false, d.current.Tick
}

func (d *deltaCheck) gap() {
	g := d.current.Gap
	d.have, d.last = false, d.current.Tick
	d.c.report.Gaps++
	d.c.find(Finding{
		Where: "deltas", Warning: true, Seq: d.current.RecordSeq, Tick: g.FromTick,
		What: fmt.Sprintf("no deltas of %v: %s", TickRange{g.FromTick, g.ToTick}, g.Reason),
	})
}

// without notes that a tick has no delta.
func (d *deltaCheck) without(l loggedTick) {
	if d.missing == 0 {
		d.missing = l.tick.Tick
	}
	d.until = l
}

// reportMissing reports a run of ticks without deltas once a delta follows it. It
// is silent before the first delta: there retention removed them.
func (d *deltaCheck) reportMissing() {
	if d.missing == 0 {
		return
	}
	run := TickRange{d.missing, d.until.tick.Tick}
	switch {
	case d.hurt:
		if d.parts > maxListed {
			d.c.follow(d.hurtBy, fmt.Sprintf("more places that cannot be read: %d", d.parts-maxListed))
		}
		d.c.follow(d.hurtBy, fmt.Sprintf("the deltas of %v are missing or cannot be read", run))
	case d.last > 0:
		d.c.find(Finding{Where: "deltas", Seq: d.until.seq, Tick: d.missing, What: fmt.Sprintf("the deltas of %v are missing without a gap message", run)})
	}
	d.missing = 0
}

// rest reports what remains at the end of the log.
func (d *deltaCheck) rest(ctx context.Context) {
	switch {
	case d.missing > 0 && d.hurt:
		d.reportMissing()
	case d.missing > 0 && d.c.src.Deltas != nil && !d.caughtUp(ctx):
		d.c.find(Finding{Where: "deltas", Warning: true, Seq: d.until.seq, Tick: d.missing, What: d.behind()})
	}
	beyond, first := 0, Delta{}
	for d.peek() {
		if d.current.Tick > d.c.report.LastTick && !d.since(ctx) && !d.hidden() {
			if beyond++; beyond == 1 {
				first = d.current
			}
		}
		d.unmatched()
	}
	switch {
	case beyond == 0:
	case d.c.loss != nil:
		d.c.follow(*d.c.loss, fmt.Sprintf("messages of the delta stream about later ticks, from tick %d on: %d", first.FirstTick(), beyond))
	default:
		d.c.find(Finding{
			Where: "deltas", Invariant: "I9", Seq: first.RecordSeq, Tick: first.FirstTick(),
			What: fmt.Sprintf("the log ends at tick %d, but the delta stream has later ticks; messages: %d", d.c.report.LastTick, beyond),
		})
	}
}

// hidden reports whether the current delta belongs to a record that damage at the log's end hides.
func (d *deltaCheck) hidden() bool {
	return d.c.torn() != nil && d.current.RecordSeq <= d.c.report.Last
}

// caughtUp reports whether the stream has grown past the last logged tick since the check began: its owner is alive and was
// behind.
func (d *deltaCheck) caughtUp(ctx context.Context) bool {
	return d.began < d.until.tick.Tick && d.end(ctx) >= d.until.tick.Tick
}

// end returns the stream's last tick; 0 if it is empty or its end cannot be read.
func (d *deltaCheck) end(ctx context.Context) uint64 {
	last, ok, err := d.c.src.Deltas.Last(ctx)
	if err != nil || !ok {
		return 0
	}
	return last.Tick
}

// behind says why the stream may end before the log. The stored bytes do not tell which reason it is.
func (d *deltaCheck) behind() string {
	const why = "its owner keeps no deltas (--deltas off), ended before it published them, or is behind; recovery does not need them"
	if d.last == 0 {
		return fmt.Sprintf("the delta stream is empty, and the log reaches tick %d: the deltas were dropped (by age or size), or %s", d.until.tick.Tick, why)
	}
	return fmt.Sprintf("the delta stream ends at tick %d, and the log at tick %d: %s", d.last, d.until.tick.Tick, why)
}

// since reports whether the current delta belongs to a record committed after the
// check began. It reads the log's end again, which is later than the opening of
// the stream.
func (d *deltaCheck) since(ctx context.Context) bool {
	if d.grown == 0 {
		last, err := d.c.src.Log.Last(ctx)
		if err != nil {
			d.err = fmt.Errorf("the log's end: %w", err)
		}
		d.grown = max(last, d.c.report.Last, 1)
	}
	return d.current.RecordSeq > d.c.report.Last && d.current.RecordSeq <= d.grown
}
