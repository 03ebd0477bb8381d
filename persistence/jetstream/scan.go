package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// patience is how long a read waits for anything from the server before it asks the stream's leader whether the next
// message exists.
const patience = 2 * time.Second

// stored is a message of a stream.
type stored struct {
	seq    uint64
	header nats.Header
	body   []byte
}

// scanner reads a stream in order and detects missing messages: JetStream silently skips a message that it cannot read.
type scanner struct {
	conn   *Conn
	stream jetstream.Stream
	wait   bool // wait for messages that do not exist yet
	next   uint64
	to     uint64
	yield  func(stored, error) bool
	ended  bool // by the caller or by an error
}

// scan yields the messages from from to to of a stream, in order. If one is missing, it yields an error that wraps
// persistence.ErrGap.
func scan(ctx context.Context, c *Conn, stream jetstream.Stream, from, to uint64) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		s := &scanner{conn: c, stream: stream, next: max(from, 1), to: to, yield: yield}
		i, err := stream.Info(ctx)
		if err != nil {
			yield(stored{}, s.failed(err))
			return
		}
		s.to = min(to, i.State.LastSeq)
		if s.next <= to && i.State.FirstSeq > s.next {
			s.to = s.next - 1 // purged or missing: read nothing
		}
		s.run(ctx)
		if !s.ended && s.next <= to {
			yield(stored{}, s.gap())
		}
	}
}

// follow yields the messages from from on and waits for later ones.
func follow(ctx context.Context, c *Conn, stream jetstream.Stream, from uint64) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		s := &scanner{conn: c, stream: stream, wait: true, next: max(from, 1), to: math.MaxUint64 - 1, yield: yield}
		s.run(ctx)
	}
}

// run reads until s.to is reached, the caller breaks or an error ends it. If a reader breaks (a reconnect, a consumer
// that was lost with its server), run continues from where it broke.
func (s *scanner) run(ctx context.Context) {
	for tries := 0; s.next <= s.to && !s.ended; tries++ {
		before := s.next
		err := s.read(ctx)
		if s.next > before {
			tries = 0
		}
		if err == nil || s.ended {
			continue
		}
		silent := errors.Is(err, context.DeadlineExceeded) && tries >= 1 // it timed out twice
		if errors.Is(err, persistence.ErrGap) || ctx.Err() != nil || tries >= 3 || silent {
			s.ended = true
			s.yield(stored{}, err)
			return
		}
		select {
		case <-time.After(time.Duration(tries) * 200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// read reads with one consumer until it is done, fails or gets no more messages.
func (s *scanner) read(ctx context.Context) error {
	p, err := newPuller(ctx, s.conn, s.stream, s.next, s.wait)
	if err != nil {
		return s.failed(err)
	}
	defer p.close()
	for s.next <= s.to && !s.ended {
		m, err := p.next(ctx, s.to-s.next+1, patience)
		if errors.Is(err, errSilence) || errors.Is(err, errExhausted) {
			return s.ask(ctx)
		}
		if err != nil {
			return s.failed(err)
		}
		seq, err := streamSequence(m)
		if err != nil {
			return s.failed(err)
		}
		if seq > s.next {
			return s.gap()
		}
		if seq == s.next {
			s.give(stored{seq: seq, header: m.Header, body: m.Data})
		}
	}
	return nil
}

func (s *scanner) give(m stored) {
	s.next++
	s.ended = !s.yield(m, nil)
}

// ask asks the leader for the message that does not arrive. It yields a message that exists, so that a slow consumer
// only slows the read.
func (s *scanner) ask(ctx context.Context) error {
	r, err := s.stream.GetMsg(ctx, s.next)
	if err == nil {
		s.give(stored{seq: r.Sequence, header: r.Header, body: r.Data})
		return nil
	}
	if !isMissing(err) {
		return s.failed(err)
	}
	if s.wait {
		if i, err := s.stream.Info(ctx); err != nil || i.State.LastSeq < s.next {
			return err
		}
		if _, err := s.stream.GetMsg(ctx, s.next); !isMissing(err) {
			return err // it came between the two questions
		}
	}
	return s.gap()
}

func (s *scanner) failed(err error) error {
	return fmt.Errorf("jetstream: cannot read message %d of %s: %w", s.next, s.stream.CachedInfo().Config.Name, err)
}

func (s *scanner) gap() error {
	return fmt.Errorf("%w: %s does not contain message %d", persistence.ErrGap, s.stream.CachedInfo().Config.Name, s.next)
}
