package ecstest

import (
	"testing"

	"github.com/ferris1/wind/ecs"
)

// parts of a test, in the order most useful to a game's author.
var parts = []struct {
	name string
	run  func(TB, ecs.Game, Config)
}{
	{"Setup", Setup},
	{"Replay", Replay}, // before the others: state left behind by a process's first world shows only once
	{"Restore", Restore},
	{"Apply", Apply},
	{"Recompute", Recompute},
	{"Fuzz", Fuzz},
	{"Limits", Limits},
	{"Allocations", Allocations},
}

// Run tests the game with all parts of the kit, each as a subtest. It accepts at most one Config; the default takes a
// few seconds for a game of some hundred entities.
func Run(t *testing.T, g ecs.Game, configs ...Config) {
	t.Helper()
	var c Config
	if len(configs) > 0 {
		c = configs[0]
	}
	c = c.filled() // one seed for all parts
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			t.Helper()
			p.run(t, g, c)
		})
	}
}
