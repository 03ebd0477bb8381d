package shard

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/persistence"
)

// Crew does the background work of a node's hosts: publishing deltas, storing snapshots, notes, measurements. A host has
// tasks instead of goroutines, so that an idle one costs little. The hosts of a crew run one build of one game, and share its
// schemas. Its methods are safe for concurrent use.
type Crew struct {
	origin time.Time    // of the hosts' phases
	hosts  atomic.Int64 // that own a shard
	types  types

	mu      sync.Mutex
	work    sync.Cond // a task waits, or the crew is closed
	settled sync.Cond // a run has ended
	queue   []*task   // from head on: waiting for a goroutine
	head    int
	members int // goroutines
	idle    int // those that wait for work and were not signalled
	closed  bool

	buffers [][]byte  // for snapshots: each host needs one for a moment each minute
	records sync.Pool // *ticks: each host needs one while it makes and commits a record
	batches sync.Pool // *[]persistence.Delta, likewise while it publishes
}

// crewSize is how many tasks run at once.
const crewSize = 16

// NewCrew returns a crew without work. Its goroutines begin when they are needed, and end with Close.
func NewCrew() *Crew {
	c := &Crew{origin: time.Now()}
	c.work.L, c.settled.L = &c.mu, &c.mu
	return c
}

// Close ends the crew's goroutines and waits for them. The hosts must have ended.
func (c *Crew) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.work.Broadcast()
	for c.members > 0 {
		c.settled.Wait()
	}
}

// pace stretches an interval when many hosts share the crew: each costs the stores the same, and together they may cost
// them no more than one request per share of time.
func (c *Crew) pace(every, share time.Duration) time.Duration {
	return max(every, time.Duration(c.hosts.Load())*share)
}

const (
	crewRings = 512 << 20 // bytes of deltas that may wait for the delta stream, of all hosts
	leastRing = 128 << 10 // of one of many hosts
)

// ringShare returns how many bytes of deltas a host may let wait: most, unless many hosts share the crew.
func (c *Crew) ringShare(most int) int {
	return min(most, max(leastRing, crewRings/max(1, int(c.hosts.Load()))))
}

// buffer returns an empty buffer for a snapshot. Give it back with giveBack.
func (c *Crew) buffer() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.buffers)
	if n == 0 {
		return nil
	}
	b := c.buffers[n-1]
	c.buffers = c.buffers[:n-1]
	return b[:0]
}

func (c *Crew) giveBack(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.buffers) < spareBuffers {
		c.buffers = append(c.buffers, b)
	}
}

// ticks returns memory for the ticks of a record. Give it back with giveTicks.
func (c *Crew) ticks() *ticks {
	if t, ok := c.records.Get().(*ticks); ok {
		return t
	}
	return &ticks{}
}

// giveTicks takes back memory in which n ticks were used.
func (c *Crew) giveTicks(t *ticks, n int) {
	t.clear(n)
	c.records.Put(t)
}

// batch returns an empty batch of deltas. Give it back with giveBatch.
func (c *Crew) batch() *[]persistence.Delta {
	if b, ok := c.batches.Get().(*[]persistence.Delta); ok {
		return b
	}
	return new([]persistence.Delta)
}

func (c *Crew) giveBatch(b *[]persistence.Delta) {
	clear(*b)
	c.batches.Put(b)
}

// spareBuffers bounds the buffers that a crew keeps.
const spareBuffers = 4

// task is one kind of a host's background work. It never runs twice at once.
type task struct {
	crew *Crew
	do   func()

	// Guarded by the crew's lock.
	queued bool // in the crew's queue, or about to run again
	active bool
	over   bool
	timer  *time.Timer // nil until after is called
	timed  bool        // within has set the timer
}

func (c *Crew) task(do func()) *task { return &task{crew: c, do: do} }

// wake makes the task run soon: once more if it runs now.
func (t *task) wake() {
	c := t.crew
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.over || t.queued || c.closed {
		return
	}
	if t.queued = true; t.active {
		return // it joins the queue when it has ended
	}
	c.enqueue(t)
}

// enqueue puts a task into the queue, with a goroutine that will take it. The caller holds the lock.
func (c *Crew) enqueue(t *task) {
	c.push(t)
	switch {
	case c.idle > 0:
		c.idle-- // it will not wait any more
		c.work.Signal()
	case c.members < crewSize:
		c.members++
		go c.serve()
	}
}

// push appends a task to the queue, and forgets those that were taken before they outnumber those that wait. The caller holds the
// lock.
func (c *Crew) push(t *task) {
	if c.head > crewSize && c.head > len(c.queue)/2 {
		n := copy(c.queue, c.queue[c.head:])
		clear(c.queue[n:])
		c.queue, c.head = c.queue[:n], 0
	}
	c.queue = append(c.queue, t)
}

// after wakes the task in d, instead of at an earlier choice.
func (t *task) after(d time.Duration) {
	t.crew.mu.Lock()
	defer t.crew.mu.Unlock()
	t.set(d)
}

// set sets the timer. The caller holds the lock.
func (t *task) set(d time.Duration) {
	if t.over {
		return
	}
	if t.timed = true; t.timer == nil {
		t.timer = time.AfterFunc(d, t.wake)
		return
	}
	t.timer.Reset(d)
}

// within wakes the task in d, unless an earlier call does it sooner.
func (t *task) within(d time.Duration) {
	t.crew.mu.Lock()
	defer t.crew.mu.Unlock()
	if !t.timed {
		t.set(d)
	}
}

// stop ends the task and waits for a run under way.
func (t *task) stop() {
	c := t.crew
	c.mu.Lock()
	defer c.mu.Unlock()
	t.over = true
	if t.timer != nil {
		t.timer.Stop()
	}
	for t.active {
		c.settled.Wait()
	}
}

// serve runs one task after the other until the crew is closed.
func (c *Crew) serve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		t := c.next()
		if t == nil {
			c.members--
			c.settled.Broadcast()
			return
		}
		c.mu.Unlock()
		t.do()
		c.mu.Lock()
		if t.active = false; t.queued {
			c.push(t)
		}
		c.settled.Broadcast()
	}
}

// next makes the next task active. It returns nil once the crew is closed. The caller holds the lock.
func (c *Crew) next() *task {
	for !c.closed {
		if c.head == len(c.queue) {
			c.queue, c.head = c.queue[:0], 0
			c.idle++
			c.work.Wait()
			continue
		}
		t := c.queue[c.head]
		c.queue[c.head] = nil // its host may end long before the queue is empty
		c.head++
		if t.queued = false; !t.over {
			t.active, t.timed = true, false
			return t
		}
	}
	return nil
}
