package ecs_test

import (
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestASteadyTickAllocatesNothing runs a world with everything that a tick can contain, including rejections, births
// and deaths, together with the host's work around it.
func TestASteadyTickAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	type life struct{ Ticks uint16 }
	type shot struct {
		mark
		twin
		life
	}
	w := small(t, func(w *ecs.World) {
		ecs.Component[life](w, "life")
		ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[both]) {
			for range 1000 {
				s.New(both{})
			}
		})
		ecs.Handle[aim](w, "aim", func(_ *ecs.Tick, c *ecs.Cmd[aim], r *ecs.Res[tally], s *ecs.Spawner[shot]) {
			r.Get().N++
			s.New(shot{life: life{10}})
		}, ecs.Sampled)
		ecs.Handle[order](w, "order", func(_ *ecs.Tick, c *ecs.Cmd[order], all *ecs.Sessions) {
			for range all.Each {
			}
			if c.Value.N == 1 {
				c.Reject("no")
			}
		})
		ecs.System(w, "move", func(t *ecs.Tick, q *ecs.Query[struct {
			Self ecs.Entity
			M    *mark
			T    *twin
		}], columns *ecs.Query[struct{ M []mark }],
		) {
			for v := range q.Each {
				r := t.Rand(v.Self)
				v.M.N += int32(r.IntN(3))
			}
			for v := range columns.Each {
				v.M[0].N++
			}
		})
		ecs.System(w, "age", func(t *ecs.Tick, q *ecs.Query[struct {
			Self ecs.Entity
			L    *life
		}], tw *ecs.Comp[twin], p *ecs.Events[ping], out *ecs.Outbox[note],
		) {
			for v := range q.Each {
				if v.L.Ticks--; v.L.Ticks == 5 {
					tw.Remove(v.Self)
				}
				if v.L.Ticks == 0 {
					t.Despawn(v.Self)
					p.Emit(ping{1})
					out.Send("elsewhere", note{1})
				}
			}
		})
	})
	const players = 20
	var commands []ecs.Command
	for id := uint64(1); id <= players; id++ {
		commands = append(commands, joins(w, id, "player"))
	}
	w.Step(frame(w, commands...))
	var aims, orders []ecs.Command
	for id := uint64(1); id <= players; id++ {
		aims = append(aims, ecs.NewCommand(w, client(id), 0, aim{}))
		orders = append(orders, ecs.NewCommand(w, client(id), 0, order{int32(id % 2)}))
	}
	var f, decoded ecs.Frame
	var body, delta, snapshot []byte
	tick := func() {
		f.Tick, f.Commands = w.Tick()+1, f.Commands[:0]
		for i := range aims {
			aims[i].Seq, orders[i].Seq = w.Tick(), w.Tick()+1
			aims[i].Payload[0] = byte(w.Tick())
			f.Commands = append(f.Commands, aims[i], orders[i])
			if w.Validate(&aims[i]) != nil || w.Validate(&orders[i]) != nil {
				t.Fatal("an invalid command")
			}
		}
		w.Order(f.Tick, f.Commands)
		body = w.AppendFrame(body[:0], f)
		if err := w.DecodeFrame(body, &decoded); err != nil {
			t.Fatal(err)
		}
		o := w.Step(decoded)
		delta = o.Delta.AppendTo(delta[:0])
		if len(o.Replies) != players || len(o.Failures) != players/2 || o.Failures[0].Reason != "no" {
			t.Fatalf("%d replies, %+v", len(o.Replies), o.Failures)
		}
		snapshot = w.AppendSnapshot(snapshot[:0])
	}
	for range 200 {
		tick()
	}
	if n := testing.AllocsPerRun(200, tick); n != 0 {
		t.Errorf("%v allocations per tick", n)
	}
}
