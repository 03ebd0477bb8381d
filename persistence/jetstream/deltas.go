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

	"github.com/nats-io/nats.go/jetstream"

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

// Deltas is the delta stream of one shard. Each handle has its own fence, so each owner needs its own handle. Publish
// and Last wait for each other; Read may run concurrently with them.
type Deltas struct {
	conn   *Conn
	stream jetstream.Stream
	name   string
	ref    Ref
	fence  *fenced

	mu     sync.Mutex
	known  bool
	last   persistence.Seq // the stream's last message as this handle knows it
	packer persistence.DeltaPacker
	packed time.Duration // spent in packer so far
	buf    []byte
}

// openDeltas opens the delta stream, or creates it if it does not exist. It returns nil if it does not exist and the
// connection is read-only.
func openDeltas(ctx context.Context, c *Conn, ref Ref, o Options) (*Deltas, error) {
	d := &Deltas{conn: c, name: deltaStream(ref.Cluster, ref.Shard), ref: ref}
	var err error
	d.stream, err = c.js.Stream(ctx, d.name)
	if isMissing(err) && c.readOnly {
		return nil, nil
	}
	if isMissing(err) {
		if err = createStream(ctx, c, deltaConfig(ref, o), o.chosen.deltas); err != nil {
			return nil, err
		}
		d.stream, err = c.made(ctx, d.name)
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot open the delta stream %s: %w", d.name, err)
	}
	want := deltaSubject(ref.Cluster, ref.Shard, ref.Lineage)
	if s := d.stream.CachedInfo().Config.Subjects; len(s) != 1 || s[0] != want {
		return nil, fmt.Errorf("jetstream: the delta stream %s has the subjects %v, not %s: it belongs to another lineage; delete it (`nats stream rm %s`), deltas can be derived from the log", d.name, s, want, d.name)
	}
	d.fence, err = newFenced(c, d.name, want, o.AckTimeout)
	return d, err
}

func (d *Deltas) close() { d.fence.close() }

// Last returns the stream's last message without its body and moves this handle's fence to it. It returns false if
// the stream is empty. If the message's Part differs from its Parts, its tick is incomplete and must be published
// again.
func (d *Deltas) Last(ctx context.Context) (persistence.Delta, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.learn(ctx); err != nil {
		return persistence.Delta{}, false, err
	}
	r, err := d.stream.GetLastMsgForSubject(ctx, deltaSubject(d.ref.Cluster, d.ref.Shard, d.ref.Lineage))
	if isMissing(err) {
		return persistence.Delta{}, false, nil
	}
	if err != nil {
		return persistence.Delta{}, false, fmt.Errorf("jetstream: cannot read the last delta of %s: %w", d.name, err)
	}
	last, err := persistence.DecodeDelta(r.Data)
	last.Body = nil
	return last, err == nil, err
}

// learn moves the fence to the stream's last message.
func (d *Deltas) learn(ctx context.Context) error {
	i, err := d.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("jetstream: cannot read the state of %s: %w", d.name, err)
	}
	d.last, d.known = persistence.Seq(i.State.LastSeq), true
	d.packer.Restart()
	return nil
}

// Publish packs whole deltas and appends them and gaps in order, each in as many messages as it needs, with one message
// outstanding. It repeats a message without an answer for up to repeatLimit. Calling it again with the same deltas
// continues where it stopped and stores none twice. It returns persistence.ErrConflict if another process has
// published; call Last then.
func (d *Deltas) Publish(ctx context.Context, deltas []persistence.Delta) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		if err := d.learn(ctx); err != nil {
			return err
		}
	}
	for i := range deltas {
		begun := time.Now()
		packed, err := d.packer.Pack(deltas[i])
		d.packed += time.Since(begun)
		if err != nil {
			return err
		}
		parts, err := packed.Split(min(d.conn.MaxPayload()-messageOverhead, maxPartBytes))
		if err != nil {
			return err
		}
		for j := range parts {
			if err := d.publish(ctx, &parts[j]); err != nil {
				return err
			}
		}
		d.packer.Stored()
	}
	return nil
}

// Packing returns how much of Publish's time this handle has spent on packing so far.
func (d *Deltas) Packing() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.packed
}

// publish appends one message to the stream.
func (d *Deltas) publish(ctx context.Context, part *persistence.Delta) error {
	body, err := part.Encode(d.buf[:0])
	if err != nil {
		return err
	}
	d.buf = body
	err = d.fence.publish(ctx, part.Header(), body, d.last)
	if errors.Is(err, persistence.ErrAmbiguous) && ctx.Err() == nil {
		err = d.repeat(ctx, part, body, err)
	}
	if errors.Is(err, persistence.ErrConflict) && d.isLast(ctx, body) {
		err = nil
	}
	if err == nil {
		d.last++
	}
	return err
}

// repeat publishes a message until it gets an answer.
func (d *Deltas) repeat(ctx context.Context, part *persistence.Delta, body []byte, before error) (err error) {
	bounded, end := wait.For(ctx, wait.NATS, repeatLimit, "store the delta of tick "+strconv.FormatUint(part.Tick, 10)+" in "+d.name)
	defer end(&err)
	for err = before; errors.Is(err, persistence.ErrAmbiguous); {
		select { // without a connection or a stream, publish fails at once
		case <-bounded.Done():
			return err
		case <-time.After(publishPause):
		}
		err = d.fence.publish(bounded, part.Header(), body, d.last)
	}
	return err
}

