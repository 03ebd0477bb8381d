package shard

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/persistence"
)

func TestATaskNeverRunsTwiceAtOnceAndHearsEveryWake(t *testing.T) {
	c := NewCrew()
	var runs, within atomic.Int64
	var seen, asked atomic.Int64
	x := c.task(func() {
		if within.Add(1) != 1 {
			t.Error("it runs twice at once")
		}
		runs.Add(1)
		seen.Store(asked.Load())
		within.Add(-1)
	})
	const wakes = 20_000
	done := make(chan struct{})
	for range 4 {
		go func() {
			for range wakes / 4 {
				asked.Add(1)
				x.wake()
			}
			done <- struct{}{}
		}()
	}
	for range 4 {
		<-done
	}
	for deadline := time.Now().Add(20 * time.Second); seen.Load() != wakes && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if seen.Load() != wakes {
		t.Errorf("a run saw %d of %d wakes", seen.Load(), wakes)
	}
	x.stop()
	n := runs.Load()
	x.wake()
	x.after(time.Nanosecond)
	time.Sleep(10 * time.Millisecond)
	if runs.Load() != n {
		t.Error("a task that was stopped runs")
	}
	c.Close()
}

// TestACrewSharesItsGoroutines: tasks that block hold up at most those that wait for a goroutine, and each gets its turn.
func TestACrewSharesItsGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCrew()
		open := make(chan struct{})
		var blocked, ran atomic.Int64
		var all []*task
		for range crewSize {
			all = append(all, c.task(func() { blocked.Add(1); <-open }))
		}
		for range 100 {
			all = append(all, c.task(func() { ran.Add(1) }))
		}
		for _, x := range all {
			x.wake()
		}
		synctest.Wait()
		if blocked.Load() != crewSize || ran.Load() != 0 {
			t.Errorf("%d block, %d ran", blocked.Load(), ran.Load())
		}
		close(open)
		synctest.Wait()
		if ran.Load() != 100 {
			t.Errorf("%d of 100 ran", ran.Load())
		}
		late := c.task(func() { ran.Add(1) })
		late.after(time.Second)
		late.after(time.Minute)
		time.Sleep(30 * time.Second)
		if ran.Load() != 100 {
			t.Error("the first choice of a time still holds")
		}
		time.Sleep(time.Minute)
		if ran.Load() != 101 {
			t.Errorf("%d ran after a minute", ran.Load())
		}
		late.stop()
		if c.Close(); c.members != 0 || len(c.queue) != c.head {
			t.Errorf("%d goroutines, %d waiting", c.members, len(c.queue)-c.head)
		}
	})
}

// TestABusyCrewForgetsWhatItHasDone: it has always more to do, as while a store is slow, and its queue does not grow.
func TestABusyCrewForgetsWhatItHasDone(t *testing.T) {
	c := NewCrew()
	var runs atomic.Int64
	var all []*task
	enough := make(chan struct{})
	for i := range 4 * crewSize {
		all = append(all, c.task(func() {
			if runs.Add(1) == 100_000 {
				close(enough)
			}
			all[i].wake()
		}))
	}
	for _, x := range all {
		x.wake()
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Fatalf("%d runs in a minute", runs.Load())
	}
	c.mu.Lock()
	size := cap(c.queue)
	c.mu.Unlock()
	if size > 1000 {
		t.Errorf("after 100,000 runs of %d tasks the queue has %d places", len(all), size)
	}
	for _, x := range all {
		x.stop()
	}
	c.Close()
}

// TestStopWaitsForARun: what the host frees next is not in use.
func TestStopWaitsForARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, open, begun := NewCrew(), make(chan struct{}), make(chan struct{})
		over := false
		x := c.task(func() { close(begun); <-open; over = true })
		x.wake()
		<-begun
		time.AfterFunc(time.Second, func() { close(open) })
		if x.stop(); !over {
			t.Error("stop returned while it ran")
		}
		c.Close()
	})
}

// TestManyHostsLetFewDeltasWait: while the delta stream is away, a node with thousands of rooms keeps some hundred MiB of deltas, not a
// hundred GiB.
func TestManyHostsLetFewDeltasWait(t *testing.T) {
	c := NewCrew()
	for hosts, want := range map[int64]int{0: ringBytes, 1: ringBytes, 8: ringBytes, 512: 1 << 20, 100_000: leastRing} {
		if c.hosts.Store(hosts); c.ringShare(ringBytes) != want {
			t.Errorf("%d hosts: %d bytes, want %d", hosts, c.ringShare(ringBytes), want)
		}
	}
	c.hosts.Store(0)
	r := newRing(ringSlots, ringBytes)
	r.share = c.ringShare
	add := func(tick uint64) {
		r.add(persistence.Delta{Tick: tick, Part: 1, Parts: 1, Body: make([]byte, 1<<10)})
	}
	for tick := range uint64(1000) {
		add(tick + 1)
	}
	c.hosts.Store(100_000)
	for tick := range uint64(10) {
		add(tick + 1001)
	}
	if waiting, lost := r.len(); waiting != 1000 || lost != 10 {
		t.Errorf("%d deltas wait, %d are lost", waiting, lost)
	}
	r.drop(1000)
	if len(r.slots) > 0 || len(r.spare) > spareBodies {
		t.Errorf("after the backlog the ring has %d slots and %d bodies", len(r.slots), len(r.spare))
	}
	if next := r.oldest(nil, 10); len(next) != 1 || next[0].Gap == nil {
		t.Errorf("the lost ticks are %+v", next)
	}
	r.drop(1)
	add(1011)
	if next := r.oldest(nil, 10); len(next) != 1 || next[0].Tick != 1011 {
		t.Errorf("after the gap comes %+v", next)
	}
}

// TestTheHostsOfACrewShareBuffersForSnapshots: a buffer as large as a world is in use for a moment each minute.
func TestTheHostsOfACrewShareBuffersForSnapshots(t *testing.T) {
	c := NewCrew()
	first := append(c.buffer(), make([]byte, 1000)...)
	c.giveBack(first)
	second := c.buffer()
	if len(second) != 0 || cap(second) < 1000 || &second[:1][0] != &first[0] {
		t.Error("the buffer is not used again")
	}
	if third := c.buffer(); cap(third) > 0 {
		t.Error("two have one buffer")
	}
	for range 100 {
		c.giveBack(make([]byte, 10))
	}
	if len(c.buffers) != spareBuffers {
		t.Errorf("%d buffers are kept", len(c.buffers))
	}
}

func TestManyHostsAskLessOften(t *testing.T) {
	c := NewCrew()
	if got := c.pace(time.Second, 5*time.Millisecond); got != time.Second {
		t.Error(got)
	}
	c.hosts.Store(2000)
	if got := c.pace(time.Second, 5*time.Millisecond); got != 10*time.Second {
		t.Error(got)
	}
}
