package shard

import (
	"fmt"
	"sync/atomic"
	"time"
)

// hungAfter is how long a step may take before it counts as hung. A script that uses up its budget takes less.
const hungAfter = 2 * time.Second

// stepping records the loop's current step for other goroutines, since a step that does not end cannot report itself.
type stepping struct {
	since atomic.Int64 // Unix time in nanoseconds; 0: between two steps
	tick  atomic.Uint64
}

func (s *stepping) begin(tick uint64) {
	s.tick.Store(tick)
	s.since.Store(time.Now().UnixNano())
}

func (s *stepping) end() { s.since.Store(0) }

// condition returns Hung once a step has taken too long.
func (s *stepping) condition(shard string, now time.Time) (Condition, bool) {
	since := s.since.Load()
	if since == 0 {
		return Condition{}, false
	}
	begin := time.Unix(0, since)
	took := now.Sub(begin)
	if took < hungAfter {
		return Condition{}, false
	}
	text := fmt.Sprintf("the step of tick %d of shard %s has run for %s", s.tick.Load(), shard, took.Round(100*time.Millisecond))
	return Condition{Kind: Hung, Text: Sentence(Hung, shard, text), Since: begin, Stops: true}, true
}
