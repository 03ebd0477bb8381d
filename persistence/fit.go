package persistence

import (
	"errors"
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// fit knows, while records go by, how far a game's types are those of the build that wrote them.
type fit struct {
	have    *ecs.Schema  // the game's; nil: nobody asks
	differs *SchemaError // from what is in force; nil: it does not
	build   ecs.Build    // that writes
}

// enter takes a schema that comes in force; an empty one is the one that is in force already.
func (f *fit) enter(schema []byte, by ecs.Build, epoch Epoch) {
	f.build = by
	if f.have != nil && len(schema) > 0 {
		f.differs = compareSchema(schema, f.have, by, epoch)
	}
}

// record is enter for a record that says who writes.
func (f *fit) record(r *Record) {
	switch {
	case r.Genesis != nil:
		f.enter(r.Genesis.Schema, r.Genesis.Build, r.Epoch)
	case r.EpochStart != nil:
		f.enter(r.EpochStart.Schema, r.EpochStart.Build, r.Epoch)
	}
}

// breaks reports whether the game cannot use all of what is in force writes.
func (f *fit) breaks(what ecs.Breaks) bool { return f.differs.Breaks()&what == what }

// by names the build that recorded in an error of a tick that diverges: another one may have other game logic.
func (f *fit) by(err error) error {
	var d *DivergedError
	if errors.As(err, &d) {
		d.Build = f.build.ID
	}
	return err
}

// blame makes another schema the reason of an error that it explains.
func (f *fit) blame(err error) error {
	if err == nil || f.differs == nil {
		return err
	}
	e := *f.differs
	e.Err = err
	return &e
}

// gameError says that what is stored is of another game. It is an *ecs.GameError.
type gameError struct{ ecs.GameError }

func otherGame(got, want string) error { return &gameError{ecs.GameError{Got: got, Want: want}} }

// Error names both games and the way out.
func (e *gameError) Error() string {
	return fmt.Sprintf("persistence: the log is of game %s, this is %s: choose it with --game, or use that game's binary", e.Got, e.Want)
}

// Unwrap returns what ecs calls it.
func (e *gameError) Unwrap() error { return &e.GameError }

// Foreign reports whether an error says that something was recorded by another game or under another schema: it may be
// intact, and this build is not the one to tell.
func Foreign(err error) bool {
	var game *ecs.GameError
	return errors.Is(err, ErrSchema) || errors.As(err, &game)
}
