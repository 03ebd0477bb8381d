package replication

import (
	"slices"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestBlockBeyondTheBudgetIsPaidOff: a block larger than a tick's budget is sent, and later ticks make up for it.
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
		inspect(t, m)
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

// TestPieceIsNotAcknowledgedAlone: while a piece is missing, the packets of the others stay unacknowledged.
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

// TestPieceTravelsAlone: acknowledging a piece's packet acknowledges nothing else.
func TestPieceTravelsAlone(t *testing.T) {
	game := walk(100, 100)
	setup := game.Setup
	game.Setup = func(w *ecs.World) {
		setup(w)
		ecs.Resource[wideResource](w, "wide", ecs.Replicated)
		ecs.System(w, "fill", func(t *ecs.Tick, r *ecs.Res[wideResource]) {
			for i := range r.Get().Words {
				r.Get().Words[i] = uint64(i)*0x9E3779B97F4A7C15 + t.Now()
			}
		})
	}
	w, err := ecs.New(game, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := New(w.Schema(), Config{PacketBytes: 300, BudgetBytes: 1 << 16})
	e.Join(1)
	pieces := 0
	for range 3 {
		w.Step(ecs.Frame{Tick: w.Tick() + 1})
		if err := e.Begin(w, 1); err != nil {
			t.Fatal(err)
		}
		e.Update(1, w.Tables()[0].Entities()[0], func(b []byte) {
			blocks, piece := blocksOf(t, b)
			if piece && len(blocks) > 1 {
				t.Fatalf("a piece travels with %d other blocks", len(blocks)-1)
			}
			if piece {
				pieces++
			}
		})
	}
	if pieces == 0 {
		t.Fatal("nothing was cut: this test shows nothing")
	}
}

// blocksOf parses a packet.
func blocksOf(t testing.TB, packet []byte) (blocks []blockHead, piece bool) {
	p := parser{b: packet}
	h := p.header()
	for len(p.b) > 0 {
		k, _ := p.block(&h)
		blocks = append(blocks, k)
		piece = piece || k.pieces > 0
	}
	if p.err != nil {
		t.Fatal(p.err)
	}
	return blocks, piece
}

// TestCrowdedCellsAreDivided: a crowded cell is divided, so that losing a packet costs only part of it, and joined again
// when the crowd has gone.
func TestCrowdedCellsAreDivided(t *testing.T) {
	s := newSim(t, 14, Config{CellMetres: 200, RadiusMetres: 200, PacketBytes: 256, BudgetBytes: 1 << 20}, 1)
	s.mood(true, 400)
	deepest := uint8(0)
	s.tap = func(b []byte) {
		blocks, _ := blocksOf(t, b)
		for _, k := range blocks {
			deepest = max(deepest, k.depth)
		}
	}
	cut := 0
	for range 40 {
		s.step()
		for _, c := range s.enc.plane.cells {
			if c == nil {
				continue
			}
			for i := range c.segs {
				for _, b := range c.segs[i].blocks {
					if c.key.global {
						continue
					}
					if len(b.body) > 256 {
						cut++
					}
				}
			}
		}
	}
	if deepest == 0 || cut > 20 {
		t.Fatalf("depth %d, %d blocks that fit no packet", deepest, cut)
	}
	s.mood(false, 0)
	s.mood(true, 0)
	for range 1500 { // one in 300 dies at each tick
		s.step()
	}
	for _, c := range s.enc.plane.cells {
		if c != nil && !c.key.global && c.depth > 1 {
			t.Fatalf("cell %+v with %d entities is still in %d segments", c.key, c.count, len(c.segs))
		}
	}
	s.check(s.clients[0])
}
