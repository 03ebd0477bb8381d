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

// Config tunes a test. Its zero value makes a good test.
type Config struct {
	// Seed seeds players and worlds; 0 means -ecstest.seed, or a new seed.
	Seed uint64
	// Ticks is how many ticks each part plays; 0 means 600.
	Ticks int
	// Sessions is the largest number of sessions at once; 0 means 6.
	Sessions int
	// Options are the game's options, of the type of Game.Options; nil means the defaults.
	Options any
	// Play, if set, makes the commands of one session for the next tick, instead of random ones: for games whose
	// commands make sense only in some order. The kit fills in Source and Seq and leaves out invalid commands.
	Play func(w *ecs.World, session uint64, r *rand.Rand) []ecs.Command
	// Allocs is how many allocations a tick may make in the steady state.
	Allocs int
	// WarmUp is how many ticks run before allocations are counted; 0 means 400.
	WarmUp int
}

// filled returns c with the defaults filled in.
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

// start fills in c and logs how to reproduce a failure.
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
