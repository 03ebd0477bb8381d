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
	missing uint64 // the first tick of a run without deltas; 0 outside a run
	until   loggedTick
	grown   Seq   // the log's present end; 0 until it is read
	err     error // of the store: it could not read the stream to its end
}

func newDeltaCheck(ctx context.Context, c *checker) *deltaCheck {
	d := &deltaCheck{c: c, close: func() {}, over: true}
	if c.src.Deltas != nil {
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
	if d.current.Gap != nil {
		if d.current.Tick == l.tick.Tick {
			d.gap()
		}
		return
	}
	d.have, d.last = false, d.current.Tick
	d.c.report.Deltas++
	err := l.compare(&d.current)
	if err == nil && d.current.Lineage != d.c.chain.Lineage() && d.c.chain.Lineage() != "" {
		err = fmt.Errorf("its lineage is %s, but the log's is %s", d.current.Lineage, d.c.chain.Lineage())
	}
	if err == nil && body != nil && !bytes.Equal(body, d.current.Body) {
		err = fmt.Errorf("its %d bytes differ from the %d that re-simulation produced", len(d.current.Body), len(body))
	}
	if err != nil {
		d.c.find(Finding{Where: "deltas", Seq: l.seq, Tick: l.tick.Tick, What: err.Error()})
	}
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
			d.hurt = true
			d.c.findError("deltas", err)
		case delta.FirstTick() <= d.last:
			d.c.find(Finding{Where: "deltas", Invariant: "I2", Seq: delta.RecordSeq, Tick: delta.Tick, What: fmt.Sprintf("it comes after tick %d", d.last)})
		default:
			d.current, d.have, d.hurt = delta, true, false
		}
	}
	return d.have
}

// unmatched drops a delta whose tick is not in the log: the log begins later, or
// has a hole that was already reported.
func (d *deltaCheck) unmatched() {
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
		What: fmt.Sprintf("ticks %d to %d have no deltas: %s", g.FromTick, g.ToTick, g.Reason),
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
	if d.missing > 0 && d.last > 0 {
		d.c.find(Finding{
			Where: "deltas", Seq: d.until.seq, Tick: d.missing,
			What: fmt.Sprintf("the deltas of ticks %d to %d are missing without a gap message", d.missing, d.until.tick.Tick),
		})
	}
	d.missing = 0
}

// rest reports what remains at the end of the log.
func (d *deltaCheck) rest(ctx context.Context) {
	switch {
	case d.missing > 0 && d.hurt:
		d.c.find(Finding{
			Where: "deltas", Seq: d.until.seq, Tick: d.missing,
			What: fmt.Sprintf("the deltas of ticks %d to %d are missing or cannot be read", d.missing, d.until.tick.Tick),
		})
	case d.missing > 0 && d.c.src.Deltas != nil:
		d.c.find(Finding{
			Where: "deltas", Warning: true, Seq: d.until.seq, Tick: d.missing,
			What: fmt.Sprintf("the delta stream ends before tick %d, the log reaches tick %d: the next owner will publish the missing deltas", d.missing, d.until.tick.Tick),
		})
	}
	beyond, first := 0, Delta{}
	for d.peek() {
		if d.current.Tick > d.c.report.LastTick && !d.since(ctx) {
			if beyond++; beyond == 1 {
				first = d.current
			}
		}
		d.unmatched()
	}
	if beyond > 0 {
		d.c.find(Finding{
			Where: "deltas", Invariant: "I9", Seq: first.RecordSeq, Tick: first.FirstTick(),
			What: fmt.Sprintf("the log ends at tick %d, but the delta stream has later ticks; messages: %d", d.c.report.LastTick, beyond),
		})
	}
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
