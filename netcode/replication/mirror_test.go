package replication

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestGroundlessBlockIsNotAcknowledged: the mirror does not acknowledge a packet with a block whose base it lacks.
func TestGroundlessBlockIsNotAcknowledged(t *testing.T) {
	s := newSim(t, 15, Config{BudgetBytes: 1 << 20}, 1)
	s.mood(true, 200)
	for range 5 {
		s.step()
	}
	fresh, _ := NewMirror(s.w.Schema())
	based := false
	s.tap = func(b []byte) {
		blocks, _ := blocksOf(t, b)
		for _, k := range blocks {
			based = based || k.base != 0
		}
		if err := fresh.Apply(b); err != nil {
			t.Fatal(err)
		}
	}
	s.step()
	if ack := fresh.AppendAck(nil); !based || len(ack) > 0 || fresh.Stats().Groundless == 0 {
		t.Fatalf("blocks with a base: %v; groundless: %d; acknowledged: %x", based, fresh.Stats().Groundless, ack)
	}
}

// TestNewEpochBeginsAnew: after a failover the same mirrors follow a fresh encoder.
func TestNewEpochBeginsAnew(t *testing.T) {
	s := newSim(t, 6, Config{BudgetBytes: 1 << 20}, 3)
	s.mood(true, 200)
	for range 20 {
		s.step()
	}
	enc, err := New(s.w.Schema(), s.enc.cfg)
	if err != nil {
		t.Fatal(err)
	}
	old := s.enc
	s.enc, s.epoch = enc, 2
	for _, c := range s.clients {
		enc.Join(c.session)
	}
	for range 20 {
		s.step()
	}
	for _, c := range s.clients {
		s.check(c)
	}
	before := s.clients[0].mirror.Stats().Void
	if err := old.Begin(s.w, 1); err != nil {
		t.Fatal(err)
	}
	old.Update(1, s.clients[0].view, func(p []byte) {
		if err := s.clients[0].mirror.Apply(p); err != nil {
			t.Fatal(err)
		}
	})
	if s.clients[0].mirror.Stats().Void == before {
		t.Fatal("a packet of the older epoch was taken")
	}
	s.check(s.clients[0])
}

// TestJoinAgainBeginsAnew: a session that reconnects with an empty mirror gets everything.
func TestJoinAgainBeginsAnew(t *testing.T) {
	s := newSim(t, 7, Config{BudgetBytes: 1 << 20}, 2)
	s.mood(true, 200)
	for range 20 {
		s.step()
	}
	c := s.clients[1]
	stale := c.mirror.AppendAck(nil)
	c.mirror, _ = NewMirror(s.w.Schema())
	s.enc.Join(c.session)
	if err := s.enc.Ack(c.session, stale); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		s.step()
	}
	s.check(c)
}

// TestChangesTellOneStory: the changes that OnChange reports add up to the entities in sight, with the right kinds.
func TestChangesTellOneStory(t *testing.T) {
	s := newSim(t, 11, Config{BudgetBytes: 1 << 20}, 1)
	m := s.clients[0].mirror
	seen, counts := map[ecs.Entity]bool{}, map[ChangeKind]int{}
	first := map[ecs.Entity]uint64{} // the tick in which it was first in the world
	m.OnChange = func(c Change) {
		came := c.Kind == Appeared || c.Kind == Spawned
		if seen[c.Entity] == came {
			t.Fatalf("tick %d: %v %v, but it already had", c.Tick, c.Entity, c.Kind)
		}
		seen[c.Entity] = came
		born := first[c.Entity]
		if born == 0 {
			born = c.Tick
		}
		// A cell unchanged for a while has an old baseline: an entity created since counts as spawned.
		if c.Kind == Spawned && c.Tick-born > 20 || c.Kind == Appeared && c.Tick == born && born > 1 {
			t.Fatalf("tick %d: %v, born at tick %d, %v", c.Tick, c.Entity, born, c.Kind)
		}
		if c.Kind == Despawned {
			if _, _, alive := s.w.Locate(c.Entity); alive {
				t.Fatalf("tick %d: %v is reported dead but alive", c.Tick, c.Entity)
			}
		}
		counts[c.Kind]++
	}
	s.mood(true, 300)
	for range 200 {
		for _, t := range s.w.Tables() {
			for _, e := range t.Entities() {
				if first[e] == 0 {
					first[e] = s.w.Tick()
				}
			}
		}
		s.step()
		n := 0
		for e, in := range seen {
			if in {
				n++
				if !m.Has(e) {
					t.Fatalf("%v was reported and is not in sight", e)
				}
			}
		}
		if n != m.Len() {
			t.Fatalf("tick %d: %d reported, %d in sight", s.w.Tick(), n, m.Len())
		}
	}
	for k := Appeared; k <= Despawned; k++ {
		if counts[k] == 0 {
			t.Errorf("no entity ever %v: this test shows too little (%v)", k, counts)
		}
	}
	s.enc.Join(1) // a new stream: everything leaves and comes
	s.step()
	for e, in := range seen {
		if in != m.Has(e) {
			t.Fatalf("%v: reported %v, in sight %v", e, in, m.Has(e))
		}
	}
}

