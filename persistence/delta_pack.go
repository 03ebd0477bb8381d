package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"

	"github.com/ferris1/wind/persistence/predict"
	"github.com/klauspost/compress/zstd"
)

// A group of packed deltas ends with the first of these.
const (
	GroupTicks = 64       // of consecutive ticks
	groupBytes = 16 << 20 // of contents: what a reader unpacks at most to get at the group's end, but for its last tick
	firstTicks = 16       // a writer's first group is short: it learns in it how the game moves
)

// minWindow is the least that the packer's compressor looks back. It grows with the deltas, to maxWindow: a shard with
// small ones needs little memory.
const minWindow = 128 << 10

// DeltaPacker packs the deltas of one owner for its stream, each by what the ones before it said (FORMAT.md, Packed
// bodies). Who stores what Pack returned says so with Stored; what was not stored ends the group, so that nothing is
// ever packed by a message that may not be there. The zero value is ready; it is for one goroutine.
type DeltaPacker struct {
	predict predict.Writer
	zstd    *zstd.Encoder
	window  int
	packed  bytes.Buffer // the last body
	content []byte
	last    Delta // as Pack returned it; its Group 0: the next delta begins one
	stored  bool  // it is in the stream
	ticks   int   // of the group
	bytes   int
	groups  int
}

// Restart makes the next delta begin a group: somebody else may have written behind the last one.
func (p *DeltaPacker) Restart() { p.last = Delta{} }

// Stored says that the stream has all messages of what Pack returned last.
func (p *DeltaPacker) Stored() { p.stored = true }

// Pack returns a whole delta with its body packed; a gap stays as it is. The body is valid until the next Pack. The same
// delta again, not Stored yet, is packed in the same bytes, so that a repeated message can be told from another one.
func (p *DeltaPacker) Pack(d Delta) (Delta, error) {
	if d.Gap != nil {
		p.Restart()
		return d, nil
	}
	if p.last.Group > 0 && !p.stored && p.last.Tick == d.Tick && follows(&p.last, &d) && p.last.RecordSeq == d.RecordSeq && p.last.Checksum == d.Checksum {
		return p.last, nil
	}
	if len(d.Body) > predict.MaxBody {
		return d, fmt.Errorf("persistence: the body of the delta of tick %d has %d bytes, at most %d are allowed", d.Tick, len(d.Body), predict.MaxBody)
	}
	if !p.continues(&d) {
		p.begin(&d)
	}
	p.content = p.predict.Append(p.content[:0], d.Body, d.Tick, d.Checksum)
	p.packed.Reset()
	_, err := p.zstd.Write(p.content)
	if err := errors.Join(err, p.zstd.Flush()); err != nil {
		p.Restart()
		return d, fmt.Errorf("persistence: cannot pack the delta of tick %d: %w", d.Tick, err)
	}
	d.Group, d.Size, d.Body = p.last.Group, len(p.content), p.packed.Bytes()
	p.last, p.stored = d, false
	p.ticks++
	p.bytes += d.Size
	return d, nil
}

// continues reports whether a delta goes on with the group.
func (p *DeltaPacker) continues(d *Delta) bool {
	limit := GroupTicks
	if p.groups == 1 {
		limit = firstTicks
	}
	return p.last.Group > 0 && p.stored && p.ticks < limit && p.bytes < groupBytes &&
		d.Tick == p.last.Tick+1 && follows(&p.last, d) && d.Layout == p.last.Layout
}

// follows reports whether two deltas are of one owner.
func follows(a, b *Delta) bool { return a.Lineage == b.Lineage && a.Epoch == b.Epoch }

// begin begins a group with d.
func (p *DeltaPacker) begin(d *Delta) {
	p.last = Delta{Group: d.Tick}
	p.ticks, p.bytes = 0, 0
	p.groups++
	p.predict.Begin(d.Layout)
	if want := min(max(minWindow, 4<<bits.Len(uint(len(d.Body)))), maxWindow); want > p.window {
		p.window = want
		p.zstd = newDeltaEncoder(want)
	}
	p.zstd.Reset(&p.packed)
}

// newDeltaEncoder returns a compressor that works on its caller's goroutine and takes as little as it can: it runs for
// every tick of every shard, and what predict leaves is easy.
func newDeltaEncoder(window int) *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are sound for every window
	}
	return e
}

