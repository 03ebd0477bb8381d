package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// messageOverhead bounds how much of the payload limit the headers of JetStream and Wind take, beside a body.
const messageOverhead = 1 << 10

// Log is the fenced stream of one shard's records, or its records in a partition. Only one goroutine may call Append;
// the other methods may be called concurrently.
type Log struct {
	lane
	conn  *Conn
	ref   Ref
	fence *fenced
	mark  *markFile // nil unless the server is embedded
	flaw  *flaw     // what the log's files prove; only in a copy
	share *share    // nil unless the log is in a partition

	closed sync.Once
}

// flaw is what inspecting the original of a copy has found out about its log.
type flaw struct {
	last persistence.Seq  // the last record that the log is known to have had
	lost *DamagedLogError // nil if it has them all
}

// openLog opens the log with the lineage that find has found.
func openLog(ctx context.Context, c *Conn, ref Ref, o Options) (*Log, error) {
	l := &Log{lane: logLane(ref, o.Shared), conn: c, ref: ref}
	var err error
	if l.stream, err = c.stream(ctx, l.name, o.Shared); err != nil {
		return nil, fmt.Errorf("jetstream: cannot open the log %s: %w", &l.lane, err)
	}
	if err := sound(l.stream.CachedInfo().Config); err != nil {
		return nil, err
	}
	if o.Shared {
		if l.share, err = openShare(ctx, l, o); err != nil {
			return nil, err
		}
	}
	if l.fence, err = newFenced(c, &l.lane, o.AckTimeout); err != nil {
		return nil, err
	}
	if c.dir != "" {
		if err := l.openMark(ctx); err != nil {
			l.fence.close()
			return nil, err
		}
	}
	return l, nil
}

// openMark opens the log's mark beside an embedded server's store.
func (l *Log) openMark(ctx context.Context) error {
	if l.shared() {
		table, err := l.conn.server.marks(l.name)
		if err != nil {
			return err
		}
		l.mark, err = table.mark(l.ref, func() (persistence.Seq, error) {
			first, err := l.share.firstRecord(ctx)
			return persistence.Seq(max(first, 1)), err
		})
		return err
	}
	begin := persistence.Seq(max(l.stream.CachedInfo().State.FirstSeq, 1))
	var err error
	if l.mark, err = openMark(l.conn.dir, l.name, l.ref.Lineage, begin); err != nil {
		return err
	}
	if noted := notedPurge(l.stream.CachedInfo().Config); noted > 0 {
		l.mark.purges(noted) // the mark survives if an older description is restored
	}
	return nil
}

// Replicas returns how many copies of the log its servers kept when it was opened.
func (l *Log) Replicas() int { return l.stream.CachedInfo().Config.Replicas }

// sound returns an error for settings under which the log could lose records. Somebody else created or changed such a
// stream.
func sound(c jetstream.StreamConfig) error {
	bad := func(what string) error {
		return fmt.Errorf("jetstream: stream %s %s, which a log must not: correct it with `nats stream edit`, or recreate the shard", c.Name, what)
	}
	switch {
	case c.Storage != jetstream.FileStorage:
		return bad("is kept in memory")
	case c.Retention != jetstream.LimitsPolicy:
		return bad("drops consumed records")
	case c.Discard != jetstream.DiscardNew:
		return bad("drops its oldest records")
	case c.MaxAge != 0:
		return bad("drops records because of their age")
	case c.AllowDirect:
		return bad("answers from followers, which may lag")
	case c.Sealed:
		return bad("is sealed")
	}
	return nil
}

func (l *Log) close() {
	l.closed.Do(func() {
		l.fence.close()
		if l.mark != nil {
			l.mark.close()
		}
	})
}

// MaxRecordBytes returns the length of the longest body that Append can store.
func (l *Log) MaxRecordBytes() int { return l.conn.MaxPayload() - messageOverhead }

// MessageOverhead returns how many bytes the server's file store adds to a record's body and Wind's own headers: the
// row's frame, the subject and the headers of the fence.
func (l *Log) MessageOverhead() int { return l.overhead() }

// Last returns the sequence of the last record according to the stream's leader, or 0 if the log is empty. It returns
// persistence.ErrNotFound if the stream was deleted.
func (l *Log) Last(ctx context.Context) (persistence.Seq, error) {
	var end uint64
	var err error
	if l.shared() {
		end, err = l.share.lastRecord(ctx)
	} else {
		_, end, err = l.ends(ctx)
	}
	if err != nil {
		return 0, l.gone(err)
	}
	return l.endsAt(end), nil
}

