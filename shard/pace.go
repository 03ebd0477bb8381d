package shard

import "time"

// CatchUpSeconds is how many seconds of overdue ticks a host works off, at most. Time beyond that,
// in which a process was suspended or its log did not answer, is skipped: players see one second
// fast forward, not a minute of repeated inputs. Skipped is wall time, never a tick's number.
const CatchUpSeconds = 1

// Pacer says which ticks are due. A tick that is late stays due: it is debt. No step is ever
// skipped; time is, when Skip says so. The zero value is not ready; see NewPacer. It has no clock of
// its own.
type Pacer struct {
	start time.Time
	rate  int64 // ticks per second
	done  int64 // ticks begun or let go since start
}

// NewPacer returns a pacer whose first tick is due at start.
func NewPacer(start time.Time, rate int) Pacer { return Pacer{start: start, rate: int64(rate)} }

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

// Skip lets the time of all due ticks but most go, and returns how many those were.
func (p *Pacer) Skip(now time.Time, most int) (skipped int) {
	skipped = max(0, p.Due(now)-most)
	p.done += int64(skipped)
	return skipped
}

// Did says that n due ticks were made.
func (p *Pacer) Did(n int) { p.done += int64(n) }

// Next returns when the next tick is due.
func (p *Pacer) Next() time.Time {
	seconds, rest := p.done/p.rate, p.done%p.rate
	// Rounded up, so that the tick is due at the very moment that is returned.
	return p.start.Add(time.Duration(seconds)*time.Second + time.Duration((rest*int64(time.Second)+p.rate-1)/p.rate))
}
