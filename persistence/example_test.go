package persistence_test

import (
	"context"
	"fmt"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

type (
	fuel  struct{ Litres float64 }
	tank  struct{ Fuel *fuel }
	start struct{ Fuel fuel }
)

// burn is a game without players in which fuel burns.
var burn = ecs.Game{Name: "burn", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Component[fuel](w, "fuel")
	ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[start]) { s.New(start{fuel{100}}) })
	ecs.System(w, "burn", func(_ *ecs.Tick, tanks *ecs.Query[tank]) {
		for t := range tanks.Each {
			t.Fuel.Litres -= 0.5
		}
	})
}}

// Write a log record by record, each sealed with the hash of the one before, and replay it to the world that wrote it.
func Example() {
	ctx := context.Background()
	w, err := ecs.New(burn, ecs.Config{Seed: 7})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := persistence.NewMemory()
	log, chain := store.Log(), persistence.NewChain("")
	write := func(r *persistence.Record) {
		m, err := chain.Link(r, nil) // sets its sequence and the hash of the previous record
		if err == nil {
			err = log.Append(ctx, m, r.Seq-1) // the fence: the log must end where we expect
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		chain.Advance(r, persistence.HashOf(m.Body))
	}

	write(&persistence.Record{Kind: persistence.KindGenesis, Genesis: &persistence.Genesis{
		Lineage: "5a0c9d1e-0000-4000-8000-000000000001", Cluster: "dev", Shard: "main", Game: burn.Name,
		Options: w.Options(), Seed: w.Seed(), TickRate: burn.TickRate, Schema: w.Schema().JSON(),
	}})
	write(&persistence.Record{Kind: persistence.KindEpoch, Epoch: 1, EpochStart: &persistence.EpochStart{Node: "node-1"}})
	for tick := uint64(1); tick <= 30; tick++ {
		f := ecs.Frame{Tick: tick}
		frame := w.AppendFrame(nil, f) // before the tick: the frame is encoded relative to that world
		write(&persistence.Record{Kind: persistence.KindTicks, Epoch: 1, Ticks: []persistence.TickRecord{persistence.NewTickRecord(frame, w.Step(f))}})
	}

	replay := persistence.NewReplay(burn, persistence.Source{Log: log}, persistence.ReplayOptions{Verify: true})
	result, err := replay.Run(ctx)
	fmt.Println(result.Ticks, "ticks replayed:", err)
	fmt.Println("the same world:", replay.World().Checksum() == w.Checksum())
	report, err := persistence.Check(ctx, persistence.Source{Log: log}, persistence.CheckOptions{})
	fmt.Println(len(report.Findings), "findings:", err)
	// Output:
	// 30 ticks replayed: <nil>
	// the same world: true
	// 0 findings: <nil>
}
