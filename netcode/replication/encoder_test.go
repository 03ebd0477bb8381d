package replication

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestBlocksAreSharedAmongClients: however many clients look, a state is encoded once per baseline.
func TestBlocksAreSharedAmongClients(t *testing.T) {
	encoded := func(clients int) (perTick []uint64) {
		s := newSim(t, 3, Config{BudgetBytes: 1 << 20}, 0)
		s.mood(true, 200)
		s.together = true
		for i := range clients {
			s.join(uint64(i + 1))
		}
		for range 40 {
			before := s.enc.Stats().Encoded
			s.step()
			perTick = append(perTick, s.enc.Stats().Encoded-before)
		}
		return perTick
	}
	one, many := encoded(1), encoded(50)
	if !slices.Equal(one, many) {
		t.Fatalf("blocks encoded per tick: %v for one client, %v for 50 at the same baselines", one, many)
	}
}

// TestEncodedAtMostOncePerBaseline counts under loss, where clients stand on many baselines.
func TestEncodedAtMostOncePerBaseline(t *testing.T) {
	s := newSim(t, 4, Config{BudgetBytes: 1 << 20}, 20)
	s.weather = weather{loss: 0.3, delay: 5}
	s.mood(true, 200)
	for range 60 {
		before := s.enc.Stats()
		s.step()
		after, most := s.enc.Stats(), uint64(0)
		for _, c := range s.enc.plane.cells {
			if c == nil {
				continue
			}
			for i := range c.segs {
				bases := map[uint64]bool{}
				for _, b := range c.segs[i].blocks {
					if bases[b.base] {
						t.Fatalf("tick %d: cell %+v is encoded twice against %d", s.w.Tick(), c.key, b.base)
					}
					bases[b.base] = true
				}
				if len(bases) > s.enc.cfg.HistoryTicks+2 {
					t.Fatalf("%d baselines with a history of %d ticks", len(bases), s.enc.cfg.HistoryTicks)
				}
				most += uint64(len(bases))
			}
		}
		if got := after.Encoded - before.Encoded; got > most {
			t.Fatalf("tick %d: %d blocks encoded, at most %d cells × baselines", s.w.Tick(), got, most)
		}
		if s.w.Tick() > 20 && after.Blocks-before.Blocks <= after.Encoded-before.Encoded {
			t.Fatalf("tick %d: %d blocks sent, %d encoded: nothing was shared", s.w.Tick(), after.Blocks-before.Blocks, after.Encoded-before.Encoded)
		}
	}
}

// TestBudgetIsKept: never more than the budget in a tick, and no cell waits for ever.
func TestBudgetIsKept(t *testing.T) {
	const budget = 700
	s := newSim(t, 5, Config{CellMetres: 20, RadiusMetres: 100, BudgetBytes: budget}, 3)
	s.weather = weather{loss: 0.1, delay: 3}
	s.mood(true, 500)
	for range 200 {
		s.step()
		for session, n := range s.bytes {
			if n > budget {
				t.Fatalf("tick %d, session %d: %d bytes with a budget of %d", s.w.Tick(), session, n, budget)
			}
		}
		for _, c := range s.enc.clients {
			for i := range c.subs {
				for _, st := range c.subs[i].segs {
					if c.subs[i].cell != nil && st.due != 0 && s.w.Tick()-st.due > 60 {
						t.Fatalf("tick %d: a block waits since tick %d", s.w.Tick(), st.due)
					}
				}
			}
		}
	}
	if s.enc.Stats().Deferred == 0 {
		t.Fatal("the budget was never short: this test shows nothing")
	}
}

// TestBlockBeyondTheBudgetIsPaidOff: a block larger than a tick's budget goes, and later ticks pay.
func TestBlockBeyondTheBudgetIsPaidOff(t *testing.T) {
	game := ecs.Game{Name: "wide", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Resource[wideResource](w, "wide", ecs.Replicated)
		ecs.System(w, "fill", func(t *ecs.Tick, r *ecs.Res[wideResource]) {
			for i := range r.Get().Words {
				r.Get().Words[i] = uint64(i)*0x9E3779B97F4A7C15 + 1
			}
		})
	}}
	w, err := ecs.New(game, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const budget = 400
	e, err := New(w.Schema(), Config{PacketBytes: 300, BudgetBytes: budget})
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMirror(w.Schema())
	if err != nil {
		t.Fatal(err)
	}
	e.Join(1)
	total, debt, packets := 0, 0, [][]byte{}
	for tick := range 60 {
		w.Step(ecs.Frame{Tick: w.Tick() + 1})
		if err := e.Begin(w, 1); err != nil {
			t.Fatal(err)
		}
		sent := 0
		e.Update(1, ecs.Entity{}, func(p []byte) {
			sent += len(p)
			packets = append(packets, slices.Clone(p))
		})
		if debt > 0 && sent > max(budget-debt, maxHeader) {
			t.Fatalf("tick %d: %d bytes with a debt of %d", tick, sent, debt)
		}
		debt = max(debt+sent-budget, 0)
		total += sent
	}
	if total < 1000 || total > 61*budget {
		t.Fatalf("%d bytes in 60 ticks of at most %d", total, budget)
	}
	for i := len(packets) - 1; i >= 0; i-- { // backwards: pieces arrive in any order
		if err := m.Apply(packets[i]); err != nil {
			t.Fatal(err)
		}
	}
	got, ok := ResourceOf[wideResource](m, "wide")
	if !ok || got != ecs.ResourceOf[wideResource](w) {
		t.Fatalf("the resource in pieces is %v, %v", ok, got)
	}
	if err := e.Ack(1, m.AppendAck(nil)); err != nil {
		t.Fatal(err)
	}
	if st := e.clients[1].subs[0].segs[0]; st.acked == 0 {
		t.Fatal("all pieces arrived, but the block is not acknowledged")
	}
}

