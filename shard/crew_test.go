package shard

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
