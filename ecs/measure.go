package ecs

import (
	"cmp"
	"slices"
)

// Spent is the time that one system, or one command's handler, took since Measure.
type Spent struct {
	Name        string
	Calls       int
	Nanoseconds int64
}

// Measure starts timing systems and handlers with a clock that returns nanoseconds, and discards earlier measurements.
// A nil clock stops it. Nothing that a world computes depends on it. An unmeasured step pays one comparison per call.
func (w *World) Measure(clock func() int64) {
	w.clock = clock
	for _, c := range w.timed() {
		c.calls, c.spent = 0, 0
	}
}

// Slowest returns up to n systems and handlers that took the most time since Measure, slowest first.
func (w *World) Slowest(n int) (all []Spent) {
	for _, c := range w.timed() {
		if c.calls > 0 {
			all = append(all, Spent{c.name, c.calls, c.spent})
		}
	}
	slices.SortStableFunc(all, func(a, b Spent) int { return cmp.Compare(b.Nanoseconds, a.Nanoseconds) })
	return all[:min(n, len(all))]
}

// timed lists the calls of a step: systems, then handlers, each in order of registration.
func (w *World) timed() (all []*call) {
	all = slices.Clone(w.systems)
	for _, h := range w.handlers {
		all = append(all, &h.call)
	}
	return all
}

// measured is attempt, timed.
func (w *World) measured(c *call, seed uint64) verdict {
	begin := w.clock()
	v := w.attempt(c, seed)
	c.calls++
	c.spent += w.clock() - begin
	return v
}