// gone returns persistence.ErrNotFound if an error means that the stream was deleted.
func (l *Log) gone(err error) error {
	if isMissing(err) {
		return fmt.Errorf("%w: the log %s was deleted", persistence.ErrNotFound, &l.lane)
	}
	return err
}

// endsAt returns the log's last record, which a copy may lack.
func (l *Log) endsAt(last uint64) persistence.Seq {
	if l.flaw != nil {
		return max(persistence.Seq(last), l.flaw.last)
	}
	return persistence.Seq(last)
}

// beginsAt returns the log's first record, which a copy may lack.
func (l *Log) beginsAt(first uint64) persistence.Seq {
	begin := persistence.Seq(first)
	if l.flaw != nil && l.flaw.lost != nil && (l.flaw.lost.Seq < begin || begin == 0) {
		return l.flaw.lost.Seq // Read reports records that are missing at the front
	}
	return begin
}

// ends returns the sequences of the first and the last record, 0 for what does not exist.
func (l *Log) ends(ctx context.Context) (first, last uint64, err error) {
	if first, last, err = l.span(ctx); first > last {
		first = 0
	}
	return first, last, err
}

// First returns the sequence of the first stored record, or 0 if no record is stored.
func (l *Log) First(ctx context.Context) (persistence.Seq, error) {
	var begin uint64
	var err error
	if l.shared() {
		begin, err = l.share.firstRecord(ctx)
	} else {
		begin, _, err = l.ends(ctx)
	}
	if err != nil {
		return 0, err
	}
	return l.beginsAt(begin), nil
}

// Extent returns what the log holds. In a partition, a handle whose last append was stored asks nobody.
func (l *Log) Extent(ctx context.Context) (e persistence.Extent, err error) {
	var first, last uint64
	if l.shared() {
		first, last, e.Used, e.Limit, err = l.share.extent(ctx)
	} else {
		var i *jetstream.StreamInfo
		if i, err = l.stream.Info(ctx); err == nil {
			first, last, e.Used, e.Limit = i.State.FirstSeq, i.State.LastSeq, int64(i.State.Bytes), max(i.Config.MaxBytes, 0)
		}
	}
	if err != nil {
		return e, l.gone(fmt.Errorf("jetstream: cannot read the state of %s: %w", &l.lane, err))
	}
	if first > last {
		first = 0
	}
	e.First, e.Last = l.beginsAt(first), l.endsAt(last)
	return e, nil
}

// Append stores m as record expect+1 if record expect is the last one. It returns nil only after the server has
// acknowledged exactly that. Otherwise it returns an error that wraps persistence.ErrConflict (another record is the
// last), persistence.ErrAmbiguous (no answer in time: m may be stored or not) or persistence.ErrFull (the limit is
// reached); with any other error nothing was stored and never will be. Append never retries and does not retain the
// body. Only one Append runs at a time.
func (l *Log) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	if m.Seq != 0 && m.Seq != expect+1 {
		return fmt.Errorf("jetstream: record %d cannot follow record %d", m.Seq, expect)
	}
	var err error
	if l.shared() {
		err = l.share.append(ctx, m, uint64(expect))
	} else {
		_, err = l.fence.publish(ctx, l.subject, m.Header, m.Body, spot{num: uint64(expect), seq: uint64(expect)})
	}
	if err != nil {
		return err
	}
	l.Acknowledged(expect+1, m)
	return nil
}

// Acknowledged notes beside an embedded server's store that m is record seq. Append does so itself. An owner that finds
// by reading that an ambiguous append was stored must call Acknowledged before it releases anything.
func (l *Log) Acknowledged(seq persistence.Seq, m persistence.Message) {
	if l.mark == nil {
		return
	}
	at := uint64(seq)
	if l.shared() {
		at = 0
		if tail := l.share.known(); tail.num == uint64(seq) {
			at = tail.seq
		}
	}
	l.mark.reached(seq, m.Header.LastTick, persistence.HashOf(m.Body), at)
}

