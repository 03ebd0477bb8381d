package bench

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// appender is the part of a log that the benchmarks use.
type appender interface {
	Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error
}

// writer commits records as a shard's owner does: sealed into the chain, one outstanding, fenced.
type writer struct {
	log     appender
	chain   *persistence.Chain
	lineage string
	body    []byte // of the record, reused
	ticks   [1]persistence.TickRecord
	record  persistence.Record
}

// newWriter starts a log with its genesis and its first epoch.
func newWriter(ctx context.Context, log appender, lineage string, g ecs.Game, seed uint64) (*writer, error) {
	options, err := g.EncodeOptions(nil)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	schema, err := ecs.SchemaOf(g, ecs.Config{Seed: seed})
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	w := &writer{log: log, chain: persistence.NewChain(lineage), lineage: lineage}
	genesis := &persistence.Genesis{
		Lineage: lineage, Cluster: cluster, Shard: shardName, Game: g.Name,
		Options: options, Seed: seed, TickRate: g.TickRate, Schema: schema.JSON(),
	}
	if err := w.write(ctx, persistence.Record{Kind: persistence.KindGenesis, Epoch: 1, Genesis: genesis}); err != nil {
		return nil, err
	}
	return w, w.write(ctx, persistence.Record{Kind: persistence.KindEpoch, Epoch: 1, EpochStart: &persistence.EpochStart{Node: "bench"}})
}

func newLineage() string { return uuid.NewString() }

// commit writes one tick.
func (w *writer) commit(ctx context.Context, t persistence.TickRecord) error {
	w.ticks[0] = t
	return w.write(ctx, persistence.Record{Kind: persistence.KindTicks, Epoch: 1, Ticks: w.ticks[:]})
}

func (w *writer) write(ctx context.Context, r persistence.Record) error {
	w.record = r
	m, err := w.chain.Link(&w.record, w.body[:0])
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	w.body = m.Body
	if err := w.log.Append(ctx, m, w.chain.Seq()); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	w.chain.Advance(&w.record, persistence.HashOf(m.Body))
	return nil
}
