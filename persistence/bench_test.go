package persistence

import (
	"fmt"
	"testing"

	"github.com/ferris1/wind/ecs"
)

func benchRecord(size int) *Record {
	return &Record{Kind: KindTicks, Seq: 812, Epoch: 3, Ticks: []TickRecord{{Tick: 805, Frame: noise(1, size), Checksum: 0x0123456789abcdef}}}
}

var benchSizes = []int{1 << 10, 16 << 10, 256 << 10}

func BenchmarkEncodeRecord(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			r, dst := benchRecord(size), []byte(nil)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				var err error
				if dst, err = r.Encode(dst[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkChain measures the cost of reading a log apart from the store: decode,
// hash, compare.
func BenchmarkChain(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			start := Chain{seq: 811, tick: 804, epoch: 3, started: true}
			m, err := start.Link(benchRecord(size), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(m.Body)))
			for b.Loop() {
				chain := start
				if _, err := chain.Next(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDelta(b *testing.B) {
	d := wholeDelta(1, 170_000)
	body, err := d.Encode(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		dst := []byte(nil)
		for b.Loop() {
			dst, _ = d.Encode(dst[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if _, err := DecodeDelta(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSnapshot(b *testing.B) {
	s := sampleSnapshot()
	s.Body = noise(1, 3<<20) // 100,000 entities of 33 bytes
	body, err := s.Encode(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(s.Body)))
		dst := []byte(nil)
		for b.Loop() {
			dst, _ = s.Encode(dst[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(s.Body)))
		for b.Loop() {
			if _, err := DecodeSnapshot(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPack packs the deltas of 10,000 entities that move in every tick.
func BenchmarkPack(b *testing.B) {
	type place struct{ X, Y float64 }
	type pace struct{ X, Y float64 }
	type mover struct {
		P *place
		V *pace `ecs:"read"`
	}
	type walker struct {
		place
		pace
	}
	w, err := ecs.New(ecs.Game{Name: "movers", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Component[place](w, "place")
		ecs.Component[pace](w, "pace")
		ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[walker]) {
			for i := range 10_000 {
				s.New(walker{place{X: float64(i % 1000), Y: float64(i / 1000)}, pace{X: 1, Y: 0.25}})
			}
		})
		ecs.System(w, "move", func(_ *ecs.Tick, q *ecs.Query[mover]) {
			for m := range q.Each {
				m.P.X += m.V.X
				m.P.Y += m.V.Y
			}
		})
	}}, ecs.Config{Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	layout := LayoutOf(w.Schema())
	var deltas []Delta
	for range 256 {
		out := w.Step(ecs.Frame{Tick: w.Tick() + 1})
		deltas = append(deltas, Delta{Lineage: "bench", Epoch: 1, Tick: out.Tick, Checksum: out.Checksum, Body: out.Delta.AppendTo(nil), Layout: layout})
	}
	deltas = deltas[3:] // without the spawns
	var p DeltaPacker
	n := 0
	b.ReportAllocs()
	b.SetBytes(int64(len(deltas[0].Body)))
	for b.Loop() {
		if n == len(deltas) {
			n = 0
		}
		if _, err := p.Pack(deltas[n]); err != nil {
			b.Fatal(err)
		}
		p.Stored()
		n++
	}
}
