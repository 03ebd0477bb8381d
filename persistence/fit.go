package persistence

import (
	"errors"
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// fit compares a game's types with those of the build that wrote the records, along a log.
type fit struct {
	have    *ecs.Schema  // the game's; nil compares nothing
	differs *SchemaError // how it differs from the current recorded schema; nil if it does not
	build   ecs.Build    // the build that writes now
}

// enter takes the schema of a new epoch, empty if it does not change.
func (f *fit) enter(schema []byte, by ecs.Build, epoch Epoch) {
	f.build = by
	if f.have != nil && len(schema) > 0 {
		f.differs = compareSchema(schema, f.have, by, epoch)
	}
}

// record calls enter for a genesis or epoch record.
func (f *fit) record(r *Record) {
	switch {
	case r.Genesis != nil:
		f.enter(r.Genesis.Schema, r.Genesis.Build, r.Epoch)
	case r.EpochStart != nil:
		f.enter(r.EpochStart.Schema, r.EpochStart.Build, r.Epoch)
	}
}

// breaks reports whether the game can use none of the given parts of what the current schema records.
func (f *fit) breaks(what ecs.Breaks) bool { return f.differs.Breaks()&what == what }

// by adds the recording build to a *DivergedError: that build may have different game logic.
func (f *fit) by(err error) error {
	var d *DivergedError
	if errors.As(err, &d) {
		d.Build = f.build.ID
	}
	return err
}

// blame wraps err in a *SchemaError if the schema differs, since that explains the error.
func (f *fit) blame(err error) error {
	if err == nil || f.differs == nil {
		return err
	}
	e := *f.differs
	e.Err = err
	return &e
}

// gameError reports that the stored data belongs to another game. It unwraps to an *ecs.GameError.
type gameError struct{ ecs.GameError }

func otherGame(got, want string) error { return &gameError{ecs.GameError{Got: got, Want: want}} }

// Error names both games and says what to do.
func (e *gameError) Error() string {
	return fmt.Sprintf("persistence: the log belongs to game %s, this is %s: choose it with --game, or use that game's binary", e.Got, e.Want)
}

// Unwrap returns the *ecs.GameError.
func (e *gameError) Unwrap() error { return &e.GameError }

// Foreign reports whether err means that the data was recorded by another game or under another schema. This build cannot
// tell whether such data is intact.
func Foreign(err error) bool {
	var game *ecs.GameError
	return errors.Is(err, ErrSchema) || errors.As(err, &game)
}
