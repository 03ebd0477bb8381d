package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/persistence"
)

// share is what a log in a partition needs beside its lane: where its end is, and how much of its limit it takes.
type share struct {
	log   *Log
	limit uint64
	notes nats.Header // about the log, when it was opened

	mu    sync.Mutex
	owns  bool // this handle has appended: nobody else changes the log
	found bool
	tail  spot   // of the last record that this handle knows
	last  uint64 // sequence in the stream of the last record that is no seal: what the next one expects

	begun bool
	full  time.Time // when it had no room, as the server said
	first uint64    // number of the first record
	gone  uint64    // bytes of the records that were deleted from the front

	front, back stored // the ends as they were read last, until this handle owns the log
}

func openShare(ctx context.Context, l *Log, o Options) (*share, error) {
	s := &share{log: l, limit: uint64(o.LogBytes)}
	var err error
	s.notes, _, err = l.readNotes(ctx)
	return s, err
}

// known returns the spot of the last record that this handle knows, or zero.
func (s *share) known() spot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail
}

// atEnd returns the record with a number if it was an end of the log when this handle read that last: whoever takes the log over looks
// at its ends again and again. A caller that must know whether the log still holds the record reads the ends first.
func (s *share) atEnd(num uint64) (stored, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range []*stored{&s.back, &s.front} {
		if m.num == num && num > 0 {
			c := *m
			c.body = bytes.Clone(m.body)
			return c, true
		}
	}
	return stored{}, false
}

// append stores m after record expect. The server compares the sequence of the last record of the log in the stream
// with that of record expect, under the wildcard that matches seals too. No writer ever expects the sequence of a seal,
// so the server refuses whatever comes after one.
func (s *share) append(ctx context.Context, m persistence.Message, expect uint64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("jetstream: nothing sent: %w", err)
	}
	l := s.log
	subject, seal := l.subject, m.Header.Kind == persistence.KindSeal.String()
	if seal {
		subject = sharedSubject(l.ref, partitionOf(l.ref.Shard), sealSuffix)
	}
	size := l.size(m.Header, m.Body)
	after, err := s.end(ctx, expect, size, seal)
	if err != nil {
		return s.contradicted(err)
	}
	at, err := l.fence.publish(ctx, subject, m.Header, m.Body, after)
	if errors.Is(err, persistence.ErrFull) { // the partition is, not this log
		if err := l.grow(ctx, l.conn, int64(size), math.MaxInt64); err != nil {
			return err
		}
		at, err = l.fence.publish(ctx, subject, m.Header, m.Body, after)
	}
	if err != nil {
		return s.contradicted(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owns, s.tail = true, at; !seal {
		s.last = at.seq
	}
	s.front, s.back = stored{}, stored{}
	if s.begun && s.first == 0 {
		s.first = at.num
	}
	return nil
}

// contradicted returns the error of an append. After a conflict this handle knows nothing of the log's ends.
func (s *share) contradicted(err error) error {
	if errors.Is(err, persistence.ErrConflict) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.owns, s.begun = false, false
	}
	return err
}

// end returns what a writer that takes record expect for the last one expects of the stream. It returns
// persistence.ErrFull if a record of that size would exceed the log's limit; a seal always fits.
func (s *share) end(ctx context.Context, expect, size uint64, seal bool) (spot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.found || s.tail.num != expect {
		if err := s.learn(ctx); err != nil { // nothing was sent, but the writer should try again as if it were
			return spot{}, fmt.Errorf("%w: %w", persistence.ErrAmbiguous, err)
		}
	}
	if s.tail.num != expect {
		return spot{}, fmt.Errorf("%w: %s ends with record %d, not %d", persistence.ErrConflict, &s.log.lane, s.tail.num, expect)
	}
	if !seal {
		if err := s.fits(ctx, size); errors.Is(err, persistence.ErrFull) {
			return spot{}, err
		} else if err != nil {
			return spot{}, fmt.Errorf("%w: %w", persistence.ErrAmbiguous, err)
		}
	}
	after := s.tail
	after.seq = s.last
	return after, nil
}

// learn finds the log's end. The caller holds the lock.
func (s *share) learn(ctx context.Context) error {
	m, ok, err := s.log.last(ctx)
	if err != nil {
		return err
	}
	s.found, s.tail, s.last, s.back = true, m.spot, m.seq, m
	if ok && m.subject != s.log.subject { // a seal
		r, _, err := s.log.raw(s.log.stream.GetLastMsgForSubject(ctx, s.log.subject))
		if err != nil {
			return err
		}
		s.last = r.seq
	}
	return nil
}

// fullFor is how long a full log is taken to be full before the server is asked again: its owner tries five times a second.
const fullFor = time.Second

// fits returns persistence.ErrFull if a record would exceed the log's limit. The caller holds the lock.
func (s *share) fits(ctx context.Context, size uint64) error {
	if s.limit == 0 || s.begun && s.tail.bytes-s.gone+size <= s.limit {
		return nil
	}
	if !s.begun || time.Since(s.full) >= fullFor { // another process may have purged
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	if used := s.tail.bytes - s.gone; used+size > s.limit {
		if time.Since(s.full) >= fullFor {
			s.full = time.Now()
		}
		return fmt.Errorf("%w: %s: %d bytes more than the %s that a room's log may take: wind log purge removes what two snapshots replace",
			persistence.ErrFull, &s.log.lane, used+size-s.limit, bytesText(int64(s.limit)))
	}
	return nil
}

// begin finds the log's first record. The caller holds the lock.
func (s *share) begin(ctx context.Context) error {
	m, ok, err := s.log.from(ctx, 1)
	if err != nil {
		return err
	}
	s.begun, s.first, s.gone, s.front = true, m.num, 0, m
	if ok {
		s.gone = s.log.bytesBefore(&m)
	}
	return nil
}

// extent is Log.Extent. An owner knows what the log holds and asks nobody.
func (s *share) extent(ctx context.Context) (first, last uint64, used, limit int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.look(ctx)
	return s.first, s.tail.num, int64(s.tail.bytes - min(s.gone, s.tail.bytes)), int64(s.limit), err
}

// lastRecord is Log.Last. It asks the stream's leader whoever owns the log.
func (s *share) lastRecord(ctx context.Context) (uint64, error) {
	m, _, err := s.log.last(ctx)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.owns {
		s.back = m
	}
	return m.num, nil
}

// firstRecord is Log.First. An owner asks nobody.
func (s *share) firstRecord(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owns && s.begun {
		return s.first, nil
	}
	err := s.begin(ctx)
	return s.first, err
}

// look finds both ends of the log, unless this handle owns it and knows them. The caller holds the lock.
func (s *share) look(ctx context.Context) error {
	if !s.owns {
		if err := s.learn(ctx); err != nil {
			return err
		}
	}
	if !s.owns || !s.begun {
		return s.begin(ctx)
	}
	return nil
}

// purge deletes the records below a sequence, which is noted already.
func (s *share) purge(ctx context.Context, below uint64) error {
	m, ok, err := s.log.find(ctx, byNumber, below)
	if err != nil || !ok {
		return err
	}
	if err := s.log.lane.purge(ctx, m.seq); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun, s.first, s.gone, s.front = true, m.num, s.log.bytesBefore(&m), stored{}
	return nil
}
