package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/ferris1/wind/persistence"
)

// patience is how long a read waits for anything from the server before it asks the stream's leader whether the next
// message exists.
const patience = 2 * time.Second

// scanner reads a lane in order and detects missing messages: JetStream silently skips a message that it cannot read.
type scanner struct {
	conn  *Conn
	lane  *lane
	wait  bool   // wait for messages that do not exist yet
	next  uint64 // number of the next message
	at    uint64 // a sequence of the stream after the message before it, and not after it
	to    uint64
	yield func(stored, error) bool
	ended bool // by the caller or by an error
}

// scan yields the messages from from to to of a lane, in order. If one is missing, it yields an error that wraps
// persistence.ErrGap.
func scan(ctx context.Context, c *Conn, l *lane, from, to uint64) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		s := &scanner{conn: c, lane: l, next: max(from, 1), to: to, yield: yield}
		first, last, err := l.span(ctx)
		if err == nil {
			s.to = min(to, last)
			if s.next <= to && first > s.next {
				s.to = s.next - 1 // purged or missing: read nothing
			}
			err = s.begin(ctx)
		}
		if err != nil {
			yield(stored{}, s.failed(err))
			return
		}
		s.run(ctx)
		if !s.ended && s.next <= to {
			yield(stored{}, s.gap())
		}
	}
}

// follow yields the messages from from on and waits for later ones.
func follow(ctx context.Context, c *Conn, l *lane, from uint64) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		s := &scanner{conn: c, lane: l, wait: true, next: max(from, 1), to: math.MaxUint64 - 1, yield: yield}
		if err := s.begin(ctx); err != nil {
			yield(stored{}, s.failed(err))
			return
		}
		s.run(ctx)
	}
}

// begin finds where in the stream to begin.
func (s *scanner) begin(ctx context.Context) error {
	s.at = s.next
	if !s.lane.shared() || s.next > s.to {
		return nil
	}
	s.at = 1
	if s.next == 1 {
		return nil
	}
	before, _, err := s.lane.find(ctx, byNumber, s.next-1)
	if err == nil && before.num == 0 && s.wait { // the lane is shorter
		before, _, err = s.lane.last(ctx)
	}
	if before.num >= s.next { // the one before was purged
		s.at = before.seq
	} else {
		s.at = before.seq + 1
	}
	return err
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
	p, err := newPuller(ctx, s.conn, s.lane, s.at, s.wait)
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
		got, err := s.lane.message(seq, m.Subject, m.Header, m.Data)
		if err != nil {
			return err
		}
		if got.num > s.next {
			return s.gap()
		}
		if got.num == s.next {
			s.give(got)
		}
	}
	return nil
}

func (s *scanner) give(m stored) {
	s.next++
	s.at = m.seq + 1
	s.ended = !s.yield(m, nil)
}

// ask asks the leader for the message that does not arrive. It yields a message that exists, so that a slow consumer
// only slows the read.
func (s *scanner) ask(ctx context.Context) error {
	m, ok, err := s.message(ctx)
	if err == nil && ok {
		s.give(m)
		return nil
	}
	if err == nil && s.wait {
		var last uint64
		if _, last, err = s.lane.span(ctx); err == nil && last < s.next {
			return nil
		}
		if err == nil {
			if _, ok, err = s.message(ctx); ok {
				return nil // it came between the two questions
			}
		}
	}
	if err != nil {
		return s.failed(err)
	}
	return s.gap()
}

// message asks the leader for the next message.
func (s *scanner) message(ctx context.Context) (stored, bool, error) {
	if !s.lane.shared() {
		return s.lane.get(ctx, s.next, spot{})
	}
	m, ok, err := s.lane.from(ctx, s.at)
	return m, ok && m.num == s.next, err
}

func (s *scanner) failed(err error) error {
	return fmt.Errorf("jetstream: cannot read message %d of %s: %w", s.next, s.lane, err)
}

func (s *scanner) gap() error {
	return fmt.Errorf("%w: %s does not contain message %d", persistence.ErrGap, s.lane, s.next)
}
