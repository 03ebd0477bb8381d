package ecstest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ferris1/wind/ecs"
)

const firstOwnKind = 2 // after wind.join and wind.leave

// traffic generates the frames of random players and services.
type traffic struct {
	c       Config
	r       *rand.Rand
	last    uint64            // session ids are never reused
	seq     map[uint64]uint64 // by session
	other   uint64            // sequence number for sources other than clients
	staying bool              // no session leaves
	refused map[uint16]int    // consecutive random values that the game refused, by kind
	sent    map[uint16]int
}

func newTraffic(c Config, stream uint64) *traffic {
	return &traffic{c: c, r: rand.New(rand.NewPCG(c.Seed, stream)), seq: map[uint64]uint64{}, refused: map[uint16]int{}, sent: map[uint16]int{}}
}

// frame returns the next frame of w: valid commands in their total order.
func (t *traffic) frame(w *ecs.World) ecs.Frame {
	f := ecs.Frame{Tick: w.Tick() + 1}
	add := func(c ecs.Command) {
		if w.Validate(&c) == nil {
			f.Commands = append(f.Commands, c)
			t.sent[c.Kind]++
		}
	}
	sessions := 0
	w.EachSession(func(s ecs.Session) bool {
		sessions++
		if sessions > 1 && !t.staying && t.r.IntN(150) == 0 {
			add(ecs.NewCommand(w, client(s.ID), t.next(s.ID), ecs.Leave{}))
			return true
		}
		for _, c := range t.play(w, s.ID) {
			add(c)
		}
		return true
	})
	if sessions < t.c.Sessions && (sessions == 0 || t.r.IntN(6) == 0) {
		t.last++
		join := ecs.Join{Identity: ecs.NewText64("player-" + string(rune('a'+t.last%26)))}
		add(ecs.NewCommand(w, client(t.last), t.next(t.last), join))
	}
	if kinds := len(w.Schema().Commands) - firstOwnKind; kinds > 0 && t.r.IntN(20) == 0 {
		t.other++
		source := ecs.Source{Kind: ecs.SourceKind(t.r.IntN(int(ecs.SourceClient))), ID: uint64(t.r.IntN(3))}
		if c, ok := t.random(w, uint16(firstOwnKind+t.r.IntN(kinds)), source); ok {
			c.Seq = t.other
			add(c)
		}
	}
	w.Order(f.Tick, f.Commands)
	return f
}

func client(id uint64) ecs.Source { return ecs.Source{Kind: ecs.SourceClient, ID: id} }

func (t *traffic) next(session uint64) uint64 {
	t.seq[session]++
	return t.seq[session]
}

// play returns the commands of one session.
func (t *traffic) play(w *ecs.World, session uint64) (out []ecs.Command) {
	types := w.Schema().Commands
	if t.c.Play != nil {
		for _, c := range t.c.Play(w, session, t.r) {
			c.Source, c.Seq = client(session), t.next(session)
			out = append(out, c)
		}
	} else {
		for kind := firstOwnKind; kind < len(types); kind++ {
			if chance := 0.15; types[kind].Sampled {
				if t.r.IntN(5) == 0 {
					continue // its last one repeats
				}
			} else if t.r.Float64() > chance {
				continue
			}
			if c, ok := t.random(w, uint16(kind), client(session)); ok {
				c.Seq = t.next(session)
				out = append(out, c)
			}
		}
	}
	for kind := firstOwnKind; kind < len(types); kind++ {
		if !types[kind].Sampled || slices.ContainsFunc(out, func(c ecs.Command) bool { return c.Kind == uint16(kind) }) {
			continue
		}
		if payload, ok := w.LastInput(session, uint16(kind)); ok {
			out = append(out, ecs.Command{Kind: uint16(kind), Source: client(session), Seq: t.seq[session], Flags: ecs.FlagRepeated, Payload: slices.Clone(payload)})
		}
	}
	return out
}

// random returns a command of a kind with random values, or false if the world refuses many in a row.
func (t *traffic) random(w *ecs.World, kind uint16, source ecs.Source) (ecs.Command, bool) {
	if t.refused[kind] > 400 && t.r.IntN(50) != 0 {
		return ecs.Command{}, false // not worth the time by now
	}
	c := ecs.Command{Kind: kind, Source: source, Seq: 1}
	for range 16 {
		c.Payload = t.payload(w, &w.Schema().Commands[kind])
		if w.Validate(&c) == nil {
			t.refused[kind] = 0
			return c, true
		}
		t.refused[kind]++
	}
	return c, false
}

// payload returns a packed value with random fields. All share a magnitude, so that checks such as "at most 1"
// sometimes pass.
func (t *traffic) payload(w *ecs.World, typ *ecs.Type) []byte {
	b := make([]byte, typ.Packed)
	magnitude := []float64{0, 0.5, 1, 1, 10, 100, 1e4, 1e9, math.MaxFloat64 / 2}[t.r.IntN(9)]
	for i := range typ.Fields {
		f := &typ.Fields[i]
		for k := range f.Count {
			t.value(w, f, b[f.PackedOffset+k*f.Width:][:f.Width], magnitude)
		}
	}
	return b
}

// value writes a random value of a field.
func (t *traffic) value(w *ecs.World, f *ecs.Field, b []byte, magnitude float64) {
	x := (2*t.r.Float64() - 1) * magnitude
	switch f.Kind {
	case ecs.KindBool:
		b[0] = byte(t.r.IntN(2))
	case ecs.KindF32:
		x = max(-math.MaxFloat32, min(x, math.MaxFloat32))
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(x)))
	case ecs.KindF64:
		binary.LittleEndian.PutUint64(b, math.Float64bits(x))
	case ecs.KindEntity:
		e := t.entity(w)
		binary.LittleEndian.PutUint32(b, e.ID())
		binary.LittleEndian.PutUint32(b[4:], e.Generation())
	case ecs.KindText:
		n := t.r.IntN(len(b))
		b[0] = byte(n)
		for i := range n {
			b[1+i] = byte('a' + t.r.IntN(26))
		}
	default: // an integer: small, or with random bits
		v := uint64(int64(t.r.IntN(7)) - 2)
		if f.Kind >= ecs.KindU8 {
			v = uint64(t.r.IntN(5))
		}
		if magnitude > 10 {
			v = t.r.Uint64()
		}
		var all [8]byte
		binary.LittleEndian.PutUint64(all[:], v)
		copy(b, all[:])
	}
}

// entity returns a living entity in most cases, else one that never existed, or the zero Entity.
func (t *traffic) entity(w *ecs.World) ecs.Entity {
	if w.Len() > 0 && t.r.IntN(4) != 0 {
		n := t.r.IntN(w.Len())
		for _, table := range w.Tables() {
			if n < table.Len() {
				return table.Entities()[n]
			}
			n -= table.Len()
		}
	}
	return ecs.EntityFrom(uint32(t.r.IntN(2000)), uint32(t.r.IntN(3)))
}

// report logs the commands that were never sent.
func (t *traffic) report(tb TB, w *ecs.World) {
	tb.Helper()
	for kind := firstOwnKind; kind < len(w.Schema().Commands); kind++ {
		if t.sent[uint16(kind)] == 0 {
			tb.Logf("command %q was never sent: no random value passed Validate; Config.Play can send it", w.Schema().Commands[kind].Name)
		}
	}
}