// Get returns record seq from the stream's leader, or persistence.ErrNotFound.
func (l *Log) Get(ctx context.Context, seq persistence.Seq) (persistence.Message, error) {
	var near spot
	if l.shared() {
		if m, ok := l.share.atEnd(uint64(seq)); ok {
			return message(&m)
		}
		near = l.share.known()
	}
	r, ok, err := l.get(ctx, uint64(seq), near)
	if err != nil && !isMissing(err) {
		return persistence.Message{}, fmt.Errorf("jetstream: cannot read record %d of %s: %w", seq, &l.lane, err)
	}
	if !ok {
		return persistence.Message{}, fmt.Errorf("%w: record %d of %s", persistence.ErrNotFound, seq, &l.lane)
	}
	return message(&r)
}

// Read yields records from from to to, in order. If one is missing, Read yields an error that wraps persistence.ErrGap
// and ends; a record after the last one is missing too. The caller owns the bodies.
func (l *Log) Read(ctx context.Context, from, to persistence.Seq) iter.Seq2[persistence.Message, error] {
	return func(yield func(persistence.Message, error) bool) {
		next, tick := from, uint64(0)
		for m, err := range scan(ctx, l.conn, &l.lane, uint64(from), uint64(to)) {
			var r persistence.Message
			if err == nil {
				r, err = message(&m)
			}
			if errors.Is(err, persistence.ErrGap) {
				err = l.missing(next, tick, err)
			}
			if err != nil {
				yield(persistence.Message{}, err)
				return
			}
			next, tick = r.Seq+1, r.Header.LastTick
			if err := l.broken(r.Seq); err != nil {
				yield(persistence.Message{}, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// broken returns the known damage to a record of a copy, or nil.
func (l *Log) broken(seq persistence.Seq) error {
	if l.flaw == nil || l.flaw.lost == nil || l.flaw.lost.Seq != seq {
		return nil
	}
	lost := l.flaw.lost
	c := persistence.CorruptError{What: "record", Reason: "it is missing: " + lost.Err.Error()}
	var inner *persistence.CorruptError
	if errors.As(lost.Err, &inner) {
		c = *inner
	}
	if c.Seq, c.Tick = lost.Seq, lost.Tick; !lost.Shared || !errors.Is(lost.Err, persistence.ErrCorrupt) {
		c.Err = lost // what comes after it is lost too; of a log in a partition, the other rows are left
	}
	return &c
}

// missing returns the error for a gap, with the record and the tick that it began with.
func (l *Log) missing(seq persistence.Seq, tick uint64, err error) error {
	if broken := l.broken(seq); broken != nil {
		return broken
	}
	if tick == 0 {
		return &persistence.CorruptError{What: "record", Seq: seq, Reason: "it is missing in " + l.String(), Err: err}
	}
	return &persistence.CorruptError{What: "record", Seq: seq, Tick: tick + 1, Reason: "it is missing in " + l.String(), Err: err}
}

// Follow yields records from from on and waits for later ones, until ctx ends, an error occurs or the caller breaks.
func (l *Log) Follow(ctx context.Context, from persistence.Seq) iter.Seq2[persistence.Message, error] {
	return func(yield func(persistence.Message, error) bool) {
		for m, err := range follow(ctx, l.conn, &l.lane, uint64(from)) {
			var r persistence.Message
			if err == nil {
				r, err = message(&m)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Purge deletes the records below a sequence. It never deletes the last record.
func (l *Log) Purge(ctx context.Context, below persistence.Seq) error {
	if below <= 1 {
		return nil
	}
	last, err := l.Last(ctx)
	if err != nil {
		return err
	}
	if below = min(below, last); below == 0 {
		return nil
	}
	if l.mark != nil {
		l.mark.purges(below)
	} else if err := l.notePurge(ctx, below); err != nil {
		return err
	}
	if l.shared() {
		return l.share.purge(ctx, uint64(below))
	}
	return l.purge(ctx, uint64(below))
}

// message assembles a stored record. It returns a *persistence.CorruptError if the headers are not a record's.
func message(m *stored) (persistence.Message, error) {
	seq := persistence.Seq(m.num)
	h, err := persistence.ParseHeader(m.header.Get)
	if err != nil {
		return persistence.Message{}, &persistence.CorruptError{What: "record", Seq: seq, Reason: err.Error(), Err: err}
	}
	return persistence.Message{Seq: seq, Header: h, Body: m.body}, nil
}
