package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// lane is where a shard's records, or its deltas, are stored: in a stream of their own, or in a partition among those
// of other shards. Its messages are numbered from 1. In a stream of its own, a message's number is its sequence; in a
// partition, a header holds it.
type lane struct {
	stream  jetstream.Stream
	name    string // of the stream
	subject string // on which its messages are published, but for a seal
	filter  string // matches its messages and no others; "" in a stream of its own
	shard   string
	places  *places // nil in a stream of its own
}

// spot is the place of a message. The zero value is the place before the first.
type spot struct {
	num   uint64 // its number
	seq   uint64 // its sequence in the stream
	bytes uint64 // in a partition: what the messages up to it took, deleted ones too
}

// stored is a message of a lane.
type stored struct {
	spot
	subject string
	header  nats.Header
	body    []byte
}

func ownLane(name, subject string, r Ref) lane {
	return lane{name: name, subject: subject, shard: r.Shard}
}

// logLane returns where the log of a shard is stored, without its stream.
func logLane(r Ref, shared bool) lane {
	if !shared {
		return ownLane(logStream(r.Cluster, r.Shard), logSubject(r.Cluster, r.Shard, r.Lineage), r)
	}
	k := partitionOf(r.Shard)
	return lane{name: partitionStream(r.Cluster, k), subject: sharedSubject(r, k, "log"), filter: sharedSubject(r, k, ">"), shard: r.Shard, places: new(places)}
}

// deltaLane returns where the deltas of a shard are stored, without their stream.
func deltaLane(r Ref, shared bool) lane {
	if !shared {
		return ownLane(deltaStream(r.Cluster, r.Shard), deltaSubject(r.Cluster, r.Shard, r.Lineage), r)
	}
	k := partitionOf(r.Shard)
	subject := sharedSubject(r, k, "delta")
	return lane{name: partitionDeltaStream(r.Cluster, k), subject: subject, filter: subject, shard: r.Shard, places: new(places)}
}

// shared reports whether the lane is in a partition.
func (l *lane) shared() bool { return l.filter != "" }

// String returns the lane's name in errors.
func (l *lane) String() string {
	if l.shared() {
		return l.name + " (shard " + l.shard + ")"
	}
	return l.name
}

// overhead returns how many bytes the server's file store adds to a message's body and Wind's own headers: the row's
// frame, the subject and the headers of the fence. It takes their numbers to have seven digits.
func (l *lane) overhead() int {
	const number = len(": 1000000\r\n")
	n := blockHeader + blockChecksum + 4 + len(l.subject)
	if !l.shared() {
		return n + len(jetstream.ExpectedLastSeqHeader) + number
	}
	n += len(jetstream.ExpectedLastSubjSeqHeader) + len(headerSeq) + len(headerBytes) + 3*number
	if l.filter != l.subject {
		n += len(jetstream.ExpectedLastSubjSeqSubjHeader) + len(": \r\n") + len(l.filter)
	}
	return n
}

// size returns how many bytes a message takes in the files.
func (l *lane) size(h persistence.Header, body []byte) uint64 {
	return uint64(len(body) + h.Size() + l.overhead())
}

// message assembles a message that was read. It returns a *persistence.CorruptError if a partition's headers are not a
// lane's.
func (l *lane) message(seq uint64, subject string, header nats.Header, body []byte) (stored, error) {
	m := stored{spot{num: seq, seq: seq}, subject, header, body}
	if !l.shared() {
		return m, nil
	}
	var err error
	number := func(name string) uint64 {
		n, e := strconv.ParseUint(header.Get(name), 10, 64)
		if e != nil && err == nil {
			err = &persistence.CorruptError{What: "message", Reason: fmt.Sprintf("message %d of %s has the header %s: %q", seq, l, name, header.Get(name)), Err: e}
		}
		return n
	}
	m.num, m.bytes = number(headerSeq), number(headerBytes)
	return m, err
}

// raw is message for what a request returns; ok is false if the message does not exist.
func (l *lane) raw(r *jetstream.RawStreamMsg, err error) (m stored, ok bool, _ error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return stored{}, false, nil
	}
	if err != nil {
		return stored{}, false, fmt.Errorf("jetstream: cannot read %s: %w", l, err)
	}
	if m, err = l.message(r.Sequence, r.Subject, r.Header, r.Data); err == nil && l.shared() {
		l.places.saw(m.spot)
	}
	return m, err == nil, err
}

// from returns the first message of the lane at or after a sequence of the stream.
func (l *lane) from(ctx context.Context, seq uint64) (stored, bool, error) {
	filter := l.filter
	if !l.shared() {
		filter = l.subject
	}
	return l.raw(l.stream.GetMsg(ctx, max(seq, 1), jetstream.WithGetMsgSubject(filter)))
}

// last returns the lane's last message.
func (l *lane) last(ctx context.Context) (stored, bool, error) {
	filter := l.filter
	if !l.shared() {
		filter = l.subject
	}
	return l.raw(l.stream.GetLastMsgForSubject(ctx, filter))
}

