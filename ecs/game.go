package ecs

import (
	"errors"
	"fmt"
	"unsafe"
)

// Game is what a shard runs and what a replay needs: the same value for both.
type Game struct {
	// Name is [a-z0-9-]{1,40}. It stands in genesis and in every snapshot.
	Name string
	// TickRate is in ticks per second, 1 to 240.
	TickRate int
	// HoldTicks is for how many ticks a session's last sampled command repeats when none comes; then the zero
	// value is used. 0: a quarter of a second's worth.
	HoldTicks int
	// Options is nil, or a struct value that holds the defaults of what can be set when a world is
	// made. Its exported fields are bool, int32, int64, uint32, uint64, float64 or string, tagged
	// `usage:"…" min:"0" max:"100000"`.
	Options any
	// Setup registers components, resources, events, commands, systems. It runs once for each world,
	// also for a restored one, and must do the same each time for the same options.
	Setup func(*World)
}

// Config is what makes two worlds of one game differ.
type Config struct {
	Seed    uint64 // of every random number
	Options []byte // a JSON object as EncodeOptions makes it; nil for the defaults
}

// New makes the world of g at tick 0: empty, with what Setup registered. The Init functions run as
// part of the Step of tick 1. An unusable game, bad options and refused registrations are errors.
func New(g Game, c Config) (*World, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	value, err := g.DecodeOptions(c.Options)
	if err != nil {
		return nil, err
	}
	options := append([]byte(nil), c.Options...)
	if len(options) == 0 {
		if options, err = g.EncodeOptions(nil); err != nil {
			return nil, err
		}
	}
	w := newWorld(g, c.Seed, options, value)
	if err := w.setup(); err != nil {
		return nil, err
	}
	return w, nil
}

// SchemaOf is the schema of g's worlds with these options: it runs Setup on a world that it throws away.
func SchemaOf(g Game, c Config) (*Schema, error) {
	w, err := New(g, c)
	if err != nil {
		return nil, err
	}
	return w.Schema(), nil
}

func (g Game) check() error {
	if err := ValidName(g.Name, MaxName); err != nil {
		return fmt.Errorf("ecs: the game's %w", err)
	}
	if g.TickRate < 1 || g.TickRate > 240 {
		return fmt.Errorf("ecs: game %s: %d ticks per second are not 1 to 240", g.Name, g.TickRate)
	}
	if g.HoldTicks < 0 {
		return fmt.Errorf("ecs: game %s: HoldTicks %d is negative", g.Name, g.HoldTicks)
	}
	if g.Setup == nil {
		return fmt.Errorf("ecs: game %s has no Setup", g.Name)
	}
	one := uint16(1)
	if *(*byte)(unsafe.Pointer(&one)) != 1 || unsafe.Sizeof(uintptr(0)) != 8 {
		return errors.New("ecs: only 64-bit little-endian machines hold a world")
	}
	return nil
}

// Hold is HoldTicks with its default, rounded up.
func (g Game) Hold() uint64 {
	if g.HoldTicks > 0 {
		return uint64(g.HoldTicks)
	}
	return uint64(g.TickRate+3) / 4
}

// typeNameOK reports whether s can name a type: [a-z][a-z0-9._-]{0,63}.
func typeNameOK(s string) bool {
	if len(s) < 1 || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
