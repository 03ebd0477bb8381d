package persistence

import (
	"context"
	"errors"
	"fmt"

	"github.com/ferris1/wind/ecs"
)

// keptTicks is about how many ticks a replay runs between the worlds that it keeps, and therefore how many it reruns at
// most to explain a diverged tick.
const keptTicks = 1024

// keep saves the world at the end of a record if keptTicks have passed since the last one.
func (p *Replay) keep(r *Record) {
	began := uint64(0)
	switch {
	case p.kept != nil:
		began = p.kept.Tick
	case p.o.Snapshot != nil:
		began = p.o.Snapshot.Tick
	}
	if r.Kind != KindTicks || p.world.Tick() != r.LastTick() || p.world.Tick() < began+keptTicks {
		return
	}
	s := &Snapshot{
		Lineage: p.chain.Lineage(), Seq: r.Seq, Epoch: r.Epoch, Tick: p.world.Tick(), Checksum: p.world.Checksum(),
		Chain: p.chain.Hash(), Schema: p.world.Schema().JSON(),
	}
	if p.kept != nil {
		s.Body = p.kept.Body[:0]
	}
	s.Body = p.world.AppendSnapshot(s.Body)
	p.kept = s
}

// explain rebuilds the recorded world after the diverged tick, from the world before it and the recorded delta, and
// compares it with the computed one. The error says why it cannot.
func (p *Replay) explain(ctx context.Context, d *DivergedError) error {
	delta, err := p.deltaOf(ctx, d)
	if err != nil {
		return err
	}
	w, err := p.before(ctx, d.Tick)
	if err != nil {
		return fmt.Errorf("cannot rebuild tick %d: %w", d.Tick-1, err)
	}
	if err := w.Apply(delta.Body); err != nil {
		return fmt.Errorf("the recorded delta cannot be applied: %w", err)
	}
	p.recorded = w
	d.Compare(w, p.world)
	return nil
}

// deltaOf returns the recorded delta of the tick.
func (p *Replay) deltaOf(ctx context.Context, d *DivergedError) (Delta, error) {
	missing := fmt.Errorf("the delta of tick %d is not stored", d.Tick)
	if p.src.Deltas == nil {
		return Delta{}, missing
	}
	for delta, err := range p.src.deltas(ctx, d.Tick) {
		if err != nil {
			return Delta{}, fmt.Errorf("%w: %w", missing, err)
		}
		if delta.Gap != nil || delta.Tick != d.Tick || delta.Checksum != d.Recorded {
			break
		}
		return delta, nil
	}
	return Delta{}, missing
}

// before rebuilds the world before a tick.
func (p *Replay) before(ctx context.Context, tick uint64) (*ecs.World, error) {
	from := p.o.Snapshot
	if p.kept != nil {
		from = p.kept
	}
	again := NewReplay(p.game, p.src, ReplayOptions{To: tick - 1, Snapshot: from})
	var err error
	if tick == 1 { // To: 0 would mean the last tick
		err = again.start(ctx)
	} else {
		_, err = again.Run(ctx)
	}
	if err == nil && again.world.Tick() != tick-1 {
		err = errors.New("the rerun ended at another tick")
	}
	return again.world, err
}
