package persistence

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// drift is a small but real game. Its points drift, are steered by clients and are
// counted in a resource; it has spawns, removals, an outbox and a contained bug.

type (
	position struct{ X, Y float64 }
	speed    struct{ X, Y float64 }
	tally    struct{ Spawned, Removed, Steered uint64 }
	steer    struct{ X, Y float64 }
	drop     struct{ N int32 }
	news     struct{ Tick uint64 }
	body     struct {
		P position
		V speed
	}
)

type driftOptions struct {
	Size float64 `usage:"side of the field, metres" min:"1" max:"100000"`
}

// drift returns the game. wrong, if not 0, is a tick in which this build behaves
// differently, like a game that is not deterministic.
func drift(wrong uint64) ecs.Game {
	return ecs.Game{Name: "drift", TickRate: 30, Options: driftOptions{Size: 50}, Setup: func(w *ecs.World) {
		ecs.Component[position](w, "position")
		ecs.Component[speed](w, "speed")
		ecs.Resource[tally](w, "tally")
		ecs.Outgoing[news](w, "news")
		size := ecs.OptionsOf[driftOptions](w).Size
		ecs.Handle[steer](w, "drift.steer", func(t *ecs.Tick, c *ecs.Cmd[steer], q *ecs.Query[struct{ V *speed }], r *ecs.Res[tally]) {
			r.Get().Steered++
			for v := range q.Each {
				v.V.X = float64(c.Value.X*0.5) + float64(v.V.X*0.5)
			}
		}, ecs.Sampled)
		ecs.Handle[drop](w, "drift.drop", func(t *ecs.Tick, c *ecs.Cmd[drop], s *ecs.Spawner[body], r *ecs.Res[tally]) {
			if c.Value.N > 5 {
				c.Reject("too many")
				return
			}
			for range c.Value.N {
				s.New(body{V: speed{1, 0.25}})
				r.Get().Spawned++
			}
		})
		ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[body]) {
			for i := range 40 {
				s.New(body{P: position{X: float64(i)}, V: speed{0.5, 0.1}})
			}
		})
		ecs.System(w, "move", func(t *ecs.Tick, q *ecs.Query[struct {
			E ecs.Entity
			P *position
			V *speed
		}], r *ecs.Res[tally],
		) {
			for v := range q.Each {
				v.P.X += v.V.X
				v.P.Y += v.V.Y
				k := t.Rand(v.E)
				if k.IntN(200) == 0 || v.P.X > size {
					t.Despawn(v.E)
					r.Get().Removed++
				}
			}
		})
		ecs.System(w, "report", func(t *ecs.Tick, out *ecs.Outbox[news], r *ecs.Res[tally]) {
			if t.Now()%10 == 0 {
				out.Send("main-2", news{t.Now()})
			}
			if t.Now() == wrong {
				r.Get().Spawned++
			}
			if t.Now()%37 == 0 {
				panic("a bug of the game")
			}
		})
	}}
}

// voyage is the history of a shard: log, deltas and snapshots, and the checksum
// of every tick.
type voyage struct {
	*scribe
	world *ecs.World
	sums  []uint64 // by tick
	rng   *rand.Rand
	seq   map[uint64]uint64

	layout *Layout
}

// sail runs n ticks of a game. It takes a snapshot every 50 ticks, begins another
// epoch at about tick 120, and now and then puts several ticks into one record.
func sail(t testing.TB, n int) *voyage {
	t.Helper()
	game := drift(0)
	w, err := ecs.New(game, ecs.Config{Seed: 11})
	if err != nil {
		t.Fatal(err)
	}
	schema := w.Schema()
	build := testBuild
	build.SchemaHash = schema.Hash()
	v := &voyage{
		scribe: &scribe{t: t, m: NewMemory(), chain: NewChain(testLineage)}, world: w, sums: []uint64{w.Checksum()},
		rng: rand.New(rand.NewPCG(1, 2)), seq: map[uint64]uint64{}, layout: LayoutOf(schema),
	}
	v.append(&Record{Kind: KindGenesis, Epoch: 1, Genesis: &Genesis{
		Lineage: testLineage, Cluster: "dev", Shard: "main", Game: game.Name,
		Options: w.Options(), Seed: 11, TickRate: 30, Schema: schema.JSON(), Build: build,
	}})
	v.append(&Record{Kind: KindEpoch, Epoch: 1, EpochStart: &EpochStart{Node: "a", Build: build}})
	for w.Tick() < uint64(n) {
		if w.Tick() >= 120 && v.chain.Epoch() == 1 {
			v.append(&Record{Kind: KindEpoch, Epoch: 4, EpochStart: &EpochStart{Node: "b", Build: build, From: w.Tick()}})
		}
		count := 1
		if w.Tick()%17 == 0 && w.Tick() > 0 {
			count = min(3, n-int(w.Tick()))
		}
		v.record(count)
		if w.Tick()%50 == 0 {
			v.shot()
		}
	}
	return v
}

// record commits one record of n ticks.
func (v *voyage) record(n int) {
	r := &Record{Kind: KindTicks, Epoch: v.chain.Epoch()}
	var deltas []Delta
	for range n {
		tick := v.world.Tick() + 1
		f := ecs.Frame{Tick: tick, Commands: v.commands(tick)}
		v.world.Order(tick, f.Commands)
		frame := v.world.AppendFrame(nil, f)
		out := v.world.Step(f).Clone()
		r.Ticks = append(r.Ticks, NewTickRecord(frame, out))
		v.sums = append(v.sums, out.Checksum)
		deltas = append(deltas, Delta{Lineage: testLineage, Epoch: r.Epoch, Tick: tick, Checksum: out.Checksum, Body: out.Delta.AppendTo(nil), Layout: v.layout})
	}
	v.append(r)
	for i := range deltas {
		deltas[i].RecordSeq = r.Seq
		v.delta(deltas[i])
	}
}

// commands returns the commands of 10 clients that join one after the other. Each
// steers in every tick and sometimes drops something.
func (v *voyage) commands(tick uint64) (all []ecs.Command) {
	for id := uint64(1); id <= min(10, tick); id++ {
		src := ecs.Source{Kind: ecs.SourceClient, ID: id}
		if tick == id {
			all = append(all, ecs.NewCommand(v.world, src, 1, ecs.Join{Identity: ecs.NewText64("bob")}))
			v.seq[id] = 1
			continue
		}
		all = append(all, ecs.NewCommand(v.world, src, tick, steer{v.rng.Float64(), v.rng.Float64()}))
		if v.rng.IntN(20) == 0 {
			v.seq[id]++
			all = append(all, ecs.NewCommand(v.world, src, v.seq[id], drop{int32(v.rng.IntN(8))}))
		}
	}
	return all
}

func (v *voyage) shot() Snapshot {
	v.t.Helper()
	s := Snapshot{
		Lineage: testLineage, Cluster: "dev", Shard: "main", Seq: v.chain.Seq(), Epoch: v.chain.Epoch(), Tick: v.world.Tick(),
		Checksum: v.world.Checksum(), Chain: v.chain.Hash(), Schema: v.world.Schema().JSON(), Body: v.world.AppendSnapshot(nil),
	}
	if err := v.m.Snapshots().Put(context.Background(), s, nil); err != nil {
		v.t.Fatal(err)
	}
	return s
}
