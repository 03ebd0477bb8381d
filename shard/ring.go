package shard

import (
	"sync"

	"github.com/ferris1/wind/persistence"
)

// Bounds of a ring: about a minute of a busy shard, or the memory that an unavailable delta stream may cost.
const (
	ringSlots = 2048
	ringBytes = 64 << 20
	restSlots = 4 * publishBatch // kept by an empty ring
	// Bodies kept for reuse: as many as a steady shard and one batch of its publisher use.
	spareBodies = 2 * publishBatch
)

// ring holds the deltas of committed ticks until the delta stream has them. The tick loop adds them and never waits; one
// goroutine takes them out. If the ring is full, further deltas become a gap. Safe for concurrent use.
type ring struct {
	mu    sync.Mutex
	slots []persistence.Delta // grows to most
	most  int
	spare [][]byte // a few bodies of dropped entries, for reuse
	head  int
	count int
	bytes int
	limit int               // of bytes
	share func(int) int     // what is left of it while many hosts have rings; nil: all
	gap   persistence.Delta // ticks that did not fit; its Gap is nil if all fit
	gaps  uint64            // ticks ever lost to a gap
	added func()            // called, without the lock, when there is something to publish
}

func newRing(slots, bytes int) *ring {
	return &ring{most: slots, limit: bytes}
}

// onAdd sets what add calls.
func (r *ring) onAdd(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.added = f
}

// clear empties the ring.
func (r *ring) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(r.count)
	r.gap = persistence.Delta{}
}

// add copies d, a delta or a gap, after the others.
func (r *ring) add(d persistence.Delta) {
	if added := r.keep(d); added != nil {
		added()
	}
}

// keep is add without the call of added, which it returns.
func (r *ring) keep(d persistence.Delta) (added func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gap.Gap != nil && r.fits(2, len(d.Body)) {
		r.put(r.gap)
		r.gap = persistence.Delta{}
	}
	if r.gap.Gap != nil || !r.fits(1, len(d.Body)) {
		r.widen(d)
		return nil
	}
	r.put(d)
	return r.added
}

func (r *ring) fits(slots, bytes int) bool {
	limit := r.limit
	if r.share != nil {
		limit = r.share(limit)
	}
	return r.count+slots <= r.most && (r.bytes+bytes <= limit || r.count == 0)
}

func (r *ring) put(d persistence.Delta) {
	if d.Gap == nil {
		var memory []byte
		if n := len(r.spare); n > 0 {
			memory, r.spare = r.spare[n-1], r.spare[:n-1]
		}
		d.Body = append(memory[:0], d.Body...)
	}
	if r.count == len(r.slots) {
		r.grow()
	}
	r.slots[(r.head+r.count)%len(r.slots)] = d
	r.count++
	r.bytes += len(d.Body)
}

// grow doubles the slots, from 16 on.
func (r *ring) grow() {
	more := make([]persistence.Delta, min(max(2*len(r.slots), 16), r.most))
	n := copy(more, r.slots[r.head:])
	copy(more[n:], r.slots[:r.head])
	r.slots, r.head = more, 0
}

// widen makes d part of the gap at the end.
func (r *ring) widen(d persistence.Delta) {
	first := d.FirstTick()
	r.gaps += d.Tick - first + 1
	if r.gap.Gap != nil {
		first = r.gap.Gap.FromTick
	}
	d.Body = nil
	d.Gap = &persistence.Gap{FromTick: first, ToTick: d.Tick, Reason: "the delta stream was slower than the shard and its backlog full"}
	r.gap = d
}

// oldest appends at most n entries to dst, oldest first. They stay in the ring and are valid until dropped.
func (r *ring) oldest(dst []persistence.Delta, n int) []persistence.Delta {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range min(n, r.count) {
		dst = append(dst, r.slots[(r.head+i)%len(r.slots)])
	}
	if len(dst) == 0 && r.gap.Gap != nil {
		r.put(r.gap)
		r.gap = persistence.Delta{}
		dst = append(dst, r.slots[r.head])
	}
	return dst
}

// drop removes the n oldest entries.
func (r *ring) drop(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(n)
}

func (r *ring) remove(n int) {
	for range min(n, r.count) {
		d := &r.slots[r.head]
		r.bytes -= len(d.Body)
		if d.Body != nil && len(r.spare) < spareBodies {
			r.spare = append(r.spare, d.Body)
		}
		*d = persistence.Delta{}
		r.head = (r.head + 1) % len(r.slots)
		r.count--
	}
	if r.count == 0 && len(r.slots) > restSlots {
		r.slots, r.head = nil, 0 // a backlog is over
	}
}

// shrink gives up the memory of an empty ring.
func (r *ring) shrink() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == 0 {
		r.slots, r.head, r.spare = nil, 0, nil
	}
}

// published removes the entries that the stream already has, judging by its last message: another owner of the same history
// may have published the same deltas.
func (r *ring) published(last persistence.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	through := publishedThrough(&last)
	for r.count > 0 && trim(&r.slots[r.head], through, last.Epoch) {
		r.remove(1)
	}
	if r.count == 0 && r.gap.Gap != nil && trim(&r.gap, through, last.Epoch) {
		r.gap = persistence.Delta{}
	}
}

// trim reports whether a stream with all ticks up to one tick, written by owners up to an epoch, also has d. From a gap that
// reaches further it cuts off the part that the stream has.
func trim(d *persistence.Delta, through uint64, epoch persistence.Epoch) bool {
	switch {
	case d.Gap == nil:
		return d.Tick <= through && d.Epoch <= epoch
	case d.Gap.Void():
		return false
	case d.Tick > through:
		d.Gap = &persistence.Gap{FromTick: max(d.Gap.FromTick, through+1), ToTick: d.Tick, Reason: d.Gap.Reason}
		return false
	}
	return true
}

// len returns how many entries wait, and how many ticks were ever lost to gaps.
func (r *ring) len() (waiting int, lostTicks uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count, r.gaps
}

// publishedThrough returns the last tick that a delta stream has, judging by its last message (nil: the stream is empty).
func publishedThrough(last *persistence.Delta) uint64 {
	switch {
	case last == nil:
		return 0
	case last.Gap != nil && last.Gap.Void():
		return last.Gap.FromTick - 1
	case last.Part != last.Parts:
		return last.Tick - 1 // its owner died between two parts: the whole tick is published again
	}
	return last.Tick
}
