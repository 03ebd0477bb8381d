package ecstest

import (
	"flag"
	"math/rand/v2"

	"github.com/ferris1/wind/ecs"
)

var seedFlag = flag.Uint64("ecstest.seed", 0, "seed of ecstest's random players; 0 takes a new one")

// TB is the part of testing.TB that the kit uses, so that the kit itself can be tested.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Config tunes a test. The zero value is a good test.
type Config struct {
	// Seed of players and worlds; 0 takes -ecstest.seed, or a new one.
	Seed uint64
	// Ticks that each part plays: 600 when 0.
	Ticks int
	// Sessions that play at once at most: 6 when 0.
	Sessions int
	// Options of the game, a struct of the type of Game.Options; nil for the defaults.
	Options any
	// Play, if given, makes the commands of one session for the next tick in place of random ones: for games
	// whose commands make sense only in some order. The commands' Source and Seq are filled in; invalid ones are left out.
	Play func(w *ecs.World, session uint64, r *rand.Rand) []ecs.Command
	// Allocs is how many allocations a tick may make in the steady state.
	Allocs int
	// WarmUp is how many ticks come before allocations are counted: 400 when 0.
	WarmUp int
}

// filled has the defaults filled in.
func (c Config) filled() Config {
	if c.Seed == 0 {
		c.Seed = *seedFlag
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Ticks == 0 {
		c.Ticks = 600
	}
	if c.Sessions == 0 {
		c.Sessions = 6
	}
	if c.WarmUp == 0 {
		c.WarmUp = 400
	}
	return c
}

// start fills in c and says how to see a failure again.
func start(tb TB, c Config) Config {
	tb.Helper()
	c = c.filled()
	tb.Logf("-ecstest.seed=%d", c.Seed)
	return c
}

// newWorld makes the n-th world of a test.
func newWorld(tb TB, g ecs.Game, c Config, n uint64) *ecs.World {
	tb.Helper()
	options, err := g.EncodeOptions(c.Options)
	if err != nil {
		tb.Fatalf("the options: %v", err)
	}
	w, err := ecs.New(g, ecs.Config{Seed: c.Seed + n, Options: options})
	if err != nil {
		tb.Fatalf("the game: %v", err)
	}
	return w
}