// span returns the numbers of the first and the last message. In an empty lane, first is last + 1.
func (l *lane) span(ctx context.Context) (first, last uint64, err error) {
	if !l.shared() {
		i, err := l.stream.Info(ctx)
		if err != nil {
			return 0, 0, fmt.Errorf("jetstream: cannot read the state of %s: %w", l, err)
		}
		return max(i.State.FirstSeq, 1), i.State.LastSeq, nil
	}
	end, ok, err := l.last(ctx)
	if err != nil || !ok {
		return 1, 0, err
	}
	begin, ok, err := l.from(ctx, 1)
	if err == nil && !ok {
		return end.num + 1, end.num, nil // purged between the two questions
	}
	return begin.num, end.num, err
}

// get returns the message with a number. near is a spot that the caller knows, or zero. It saves a search, or a part of one, as do
// those of other messages that were read lately.
func (l *lane) get(ctx context.Context, num uint64, near spot) (m stored, ok bool, err error) {
	if !l.shared() {
		return l.raw(l.stream.GetMsg(ctx, num))
	}
	switch below, above := l.places.around(num, near); {
	case below.num == num:
		m, ok, err = l.from(ctx, below.seq)
	case below.num+1 == num:
		m, ok, err = l.from(ctx, below.seq+1)
	case below.num > 0 && above.num > 0:
		m, ok, err = l.between(ctx, byNumber, num, stored{spot: below}, stored{spot: above})
	}
	if err != nil || ok && m.num == num {
		return m, ok, err
	}
	m, ok, err = l.find(ctx, byNumber, num) // a place may have outlived its message
	return m, ok && m.num == num, err
}

// bytesBefore returns what the messages before m took.
func (l *lane) bytesBefore(m *stored) uint64 {
	h, _ := persistence.ParseHeader(m.header.Get)
	return m.bytes - min(m.bytes, l.size(h, m.body))
}

// purge deletes the messages before a sequence of the stream: of a partition, none but the lane's.
func (l *lane) purge(ctx context.Context, seq uint64) error {
	o := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSequence(seq)}
	if l.shared() {
		o = append(o, jetstream.WithPurgeSubject(l.filter))
	}
	if err := l.stream.Purge(ctx, o...); err != nil {
		return fmt.Errorf("jetstream: cannot purge %s below %d: %w", l, seq, err)
	}
	return nil
}

// order is an order of a lane's messages: its key does not decrease from one message to the next.
type order struct {
	key    func(*stored) (uint64, error)
	unique bool // no two messages have the same
}

var (
	byNumber = order{func(m *stored) (uint64, error) { return m.num, nil }, true}
	byBytes  = order{func(m *stored) (uint64, error) { return m.bytes, nil }, false}
	byTick   = order{lastTickOf, false}
)

func lastTickOf(m *stored) (uint64, error) {
	h, err := persistence.ParseHeader(m.header.Get)
	if err != nil {
		return 0, &persistence.CorruptError{What: "delta", Reason: fmt.Sprintf("message %d: %v", m.seq, err), Err: err}
	}
	return h.LastTick, nil
}

// find returns the first message of a partition's lane whose key is at least a value. It narrows the sequences of the
// stream down from both ends, by interpolation and by halves in turn.
func (l *lane) find(ctx context.Context, by order, value uint64) (stored, bool, error) {
	low, ok, err := l.from(ctx, 1)
	if err != nil || !ok {
		return stored{}, false, err
	}
	lowKey, err := by.key(&low)
	if err != nil || lowKey >= value {
		return low, err == nil, err
	}
	high, ok, err := l.last(ctx)
	if err != nil || !ok {
		return stored{}, false, err
	}
	highKey, err := by.key(&high)
	if err != nil || highKey < value {
		return stored{}, false, err
	}
	return l.between(ctx, by, value, low, high)
}

// between is find between a message that is too early and one that is not.
func (l *lane) between(ctx context.Context, by order, value uint64, low, high stored) (stored, bool, error) {
	lowKey, err := by.key(&low)
	if err != nil {
		return stored{}, false, err
	}
	highKey, err := by.key(&high)
	if err != nil {
		return stored{}, false, err
	}
	// The lane has no message from end up to high.
	for end, halve := high.seq, false; low.seq+1 < end && low.num+1 < high.num; halve = !halve {
		guess := low.seq + (end-low.seq)/2
		if !halve {
			part := float64(value-lowKey) / float64(highKey-lowKey)
			spacing := float64(high.seq-low.seq) / float64(high.num-low.num)
			guess = low.seq + uint64(max(part*float64(high.seq-low.seq)-spacing/2, 0))
		}
		guess = min(max(guess, low.seq+1), end-1)
		m, ok, err := l.from(ctx, guess)
		if err != nil || !ok {
			return stored{}, false, err
		}
		k, err := by.key(&m)
		switch {
		case err != nil:
			return stored{}, false, err
		case k == value && by.unique:
			return m, true, nil
		case k < value:
			low, lowKey = m, k
		case m.seq <= high.seq:
			high, highKey, end = m, k, guess
		default: // high was deleted meanwhile
			return m, true, nil
		}
	}
	return high, true, nil
}