type wideResource struct{ Words [200]uint64 }

// TestPieceIsNotAcknowledgedAlone: as long as a piece is missing, its packets have not arrived.
func TestPieceIsNotAcknowledgedAlone(t *testing.T) {
	game := ecs.Game{Name: "wide", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Resource[wideResource](w, "wide", ecs.Replicated)
		ecs.System(w, "fill", func(t *ecs.Tick, r *ecs.Res[wideResource]) {
			for i := range r.Get().Words {
				r.Get().Words[i] = uint64(i)*0x9E3779B97F4A7C15 + 1
			}
		})
	}}
	w, _ := ecs.New(game, ecs.Config{})
	e, _ := New(w.Schema(), Config{PacketBytes: 300, BudgetBytes: 1 << 16})
	m, _ := NewMirror(w.Schema())
	e.Join(1)
	w.Step(ecs.Frame{Tick: 1})
	if err := e.Begin(w, 1); err != nil {
		t.Fatal(err)
	}
	n := 0
	var held []byte
	e.Update(1, ecs.Entity{}, func(p []byte) {
		if n++; n == 3 {
			held = slices.Clone(p)
			return
		}
		if err := m.Apply(p); err != nil {
			t.Fatal(err)
		}
	})
	if ack := m.AppendAck(nil); len(ack) > 0 {
		t.Fatalf("acknowledged %x", ack)
	}
	if st := e.clients[1].subs[0].segs[0]; st.acked != 0 {
		t.Fatal("a block is acknowledged although a piece of it is missing")
	}
	if err := m.Apply(held); err != nil {
		t.Fatal(err)
	}
	if err := e.Ack(1, m.AppendAck(nil)); err != nil {
		t.Fatal(err)
	}
	if st := e.clients[1].subs[0].segs[0]; st.acked != 1 {
		t.Fatal("all pieces arrived, but the block is not acknowledged")
	}
}

// TestNewEpochBeginsAnew: after a failover the same mirrors follow an encoder that knows nothing.
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

// TestJoinAgainBeginsAnew: a session that comes back with an empty mirror gets everything.
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

// TestClientsLeaveNothing: when all clients are gone no cell keeps states.
func TestClientsLeaveNothing(t *testing.T) {
	s := newSim(t, 8, Config{}, 5)
	s.mood(true, 200)
	for range 20 {
		s.step()
	}
	for _, c := range s.clients {
		s.enc.Leave(c.session)
	}
	s.enc.Leave(999)
	for _, c := range s.enc.plane.cells {
		if c != nil && (c.seers != 0 || len(c.segs) != 0) {
			t.Fatalf("cell %+v has %d subscribers and %d segments", c.key, c.seers, len(c.segs))
		}
	}
	s.clients = nil
	s.mood(false, 0)
	if s.enc.Stats().Clients != 0 {
		t.Fatal("clients are left")
	}
}

// TestHistoryIsBounded: no segment holds more states than the history has ticks.
func TestHistoryIsBounded(t *testing.T) {
	s := newSim(t, 9, Config{HistoryTicks: 10}, 3)
	s.weather = weather{loss: 1} // nobody ever acknowledges
	s.mood(true, 200)
	for range 60 {
		s.step()
	}
	for _, c := range s.enc.plane.cells {
		for i := range c.segs {
			if n := len(c.segs[i].history); n > 12 {
				t.Fatalf("cell %+v holds %d states with a history of 10 ticks", c.key, n)
			}
		}
	}
}

