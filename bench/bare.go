package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/persistence/jetstream"
)

// bare measures the minimum cost of a request over NATS: a server, a connection that asks, a connection that answers.
type bare struct {
	dir        string
	server     *jetstream.Server
	asks, says *jetstream.Conn
}

const bareSubject = "bench.echo"

func openBare(ctx context.Context) (b *bare, err error) {
	b = &bare{}
	defer func() {
		if err != nil {
			b.close()
			b, err = nil, fmt.Errorf("bench: %w", err)
		}
	}()
	if b.dir, err = os.MkdirTemp("", "wind-bench-"); err != nil {
		return b, err
	}
	if b.server, err = jetstream.StartServer(jetstream.ServerConfig{Dir: b.dir, Port: -1}); err != nil {
		return b, err
	}
	if b.asks, err = b.server.Connect(ctx); err != nil {
		return b, err
	}
	if b.says, err = b.server.Connect(ctx); err != nil {
		return b, err
	}
	_, err = b.says.NATS().Subscribe(bareSubject, func(m *nats.Msg) { _ = m.Respond(m.Data) })
	if err == nil {
		err = b.says.NATS().Flush()
	}
	return b, err
}

func (b *bare) close() {
	for _, c := range []*jetstream.Conn{b.asks, b.says} {
		if c != nil {
			c.Close()
		}
	}
	if b.server != nil {
		b.server.Close()
	}
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}

// load keeps as many requests outstanding as under says, for a span: it sends the next one when an answer arrives.
func (b *bare) load(ctx context.Context, under, size int, span time.Duration) (LoadResult, error) {
	conn := b.asks.NATS()
	inbox := conn.NewInbox()
	sent := make([]time.Time, under)
	var times histogram
	failed := make(chan error, 1)
	tell := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	ask := func(body []byte, i int, now time.Time) {
		sent[i] = now
		binary.LittleEndian.PutUint32(body, uint32(i)) // nats.go copies it
		if err := conn.PublishRequest(bareSubject, inbox, body); err != nil {
			tell(err)
		}
	}
	to := time.Now().Add(span)
	waiting, next := under, make([]byte, size)
	sub, err := conn.Subscribe(inbox, func(m *nats.Msg) {
		now := time.Now()
		if len(m.Data) != size {
			tell(fmt.Errorf("bench: an answer of %d bytes, want %d: perhaps nobody is subscribed", len(m.Data), size))
			return
		}
		i := int(binary.LittleEndian.Uint32(m.Data))
		if now.Before(to) {
			times.add(now.Sub(sent[i]))
			ask(next, i, now)
			return
		}
		if waiting--; waiting == 0 {
			tell(nil)
		}
	})
	if err != nil {
		return LoadResult{}, fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	first := make([]byte, size)
	for i := range under {
		ask(first, i, time.Now())
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(span + openTimeout):
		err = fmt.Errorf("bench: answers still missing %s after the end", openTimeout)
	}
	if err != nil {
		return LoadResult{}, err
	}
	return LoadResult{
		Connections: 1, Depth: under, Seconds: span.Seconds(), Requests: times.count, PerSecond: float64(times.count) / span.Seconds(),
		P50: times.at(0.50), P99: times.at(0.99), Max: float64(times.max) / 1e3,
	}, nil
}
