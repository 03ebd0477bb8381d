package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// TargetDeltas is the target of Deltas: the bytes of a delta stream over the bytes of the same deltas unpacked.
const TargetDeltas = 0.5

// DeltaOptions configures Deltas. The zero value means 600 ticks of every scenario, seed 0.
type DeltaOptions struct {
	Ticks int // counted per scenario, after its warm-up
	Seed  uint64

	Progress func(done, total int) // in scenarios; may be nil
}

// DeltaResult is the result of Deltas.
type DeltaResult struct {
	Ticks     int          `json:"ticks"`
	Seed      uint64       `json:"seed"`
	Scenarios []DeltaSizes `json:"scenarios"`
	Pass      bool         `json:"pass"`
	Failed    []string     `json:"failed"`
}

// DeltaSizes reports the sizes of one game's deltas: messages with envelopes and headers, as a stream stores them.
type DeltaSizes struct {
	Name        string  `json:"name"`
	About       string  `json:"about"`
	Plain       float64 `json:"plain_bytes_per_tick"` // without packing
	Packed      float64 `json:"packed_bytes_per_tick"`
	Ratio       float64 `json:"ratio"`
	PackMicros  float64 `json:"pack_us_per_tick"` // in the publisher's goroutine
	State       int     `json:"snapshot_bytes"`   // of the whole world at the end, uncompressed
	GiBPerHour  float64 `json:"packed_gib_per_hour"`
	TargetRatio float64 `json:"target"`
	Pass        bool    `json:"pass"`
}

// Deltas runs some games, packs their deltas as a shard's publisher does, and compares the bytes. It unpacks every delta
// again and fails unless the result is identical. When ctx ends it stops early with ctx's error.
func Deltas(ctx context.Context, o DeltaOptions) (DeltaResult, error) {
	if o.Ticks == 0 {
		o.Ticks = 600
	}
	if o.Ticks < 1 {
		return DeltaResult{}, fmt.Errorf("bench: %d ticks: want at least 1", o.Ticks)
	}
	r := DeltaResult{Ticks: o.Ticks, Seed: o.Seed, Failed: []string{}}
	scenes := deltaScenes()
	for i, s := range scenes {
		if o.Progress != nil {
			o.Progress(i, len(scenes))
		}
		sizes, err := s.measure(ctx, o)
		if err != nil {
			return DeltaResult{}, err
		}
		r.Scenarios = append(r.Scenarios, sizes)
		if !sizes.Pass {
			r.Failed = append(r.Failed, sizes.Name)
		}
	}
	r.Pass = len(r.Failed) == 0
	return r, nil
}

// deltaScene is a game and its players.
type deltaScene struct {
	name, about string
	game        ecs.Game
	options     any
	warmUp      int                                                  // ticks before counting starts
	play        func() func(w *ecs.World, tick uint64) []ecs.Command // nil: no players
}

func (s *deltaScene) measure(ctx context.Context, o DeltaOptions) (DeltaSizes, error) {
	options, err := s.game.EncodeOptions(s.options)
	if err != nil {
		return DeltaSizes{}, fmt.Errorf("bench: %w", err)
	}
	w, err := ecs.New(s.game, ecs.Config{Seed: o.Seed, Options: options})
	if err != nil {
		return DeltaSizes{}, fmt.Errorf("bench: %w", err)
	}
	var play func(*ecs.World, uint64) []ecs.Command
	if s.play != nil {
		play = s.play()
	}
	stream := deltaStream{layout: persistence.LayoutOf(w.Schema()), lineage: newLineage()}
	for i := range s.warmUp + o.Ticks {
		if err := ctx.Err(); err != nil {
			return DeltaSizes{}, err
		}
		f := ecs.Frame{Tick: w.Tick() + 1}
		if play != nil {
			f.Commands = play(w, f.Tick)
			w.Order(f.Tick, f.Commands)
		}
		out := w.Step(f)
		if i < s.warmUp {
			continue
		}
		if err := stream.add(out); err != nil {
			return DeltaSizes{}, err
		}
	}
	if err := stream.compare(); err != nil {
		return DeltaSizes{}, fmt.Errorf("bench: %s: %w", s.name, err)
	}
	n := float64(o.Ticks)
	r := DeltaSizes{
		Name: s.name, About: s.about, Plain: round2(float64(stream.plain) / n), Packed: round2(float64(stream.packed) / n), TargetRatio: TargetDeltas,
		Ratio: round4(float64(stream.packed) / float64(stream.plain)), PackMicros: round2(stream.took.Seconds() * 1e6 / n), State: len(w.AppendSnapshot(nil)),
		GiBPerHour: round4(float64(stream.packed) / n * float64(s.game.TickRate) * 3600 / (1 << 30)),
	}
	r.Pass = r.Ratio <= r.TargetRatio
	return r, nil
}

// deltaStream packs a game's deltas and keeps both forms.
type deltaStream struct {
	layout        *persistence.Layout
	lineage       string
	packer        persistence.DeltaPacker
	bodies        [][]byte
	messages      []persistence.Delta
	scratch       []byte
	plain, packed int
	took          time.Duration
}

func (s *deltaStream) add(out ecs.Output) error {
	d := persistence.Delta{Lineage: s.lineage, Epoch: 1, RecordSeq: persistence.Seq(out.Tick + 2), Tick: out.Tick, Checksum: out.Checksum, Part: 1, Parts: 1, Layout: s.layout}
	d.Body = out.Delta.AppendTo(nil)
	s.bodies = append(s.bodies, d.Body)
	n, err := s.size(&d)
	if err != nil {
		return err
	}
	s.plain += n
	began := time.Now()
	packed, err := s.packer.Pack(d)
	s.took += time.Since(began)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	s.packer.Stored()
	if n, err = s.size(&packed); err != nil {
		return err
	}
	s.packed += n
	packed.Body = bytes.Clone(packed.Body)
	s.messages = append(s.messages, packed)
	return nil
}

// size returns the bytes that a message takes in a stream.
func (s *deltaStream) size(d *persistence.Delta) (int, error) {
	var err error
	if s.scratch, err = d.Encode(s.scratch[:0]); err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	return len(s.scratch) + d.Header().Size(), nil
}

// compare unpacks all messages and compares them with the original deltas.
func (s *deltaStream) compare() error {
	i := 0
	for d, err := range persistence.JoinDeltas(func(yield func(persistence.Delta, error) bool) {
		for _, m := range s.messages {
			if !yield(m, nil) {
				return
			}
		}
	}) {
		if err != nil {
			return err
		}
		if !bytes.Equal(d.Body, s.bodies[i]) {
			return fmt.Errorf("the delta of tick %d differs after unpacking", d.Tick)
		}
		i++
	}
	if i != len(s.bodies) {
		return fmt.Errorf("%d of %d deltas were unpacked", i, len(s.bodies))
	}
	return nil
}
