package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/wait"
)

// maxPartBytes bounds a message of the delta stream, even if the server accepts more: larger messages make all buffers
// large.
const maxPartBytes = 1 << 20

// publishPause is the time between two attempts to publish a delta.
const publishPause = 100 * time.Millisecond

// repeatLimit bounds the repeats of one delta message.
const repeatLimit = 10 * time.Second

// Deltas is the delta stream of one shard, or its deltas in a partition. Each handle has its own fence, so each owner
// needs its own handle. Publish and Last wait for each other; Read may run concurrently with them.
type Deltas struct {
	lane
	conn  *Conn
	ref   Ref
	fence *fenced
	limit uint64 // in a partition: bytes beyond which the shard's oldest messages are deleted

	mu     sync.Mutex
	began  bool // to publish
	known  bool
	tail   spot              // of the last message as this handle knows it
	begun  bool              // before is known
	before uint64            // in a partition: bytes of the messages that were deleted; 0 until it matters
	done   persistence.Delta // the last one that this handle stored, without its body
	packer persistence.DeltaPacker
	packed time.Duration // spent in packer so far
	buf    []byte
	open   *run // in a partition: deltas that may be stored or not
}

// openDeltas opens the delta stream, or creates it if it does not exist. It returns nil if it does not exist and the
// connection is read-only.
func openDeltas(ctx context.Context, c *Conn, ref Ref, o Options) (*Deltas, error) {
	d := &Deltas{lane: deltaLane(ref, o.Shared), conn: c, ref: ref, limit: uint64(o.DeltaBytes)}
	d.packer.Lean = o.Shared
	var err error
	d.stream, err = c.stream(ctx, d.name, o.Shared)
	if isMissing(err) && c.readOnly {
		return nil, nil
	}
	if isMissing(err) {
		config, chosen := deltaConfig(ref, o), o.chosen.deltas
		if o.Shared {
			config, chosen = o.deltaPartition(ref), false
		}
		if err = createStream(ctx, c, config, chosen); err != nil {
			return nil, err
		}
		d.stream, err = c.made(ctx, d.name)
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot open the delta stream %s: %w", d.name, err)
	}
	if s := d.stream.CachedInfo().Config.Subjects; !o.Shared && (len(s) != 1 || s[0] != d.subject) {
		return nil, fmt.Errorf("jetstream: the delta stream %s has the subjects %v, not %s: it belongs to another lineage; delete it (`nats stream rm %s`), deltas can be derived from the log", d.name, s, d.subject, d.name)
	}
	d.fence, err = newFenced(c, &d.lane, o.AckTimeout)
	return d, err
}

func (d *Deltas) close() { d.fence.close() }

// Last returns the last delta of the stream's last message, without its body, and moves this handle's fence to that
// message. It returns false if the stream is empty. If the delta's Part differs from its Parts, its tick is incomplete and
// must be published again.
func (d *Deltas) Last(ctx context.Context) (persistence.Delta, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, ok, err := d.learn(ctx)
	if err == nil && !d.shared() {
		m, ok, err = d.last(ctx)
	}
	if err != nil {
		return persistence.Delta{}, false, fmt.Errorf("jetstream: cannot read the last delta of %s: %w", &d.lane, err)
	}
	if !ok {
		return persistence.Delta{}, false, nil
	}
	all, err := persistence.DecodeDeltas(m.body)
	if err != nil {
		return persistence.Delta{}, false, err
	}
	last := all[len(all)-1]
	last.Body = nil
	return last, true, nil
}

// learn moves the fence to the last message. In a partition it returns that.
func (d *Deltas) learn(ctx context.Context) (m stored, ok bool, err error) {
	if d.shared() {
		if m, ok, err = d.last(ctx); err != nil {
			return m, ok, err
		}
		d.tail = m.spot
	} else {
		_, last, err := d.span(ctx)
		if err != nil {
			return m, ok, err
		}
		d.tail = spot{num: last, seq: last}
	}
	d.known, d.begun, d.before = true, false, 0
	d.done, d.open = persistence.Delta{}, nil
	d.packer.Restart()
	return m, ok, nil
}

// Publish packs whole deltas and appends them and gaps in order, with one message outstanding. A stream of its own has a
// message, or several parts, for each delta; a partition has many deltas in one message. Publish repeats a message without
// an answer for up to repeatLimit. Calling it again with the same deltas continues where it stopped and stores none twice.
// It returns persistence.ErrConflict if another process has published; call Last then. In a partition each call ends its
// group, so that the many streams share the packers' memory.
func (d *Deltas) Publish(ctx context.Context, deltas []persistence.Delta) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		if _, _, err := d.learn(ctx); err != nil {
			return err
		}
	}
	if d.shared() && !d.began { // a partition grows with the number of rooms
		d.began = true
		_ = d.grow(ctx, d.conn, 0, maxPartitionDeltas) // if it cannot, it drops more
	}
	deltas = d.remaining(deltas)
	if d.shared() {
		return d.publishRuns(ctx, deltas)
	}
	for i := range deltas {
		if err := d.publish(ctx, &deltas[i]); err != nil {
			return err
		}
	}
	return nil
}

