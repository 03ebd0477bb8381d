package shard

import (
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// An empty room would commit a record per tick, and nobody would see it. A host that may doze (HostConfig.Doze) lets ticks become
// due, simulates them in a row and commits them at once, as it does after a stall: nothing reads the world between them, and nothing
// leaves before the record is committed. It dozes after a second without a session, a command or a message to others, for half as
// long as the quiet has lasted, up to mostDoze, and no longer than its ticks are little work and few bytes. The dozes of a crew's
// hosts end at common moments, so that their requests to the stores leave together: alone, each costs more than the ticks.
// Whatever arrives ends that at once: the ticks that are due are committed with it, and it is in the last of them, as it
// would be if the room had not dozed. If it was no more than a question, the room soon dozes on.
// The price: a message that a tick sends unasked, such as the room's result, leaves up to mostDoze late.

const (
	quietBefore = time.Second            // a doze
	leastDoze   = 500 * time.Millisecond // the first
	mostDoze    = 4 * time.Second
	dozeWork    = 10 * time.Millisecond // at most, in a row, or that of catchUp ticks
	dozeBytes   = leastRing / 2         // likewise, of a record and its deltas: their ring has room for them
	dozeSlot    = 50 * time.Millisecond // between two moments at which dozes end
	awakeFor    = 3                     // records after something has come: the first may have no room for it
)

// doze is what a host knows of the quiet in its room.
type doze struct {
	quiet   uint64        // ticks in a row without a session, a command or a message
	awake   int           // records until it may doze again
	slept   int           // ticks that the host let become due on purpose since the last record: they are not late
	took    time.Duration // a tick of the last record
	bytes   int           // of a tick of the last record, and of its delta
	dozing  atomic.Bool   // the loop sleeps through ticks that are due
	arrived atomic.Bool   // something came since the last latch
	nudge   chan struct{} // wakes the loop; one token
}

// count counts the ticks of a record.
func (d *doze) count(commands [][]ecs.Command, outputs []ecs.Output, sessions int) {
	d.awake = max(0, d.awake-1)
	for i := range outputs {
		if d.quiet++; sessions > 0 || len(commands[i]) > 0 || len(outputs[i].Outbox) > 0 {
			d.quiet = 0
		}
	}
}

// span returns how long a doze lasts after the ticks of quiet.
func (d *doze) span(rate int) time.Duration {
	quiet := time.Duration(d.quiet) * time.Second / time.Duration(rate)
	span := mostDoze
	for span > leastDoze {
		if 2*span <= quiet && int(span*time.Duration(rate)/time.Second) <= d.most() {
			break
		}
		span /= 2
	}
	return span
}

// most returns how many ticks a doze has at most if they are like those of the last record.
func (d *doze) most() int {
	most := persistence.MaxTicks
	if d.took > 0 {
		most = min(most, max(catchUp, int(dozeWork/d.took)))
	}
	if d.bytes > 0 {
		most = min(most, max(catchUp, dozeBytes/d.bytes))
	}
	return most
}

// dozeEnd returns when a doze ends that begins at now: one of the moments that lie span apart. Where they lie depends on phase, a
// share in [0, 1).
func dozeEnd(origin, now time.Time, span time.Duration, phase float64) time.Time {
	offset := time.Duration(phase*float64(span/dozeSlot)) * dozeSlot
	since := now.Sub(origin) - offset
	k := since / span
	if k*span < since {
		k++
	}
	return origin.Add(offset + k*span)
}

// batch returns how many ticks must be due before the host works, and when they are: one, unless it dozes.
func (h *Host) batch() (ticks int, at time.Time) {
	d, rate, pacer := &h.doze, h.tickRate(), &h.tick.pacer
	next := pacer.When(1)
	if _, wakes := h.cfg.Frontend.(Waker); !h.cfg.Doze || !wakes || d.awake > 0 || d.quiet < uint64(quietBefore/time.Second)*uint64(rate) {
		d.dozing.Store(false)
		return 1, next
	}
	d.dozing.Store(true)
	if d.arrived.Load() { // after dozing is set: what comes later nudges
		d.awake = awakeFor
		d.dozing.Store(false)
		return 1, next
	}
	at = dozeEnd(h.crew.origin, next, d.span(rate), h.cfg.Phase)
	if most := min(h.ticksLeft(), d.most()); pacer.Due(at) > most {
		return most, pacer.When(most)
	}
	return pacer.Due(at), at
}

// arrive is told that something has arrived. Any goroutine may call it.
func (h *Host) arrive() {
	h.doze.arrived.Store(true)
	if h.doze.dozing.Load() {
		h.doze.wake()
	}
}

// wake makes the loop look at what it waits for. Any goroutine may call it.
func (d *doze) wake() {
	select {
	case d.nudge <- struct{}{}:
	default:
	}
}

// listen says what the frontend calls when something arrives.
func (h *Host) listen(f func()) {
	if w, ok := h.cfg.Frontend.(Waker); ok && h.cfg.Doze {
		w.OnArrival(f)
	}
}
