package replication

import (
	"flag"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ferris1/wind/ecs"
)

var seedFlag = flag.Uint64("replication.seed", 0, "run the property tests with this seed alone")

// weather says how the network treats packets.
type weather struct {
	loss, double float64
	delay        int // maximum, in ticks
}

// flight is a packet or an acknowledgement under way.
type flight struct {
	at    uint64 // tick of its arrival
	bytes []byte
}

// sim is a world, its encoder and clients behind a bad network.
type sim struct {
	t        testing.TB
	rng      *rand.Rand
	w        *ecs.World
	enc      *Encoder
	epoch    uint64
	clients  []*simClient
	weather  weather
	seq      uint64
	tap      func(packet []byte)
	together bool           // all clients have the same view
	bytes    map[uint64]int // by session, of the last tick
}

type simClient struct {
	session  uint64
	view     ecs.Entity
	mirror   *Mirror
	down, up []flight
}

func newSim(t testing.TB, seed uint64, cfg Config, clients int) *sim {
	t.Helper()
	w, err := ecs.New(testGame, ecs.Config{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	enc, err := New(w.Schema(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 1)), w: w, enc: enc, epoch: 1, bytes: map[uint64]int{}}
	for i := range clients {
		s.join(uint64(i + 1))
	}
	return s
}

func (s *sim) join(session uint64) *simClient {
	m, err := NewMirror(s.w.Schema())
	if err != nil {
		s.t.Fatal(err)
	}
	c := &simClient{session: session, mirror: m}
	s.clients = append(s.clients, c)
	s.enc.Join(session)
	return c
}

// mood makes the world lively or still from the next tick on.
func (s *sim) mood(live bool, crowd int32) {
	s.step(ecs.NewCommand(s.w, ecs.Source{Kind: ecs.SourceOperator}, s.next(), mood{live, crowd}))
}

func (s *sim) next() uint64 { s.seq++; return s.seq }

// step advances the world by a tick, and delivers the packets and acknowledgements due in it.
func (s *sim) step(cmds ...ecs.Command) {
	s.t.Helper()
	out := s.w.Step(ecs.Frame{Tick: s.w.Tick() + 1, Commands: cmds})
	for _, f := range out.Failures {
		s.t.Fatalf("tick %d: %+v", out.Tick, f)
	}
	s.release()
}

func (s *sim) release() {
	s.t.Helper()
	if err := s.enc.Begin(s.w, s.epoch); err != nil {
		s.t.Fatal(err)
	}
	now := s.w.Tick()
	for _, c := range s.clients {
		s.choose(c)
	}
	for _, c := range s.clients {
		s.bytes[c.session] = 0
		packets := 0
		s.enc.Update(c.session, c.view, func(p []byte) {
			packets++
			if s.tap != nil {
				s.tap(p)
			}
			s.bytes[c.session] += len(p)
			if len(p) > s.enc.cfg.PacketBytes {
				s.t.Fatalf("packet of %d bytes, more than %d", len(p), s.enc.cfg.PacketBytes)
			}
			c.down = s.launch(c.down, p, now)
		})
		if packets == 0 {
			s.t.Fatalf("tick %d: no packet for session %d", now, c.session)
		}
		arrive(&c.down, now, func(p []byte) {
			if err := c.mirror.Apply(p); err != nil {
				s.t.Fatalf("tick %d: %v", now, err)
			}
		})
		if ack := c.mirror.AppendAck(nil); len(ack) > 0 {
			c.up = s.launch(c.up, ack, now)
		}
		arrive(&c.up, now, func(b []byte) {
			if err := s.enc.Ack(c.session, b); err != nil {
				s.t.Fatalf("tick %d: %v", now, err)
			}
		})
	}
}

// choose gives c a living view.
func (s *sim) choose(c *simClient) {
	if _, ok := ecs.Get[position](s.w, c.view); ok {
		return
	}
	for _, t := range s.w.Tables() {
		if es := t.Entities(); len(es) > 0 {
			e := es[s.rng.IntN(len(es))]
			if _, ok := ecs.Get[position](s.w, e); ok {
				if c.view = e; s.together {
					for _, other := range s.clients {
						other.view = e
					}
				}
				return
			}
		}
	}
}

func (s *sim) launch(q []flight, b []byte, now uint64) []flight {
	copies := 1
	if s.rng.Float64() < s.weather.loss {
		copies = 0
	} else if s.rng.Float64() < s.weather.double {
		copies = 2
	}
	for range copies {
		q = append(q, flight{now + uint64(s.rng.IntN(s.weather.delay+1)), slices.Clone(b)})
	}
	return q
}

// arrive delivers the packets that are due. Different delays put them out of order.
func arrive(q *[]flight, now uint64, deliver func([]byte)) {
	later := (*q)[:0]
	for _, f := range *q {
		if f.at <= now {
			deliver(f.bytes)
		} else {
			later = append(later, f)
		}
	}
	*q = later
}

// snap is the test's own quantisation: it rounds v to steps of q within a range.
func snap(v, q, low, top float64) float64 {
	k := math.Floor(v/q + 0.5)
	k = min(max(k, math.Round(low/q)), math.Round(top/q))
	return k * q
}

const near = 1e-9

// check compares a mirror with the part of the world that c may see.
func (s *sim) check(c *simClient) {
	s.t.Helper()
	w, m, want := s.w, c.mirror, map[ecs.Entity]bool{}
	area := s.enc.clients[c.session].area
	for _, t := range w.Tables() {
		for _, e := range t.Entities() {
			if s.visible(e, area) {
				want[e] = true
				s.compare(m, e)
			}
		}
	}
	for e := range m.Each {
		if !want[e] {
			p, _ := ecs.Get[position](w, e)
			s.t.Fatalf("tick %d, session %d: sees %v, which it may not: at %+v, area %+v", w.Tick(), c.session, e, p, area)
		}
	}
	if m.Len() != len(want) {
		s.t.Fatalf("tick %d, session %d: sees %d entities, want %d", w.Tick(), c.session, m.Len(), len(want))
	}
	got, ok := ResourceOf[scores](m, "scores")
	sc := ecs.ResourceOf[scores](w)
	sc.Hidden = 0
	clock := snap(sc.Clock, 0.1, 0, 3600)
	if sc.Clock = got.Clock; !ok || got != sc || math.Abs(got.Clock-clock) > near {
		s.t.Fatalf("tick %d, session %d: scores %+v, want %+v", w.Tick(), c.session, got, sc)
	}
	if _, ok := m.PackedResource(nil, "ledger"); ok {
		s.t.Fatal("a resource that is not replicated is in the mirror")
	}
}

func (s *sim) visible(e ecs.Entity, a area) bool {
	p, placed := ecs.Get[position](s.w, e)
	if !placed {
		_, named := ecs.Get[title](s.w, e)
		_, iced := ecs.Get[frozen](s.w, e)
		_, bags := ecs.Get[bag](s.w, e)
		_, hp := ecs.Get[health](s.w, e)
		return named || iced || bags || hp
	}
	size := s.enc.cfg.CellMetres
	return a.radius >= 0 && a.has(int32(math.Floor(p.X/size)), int32(math.Floor(p.Y/size)))
}

// compare checks each component of an entity that should be in sight.
func (s *sim) compare(m *Mirror, e ecs.Entity) {
	s.t.Helper()
	p, has := ecs.Get[position](s.w, e)
	gp, ok := Get[position](m, e, "position")
	p.X, p.Y = snap(p.X, 0.01, -500, 500), snap(p.Y, 0.01, -500, 500)
	s.expect(e, "position", has == ok && math.Abs(p.X-gp.X) < near && math.Abs(p.Y-gp.Y) < near, gp, p)

	h, has := ecs.Get[health](s.w, e)
	gh, ok := Get[health](m, e, "health")
	h.Armour = float32(snap(float64(h.Armour), 0.5, 0, 100))
	s.expect(e, "health", has == ok && h == gh, gh, h)

	n, has := ecs.Get[title](s.w, e)
	gn, ok := Get[title](m, e, "title")
	s.expect(e, "title", has == ok && n == gn, gn, n)

	b, has := ecs.Get[bag](s.w, e)
	gb, ok := Get[bag](m, e, "bag")
	b.Hidden = 0
	s.expect(e, "bag", has == ok && b == gb, gb, b)

	_, has = ecs.Get[frozen](s.w, e)
	_, ok = Get[frozen](m, e, "frozen")
	s.expect(e, "frozen", has == ok, ok, has)

	for _, name := range []string{"velocity", "secret"} {
		_, ok = m.Packed(nil, e, name)
		s.expect(e, name, !ok, ok, false)
	}
}

func (s *sim) expect(e ecs.Entity, what string, ok bool, got, want any) {
	s.t.Helper()
	if !ok {
		s.t.Fatalf("tick %d: %s of %v is %+v, want %+v", s.w.Tick(), what, e, got, want)
	}
}