// isLast reports whether the message at the fence is this one, stored by an attempt that got no answer.
func (d *Deltas) isLast(ctx context.Context, body []byte) bool {
	r, err := d.stream.GetMsg(ctx, uint64(d.last)+1)
	return err == nil && bytes.Equal(r.Data, body)
}

// Read yields whole deltas and gaps in order, up to the last one stored now, beginning with the first that ends at or
// after fromTick. A body is valid until the next iteration. If messages are missing or damaged, Read yields an error
// that wraps persistence.ErrCorrupt and continues after them.
func (d *Deltas) Read(ctx context.Context, fromTick uint64) iter.Seq2[persistence.Delta, error] {
	return persistence.FromTick(fromTick, func(yield func(persistence.Delta, error) bool) {
		i, err := d.stream.Info(ctx)
		if err != nil {
			yield(persistence.Delta{}, fmt.Errorf("jetstream: cannot read the state of %s: %w", d.name, err))
			return
		}
		from, err := d.group(ctx, i.State, fromTick)
		if err != nil {
			yield(persistence.Delta{}, err)
			return
		}
		for m, err := range d.stored(ctx, from, i.State.LastSeq) {
			var delta persistence.Delta
			if err == nil {
				delta, err = persistence.DecodeDelta(m.body)
			}
			if !yield(delta, err) {
				return
			}
		}
	})
}

// stored yields the stream's messages from from to to, in order. It yields an error for missing messages and continues.
func (d *Deltas) stored(ctx context.Context, from, to uint64) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		for from <= to {
			var gap error
			for m, err := range scan(ctx, d.conn, d.stream, from, to) {
				if errors.Is(err, persistence.ErrGap) {
					gap = err
					break
				}
				if !yield(m, err) || err != nil {
					return
				}
				from = m.seq + 1
			}
			if gap == nil {
				return
			}
			next, err := d.behind(ctx, from)
			if err == nil && next.seq != from {
				err = d.lost(ctx, from, min(next.seq-1, to), gap)
			}
			if err != nil && (!yield(stored{}, err) || !errors.Is(err, persistence.ErrCorrupt)) {
				return
			}
			if from = next.seq; from <= to && !yield(next, nil) {
				return
			}
			from++
		}
	}
}

// behind returns the first readable message at or after a sequence. If none exists, it returns one with a sequence
// beyond all others.
func (d *Deltas) behind(ctx context.Context, from uint64) (stored, error) {
	m, err := d.stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(deltaSubject(d.ref.Cluster, d.ref.Shard, d.ref.Lineage)))
	if isMissing(err) {
		return stored{seq: math.MaxUint64 - 1}, nil
	}
	if err != nil {
		return stored{}, fmt.Errorf("jetstream: cannot read message %d of %s: %w", from, d.name, err)
	}
	return stored{seq: m.Sequence, header: m.Header, body: m.Data}, nil
}

// lost returns the error for a hole. It returns nil if the hole ends before the stream's first message: those messages
// were dropped by retention.
func (d *Deltas) lost(ctx context.Context, from, to uint64, gap error) error {
	i, err := d.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("jetstream: cannot read the state of %s: %w", d.name, err)
	}
	if to < i.State.FirstSeq {
		return nil
	}
	return &persistence.CorruptError{What: "delta", Reason: fmt.Sprintf("messages %d to %d of %s are damaged or missing", from, to, d.name), Err: gap}
}

// group returns the sequence of a message from which the delta of a tick can be unpacked.
func (d *Deltas) group(ctx context.Context, s jetstream.StreamState, tick uint64) (uint64, error) {
	from, err := d.seek(ctx, s, tick)
	if err != nil || tick <= 1 {
		return from, err
	}
	first := tick - min(tick, persistence.GroupTicks) // if the group is unknown: none is longer
	if m, err := d.stream.GetMsg(ctx, from); err == nil {
		switch delta, err := persistence.DecodeDelta(m.Data); {
		case err != nil:
		case delta.Group == 0 || delta.Group == delta.Tick:
			return from, nil
		default:
			first = delta.Group
		}
	}
	return d.seek(ctx, s, first)
}

// seek returns a sequence such that all earlier messages are for ticks below tick. It bisects over the headers.
func (d *Deltas) seek(ctx context.Context, s jetstream.StreamState, tick uint64) (uint64, error) {
	low, high := s.FirstSeq, s.LastSeq+1 // every message below low is older
	for tick > 1 && low < high {
		middle := low + (high-low)/2
		r, err := d.stream.GetMsg(ctx, middle)
		if isMissing(err) { // just dropped for its age, or damaged: scan will report it
			return low, nil
		}
		if err != nil {
			return 0, fmt.Errorf("jetstream: cannot read message %d of %s: %w", middle, d.name, err)
		}
		h, err := persistence.ParseHeader(r.Header.Get)
		if err != nil {
			return 0, &persistence.CorruptError{What: "delta", Reason: fmt.Sprintf("message %d of %s: %v", middle, d.name, err), Err: err}
		}
		if h.LastTick < tick {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}
