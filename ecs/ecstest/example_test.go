package ecstest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/ecstest"
)

type (
	counted struct{ N uint32 }
	counter struct{ Counted *counted }
	first   struct{ Counted counted }
)

// game counts ticks in a component.
var game = ecs.Game{Name: "counts", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Component[counted](w, "counted")
	ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[first]) { s.New(first{}) })
	ecs.System(w, "count", func(_ *ecs.Tick, q *ecs.Query[counter]) {
		for c := range q.Each {
			c.Counted.N++
		}
	})
}}

// forgetful counts in a variable of Setup, which neither a snapshot nor a delta contains.
var forgetful = ecs.Game{Name: "forgets", TickRate: 30, Setup: func(w *ecs.World) {
	ticks := uint32(0)
	ecs.Component[counted](w, "counted")
	ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[first]) { s.New(first{}) })
	ecs.System(w, "count", func(_ *ecs.Tick, q *ecs.Query[counter]) {
		ticks++
		for c := range q.Each {
			c.Counted.N = ticks
		}
	})
}}

// A game's test is one call: func TestGame(t *testing.T) { ecstest.Run(t, game) }.
func ExampleRun() {
	TestGame := func(t *testing.T) { ecstest.Run(t, game) }
	_ = TestGame
}

// Each part of the kit can be called alone. Here Restore finds state that a restored world lacks.
func ExampleRestore() {
	for _, g := range []ecs.Game{game, forgetful} {
		v := verdict("ok")
		ecstest.Restore(&v, g, ecstest.Config{Seed: 1, Ticks: 60})
		fmt.Printf("%s: %s\n", g.Name, v)
	}
	// Output:
	// counts: ok
	// forgets: tick 2: the world restored at tick 1 diverged: component counted of entity 1, N: 2 live, 1 restored
}

// verdict is a testing.TB that keeps the first line of the first error.
type verdict string

func (v *verdict) Helper()             {}
func (v *verdict) Logf(string, ...any) {}
func (v *verdict) Errorf(format string, args ...any) {
	if *v == "ok" {
		line, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
		*v = verdict(line)
	}
}
func (v *verdict) Fatalf(format string, args ...any) { v.Errorf(format, args...) }
