package ecs

import (
	"cmp"
	"slices"
)

// Spent is what calls of one system, or of one command's handler, took since Measure.
type Spent struct {
	Name        string
	Calls       int
	Nanoseconds int64
}

// Measure times the systems and handlers of the steps to come with a clock that returns nanoseconds, and forgets what was
// measured before; nil stops it. Nothing that a world computes depends on it. A step that is not measured pays one
// comparison per call.
func (w *World) Measure(clock func() int64) {
	w.clock = clock
	for _, c := range w.timed() {
		c.calls, c.spent = 0, 0
	}
}

// Slowest returns up to n systems and handlers that took the most time since Measure, the slowest first.
func (w *World) Slowest(n int) (all []Spent) {
	for _, c := range w.timed() {
		if c.calls > 0 {
			all = append(all, Spent{c.name, c.calls, c.spent})
		}
	}
	slices.SortStableFunc(all, func(a, b Spent) int { return cmp.Compare(b.Nanoseconds, a.Nanoseconds) })
	return all[:min(n, len(all))]
}

// timed lists what a step calls, in the order of registration.
func (w *World) timed() (all []*call) {
	all = slices.Clone(w.systems)
	for _, h := range w.handlers {
		all = append(all, &h.call)
	}
	return all
}

// measured is run with the clock running.
func (w *World) measured(c *call, seed uint64) verdict {
	begin := w.clock()
	v := w.attempt(c, seed)
	c.calls++
	c.spent += w.clock() - begin
	return v
}