// TestAreaFollowsWithHysteresis: a view that walks to and fro over a cell's border moves nothing.
func TestAreaFollowsWithHysteresis(t *testing.T) {
	s := newSim(t, 10, Config{CellMetres: 10, HysteresisMetres: 3}, 1)
	c := s.enc.clients[1]
	for _, step := range []struct {
		v      float64
		middle int32
	}{{5, 0}, {12.9, 0}, {8, 0}, {-2.9, 0}, {13.1, 1}, {8, 1}, {6.9, 0}, {-3.1, -1}, {55, 5}} {
		c.area.x = s.enc.drag(c.area.x, int32(floorDiv(step.v, 10)), step.v)
		if c.area.x != step.middle {
			t.Fatalf("at %v metres the middle is %d, want %d", step.v, c.area.x, step.middle)
		}
	}
}

func floorDiv(v, n float64) float64 {
	q := int(v / n)
	if v < 0 && float64(q)*n != v {
		q--
	}
	return float64(q)
}

// TestChangesTellOneStory: what OnChange reports adds up to what is in sight, and says how it came.
func TestChangesTellOneStory(t *testing.T) {
	s := newSim(t, 11, Config{BudgetBytes: 1 << 20}, 1)
	m := s.clients[0].mirror
	seen, counts := map[ecs.Entity]bool{}, map[ChangeKind]int{}
	m.OnChange = func(c Change) {
		came := c.Kind == Appeared || c.Kind == Spawned
		if seen[c.Entity] == came {
			t.Fatalf("tick %d: %v %v, which was so already", c.Tick, c.Entity, c.Kind)
		}
		seen[c.Entity] = came
		if c.Kind == Despawned {
			if _, _, alive := s.w.Locate(c.Entity); alive {
				t.Fatalf("tick %d: %v is told dead and lives", c.Tick, c.Entity)
			}
		}
		counts[c.Kind]++
	}
	s.mood(true, 300)
	for range 200 {
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

// TestEachIsAscending and complete, with the components by name.
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

// TestBadTagsAreRefused, with the field's path.
func TestBadTagsAreRefused(t *testing.T) {
	for _, tag := range []string{"q=0", "q=-1", "q=x", "q=0.01,range=5..5", "q=0.01,range=5", "range=0..5", "q=1e-9,range=-1000..1000", "visibility=owner", "q=NaN", "q=1,range=-Inf..Inf"} {
		s := &ecs.Schema{Components: []ecs.Type{{Name: "place", Size: 8, Packed: 8, Replicated: true,
			Fields: []ecs.Field{{Path: "Box.X", Kind: ecs.KindF64, Count: 1, Width: 8, Tag: tag}}}}}
		if _, err := New(s, Config{}); err == nil || !strings.Contains(err.Error(), "place.Box.X") {
			t.Errorf("tag %q: %v", tag, err)
		}
	}
}

// TestBadConfigsAreRefused before anything runs.
func TestBadConfigsAreRefused(t *testing.T) {
	for _, c := range []Config{{CellMetres: -1}, {RadiusMetres: 1e9}, {PacketBytes: 10}, {BudgetBytes: 1}, {HistoryTicks: 1}, {HysteresisMetres: 100, CellMetres: 1, RadiusMetres: 1}} {
		if _, err := New(&ecs.Schema{}, c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// TestQuantisationClampsAndRounds on both sides alike, with numbers that are none.
func TestQuantisationClampsAndRounds(t *testing.T) {
	f := ecs.Field{Kind: ecs.KindF64, Count: 1, Width: 8}
	s, err := newSlot(&f, tag{q: 0.01, low: -10, top: 10})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[float64]float64{0: 0, 1.234: 1.23, 1.236: 1.24, -1.236: -1.24, 99: 10, -99: -10, inf(1): 10, inf(-1): -10, nan(): -10} {
		if got := s.value(s.step(in)); got != want {
			t.Errorf("%v travels as %v, want %v", in, got, want)
		}
	}
	if s.bits != 11 {
		t.Errorf("2,001 steps take %d bits", s.bits)
	}
}

func inf(sign int) float64 { return float64(sign) / zero }
func nan() float64         { return zero / zero }

var zero float64

// TestForeignAcksDoNothing and damaged ones are errors.
func TestForeignAcksDoNothing(t *testing.T) {
	s := newSim(t, 13, Config{}, 1)
	s.mood(true, 50)
	s.step()
	good := s.clients[0].mirror.AppendAck(nil)
	for n := range good {
		if err := s.enc.Ack(1, good[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(good))
		}
	}
	if err := s.enc.Ack(1, append(slices.Clone(good), 0)); err == nil {
		t.Error("a byte too many was taken")
	}
	if err := s.enc.Ack(77, good); err != nil {
		t.Error(err)
	}
	future := binary.LittleEndian.AppendUint64(binary.AppendUvarint([]byte{CodecBits, 1, 1}, 1<<40), ^uint64(0))
	if err := s.enc.Ack(1, future); err != nil {
		t.Error(err)
	}
	for range 20 {
		s.step()
	}
	s.check(s.clients[0])
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
