package persistence

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestReadRecordedFindsTheSchemaInForce writes random logs of many epochs, changes the schema in some epochs, and compares
// with the schema, build and epoch that were written last.
func TestReadRecordedFindsTheSchemaInForce(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		schemas := make([]*ecs.Schema, 3)
		for i := range schemas {
			schemas[i] = &ecs.Schema{Components: []ecs.Type{{Name: fmt.Sprintf("c%d", i)}}}
		}
		v := &scribe{t: t, m: NewMemory(), chain: NewChain(testLineage)}
		force := rng.IntN(3)
		build := func() ecs.Build {
			return ecs.Build{ID: fmt.Sprintf("b%d", v.chain.Seq()), SchemaHash: schemas[force].Hash()}
		}
		last := build()
		v.append(&Record{Kind: KindGenesis, Epoch: 1, Genesis: &Genesis{
			Lineage: testLineage, Cluster: "dev", Shard: "main", Game: "drift", Seed: 5, TickRate: 30, Schema: schemas[force].JSON(), Build: last,
		}})
		epoch, tick := Epoch(0), uint64(0)
		for range 1 + rng.IntN(12) {
			e := &EpochStart{Node: "n", From: tick}
			if rng.IntN(3) == 0 {
				force = rng.IntN(3)
				e.Schema = schemas[force].JSON()
			}
			last = build()
			e.Build, epoch = last, epoch+1+Epoch(rng.IntN(3))
			v.append(&Record{Kind: KindEpoch, Epoch: epoch, EpochStart: e})
			for range rng.IntN(9) {
				tick++
				v.append(&Record{Kind: KindTicks, Epoch: epoch, Ticks: []TickRecord{{Tick: tick}}})
			}
		}
		r, err := ReadRecorded(context.Background(), v.m.Log(), nil)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if string(r.Schema) != string(schemas[force].JSON()) || r.Build != last || r.Epoch != epoch || r.Game() != "drift" {
			t.Fatalf("seed %d: schema %s, build %s, epoch %d; want %s, %s, %d", seed, r.Schema, r.Build.ID, r.Epoch, schemas[force].JSON(), last.ID, epoch)
		}
	}
}

// TestReadRecordedOfAPurgedLogAsksTheSnapshots: the newest snapshot has what the log no longer has.
func TestReadRecordedOfAPurgedLogAsksTheSnapshots(t *testing.T) {
	ctx := context.Background()
	v := sail(t, 110)
	s := v.shot()
	if err := v.m.Log().Purge(ctx, s.Seq-2); err != nil {
		t.Fatal(err)
	}
	r, err := ReadRecorded(ctx, v.m.Log(), v.m.Snapshots())
	if err != nil {
		t.Fatal(err)
	}
	c, ok := r.Config()
	if string(r.Schema) != string(s.Schema) || r.Game() != "drift" || !ok || c.Seed != 11 || string(c.Options) != string(v.world.Options()) || r.Epoch != 1 {
		t.Errorf("recorded: %+v, config %+v", r, c)
	}
	if differs, err := r.Compare(drift(0)); differs != nil || err != nil {
		t.Errorf("it differs from its own build: %v, %v", differs, err)
	}
	if _, err := ReadRecorded(ctx, NewMemory().Log(), nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("an empty log: %v", err)
	}
}
