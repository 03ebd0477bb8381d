package persistence

import (
	"context"
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// Recorded is what a log says of the build that wrote its end. It can be read in a few steps, without a
// world: what another build can carry over is known before anything is done with the log.
type Recorded struct {
	Genesis *Genesis  // nil where it is purged
	Schema  []byte    // JSON of ecs.Schema in force at the log's end; nil when nothing that is stored says it
	Build   ecs.Build // of the newest owner; the zero value when its epoch record is purged
	Epoch   Epoch     // that owner's

	game   string // with genesis purged: of the newest snapshot
	config ecs.Config
}

// ReadRecorded reads it. It finds epoch records by halving, since epochs never fall along a log. Where they
// are purged the newest snapshot tells; snapshots may be nil. An empty log is ErrNotFound. What is damaged is
// an error; whoever reads the whole log says more of it.
func ReadRecorded(ctx context.Context, log LogReader, snapshots SnapshotReader) (r Recorded, err error) {
	first, err := log.First(ctx)
	if err != nil {
		return r, fmt.Errorf("persistence: first sequence of the log: %w", err)
	}
	last, err := log.Last(ctx)
	if err != nil {
		return r, fmt.Errorf("persistence: last sequence of the log: %w", err)
	}
	if last == 0 {
		return r, fmt.Errorf("%w: the log is empty", ErrNotFound)
	}
	if first == 1 {
		genesis, err := recordAt(ctx, log, 1)
		if err != nil {
			return r, err
		}
		r.Genesis = genesis.Genesis
	}
	if err := r.readEpochs(ctx, log, first, last); err != nil || r.Schema != nil && r.Genesis != nil || snapshots == nil {
		return r, err
	}
	return r, r.readSnapshot(ctx, snapshots)
}

// readEpochs goes back from epoch to epoch until one says which schema it has.
func (r *Recorded) readEpochs(ctx context.Context, log LogReader, first, last Seq) error {
	for seq := last; seq >= first && seq > 0; {
		begin, epoch, err := epochBegin(ctx, log, first, seq)
		if err != nil {
			return err
		}
		rec, err := recordAt(ctx, log, begin)
		if err != nil {
			return err
		}
		if rec.Genesis != nil && seq > 1 { // who wrote it began an epoch of the same number
			second, err := recordAt(ctx, log, 2)
			if err != nil {
				return err
			}
			if second.EpochStart != nil {
				begin, rec = 2, second
			}
		}
		r.Epoch = max(r.Epoch, epoch)
		switch {
		case rec.Genesis != nil:
			if r.Build == (ecs.Build{}) {
				r.Build = rec.Genesis.Build
			}
			r.Schema = rec.Genesis.Schema
			return nil
		case rec.EpochStart == nil:
			return nil // purged in the midst of an epoch
		}
		if r.Build == (ecs.Build{}) {
			r.Build = rec.EpochStart.Build
		}
		if r.Schema = rec.EpochStart.Schema; len(r.Schema) > 0 {
			return nil
		}
		if r.Schema = nil; r.Genesis != nil && schemaHash(r.Genesis.Schema) == rec.EpochStart.Build.SchemaHash {
			r.Schema = r.Genesis.Schema // as nearly always
			return nil
		}
		seq = begin - 1
	}
	return nil
}

// readSnapshot fills in from the newest snapshot what the log does not have any more.
func (r *Recorded) readSnapshot(ctx context.Context, snapshots SnapshotReader) error {
	all, err := snapshots.List(ctx)
	if err != nil {
		return fmt.Errorf("persistence: list of snapshots: %w", err)
	}
	for _, info := range all {
		s, err := snapshots.Get(ctx, info)
		if err != nil {
			continue // an older one says the same, and whoever needs this one says what is wrong with it
		}
		if r.Schema == nil {
			r.Schema = s.Schema
		}
		if r.game, r.config, err = ecs.SnapshotConfig(s.Body); err == nil {
			return nil
		}
	}
	return nil
}

// epochBegin returns the first record in [first, seq] of the epoch that seq is of.
func epochBegin(ctx context.Context, log LogReader, first, seq Seq) (begin Seq, epoch Epoch, err error) {
	m, err := log.Get(ctx, seq)
	if err != nil {
		return 0, 0, fmt.Errorf("persistence: record %d: %w", seq, err)
	}
	epoch = m.Header.Epoch
	for low := first; low < seq; {
		middle := low + (seq-low)/2
		if m, err = log.Get(ctx, middle); err != nil {
			return 0, 0, fmt.Errorf("persistence: record %d: %w", middle, err)
		}
		if m.Header.Epoch == epoch {
			seq = middle
		} else {
			low = middle + 1
		}
	}
	return seq, epoch, nil
}

func recordAt(ctx context.Context, log LogReader, seq Seq) (*Record, error) {
	m, err := log.Get(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("persistence: record %d: %w", seq, err)
	}
	r, err := DecodeRecord(m.Body)
	if err != nil {
		return nil, at(err, seq, 0)
	}
	return r, nil
}

// schemaHash is 0 for what is no schema.
func schemaHash(b []byte) uint64 {
	s, err := ecs.ParseSchema(b)
	if err != nil {
		return 0
	}
	return s.Hash()
}

// Game names the recorded game, "" when nothing that is stored says it.
func (r *Recorded) Game() string {
	if r.Genesis != nil {
		return r.Genesis.Game
	}
	return r.game
}

// Config is what the recorded world was made with; ok is false when nothing that is stored says it.
func (r *Recorded) Config() (c ecs.Config, ok bool) {
	if r.Genesis != nil {
		return ecs.Config{Seed: r.Genesis.Seed, Options: r.Genesis.Options}, true
	}
	return r.config, r.game != ""
}

// Compare returns a *SchemaError that says in what game differs, nil when it does not, or nothing says what
// was recorded. Whether it matters is up to what of it breaks: see [SchemaError.Breaks].
func (r *Recorded) Compare(game ecs.Game) (*SchemaError, error) {
	c, _ := r.Config()
	schema, err := ecs.SchemaOf(game, c)
	if err != nil {
		return nil, err
	}
	return compareSchema(r.Schema, schema, r.Build, r.Epoch), nil
}

// Reads returns why game cannot read what was recorded, nil when it can: the ticks are of another game, or their
// commands and components are others. The error is Foreign.
func (r *Recorded) Reads(game ecs.Game) error {
	if g := r.Game(); g != "" && g != game.Name {
		return otherGame(g, game.Name)
	}
	e, err := r.Compare(game)
	if err != nil {
		return err
	}
	if e.Breaks()&ecs.BreaksTicks != 0 {
		return e
	}
	return nil
}

// CarriedBy returns why game cannot go on with the shard that was recorded, nil when it can: see
// [SchemaError.Carried]. The error is Foreign.
func (r *Recorded) CarriedBy(game ecs.Game) error {
	if g := r.Game(); g != "" && g != game.Name {
		return otherGame(g, game.Name)
	}
	e, err := r.Compare(game)
	switch {
	case err != nil:
		return err
	case !e.Carried():
		return e
	}
	return nil
}

// compareSchema is Compare for a schema that is known. A recorded one that cannot be read says nothing.
func compareSchema(recorded []byte, have *ecs.Schema, by ecs.Build, epoch Epoch) *SchemaError {
	if len(recorded) == 0 {
		return nil
	}
	was, err := ecs.ParseSchema(recorded)
	if err != nil {
		return nil
	}
	changes := ecs.SchemaDiff(was, have)
	if len(changes) == 0 {
		return nil
	}
	return &SchemaError{Build: by, Epoch: epoch, Changes: changes}
}
