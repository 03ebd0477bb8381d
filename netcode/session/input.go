package session

import (
	"slices"

	"github.com/ferris1/wind/ecs"
)

// sample is one value of a sampled command, aimed at a tick. Nothing may write to
// its payload: the commands of a tick alias it.
type sample struct {
	tick, seq uint64
	kind      uint16
	payload   []byte
}

// verdict says what add did with an arriving sample.
type verdict uint8

const (
	taken     verdict = iota // it waits for its tick
	late                     // its tick is already latched: it repeats from now on
	early                    // its tick or its number is too far ahead: dropped
	duplicate                // it is already known, or older than one that was used
	crowded                  // the queue is full: dropped
)

// Fixed limits, part of PROTOCOL.md.
const (
	// MaxTicksAhead is how many ticks beyond the newest latched one an input may aim.
	MaxTicksAhead = 32
	// MaxPayload bounds the packed value of a command or an input, in bytes.
	MaxPayload = ecs.MaxClientCommand
)

// maxSamples bounds the waiting samples of one session: enough for four kinds of
// input in every tick ahead.
const maxSamples = 4 * MaxTicksAhead

// maxSeqStep is how far a sample's number may exceed the newest used one. Once a
// number is used, all lower ones are duplicates.
const maxSeqStep = 1 << 32

// repeat is the newest sample of a kind. at is the tick that used it first, or the
// newest latched tick when it came too late.
type repeat struct {
	sample
	at uint64
}

// inputs keeps the sampled commands of one session until their ticks. It is pure:
// it knows neither clocks nor connections.
type inputs struct {
	waiting []sample // by tick, then by arrival
	last    []repeat // one per kind
	used    uint64   // newest seq that a tick has used
}

// add queues a sample. latched is the newest latched tick.
func (q *inputs) add(s sample, latched uint64) verdict {
	switch {
	case s.seq <= q.used:
		return duplicate
	case s.seq-q.used > maxSeqStep:
		return early
	case s.tick <= latched:
		q.remember(s, latched)
		return late
	case s.tick > latched+MaxTicksAhead:
		return early
	}
	at := len(q.waiting)
	for i := range q.waiting {
		w := &q.waiting[i]
		if w.tick == s.tick && w.kind == s.kind {
			if s.seq <= w.seq {
				return duplicate
			}
			*w = s // the newer one wins
			return taken
		}
		if w.tick > s.tick && at == len(q.waiting) {
			at = i
		}
	}
	if len(q.waiting) >= maxSamples {
		return crowded
	}
	q.waiting = slices.Insert(q.waiting, at, s)
	return taken
}

// take removes the samples for tick and earlier ones. For each kind it calls use
// with the value for tick: the sample aimed at it, else the last one, which
// repeats for at most hold ticks, else zeros. flags are those of an ecs.Command.
// When use returns false, the value is unusable: the last one repeats, if any.
func (q *inputs) take(tick, hold uint64, use func(s sample, flags uint8) bool) {
	n := 0
	for n < len(q.waiting) && q.waiting[n].tick <= tick {
		n++
	}
	for _, s := range q.waiting[:n] {
		if s.tick == tick && use(s, 0) {
			q.used = max(q.used, s.seq)
			q.remember(s, tick)
		}
	}
	q.waiting = slices.Delete(q.waiting, 0, n)
	q.last = slices.DeleteFunc(q.last, func(r repeat) bool {
		if r.at == tick {
			return false
		}
		q.used = max(q.used, r.seq)
		if tick-r.at <= hold {
			return !use(r.sample, ecs.FlagRepeated)
		}
		s := r.sample
		s.payload = zeros[:len(s.payload)]
		return !use(s, ecs.FlagRepeated|ecs.FlagNeutral)
	})
}

// zeros is the neutral value of every sampled command.
var zeros [MaxPayload]byte

// quiet drops everything. Nothing repeats until the next sample arrives.
func (q *inputs) quiet() { q.waiting, q.last = nil, nil }

// remember makes s the sample that repeats, unless a newer one does.
func (q *inputs) remember(s sample, at uint64) {
	for i := range q.last {
		if last := &q.last[i]; last.kind == s.kind {
			if s.seq >= last.seq {
				last.sample = s
			}
			last.at = max(last.at, at)
			return
		}
	}
	q.last = append(q.last, repeat{s, at})
}
