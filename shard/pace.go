package shard

import (
	"math"
	"time"
)

// CatchUpSeconds is how many seconds of overdue ticks a host catches up at most. It skips time beyond that, for example while
// the process was suspended or its log did not answer: players see one second fast forward, not a minute of repeated inputs.
// A host skips wall time, never a tick's number.
const CatchUpSeconds = 1

// Pacer says which ticks are due. A late tick stays due: it is debt. Only Skip drops overdue time, and never a tick's number.
// Create one with NewPacer. It has no clock of its own.
type Pacer struct {
	start time.Time
	rate  int64 // ticks per second
	done  int64 // ticks begun or skipped since start
}

// NewPacer returns a pacer whose first tick is due at start.
func NewPacer(start time.Time, rate int) Pacer { return Pacer{start: start, rate: int64(rate)} }

// firstTick returns when the first tick of a shard that is owned at now is due: at the next moment that lies phase of a period
// after a whole number of periods since origin; at once if phase is 0.
func firstTick(origin, now time.Time, phase float64, rate int) time.Time {
	if phase <= 0 {
		return now
	}
	since := now.Sub(origin)
	second := since.Truncate(time.Second) // a whole number of periods
	k := math.Ceil((since-second).Seconds()*float64(rate) - phase)
	return origin.Add(second + time.Duration((k+phase)/float64(rate)*float64(time.Second)))
}

// Due returns how many ticks are due at now.
func (p *Pacer) Due(now time.Time) int {
	elapsed := now.Sub(p.start)
	if elapsed < 0 {
		return 0
	}
	seconds, rest := int64(elapsed/time.Second), int64(elapsed%time.Second)
	begun := seconds*p.rate + rest*p.rate/int64(time.Second) + 1
	return int(max(0, begun-p.done))
}

// Skip skips the time of all due ticks except most, and returns how many it skipped.
func (p *Pacer) Skip(now time.Time, most int) (skipped int) {
	skipped = max(0, p.Due(now)-most)
	p.done += int64(skipped)
	return skipped
}

// Did records that n due ticks were simulated.
func (p *Pacer) Did(n int) { p.done += int64(n) }

// Next returns when the next tick is due.
func (p *Pacer) Next() time.Time { return p.When(1) }

// When returns when n ticks are due.
func (p *Pacer) When(n int) time.Time {
	last := p.done + int64(n) - 1
	seconds, rest := last/p.rate, last%p.rate
	// Rounded up, so that the tick is due at the returned moment.
	return p.start.Add(time.Duration(seconds)*time.Second + time.Duration((rest*int64(time.Second)+p.rate-1)/p.rate))
}