// remaining returns the deltas after the last one that this handle stored, if that is among them.
func (d *Deltas) remaining(deltas []persistence.Delta) []persistence.Delta {
	for i := range deltas {
		if sameDelta(&deltas[i], &d.done) {
			return deltas[i+1:]
		}
	}
	return deltas
}

// sameDelta reports whether two deltas or gaps are the same one.
func sameDelta(a, b *persistence.Delta) bool {
	return a.Tick == b.Tick && a.RecordSeq == b.RecordSeq && a.Checksum == b.Checksum && a.Epoch == b.Epoch && a.Lineage == b.Lineage &&
		(a.Gap == b.Gap || a.Gap != nil && b.Gap != nil && *a.Gap == *b.Gap)
}

// pack packs a delta.
func (d *Deltas) pack(delta *persistence.Delta) (persistence.Delta, error) {
	begun := time.Now()
	packed, err := d.packer.Pack(*delta)
	d.packed += time.Since(begun)
	return packed, err
}

// payload returns how large a message's body may be.
func (d *Deltas) payload() int { return min(d.conn.MaxPayload()-messageOverhead, maxPartBytes) }

// publish appends a delta in as many messages as it needs.
func (d *Deltas) publish(ctx context.Context, delta *persistence.Delta) error {
	packed, err := d.pack(delta)
	if err != nil {
		return err
	}
	parts, err := packed.Split(d.payload())
	if err != nil {
		return err
	}
	for i := range parts {
		body, err := parts[i].Encode(d.buf[:0])
		if err != nil {
			return err
		}
		d.buf = body
		if err := d.store(ctx, parts[i].Header(), body); err != nil {
			return err
		}
		if i == len(parts)-1 {
			d.packer.Stored()
			d.finished(delta)
		}
		if err := d.trim(ctx); err != nil {
			return err
		}
	}
	return nil
}

// finished notes the last delta that is stored.
func (d *Deltas) finished(delta *persistence.Delta) {
	d.done = *delta
	d.done.Body, d.done.Layout = nil, nil
}

// Packing returns how much of Publish's time this handle has spent on packing so far.
func (d *Deltas) Packing() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.packed
}

// store appends one message to the stream.
func (d *Deltas) store(ctx context.Context, h persistence.Header, body []byte) error {
	at, err := d.attempt(ctx, h, body)
	if errors.Is(err, persistence.ErrAmbiguous) && ctx.Err() == nil {
		at, err = d.repeat(ctx, h, body, err)
	}
	if err == nil {
		d.tail = at
	}
	return err
}

// attempt publishes a message once. persistence.ErrConflict then means that another process has published.
func (d *Deltas) attempt(ctx context.Context, h persistence.Header, body []byte) (spot, error) {
	at, err := d.fence.publish(ctx, d.subject, h, body, d.tail)
	if !errors.Is(err, persistence.ErrConflict) {
		return at, err
	}
	if m, ok, getErr := d.get(ctx, d.tail.num+1, d.tail); getErr == nil && ok && bytes.Equal(m.body, body) {
		return m.spot, nil // it is stored, by an attempt that got no answer
	}
	if !d.shared() {
		return spot{}, err
	}
	switch last, ok, lastErr := d.last(ctx); {
	case lastErr == nil && !ok: // while this shard was quiet, the others made the partition drop all of this shard's messages
		d.begun, d.before = true, d.tail.bytes
		return d.fence.publish(ctx, d.subject, h, body, spot{num: d.tail.num, bytes: d.tail.bytes})
	case lastErr == nil && last.seq == d.tail.seq: // a cluster's leader still counts the message before as in process
		return spot{}, fmt.Errorf("%w: %v", persistence.ErrAmbiguous, err)
	}
	return spot{}, err
}

// trim deletes the shard's oldest messages in a partition, once they exceed the shard's limit by a quarter.
func (d *Deltas) trim(ctx context.Context) error {
	full := func() bool { return d.shared() && d.limit > 0 && d.tail.bytes-d.before > d.limit+d.limit/4 }
	if full() && !d.begun {
		if err := d.begin(ctx); err != nil {
			return err
		}
	}
	if !full() {
		return nil
	}
	first, ok, err := d.find(ctx, byBytes, d.tail.bytes-d.limit)
	if err != nil || !ok {
		return err
	}
	if err := purgeInSteps(ctx, d.stream, d.subject, d.tail.num-first.num+1, stepBytes); err != nil {
		return err
	}
	d.before = d.bytesBefore(&first)
	return nil
}

// begin finds out how many bytes were deleted.
func (d *Deltas) begin(ctx context.Context) error {
	first, ok, err := d.from(ctx, 1)
	if err != nil {
		return err
	}
	if d.begun, d.before = true, d.tail.bytes; ok {
		d.before = d.bytesBefore(&first)
	}
	return nil
}

