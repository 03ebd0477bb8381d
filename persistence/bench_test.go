package persistence

import (
	"fmt"
	"testing"
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
			m, err := start.Seal(benchRecord(size), nil)
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
