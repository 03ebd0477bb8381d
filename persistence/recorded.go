package persistence

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"

	"github.com/ferris1/wind/ecs"
)

// Recorded describes the build that wrote the end of a log. Reading it takes a few steps and no world, so that a build
// knows what it can carry over before it touches the log.
type Recorded struct {
	Genesis *Genesis  // nil if purged
	Schema  []byte    // JSON of ecs.Schema at the log's end; nil if neither log nor snapshots tell
	Build   ecs.Build // the newest owner's; the zero value if its epoch record is purged
	Epoch   Epoch     // the newest owner's

	game   string // from the newest snapshot, if genesis is purged
	config ecs.Config
}

// ReadRecorded reads what log and snapshots record. It finds epoch records by binary search, since epochs never decrease
// along a log. If they are purged, it reads the newest snapshot; snapshots may be nil. It returns ErrNotFound for an empty
// log, and an error for damage, which a full read of the log describes better.
func ReadRecorded(ctx context.Context, log LogReader, snapshots SnapshotReader) (r Recorded, err error) {
	first, err := log.First(ctx)
	if err != nil {
		return r, fmt.Errorf("persistence: cannot read the log's first sequence: %w", err)
	}
	last, err := log.Last(ctx)
	if err != nil {
		return r, fmt.Errorf("persistence: cannot read the log's last sequence: %w", err)
	}
	if last == 0 {
		return r, fmt.Errorf("%w: the log is empty", ErrNotFound)
	}
	oldest, err := recordAt(ctx, log, max(first, 1))
	if err != nil {
		return r, err
	}
	r.Genesis = oldest.Genesis
	if err := r.readEpochs(ctx, log, oldest, last); err != nil || r.Schema != nil && r.Genesis != nil || snapshots == nil {
		return r, err
	}
	return r, r.readSnapshot(ctx, snapshots)
}

// readEpochs goes back from epoch to epoch until one names its schema. oldest is the log's first record.
func (r *Recorded) readEpochs(ctx context.Context, log LogReader, oldest *Record, last Seq) error {
	for seq := last; seq >= oldest.Seq; {
		begin, epoch, err := epochBegin(ctx, log, oldest, seq)
		if err != nil {
			return err
		}
		rec := oldest
		if begin > oldest.Seq {
			if rec, err = recordAt(ctx, log, begin); err != nil {
				return err
			}
		}
		if rec.Genesis != nil && seq > 1 { // its writer also began the epoch of the same number
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
			return nil // the log is purged into the middle of an epoch
		}
		if r.Build == (ecs.Build{}) {
			r.Build = rec.EpochStart.Build
		}
		if r.Schema = rec.EpochStart.Schema; len(r.Schema) > 0 {
			return nil
		}
		if r.Schema = nil; r.Genesis != nil && schemaHash(r.Genesis.Schema) == rec.EpochStart.Build.SchemaHash {
			r.Schema = r.Genesis.Schema // the usual case
			return nil
		}
		seq = begin - 1
	}
	return nil
}

// readSnapshot takes what the log no longer has from the newest readable snapshot.
func (r *Recorded) readSnapshot(ctx context.Context, snapshots SnapshotReader) error {
	all, err := snapshots.List(ctx)
	if err != nil {
		return fmt.Errorf("persistence: cannot list the snapshots: %w", err)
	}
	for _, info := range all {
		s, err := snapshots.Get(ctx, info)
		if err != nil {
			continue // an older one has the same answer; code that needs this one reports the error
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

// epochBegin returns the epoch of record seq and the first record of it. oldest is the log's first record: of a room that has had
// one owner, it is the answer.
func epochBegin(ctx context.Context, log LogReader, oldest *Record, seq Seq) (begin Seq, epoch Epoch, err error) {
	m, err := log.Get(ctx, seq)
	if err != nil {
		return 0, 0, fmt.Errorf("persistence: record %d: %w", seq, err)
	}
	if epoch = m.Header.Epoch; epoch == oldest.Epoch {
		return oldest.Seq, epoch, nil
	}
	for low := oldest.Seq + 1; low < seq; {
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

// hashed is an encoded schema with its hash.
type hashed struct {
	schema []byte
	hash   uint64
}

var lastHashed atomic.Pointer[hashed] // most logs that a process reads are of one game

// schemaHash returns the hash of an encoded schema, 0 if b is not one.
func schemaHash(b []byte) uint64 {
	if h := lastHashed.Load(); h != nil && bytes.Equal(h.schema, b) {
		return h.hash
	}
	s, err := ecs.ParseSchema(b)
	if err != nil {
		return 0
	}
	h := &hashed{bytes.Clone(b), s.Hash()}
	lastHashed.Store(h)
	return h.hash
}

// Game returns the name of the recorded game, "" if unknown.
func (r *Recorded) Game() string {
	if r.Genesis != nil {
		return r.Genesis.Game
	}
	return r.game
}

// Config returns the configuration of the recorded world; ok is false if it is unknown.
func (r *Recorded) Config() (c ecs.Config, ok bool) {
	if r.Genesis != nil {
		return ecs.Config{Seed: r.Genesis.Seed, Options: r.Genesis.Options}, true
	}
	return r.config, r.game != ""
}

// Compare returns a *SchemaError that describes how game's schema differs from the recorded one, nil if it does not or if
// the recorded one is unknown. [SchemaError.Breaks] says whether the difference matters.
func (r *Recorded) Compare(game ecs.Game) (*SchemaError, error) {
	c, _ := r.Config()
	schema, err := ecs.SchemaOf(game, c)
	if err != nil {
		return nil, err
	}
	return compareSchema(r.Schema, schema, r.Build, r.Epoch), nil
}

// Reads returns nil if game can read the recorded ticks. Otherwise they belong to another game or have different commands
// or components, and the error is Foreign.
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

// CarriedBy returns nil if game can continue the recorded shard, else the reason, which is Foreign. See
// [SchemaError.Carried].
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

// compareSchema is Compare for two schemas. It returns nil if the recorded one cannot be parsed.
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
