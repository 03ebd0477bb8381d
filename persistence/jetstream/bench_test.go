package jetstream

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// BenchmarkCommit alternates between committing records of a size through Wind (seal, encode, hash, headers, append,
// mark) and publishing the same bytes with nats.go, fenced and without headers. ratio is the quotient of the medians.
func BenchmarkCommit(b *testing.B) {
	for _, kib := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) {
			server := startServer(b, ServerConfig{Port: -1})
			c := connectTo(b, server)
			shard := createShard(b, c)
			bare := newBarePublisher(b, c)
			w := newWriter()
			for range 2 {
				w.commit(b, shard)
			}
			frame := make([]byte, kib<<10-160) // the rest is the envelope
			var own, theirs []time.Duration
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				tick := w.chain.Tick() + 1
				start := time.Now()
				r := persistence.Record{Kind: persistence.KindTicks, Epoch: 1, Ticks: []persistence.TickRecord{{Tick: tick, Frame: frame, Checksum: tick}}}
				m, err := w.chain.Link(&r, buf[:0])
				if err == nil {
					err = shard.log.Append(b.Context(), m, w.chain.Seq())
				}
				if err != nil {
					b.Fatal(err)
				}
				w.chain.Advance(&r, persistence.HashOf(m.Body))
				buf = m.Body
				middle := time.Now()
				bare.publish(b, m.Body)
				own, theirs = append(own, middle.Sub(start)), append(theirs, time.Since(middle))
			}
			b.ReportMetric(micros(own), "wind-p50-µs")
			b.ReportMetric(micros(theirs), "bare-p50-µs")
			b.ReportMetric(micros(own)/micros(theirs), "ratio")
		})
	}
}

// barePublisher publishes as a program without Wind would.
type barePublisher struct {
	js  jetstream.JetStream
	seq uint64
}

func newBarePublisher(b *testing.B, c *Conn) *barePublisher {
	config := logConfig(Ref{"dev", "bare", testLineage}, Options{Replicas: 1, LogBytes: DefaultLogBytes})
	config.Name, config.Subjects = "BARE", []string{"bare"}
	if _, err := c.js.CreateStream(b.Context(), config); err != nil {
		b.Fatal(err)
	}
	return &barePublisher{js: c.js}
}

func (p *barePublisher) publish(b *testing.B, body []byte) {
	ack, err := p.js.PublishMsg(b.Context(), &nats.Msg{Subject: "bare", Data: body},
		jetstream.WithExpectLastSequence(p.seq), jetstream.WithRetryAttempts(0))
	if err != nil {
		b.Fatal(err)
	}
	p.seq = ack.Sequence
}

// micros returns the median in microseconds.
func micros(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Nanoseconds()) / 1e3
}

// BenchmarkAppendAllocs measures Append alone.
func BenchmarkAppendAllocs(b *testing.B) {
	shard := createShard(b, connectTo(b, startServer(b, ServerConfig{Port: -1})))
	m := persistence.Message{Header: persistence.Header{Kind: "ticks", FirstTick: 812, LastTick: 812, Epoch: 3, Checksum: 0xfeed, Version: 1}, Body: make([]byte, 16<<10)}
	ctx := context.Background()
	b.ReportAllocs()
	for seq := persistence.Seq(0); b.Loop(); seq++ {
		if err := shard.log.Append(ctx, m, seq); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead alternates between reading 64 MB of a log as a replay does and as a program without Wind would. ratio
// compares the medians of the speeds, ours over theirs.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			shard := createShard(b, connectTo(b, startServer(b, ServerConfig{Port: -1})))
			w := newWriter()
			w.size = size
			for range (64 << 20) / size {
				w.commit(b, shard)
			}
			last := lastOf(b, shard)
			var own, theirs []time.Duration
			for b.Loop() {
				start := time.Now()
				for _, err := range shard.log.Read(b.Context(), 1, last) {
					if err != nil {
						b.Fatal(err)
					}
				}
				middle := time.Now()
				bareRead(b, shard.log.stream, int(last))
				own, theirs = append(own, middle.Sub(start)), append(theirs, time.Since(middle))
			}
			b.ReportMetric((64<<20)/micros(own), "wind-MB/s")
			b.ReportMetric((64<<20)/micros(theirs), "bare-MB/s")
			b.ReportMetric(micros(theirs)/micros(own), "ratio")
		})
	}
}

func bareRead(b *testing.B, s jetstream.Stream, n int) {
	consumer, err := s.CreateConsumer(b.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true})
	if err != nil {
		b.Fatal(err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxBytes(pullBytes))
	if err != nil {
		b.Fatal(err)
	}
	defer messages.Stop()
	for range n {
		if _, err := messages.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheckStore proves the files of a log of 256 MB.
func BenchmarkCheckStore(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			server := startServer(b, ServerConfig{Port: -1})
			c := connectTo(b, server)
			shard := createShard(b, c)
			w := newWriter()
			w.size = size
			for range (256 << 20) / size {
				w.commit(b, shard)
			}
			shard.Close()
			c.Close()
			server.Close()
			b.ResetTimer()
			for b.Loop() {
				states, err := CheckStore(b.Context(), server.Dir())
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(states[0].Bytes)
			}
		})
	}
}

// BenchmarkGuard checks the delta stream of a store of 256 MB, as each start does.
func BenchmarkGuard(b *testing.B) {
	for _, size := range []int{1 << 10, 160 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			server := startServer(b, ServerConfig{Port: -1})
			c := connectTo(b, server)
			shard := createShard(b, c)
			if _, _, err := shard.deltas.Last(b.Context()); err != nil {
				b.Fatal(err)
			}
			n := (256 << 20) / size
			for tick := range n {
				if err := shard.deltas.Publish(b.Context(), []persistence.Delta{deltaOf(uint64(tick)+1, size)}); err != nil {
					b.Fatal(err)
				}
			}
			shard.Close()
			c.Close()
			server.Close()
			b.SetBytes(int64(n * size))
			b.ResetTimer()
			for b.Loop() {
				if aside, err := guardStore(server.Dir()); err != nil || len(aside) > 0 {
					b.Fatal(aside, err)
				}
			}
		})
	}
}
