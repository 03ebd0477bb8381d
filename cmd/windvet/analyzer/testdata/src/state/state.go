package state

import (
	"errors"

	"github.com/ferris1/wind/ecs"
	"helper"
)

var (
	ErrFull = errors.New("full") // never changes
	table   = [4]int{1, 2, 3, 4}
	filled  [4]int
	count   int
	cache   = map[int]int{}
	last    counter
	setup   int
)

type counter struct{ n int }

func (c *counter) add()    { c.n++ }
func (c counter) get() int { return c.n }

func init() {
	for i := range filled {
		filled[i] = i // initialisation
	}
}

// Configure changes a variable between ticks.
func Configure(n int) { setup = n } // want Configure:`impure: the package variable setup is changed`

func Setup(w *ecs.World) { ecs.System(w, "count", system) }

func system(t *ecs.Tick) {
	_ = filled[2]
	_ = ErrFull
	count++          // want `the package variable count is changed from inside the simulation: keep it in a resource or a component, where snapshot, delta and checksum see it`
	cache[1] = 2     // want `the package variable cache is changed`
	delete(cache, 1) // want `the package variable cache is changed`
	last.add()       // want `the package variable last is changed`
	_ = last.get()   // want `the package variable last changes at run time`
	p := &table      // want `the package variable table is changed`
	_ = p
	if setup > 3 { // want `the package variable setup changes at run time`
		return
	}
	_ = helper.Limit   // want `the package variable Limit changes at run time`
	helper.Fixed = nil // want `the package variable Fixed is changed`
}