// deltaUnpacker is the inverse of DeltaPacker, for the whole deltas of a stream in their order.
type deltaUnpacker struct {
	predict predict.Reader
	zstd    *zstd.Decoder
	in      feed
	last    Delta // without its body; its Group 0: none can be continued
	owed    bool  // an error, if the next one cannot be unpacked
}

// feed gives a decompressor the bytes of one message after the other.
type feed struct{ b []byte }

func (f *feed) Read(p []byte) (int, error) {
	if len(f.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.b)
	f.b = f.b[n:]
	return n, nil
}

// close frees what the decompressor holds.
func (u *deltaUnpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// broken says that a message could not be read: what builds on it cannot be either, which is not said again.
func (u *deltaUnpacker) broken() { u.last, u.owed = Delta{}, false }

// add takes the stream's next whole delta or gap and returns it unpacked. It returns false for one that cannot be
// unpacked because what it builds on was not read, with an error the first time, unless reading began behind it.
func (u *deltaUnpacker) add(d Delta) (Delta, bool, error) {
	switch {
	case d.Gap != nil || d.Group == 0:
		u.last, u.owed = Delta{}, true
		return d, true, nil
	case d.Group == d.Tick:
		if err := u.begin(); err != nil {
			return Delta{}, false, err
		}
	case u.last.Group != d.Group || u.last.Tick+1 != d.Tick || !follows(&u.last, &d):
		var err error
		if u.owed {
			err = u.discontinued(&d)
		}
		u.broken()
		return Delta{}, false, err
	}
	whole, err := u.unpack(d)
	if err != nil {
		u.broken()
		return Delta{}, false, &CorruptError{What: "delta", Seq: d.RecordSeq, Tick: d.Tick, Reason: err.Error(), Err: err}
	}
	u.last, u.owed = whole, true
	u.last.Body, u.last.Group = nil, d.Group
	return whole, true, nil
}

// discontinued says why d cannot be unpacked: it does not go on with the delta that was read last.
func (u *deltaUnpacker) discontinued(d *Delta) error {
	e := &CorruptError{What: "delta", Seq: d.RecordSeq, Tick: d.Tick, Reason: fmt.Sprintf("it builds on those from tick %d on, and not all of them are there", d.Group), Err: ErrGap}
	if due := u.last.Tick + 1; u.last.Group == d.Group && d.Tick > due {
		e.Tick, e.Reason = due, fmt.Sprintf("it is missing, and tick %d builds on it", d.Tick)
	}
	return e
}

// begin begins a group.
func (u *deltaUnpacker) begin() error {
	if u.zstd == nil {
		u.zstd = newDecoder() // none of the pool's: a reading may last long
	}
	u.predict.Begin()
	u.in.b = nil
	if err := u.zstd.Reset(&u.in); err != nil {
		return fmt.Errorf("persistence: delta: %w", err)
	}
	return nil
}

// unpack returns a delta of the group with its body as it was, in memory of its own.
func (u *deltaUnpacker) unpack(d Delta) (Delta, error) {
	u.in.b = d.Body
	var content bytes.Buffer
	content.Grow(min(d.Size, 8*len(d.Body)+512)) // not what a lie says
	n, err := content.ReadFrom(io.LimitReader(u.zstd, int64(d.Size)))
	if err != nil {
		return d, fmt.Errorf("its compressed body: %w", err)
	}
	if n != int64(d.Size) || len(u.in.b) > 0 {
		return d, fmt.Errorf("its body has another size than the %d bytes it says", d.Size)
	}
	d.PackedBytes = len(d.Body)
	d.Body, err = u.predict.Append(nil, content.Bytes(), d.Tick, d.Checksum)
	d.Group, d.Size, d.Layout = 0, 0, u.predict.Layout()
	return d, err
}

// unpackDeltas unpacks the whole deltas of a stream. Those at its beginning that build on what is not there any more,
// since the stream's retention cut their group, are left out. Errors pass through, and reading goes on behind them as
// long as the caller does.
func unpackDeltas(whole iter.Seq2[Delta, error]) iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		var u deltaUnpacker
		defer u.close()
		for d, err := range whole {
			ok := err != nil
			if err != nil {
				u.broken()
			} else if d, ok, err = u.add(d); err != nil {
				ok = true
			}
			if ok && !yield(d, err) {
				return
			}
		}
	}
}
