package ecs

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// Game is what a shard runs and what a replay needs: the same value for both.
type Game struct {
	// Name matches [a-z0-9-]{1,40}. Genesis and every snapshot carry it.
	Name string
	// TickRate is in ticks per second, 1 to 240.
	TickRate int
	// Rate returns the tick rate of a world with these options, which have the type of Options. nil means TickRate for all.
	// Such a game computes its speeds and times from the rate that Setup finds in World.Game().TickRate.
	Rate func(options any) int
	// HoldTicks is the number of ticks for which a session's last sampled command repeats when no new one arrives; then
	// the zero value applies. 0 means a quarter of a second.
	HoldTicks int
	// SightMetres is the distance that a client sees around its view ([Tick.Control]), at least: the interest radius. Clients
	// see in whole cells of 32 m. 0 means 96; the limit is package replication's. It does not affect the simulation.
	SightMetres float64
	// Identity says how many sessions a player may have at once in a world. Sessions of one player have the same
	// Session.Identity. The world keeps the rule, too: a replay needs the one under which the log was written.
	Identity IdentityRule
	// Options is nil, or a struct value with the default of every option that a new world can set. Its exported fields
	// are bool, int32, int64, uint32, uint64, float64 or string, tagged `usage:"…" min:"0" max:"100000"`, and `later:"true"`
	// if the game gained the option after its first worlds: see EncodeOptions.
	Options any
	// Setup registers components, resources, events, commands and systems. It runs once per world, restored ones
	// included, and must do the same every time for the same options.
	Setup func(*World)
}

// IdentityRule says what a player's second session does. Whatever the rule, a client that resumes its session begins no other.
type IdentityRule uint8

const (
	ManySessions IdentityRule = iota // it lives beside the first
	NewestWins                       // it ends the first, which leaves a tick before it joins, even if the game then refuses its Join
	OldestStays                      // it cannot begin while the first has a connection, or had one a moment ago
)

// Config holds what can differ between two worlds of one game.
type Config struct {
	Seed    uint64 // seeds every random number
	Options []byte // a JSON object as EncodeOptions writes it; nil for the defaults

	// Like is nil, or another world of the game: the two share what depends on types alone, some 10 KiB. They are otherwise
	// independent, and may be stepped at the same time.
	Like *World
}

// New returns the world of g at tick 0: empty, with what Setup registered. The Init functions run in the Step of tick
// 1. New returns an error for an unusable game, bad options, refused registrations and a Setup that panics.
func New(g Game, c Config) (*World, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	value, err := g.DecodeOptions(c.Options)
	if err != nil {
		return nil, err
	}
	if g, err = g.paced(value); err != nil {
		return nil, err
	}
	options := append([]byte(nil), c.Options...)
	if len(options) == 0 {
		if options, err = g.EncodeOptions(nil); err != nil {
			return nil, err
		}
	}
	w := newWorld(g, c.Seed, options, value)
	if c.Like != nil {
		w.like = c.Like.forms
	}
	if err := w.setup(); err != nil {
		return nil, err
	}
	return w, nil
}

// SchemaOf returns the schema of g's worlds with these options. It runs Setup on a throwaway world.
func SchemaOf(g Game, c Config) (*Schema, error) {
	w, err := New(g, c)
	if err != nil {
		return nil, err
	}
	return w.Schema(), nil
}

const maxTickRate = 240

// With returns the game with the TickRate of a world with these options, a JSON object; nil means the defaults.
func (g Game) With(options []byte) (Game, error) {
	value, err := g.DecodeOptions(options)
	if err != nil {
		return g, err
	}
	return g.paced(value)
}

// paced sets the TickRate of a world with these options.
func (g Game) paced(options any) (Game, error) {
	if g.Rate == nil {
		return g, nil
	}
	rate, err := g.rate(options)
	if err != nil {
		return g, err
	}
	g.TickRate = rate
	if g.TickRate < 1 || g.TickRate > maxTickRate {
		return g, fmt.Errorf("ecs: game %s: Rate is %d ticks per second for options %+v, want 1 to %d", g.Name, g.TickRate, options, maxTickRate)
	}
	return g, nil
}

// rate calls Rate. Options come from whoever asks for a room: a Rate that panics for some must not end the node.
func (g Game) rate(options any) (rate int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("ecs: game %s: Rate panics for options %+v: %v", g.Name, options, r)
		}
	}()
	return g.Rate(options), nil
}

func (g Game) check() error {
	if err := ValidName(g.Name, MaxName); err != nil {
		return fmt.Errorf("ecs: the game's %w", err)
	}
	if g.TickRate < 1 || g.TickRate > maxTickRate {
		return fmt.Errorf("ecs: game %s: TickRate is %d ticks per second, want 1 to %d", g.Name, g.TickRate, maxTickRate)
	}
	if g.HoldTicks < 0 {
		return fmt.Errorf("ecs: game %s: HoldTicks %d is negative", g.Name, g.HoldTicks)
	}
	if !(g.SightMetres >= 0 && g.SightMetres < math.Inf(1)) {
		return fmt.Errorf("ecs: game %s: SightMetres is %v, want a finite distance", g.Name, g.SightMetres)
	}
	if g.Identity > OldestStays {
		return fmt.Errorf("ecs: game %s: Identity is %d, want ManySessions, NewestWins or OldestStays", g.Name, g.Identity)
	}
	if g.Setup == nil {
		return fmt.Errorf("ecs: game %s has no Setup", g.Name)
	}
	one := uint16(1)
	if *(*byte)(unsafe.Pointer(&one)) != 1 || unsafe.Sizeof(uintptr(0)) != 8 {
		return errors.New("ecs: a world needs a 64-bit little-endian machine")
	}
	return nil
}

// Hold returns HoldTicks, or its default, rounded up.
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