// TestSlotUsedAgainInOneTick: if an entity dies and another takes its id and place in the same tick,
// the mirror reports a despawn and a spawn.
func TestSlotUsedAgainInOneTick(t *testing.T) {
	game := ecs.Game{Name: "again", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Component[walkPos](w, "position", ecs.Spatial)
		ecs.Component[walkVel](w, "velocity")
		ecs.Component[walkHp](w, "health", ecs.Replicated)
		ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[walker]) { s.New(walker{}) })
		ecs.System(w, "kill", func(t *ecs.Tick, q *ecs.Query[struct {
			E   ecs.Entity
			Pos *walkPos
		}],
		) {
			for m := range q.Each {
				if t.Now() == 5 {
					t.Despawn(m.E)
				}
			}
		})
		ecs.System(w, "bear", func(t *ecs.Tick, s *ecs.Spawner[walker]) {
			if t.Now() == 5 {
				s.New(walker{})
			}
		})
	}}
	w, err := ecs.New(game, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := New(w.Schema(), Config{})
	m, _ := NewMirror(w.Schema())
	e.Join(1)
	var told []string
	m.OnChange = func(c Change) { told = append(told, fmt.Sprint(c.Entity, " ", c.Kind)) }
	for range 6 {
		w.Step(ecs.Frame{Tick: w.Tick() + 1})
		if err := e.Begin(w, 1); err != nil {
			t.Fatal(err)
		}
		e.Update(1, w.Tables()[0].Entities()[0], func(b []byte) {
			if err := m.Apply(b); err != nil {
				t.Fatal(err)
			}
		})
		if err := e.Ack(1, m.AppendAck(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if want := "[1 appeared 1 despawned 1.1 spawned]"; fmt.Sprint(told) != want {
		t.Fatalf("told %v, want %v", told, want)
	}
}

// TestEachIsAscending: Each is ascending and complete, and components are readable by name.
func TestEachIsAscending(t *testing.T) {
	s := newSim(t, 12, Config{}, 1)
	s.mood(true, 100)
	s.step()
	m, last, n := s.clients[0].mirror, uint32(0), 0
	for e := range m.Each {
		if e.ID() <= last {
			t.Fatalf("%v after %d", e, last)
		}
		last = e.ID()
		n++
		for typ, packed := range componentsOf(m, e) {
			own, ok := m.Packed(nil, e, typ.Name)
			if !ok || !bytes.Equal(own, packed) {
				t.Fatalf("%s of %v differs: %x, %x", typ.Name, e, packed, own)
			}
		}
	}
	if n == 0 || n != m.Len() {
		t.Fatalf("%d of %d entities", n, m.Len())
	}
}

func componentsOf(m *Mirror, e ecs.Entity) func(func(*ecs.Type, []byte) bool) {
	return func(yield func(*ecs.Type, []byte) bool) { m.Components(e, yield) }
}

func ExampleMirror() {
	w, _ := ecs.New(testGame, ecs.Config{Seed: 1})
	enc, _ := New(w.Schema(), Config{})
	mirror, _ := NewMirror(w.Schema())
	enc.Join(7) // a session
	w.Step(ecs.Frame{Tick: 1, Commands: []ecs.Command{ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceOperator}, 1, mood{Live: true, Crowd: 40})}})

	_ = enc.Begin(w, 1) // at the release of tick 1
	view := w.Tables()[0].Entities()[0]
	enc.Update(7, view, func(packet []byte) { _ = mirror.Apply(packet) })
	_ = enc.Ack(7, mirror.AppendAck(nil))

	at, ok := Get[position](mirror, view, "position")
	sent, _ := ecs.Get[position](w, view)
	fmt.Println(ok, mirror.Tick(), at.X-sent.X < 0.01)
	// Output: true 1 true
}
