// Package captured has systems whose state outlives the tick where neither snapshot nor delta sees it.
package captured

import (
	"helper"
	"math/rand/v2"

	"github.com/ferris1/wind/ecs"
)

type counter struct{ n int }

func (c *counter) add()     { c.n++ }
func (c *counter) twice()   { c.add(); c.add() }
func (c *counter) get() int { return c.n }

func bump(n *int)     { *n++ }
func look(n *int) int { return *n }

var Game = ecs.Game{Setup: func(w *ecs.World) {
	n, m, list := 0, map[int]int{}, []int{1}
	c, far := &counter{}, &helper.Counter{}
	r := rand.New(rand.NewPCG(1, 2))
	limit := 3
	limit++ // Setup may do as it likes
	ecs.System(w, "closure", func(t *ecs.Tick) {
		n++                    // want `the variable n outlives the tick and is changed in it: keep it in a resource or a component`
		m[1] = 2               // want `the variable m outlives the tick`
		delete(m, 1)           // want `the variable m outlives the tick`
		list[0] = 1            // want `the variable list outlives the tick`
		list = append(list, 1) // want `the variable list outlives the tick`
		c.n = 1                // want `the variable c outlives the tick`
		c.add()                // want `the variable c outlives the tick`
		c.twice()              // want `the variable c outlives the tick`
		bump(&n)               // want `the variable n outlives the tick`
		helper.Bump(&n)        // want `the variable n outlives the tick`
		far.Add()              // want `the variable far outlives the tick`
		_ = r.IntN(6)          // want `the variable r outlives the tick`
		p := &n
		*p = 4 // want `the variable n outlives the tick`
		_ = c.get() + limit + look(&n) + helper.Peek(&n) + far.Get() + n
		sum, own := 0, map[int]int{}
		func() { sum++; own[1]++ }()
		add := func(t *ecs.Tick, k int) { sum += k }
		add(t, 1)
		q := &sum
		*q = 1
		local := counter{}
		local.add()
	})
	s := &system{}
	ecs.System(w, "method", s.move)
	ecs.System(w, "value", values{}.move)
	ecs.System(w, "made", made(3))
	ecs.System(w, "scratch", scratch(s))
	ecs.System(w, "called", func(t *ecs.Tick) { s.step() }) // want `the variable s outlives the tick`
	ecs.Handle[aim](w, "aim", func(t *ecs.Tick, c *ecs.Cmd[aim]) {
		n-- // want `the variable n outlives the tick`
		c.Value.X = 1
	})
}}

// scratch empties what it captured before using it, so nothing stays from tick to tick.
func scratch(s *system) func(*ecs.Tick, int) {
	list, seen, kept := []int{}, map[int]bool{}, []int{}
	return func(t *ecs.Tick, n int) {
		list = list[:0]
		clear(seen)
		for i := range n {
			list = append(list, i)
			seen[i] = true
		}
		if n > 3 {
			kept = kept[:0] // want `the variable kept outlives the tick`
		}
		kept = append(kept, n) // want `the variable kept outlives the tick`
	}
}

type aim struct{ X int }

type system struct {
	count int
	parts [2]counter
	next  *system
}

func (s *system) move(t *ecs.Tick) {
	s.count++        // want `the receiver s outlives the tick and is changed in it`
	s.parts[0].n = 1 // want `the receiver s outlives the tick`
	s.parts[1].add() // want `the receiver s outlives the tick`
	s.step()         // want `the receiver s outlives the tick`
	s.next.count = 1 // want `the receiver s outlives the tick`
	copied := *s
	copied.count++
}

func (s *system) step() { s.count++ }

type values struct {
	n     int
	cache map[int]int
}

func (v values) move(t *ecs.Tick) {
	v.n++          // a copy
	v.cache[1] = 1 // want `the receiver v outlives the tick`
}

func made(limit int) func(*ecs.Tick) {
	seen := 0
	return func(t *ecs.Tick) {
		if seen++; seen > limit { // want `the variable seen outlives the tick`
			return
		}
	}
}
