package shard

import (
	"sync/atomic"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// An empty room would commit a record per tick, and nobody would see it. A host that may doze (HostConfig.Doze) lets ticks become
// due until a record is full, simulates them in a row and commits them at once, as it does after a stall: nothing reads the world
// between them, and nothing leaves before the record is committed. It dozes after a second without a session, a command or a message
// to others. Whatever arrives ends that at once: the ticks that are due are committed with it.
// The price: a message that a tick sends unasked, such as the room's result, leaves up to seven ticks late.

// doze is what a host knows of the quiet in its room.
type doze struct {
	quiet   uint64        // ticks in a row without a session, a command or a message
	slept   int           // ticks that the host let become due on purpose since the last record: they are not late
	dozing  atomic.Bool   // the loop sleeps through ticks that are due
	arrived atomic.Bool   // something came since the last latch
	nudge   chan struct{} // wakes the loop; one token
}

// count counts the ticks of a record.
func (d *doze) count(commands [][]ecs.Command, outputs []ecs.Output, sessions int) {
	for i := range outputs {
		if d.quiet++; sessions > 0 || len(commands[i]) > 0 || len(outputs[i].Outbox) > 0 {
			d.quiet = 0
		}
	}
}

// batch returns how many ticks must be due before the host works: 1 unless it dozes.
func (h *Host) batch() int {
	d, rate := &h.doze, h.tickRate()
	if _, wakes := h.cfg.Frontend.(Waker); !h.cfg.Doze || !wakes || d.quiet < uint64(rate) {
		d.dozing.Store(false)
		return 1
	}
	d.dozing.Store(true)
	if d.arrived.Load() { // after dozing is set: what comes later nudges
		d.quiet = 0
		d.dozing.Store(false)
		return 1
	}
	return max(1, min(persistence.MaxTicks, rate-1, h.ticksLeft())) // within CatchUpSeconds
}

// arrive is told that something has arrived. Any goroutine may call it.
func (h *Host) arrive() {
	h.doze.arrived.Store(true)
	if h.doze.dozing.Load() {
		select {
		case h.doze.nudge <- struct{}{}:
		default:
		}
	}
}

// listen says what the frontend calls when something arrives.
func (h *Host) listen(f func()) {
	if w, ok := h.cfg.Frontend.(Waker); ok && h.cfg.Doze {
		w.OnArrival(f)
	}
}
