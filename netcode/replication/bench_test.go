package replication

import (
	"fmt"
	"math"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// The benchmarks' game: every entity walks at 1 to 5 metres per second, at 30 ticks per second.
type (
	walkPos struct {
		X, Y float64 `wind:"q=0.01,range=-1000..1000"` // metres
	}
	walkVel struct{ X, Y float64 } // metres per tick
	walkHp  struct{ Now, Max int16 }
	walker  struct {
		Pos walkPos
		Vel walkVel
		Hp  walkHp
	}
	walking struct {
		Pos *walkPos
		Vel *walkVel
	}
)

// walk returns a game of n entities that walk in a square of the given side and turn at its borders.
func walk(n int, side float64) ecs.Game {
	return ecs.Game{Name: "walk", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Component[walkPos](w, "position", ecs.Spatial)
		ecs.Component[walkVel](w, "velocity")
		ecs.Component[walkHp](w, "health", ecs.Replicated)
		ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[walker]) {
			r := t.Rand(ecs.Entity{})
			for range n {
				v, dir := r.Range(1, 5)/30, r.Range(0, 2*math.Pi)
				s.New(walker{
					Pos: walkPos{r.Range(-side/2, side/2), r.Range(-side/2, side/2)},
					Vel: walkVel{v * math.Cos(dir), v * math.Sin(dir)}, Hp: walkHp{100, 100},
				})
			}
		})
		ecs.System(w, "walk", func(t *ecs.Tick, q *ecs.Query[walking]) {
			for m := range q.Each {
				m.Pos.X += m.Vel.X
				m.Pos.Y += m.Vel.Y
				if math.Abs(m.Pos.X) > side/2 {
					m.Vel.X = -m.Vel.X
				}
				if math.Abs(m.Pos.Y) > side/2 {
					m.Vel.Y = -m.Vel.Y
				}
			}
		})
	}}
}

// crowd is a walking world with clients whose acknowledgements take delay ticks.
type crowd struct {
	w     *ecs.World
	e     *Encoder
	views []ecs.Entity
	acks  [][]acks // by client: what arrives next
	seq   []uint64
	delay int
	b     []byte
	now   int // the client whose packets are written
	count func([]byte)
}

