package shard

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// simulated is the Simulation of a real game: a world, and the ring for the deltas that the delta stream lacks.
type simulated struct {
	game    ecs.Game
	asked   ecs.Config // as asked for: nil options and a zero seed mean genesis's
	lineage string
	ring    *ring

	world  *ecs.World
	types  *types
	is     *typed             // the world's types; nil before one exists
	record persistence.Record // one tick, reused
	out    ecs.Output         // of the newest re-simulated tick
	keep   func(t *persistence.TickRecord, out ecs.Output) error
	body   []byte

	renumbered bool // this build's deltas number their types differently from the recorded ones

	apart    *ecs.World // the computed world of a diverged tick
	diverged *persistence.DivergedError

	stepping stepping

	began time.Time // when recovery had its first world
	bytes uint64    // of the records read since
}

func newSimulated(game ecs.Game, asked ecs.Config, lineage string, r *ring, t *types) *simulated {
	s := &simulated{game: game, asked: asked, lineage: lineage, ring: r, types: t}
	s.record = persistence.Record{Kind: persistence.KindTicks, Ticks: make([]persistence.TickRecord, 1)}
	s.keep = func(_ *persistence.TickRecord, out ecs.Output) error { s.out = out; return nil }
	return s
}

// Fits compares this build, and what was asked for, with the record of another build.
func (s *simulated) Fits(r *persistence.Recorded) error {
	if g := r.Game(); g != "" && g != s.game.Name {
		return s.refuse(g)
	}
	if err := SameRate(r.Genesis, s.game); err != nil {
		return err
	}
	if c, ok := r.Config(); ok {
		if err := s.compare(c.Seed, c.Options); err != nil {
			return err
		}
	}
	if s.same(r) {
		s.renumbered = s.renumbered && len(r.Schema) == 0
		return nil
	}
	err := r.CarriedBy(s.game)
	switch {
	case errors.Is(err, persistence.ErrSchema):
		return fmt.Errorf("%w: %w", ErrOtherSchema, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if len(r.Schema) > 0 {
		differs, _ := r.Compare(s.game) // the comparison above succeeded
		s.renumbered = differs.Breaks()&ecs.BreaksDeltas != 0
	}
	return nil
}

// same reports whether the record of another build has the types that this build's worlds have, without making a world to find out.
func (s *simulated) same(r *persistence.Recorded) bool {
	c, ok := r.Config()
	if !ok {
		return false
	}
	is, err := s.types.of(s.game, c)
	return err == nil && (len(r.Schema) == 0 || bytes.Equal(r.Schema, is.json))
}

// Begin makes the world of tick 0, if genesis matches what was asked for.
func (s *simulated) Begin(g *persistence.Genesis) error {
	if err := s.Fits(&persistence.Recorded{Genesis: g}); err != nil { // a later build may have carried its schema over
		return err
	}
	w, err := s.types.world(s.game, ecs.Config{Seed: g.Seed, Options: g.Options})
	if err != nil {
		return err
	}
	s.begin(w)
	return nil
}

// Restore makes the world of a snapshot.
func (s *simulated) Restore(snap *persistence.Snapshot) error {
	w, err := persistence.RestoreSnapshot(s.game, snap)
	if other := (*ecs.GameError)(nil); errors.As(err, &other) {
		return s.refuse(other.Got)
	}
	if err != nil {
		return err
	}
	if err := s.compare(w.Seed(), w.Options()); err != nil {
		return err
	}
	s.begin(w)
	return nil
}

// refuse returns the error for a shard of another game.
func (s *simulated) refuse(game string) error {
	return fmt.Errorf("%w: the shard's game is %s, but this node runs %s: run the binary of that game, or begin another shard with --shard or --data", ErrRefused, game, s.game.Name)
}

// SameRate returns an ErrRefused if game's tick rate differs from the shard's. g is nil if the log no longer has its genesis.
func SameRate(g *persistence.Genesis, game ecs.Game) error {
	if g == nil {
		return nil
	}
	game, err := game.With(g.Options)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if g.TickRate == game.TickRate {
		return nil
	}
	return fmt.Errorf("%w: the shard makes %d ticks per second, but this build of %s makes %d: run the build that made it, or begin another shard with --shard or --data", ErrRefused, g.TickRate, g.Game, game.TickRate)
}

// compare refuses a start with options other than those of the shard's genesis and names the first difference.
func (s *simulated) compare(seed uint64, options []byte) error {
	if s.asked.Seed != 0 && s.asked.Seed != seed {
		return fmt.Errorf("%w: the shard's seed has been %d since its genesis, %d was asked for", ErrOtherOptions, seed, s.asked.Seed)
	}
	return differs(s.game, s.asked.Options, options)
}

// canonical returns options as EncodeOptions writes them, with the defaults of those that are absent.
func canonical(game ecs.Game, options []byte) ([]byte, error) {
	value, err := game.DecodeOptions(options)
	if err != nil {
		return nil, err
	}
	return game.EncodeOptions(value)
}

// differs compares the options in asked with the shard's.
func differs(game ecs.Game, asked, has []byte) error {
	if len(asked) == 0 {
		return nil
	}
	wanted, err := canonical(game, asked)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if bytes.Equal(wanted, has) {
		return nil
	}
	if all, err := canonical(game, has); err == nil {
		has = all // with the defaults of options that the shard's build did not have yet
	}
	var named, want, got map[string]json.RawMessage
	for _, p := range []struct {
		b    []byte
		into *map[string]json.RawMessage
	}{{asked, &named}, {wanted, &want}, {has, &got}} {
		if err := json.Unmarshal(p.b, p.into); err != nil {
			return fmt.Errorf("%w: options %.100q: %w", ErrRefused, p.b, err)
		}
	}
	fields, err := game.OptionFields()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	for _, f := range fields {
		if _, ok := named[f.Name]; ok && string(want[f.Name]) != string(got[f.Name]) {
			return fmt.Errorf("%w: the shard has had %s %s since its genesis, %s was asked for", ErrOtherOptions, f.Name, or(got[f.Name], f.Default), or(want[f.Name], f.Default))
		}
	}
	return nil
}

// or returns an option's value, or its default if it is absent.
func or(value json.RawMessage, byDefault string) string {
	return cmp.Or(string(value), byDefault)
}

// Resimulate steps through a recorded tick.
func (s *simulated) Resimulate(seq persistence.Seq, t *persistence.TickRecord) error {
	s.record.Seq = seq
	s.record.Ticks[0] = *t
	s.stepping.begin(s.world, t.Tick)
	err := persistence.Resimulate(s.world, &s.record, 0, s.keep)
	s.stepping.end()
	if errors.As(err, &s.diverged) && s.world.Tick() == t.Tick {
		s.apart = s.world // recovery starts again with another world
	}
	return err
}

// Apply applies a delta instead.
func (s *simulated) Apply(d *persistence.Delta) error { return s.world.Apply(d.Body) }

// Explain compares the recorded world with the computed one.
func (s *simulated) Explain() error {
	computed := s.apart
	if s.apart = nil; computed == nil || computed == s.world || computed.Tick() != s.world.Tick() {
		return nil
	}
	e := *s.diverged
	e.Compare(s.world, computed)
	return &e
}

// Keep puts the delta of the tick just re-simulated into the ring. Readers decode the stream with the schema in force at that
// tick, so if this build numbers the types differently, the tick becomes a gap.
func (s *simulated) Keep(seq persistence.Seq, epoch persistence.Epoch) {
	if !s.renumbered {
		s.publish(seq, epoch, s.out)
		return
	}
	gap := &persistence.Gap{FromTick: s.out.Tick, ToTick: s.out.Tick, Reason: "the stream did not have this tick, and the owner that recovered it numbers its types differently"}
	s.ring.add(persistence.Delta{Lineage: s.lineage, Epoch: epoch, RecordSeq: seq, Tick: s.out.Tick, Part: 1, Parts: 1, Gap: gap})
}

// publish puts the delta of a committed tick into the ring, and returns its size.
func (s *simulated) publish(seq persistence.Seq, epoch persistence.Epoch, out ecs.Output) (bytes int) {
	s.body = out.Delta.AppendTo(s.body[:0])
	s.ring.add(persistence.Delta{Lineage: s.lineage, Epoch: epoch, RecordSeq: seq, Tick: out.Tick, Checksum: out.Checksum, Part: 1, Parts: 1, Body: s.body, Layout: s.is.layout})
	return len(s.body)
}

// Schema returns the world's types as JSON, nil before a world exists.
func (s *simulated) Schema() []byte {
	if s.is == nil {
		return nil
	}
	return s.is.json
}

// begin makes w the world to continue with.
func (s *simulated) begin(w *ecs.World) {
	s.world, s.is = w, s.types.share(w.Schema())
	s.ring.clear()
	s.began, s.bytes = time.Now(), 0
}

// Tick returns the world's tick, 0 before a world exists.
func (s *simulated) Tick() uint64 {
	if s.world == nil {
		return 0
	}
	return s.world.Tick()
}

// Checksum returns the world's checksum, 0 before a world exists.
func (s *simulated) Checksum() uint64 {
	if s.world == nil {
		return 0
	}
	return s.world.Checksum()
}
