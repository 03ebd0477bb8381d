package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

const (
	// pullBytes bounds what a pull asks for. Bounded by count, a pull of large
	// messages overflows the connection and stalls. No message is larger.
	pullBytes = 16 << 20
	// A read that gets nothing for this long asks the stream's leader whether the
	// next message exists at all: JetStream skips one that it cannot read without
	// a word. Where the message exists and was only slow, the read grows patient.
	firstPatience = 250 * time.Millisecond
	fullPatience  = 2 * time.Second
)

// stored is a message out of a stream.
type stored struct {
	seq     uint64
	subject string
	header  nats.Header
	body    []byte
}

// scan yields the messages from to to of a stream, in order and without a gap:
// where one is missing it yields an error that wraps persistence.ErrGap. With
// wait, messages that do not exist yet are waited for.
func scan(ctx context.Context, s jetstream.Stream, from, to uint64, wait bool) iter.Seq2[stored, error] {
	return func(consume func(stored, error) bool) {
		next, beyond, stopped := max(from, 1), false, false
		yield := func(m stored, err error) bool {
			stopped = !consume(m, err)
			return !stopped
		}
		if !wait {
			i, err := s.Info(ctx)
			if err != nil {
				yield(stored{}, fmt.Errorf("jetstream: cannot read the state of %s: %w", s.CachedInfo().Config.Name, err))
				return
			}
			if next <= to && (i.State.LastSeq < next || i.State.FirstSeq > next) {
				yield(stored{}, gap(s, next))
				return
			}
			if i.State.LastSeq < to {
				beyond, to = true, i.State.LastSeq
			}
		}
		patience := firstPatience
		if wait {
			patience = fullPatience
		}
		for tries := 0; next <= to && !stopped; tries++ {
			before := next
			err := scanOnce(ctx, s, &next, to, wait, patience, yield)
			patience = min(2*patience, fullPatience)
			if next > before {
				tries = 0
			}
			if err != nil && !stopped && (errors.Is(err, persistence.ErrGap) || ctx.Err() != nil || tries >= 3) {
				yield(stored{}, err)
				return
			}
		}
		if beyond && !stopped {
			yield(stored{}, gap(s, next))
		}
	}
}

// scanOnce reads with one consumer until it is done, broken or stalled, or
// yield has enough. An error that is no gap is worth another try from *next.
func scanOnce(ctx context.Context, s jetstream.Stream, next *uint64, to uint64, wait bool, patience time.Duration, yield func(stored, error) bool) error {
	name := s.CachedInfo().Config.Name
	consumer, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *next,
		InactiveThreshold: time.Minute, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return fmt.Errorf("jetstream: cannot read %s: %w", name, err)
	}
	defer dropConsumer(s, consumer.CachedInfo().Name)
	messages, err := consumer.Messages(jetstream.PullMaxBytes(pullBytes))
	if err != nil {
		return fmt.Errorf("jetstream: cannot read %s: %w", name, err)
	}
	defer messages.Stop()
	for *next <= to {
		m, err := nextMessage(ctx, messages, patience)
		if errors.Is(err, nats.ErrTimeout) {
			return stalled(ctx, s, next, wait, yield)
		}
		if err != nil {
			return fmt.Errorf("jetstream: cannot read message %d of %s: %w", *next, name, err)
		}
		if m.seq < *next {
			continue
		}
		if m.seq > *next {
			return gap(s, *next)
		}
		*next++
		if !yield(m, nil) {
			return nil
		}
	}
	return nil
}

// nextMessage waits for a message, at most as long as patience lasts.
func nextMessage(ctx context.Context, messages jetstream.MessagesContext, patience time.Duration) (stored, error) {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := messages.Next(jetstream.NextContext(waiting))
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = nats.ErrTimeout
		}
		return stored{}, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return stored{}, err
	}
	return stored{seq: meta.Sequence.Stream, subject: m.Subject(), header: m.Headers(), body: m.Data()}, nil
}

// stalled asks the leader for the message that does not come. One that exists
// is yielded, so that a slow consumer only slows.
func stalled(ctx context.Context, s jetstream.Stream, next *uint64, wait bool, yield func(stored, error) bool) error {
	r, err := s.GetMsg(ctx, *next)
	if err == nil {
		*next++
		yield(stored{seq: r.Sequence, subject: r.Subject, header: r.Header, body: r.Data}, nil)
		return nil
	}
	if !isMissing(err) {
		return fmt.Errorf("jetstream: cannot read message %d of %s: %w", *next, s.CachedInfo().Config.Name, err)
	}
	if wait {
		if i, err := s.Info(ctx); err != nil || i.State.LastSeq < *next {
			return err
		}
		// It may have come between the two questions.
		if _, err := s.GetMsg(ctx, *next); !isMissing(err) {
			return err
		}
	}
	return gap(s, *next)
}

func gap(s jetstream.Stream, seq uint64) error {
	return fmt.Errorf("%w: %s does not hold message %d", persistence.ErrGap, s.CachedInfo().Config.Name, seq)
}

// dropConsumer removes a reader's trace; the server would by itself after a minute.
func dropConsumer(s jetstream.Stream, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.DeleteConsumer(ctx, name)
}
