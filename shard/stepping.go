package shard

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/ecs"
)

// hungAfter is how long a step may take before it counts as hung. A script that uses up its budget takes less.
const hungAfter = 2 * time.Second

// stopLook is how often a host that was asked to stop looks whether its step has ended.
const stopLook = 20 * time.Millisecond

// ErrHung is the reason that a host ends with if a tick's step does not end after a stop was asked for.
var ErrHung = errors.New("shard: a step hangs")

// stepping records the loop's current step for other goroutines, since a step that does not end cannot report itself.
type stepping struct {
	since atomic.Int64 // Unix time in nanoseconds; 0: between two steps; negative: the host gave the step up
	tick  atomic.Uint64
	world atomic.Pointer[ecs.World]
}

func (s *stepping) begin(w *ecs.World, tick uint64) {
	s.tick.Store(tick)
	s.world.Store(w)
	s.since.Store(time.Now().UnixNano())
}

// end ends the step. If the host has given it up, what the loop knows is no longer its own, and end ends the goroutine.
func (s *stepping) end() {
	if since := s.since.Load(); since < 0 || !s.since.CompareAndSwap(since, 0) {
		runtime.Goexit()
	}
}

// giveUp gives the current step up if it has run for limit since asked. From then on the loop touches nothing but the world.
func (s *stepping) giveUp(asked time.Time, limit time.Duration, now time.Time) bool {
	since := s.since.Load()
	if since == 0 {
		return false
	}
	if begin := time.Unix(0, since); begin.After(asked) {
		asked = begin
	}
	return now.Sub(asked) >= limit && s.since.CompareAndSwap(since, -since)
}

// what says which step runs, which system or command in it, and since when.
func (s *stepping) what(shard string, begin time.Time) string {
	text := fmt.Sprintf("the step of tick %d of shard %s has run since %s", s.tick.Load(), shard, begin.Format(time.TimeOnly))
	if w := s.world.Load(); w != nil {
		if running := w.Running(); running != "" {
			text += ", now in " + running
		}
	}
	return text
}

// condition returns Hung once a step has taken too long.
func (s *stepping) condition(shard string, now time.Time) (Condition, bool) {
	since := s.since.Load()
	if since == 0 {
		return Condition{}, false
	}
	begin := time.Unix(0, max(since, -since))
	if since > 0 && now.Sub(begin) < hungAfter {
		return Condition{}, false
	}
	return Condition{Kind: Hung, Text: Sentence(Hung, shard, s.what(shard, begin)), Since: begin, Stops: true}, true
}

// err is the error of a step that was given up.
func (s *stepping) err(shard string, limit time.Duration) error {
	begin := time.Unix(0, -s.since.Load())
	return fmt.Errorf("%w: %s, and did not end within %s of the stop: the tick was given up and never committed; every committed tick is in the log",
		ErrHung, s.what(shard, begin), limit)
}