func newCrowd(tb testing.TB, entities int, side float64, clients, delay int, cfg Config) *crowd {
	tb.Helper()
	w, err := ecs.New(walk(entities, side), ecs.Config{Seed: 1})
	if err != nil {
		tb.Fatal(err)
	}
	e, err := New(w.Schema(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	c := &crowd{w: w, e: e, delay: delay, acks: make([][]acks, clients), seq: make([]uint64, clients)}
	c.count = func([]byte) { c.seq[c.now]++ }
	w.Step(ecs.Frame{Tick: 1})
	for i := range clients {
		e.Join(uint64(i + 1))
		c.views = append(c.views, w.Tables()[0].Entities()[i%entities])
	}
	for range 60 {
		c.step()
		c.replicate(tb)
	}
	return c
}

func (c *crowd) step() { c.w.Step(ecs.Frame{Tick: c.w.Tick() + 1}) }

func (c *crowd) replicate(tb testing.TB) {
	if err := c.e.Begin(c.w, 1); err != nil {
		tb.Fatal(err)
	}
	for i, view := range c.views {
		session := uint64(i + 1)
		c.now = i
		c.e.Update(session, view, c.count)
		c.acks[i] = append(c.acks[i], acks{last: c.seq[i], mask: math.MaxUint64})
		if len(c.acks[i]) > c.delay {
			c.b = appendAck(c.b[:0], 1, c.e.clients[session].stream, c.acks[i][0])
			if err := c.e.Ack(session, c.b); err != nil {
				tb.Fatal(err)
			}
			c.acks[i] = c.acks[i][:copy(c.acks[i], c.acks[i][1:])]
		}
	}
}

// BenchmarkTick measures the replication of a released tick to all clients while everything moves.
func BenchmarkTick(b *testing.B) {
	for _, c := range []struct {
		entities, clients int
		side              float64
		cfg               Config
	}{
		{1000, 200, 100, Config{CellMetres: 25, RadiusMetres: 100, BudgetBytes: 1 << 20}}, // everything to everyone
		{5000, 200, 1000, Config{CellMetres: 33, RadiusMetres: 33}},                       // 50 visible
		{5000, 1300, 1000, Config{CellMetres: 33, RadiusMetres: 33}},
		{10000, 1, 1000, Config{CellMetres: 33, RadiusMetres: 33}}, // the cost of looking
	} {
		b.Run(fmt.Sprintf("entities=%d/clients=%d", c.entities, c.clients), func(b *testing.B) {
			s := newCrowd(b, c.entities, c.side, c.clients, 3, c.cfg)
			start := s.e.Stats()
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				s.step()
				b.StartTimer()
				s.replicate(b)
			}
			st := s.e.Stats()
			n := float64(b.N) * float64(c.clients)
			b.ReportMetric(float64(st.Bytes-start.Bytes)/n*30/1024, "KB/client-s")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/client")
			b.ReportMetric(float64(st.Encoded-start.Encoded)/float64(b.N), "encoded/op")
			b.ReportMetric(float64(st.Blocks-start.Blocks)/float64(b.N), "blocks/op")
		})
	}
}

// BenchmarkCodec measures encoding and decoding a block in which every entity moved, against a baseline
// three ticks old.
func BenchmarkCodec(b *testing.B) {
	const n = 64
	base, next, l := walked(b, n, 3)
	body := bitpack{}.append(nil, l, base, next, nobody{})
	perEntity := float64(len(body)) / n
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			body = bitpack{}.append(body[:0], l, base, next, nobody{})
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entity")
		b.ReportMetric(perEntity, "B/entity")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		var out state
		var news news
		for b.Loop() {
			out.ents, out.words = out.ents[:0], out.words[:0]
			news.reset()
			if err := (bitpack{}).read(body, l, base, &out, 1<<20, &news); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entity")
	})
}

// nobody is a fate without spawns and despawns.
type nobody struct{}

func (nobody) spawned(uint64, uint64, uint64) bool { return false }
func (nobody) despawned(uint64) bool               { return false }

// walked returns the state of n entities and their state some ticks later.
func walked(tb testing.TB, n, ticks int) (base, next *state, l *layout) {
	tb.Helper()
	w, err := ecs.New(walk(n, 500), ecs.Config{Seed: 2})
	if err != nil {
		tb.Fatal(err)
	}
	e, err := New(w.Schema(), Config{CellMetres: 1 << 20, RadiusMetres: 1 << 20, PacketBytes: 1 << 16})
	if err != nil {
		tb.Fatal(err)
	}
	take := func() *state {
		if err := e.Begin(w, 1); err != nil {
			tb.Fatal(err)
		}
		s := &state{}
		for id := range e.plane.places {
			if e.plane.places[id].seen == e.plane.serial {
				e.plane.load(s, uint32(id))
			}
		}
		return s
	}
	w.Step(ecs.Frame{Tick: 1})
	base = take()
	base.version = 1
	for range ticks {
		w.Step(ecs.Frame{Tick: w.Tick() + 1})
	}
	next = take()
	next.version = w.Tick()
	return base, next, e.plane.layout
}

// TestSteadyStateAllocatesNothing: with all cells in sight and no spawns, replicating a tick
// allocates nothing.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	s := newCrowd(t, 300, 100, 10, 3, Config{CellMetres: 25, RadiusMetres: 200, BudgetBytes: 1 << 20})
	for range 400 { // until every ring has been filled once
		s.step()
		s.replicate(t)
	}
	if n := testing.AllocsPerRun(200, func() { s.step(); s.replicate(t) }); n > 0 {
		t.Fatalf("%v allocations in a tick", n)
	}
}