// repeat publishes a message until it gets an answer.
func (d *Deltas) repeat(ctx context.Context, h persistence.Header, body []byte, before error) (at spot, err error) {
	bounded, end := wait.For(ctx, wait.NATS, repeatLimit, "store the delta of tick "+strconv.FormatUint(h.LastTick, 10)+" in "+d.String())
	defer end(&err)
	for err = before; errors.Is(err, persistence.ErrAmbiguous); {
		select { // without a connection or a stream, publish fails at once
		case <-bounded.Done():
			return at, err
		case <-time.After(publishPause):
		}
		at, err = d.attempt(bounded, h, body)
	}
	return at, err
}

// Read yields whole deltas and gaps in order, up to the last one stored now, beginning with the first that ends at or
// after fromTick. A body is valid until the next iteration. If messages are missing or damaged, Read yields an error
// that wraps persistence.ErrCorrupt and continues after them.
func (d *Deltas) Read(ctx context.Context, fromTick uint64) iter.Seq2[persistence.Delta, error] {
	return persistence.FromTick(fromTick, func(yield func(persistence.Delta, error) bool) {
		first, last, err := d.span(ctx)
		if err != nil {
			yield(persistence.Delta{}, err)
			return
		}
		from, err := d.group(ctx, first, last, fromTick)
		if err != nil {
			yield(persistence.Delta{}, err)
			return
		}
		for m, err := range d.stored(ctx, from, last) {
			var run []persistence.Delta
			if err == nil {
				run, err = persistence.DecodeDeltas(m.body)
			}
			if err != nil && !yield(persistence.Delta{}, err) {
				return
			}
			for _, delta := range run {
				if !yield(delta, nil) {
					return
				}
			}
		}
	})
}

// stored yields the messages from from to to, in order. It yields an error for missing messages and continues.
func (d *Deltas) stored(ctx context.Context, from, to uint64) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		for from <= to {
			var gap error
			for m, err := range scan(ctx, d.conn, &d.lane, from, to) {
				if errors.Is(err, persistence.ErrGap) {
					gap = err
					break
				}
				if !yield(m, err) || err != nil {
					return
				}
				from = m.num + 1
			}
			if gap == nil {
				return
			}
			next, err := d.behind(ctx, from)
			if err == nil && next.num != from {
				err = d.lost(ctx, from, min(next.num-1, to), gap)
			}
			if err != nil && (!yield(stored{}, err) || !errors.Is(err, persistence.ErrCorrupt)) {
				return
			}
			if from = next.num; from <= to && !yield(next, nil) {
				return
			}
			from++
		}
	}
}

// behind returns the first readable message whose number is at least from. If none exists, it returns one with a number
// beyond all others.
func (d *Deltas) behind(ctx context.Context, from uint64) (m stored, err error) {
	var ok bool
	if d.shared() {
		m, ok, err = d.find(ctx, byNumber, from)
	} else {
		m, ok, err = d.from(ctx, from)
	}
	if err == nil && !ok {
		return stored{spot: spot{num: math.MaxUint64 - 1}}, nil
	}
	return m, err
}

// lost returns the error for a hole. It returns nil if the hole ends before the first message: those messages were
// dropped by retention.
func (d *Deltas) lost(ctx context.Context, from, to uint64, gap error) error {
	first, _, err := d.span(ctx)
	if err != nil {
		return err
	}
	if to < first {
		return nil
	}
	return &persistence.CorruptError{What: "delta", Reason: fmt.Sprintf("messages %d to %d of %s are damaged or missing", from, to, &d.lane), Err: gap}
}

// group returns the number of a message from which the delta of a tick can be unpacked.
func (d *Deltas) group(ctx context.Context, first, last, tick uint64) (uint64, error) {
	from, err := d.seek(ctx, first, last, tick)
	if err != nil || tick <= 1 {
		return from.num, err
	}
	begin := tick - min(tick, persistence.GroupTicks) // if the group is unknown: none is longer
	if m, ok, err := d.get(ctx, from.num, from); err == nil && ok {
		if run, err := persistence.DecodeDeltas(m.body); err == nil {
			if run[0].Group == 0 || run[0].Group == run[0].Tick {
				return from.num, nil
			}
			begin = run[0].Group
		}
	}
	from, err = d.seek(ctx, first, last, begin)
	return from.num, err
}

// seek returns a spot such that all earlier messages are for ticks below tick. In a stream of its own, it bisects over
// the headers.
func (d *Deltas) seek(ctx context.Context, first, last, tick uint64) (spot, error) {
	if d.shared() && tick > 1 {
		m, ok, err := d.find(ctx, byTick, tick)
		if err != nil || !ok {
			m.num = last + 1
		}
		return m.spot, err
	}
	low, high := first, last+1 // every message below low is older
	for tick > 1 && low < high {
		middle := low + (high-low)/2
		m, ok, err := d.get(ctx, middle, spot{})
		if err != nil {
			return spot{}, err
		}
		if !ok { // just dropped for its age, or damaged: scan will report it
			break
		}
		t, err := byTick.key(&m)
		if err != nil {
			return spot{}, err
		}
		if t < tick {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return spot{num: low, seq: low}, nil
}
