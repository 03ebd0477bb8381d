package replication

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// recorded returns a stream of real packets and their schema.
func recorded(tb testing.TB) (*ecs.Schema, [][]byte) {
	s := newSim(tb, 21, Config{CellMetres: 200, RadiusMetres: 200, PacketBytes: 256, BudgetBytes: 1 << 16}, 1)
	s.weather = weather{delay: 2}
	var packets [][]byte
	s.tap = func(p []byte) { packets = append(packets, slices.Clone(p)) }
	s.mood(true, 60)
	for range 12 {
		s.step()
	}
	return s.w.Schema(), packets
}

// FuzzMirror feeds arbitrary bytes to a mirror that already knows a world.
func FuzzMirror(f *testing.F) {
	schema, packets := recorded(f)
	for _, p := range packets {
		f.Add(p, uint16(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, after uint16) {
		m, err := NewMirror(schema)
		if err != nil {
			t.Fatal(err)
		}
		m.limit = 1 << 20
		for i := range int(after) % len(packets) {
			if err := m.Apply(packets[i]); err != nil {
				t.Fatal(err)
			}
		}
		_ = m.Apply(b)
		inspect(t, m)
		for _, p := range packets {
			_ = m.Apply(p)
		}
		inspect(t, m)
	})
}

// FuzzBlock feeds the codec arbitrary bytes against a base. A state that it accepts must survive encoding and decoding.
func FuzzBlock(f *testing.F) {
	l, err := newLayout(goldenSchema())
	if err != nil {
		f.Fatal(err)
	}
	base, next := goldenStates(f, l)
	f.Add(bitpack{}.append(nil, l, base, next, goldenFate{}), true)
	f.Add(bitpack{}.append(nil, l, emptyState, next, goldenFate{}), false)
	f.Fuzz(func(t *testing.T, b []byte, based bool) {
		from := emptyState
		if based {
			from = base
		}
		out := state{version: 103}
		var news news
		if err := (bitpack{}).read(b, l, from, &out, 1<<16, &news); err != nil {
			return
		}
		if out.cost(0) > 1<<16 {
			t.Fatalf("a state of %d words passed a limit of %d", out.cost(0), 1<<16)
		}
		again := bitpack{}.append(nil, l, from, &out, nobody{})
		var back state
		if err := (bitpack{}).read(again, l, from, &back, 1<<16, &news); err != nil {
			t.Fatalf("%x was taken, but its state encodes to %x: %v", b, again, err)
		}
		if d := differ(l, &back, &out); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzAck feeds an encoder arbitrary acknowledgements.
func FuzzAck(f *testing.F) {
	s := newSim(f, 22, Config{}, 1)
	s.mood(true, 50)
	f.Add(s.clients[0].mirror.AppendAck(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = s.enc.Ack(1, b)
		_ = s.enc.Ack(2, b)
	})
}

// inspect walks everything a mirror shows and checks that it is consistent and within its bounds.
func inspect(t *testing.T, m *Mirror) {
	t.Helper()
	n := 0
	for e := range m.Each {
		n++
		for typ, packed := range componentsOf(m, e) {
			if len(packed) != typ.Packed {
				t.Fatalf("%s has %d bytes, want %d", typ.Name, len(packed), typ.Packed)
			}
		}
	}
	if n != m.Len() {
		t.Fatalf("%d entities, %d by count", n, m.Len())
	}
	m.PackedResource(nil, "scores")
	m.AppendAck(nil)
	if used := m.audit(); used != m.used || used > m.limit {
		t.Fatalf("uses %d bytes, accounts for %d, allows %d", used, m.used, m.limit)
	}
}

// audit recomputes m.used.
func (m *Mirror) audit() (used int) {
	for _, c := range m.cells {
		for _, d := range []*division{c.cur, c.next} {
			if d == nil {
				continue
			}
			for _, s := range d.segments {
				used += segmentBytes
				for _, st := range s.states {
					used += st.bytes()
				}
				if s.pieces != nil {
					used += s.pieces.bytes
				}
			}
		}
	}
	return used
}

// TestDamagedPacketsAreErrors: flipped bits and cut packets never panic, and the mirror recovers.
func TestDamagedPacketsAreErrors(t *testing.T) {
	schema, packets := recorded(t)
	rng := rand.New(rand.NewPCG(1, 2))
	m, _ := NewMirror(schema)
	m.limit = 4 << 20
	refused := 0
	for range 20 {
		for _, p := range packets {
			bad := slices.Clone(p)
			for range 1 + rng.IntN(3) {
				bad[3+rng.IntN(len(bad)-3)] ^= 1 << rng.IntN(8) // after epoch and stream, which would only empty the mirror
			}
			if rng.IntN(4) == 0 {
				bad = bad[:rng.IntN(len(bad))]
			}
			if m.Apply(bad) != nil {
				refused++
			}
			inspect(t, m)
		}
	}
	if refused < 100 {
		t.Fatalf("only %d damaged packets were refused", refused)
	}
}

// TestMirrorIsBounded: endless valid packets from a hostile encoder do not grow a mirror beyond its limit.
func TestMirrorIsBounded(t *testing.T) {
	schema, packets := recorded(t)
	m, _ := NewMirror(schema)
	m.limit = 1 << 18
	full := 0
	for tick := uint64(100); tick < 1500; tick++ {
		p := parser{b: packets[0]}
		h := p.header()
		k, body := p.block(&h)
		h.tick, h.seq, h.area = tick, tick, area{0, 0, maxRadius}
		k.cellKey = cellKey{x: int32(tick%65) - 32, y: int32(tick/65%65) - 32}
		k.version, k.depth, k.segment, k.pieces, k.base = tick, 10, uint16(tick%1024), 0, 0
		if m.Apply(appendBytes(k.append(h.append(nil), &h), body)) != nil {
			full++
		}
		if m.used > m.limit {
			t.Fatalf("uses %d bytes, allows %d", m.used, m.limit)
		}
	}
	if used := m.audit(); used != m.used {
		t.Fatalf("uses %d bytes, accounts for %d", used, m.used)
	}
	if full == 0 {
		t.Fatal("the mirror never was full: this test shows nothing")
	}
}
