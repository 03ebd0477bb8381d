package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"sync"

	"github.com/ferris1/wind/persistence/predict"
	"github.com/klauspost/compress/zstd"
)

// A group of packed deltas ends when it reaches the first of these limits.
const (
	GroupTicks = 64       // consecutive ticks
	groupBytes = 16 << 20 // bytes of contents, the last tick's not counted; bounds what a reader unpacks to reach any tick
	firstTicks = 16       // ticks of a writer's first group, short because the writer still learns how values change
)

// minWindow is the initial window of the packer's compressor. The window grows with the deltas up to maxWindow, so that a
// shard with small deltas needs little memory.
const minWindow = 128 << 10

// DeltaPacker packs the deltas of one owner for its stream, each relative to earlier ones (FORMAT.md, Packed bodies). The
// caller calls Stored after it has stored what Pack returned. Without that the next delta begins a new group, so that no
// delta ever builds on a message that may be missing. The zero value is ready. Not safe for concurrent use.
type DeltaPacker struct {
	// Lean saves time and memory where thousands of packers are used: small deltas are not compressed.
	Lean bool

	*packing       // nil outside a group, after Rest
	plain    bool  // the group is not compressed
	last     Delta // as Pack returned it; the next delta begins a group if Group is 0
	stored   bool  // last is in the stream
	ticks    int   // in the group
	bytes    int   // of contents in the group
	groups   int   // begun so far
}

// packing is what a group needs while it is packed. A compressor takes half a MiB and more.
type packing struct {
	predict predict.Writer
	zstd    *zstd.Encoder // nil without a window
	window  int
	packed  bytes.Buffer // the last body
	content []byte
}

// packings are those that no packer needs now: first those without a compressor, then those of each window from
// minWindow to maxWindow.
var packings [bits.UintSize]sync.Pool

// resting returns the packings with a window.
func resting(window int) *sync.Pool { return &packings[bits.Len(uint(window/minWindow))] }

// Rest ends the group and leaves the packer's memory to others until the next delta. It invalidates everything that Pack returned.
func (p *DeltaPacker) Rest() {
	if p.Restart(); p.packing != nil {
		resting(p.window).Put(p.packing)
	}
	p.packing = nil
}

// Restart makes the next delta begin a group, since another writer may have written to the stream.
func (p *DeltaPacker) Restart() { p.last = Delta{} }

// Stored tells the packer that the stream has stored every message of Pack's last result.
func (p *DeltaPacker) Stored() { p.stored = true }

// Pack returns d, a whole delta, with its body packed; it returns a gap unchanged. The body is valid until the next Pack.
// Packing the same delta again before Stored yields the same bytes, so that a repeated message is recognisable.
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
	if p.plain {
		p.wrap()
	} else {
		_, err := p.zstd.Write(p.content)
		if err := errors.Join(err, p.zstd.Flush()); err != nil {
			p.Restart()
			return d, fmt.Errorf("persistence: cannot pack the delta of tick %d: %w", d.Tick, err)
		}
	}
	d.Group, d.Size, d.Body = p.last.Group, len(p.content), p.packed.Bytes()
	p.last, p.stored = d, false
	p.ticks++
	p.bytes += d.Size
	return d, nil
}

// continues reports whether a delta continues the current group.
func (p *DeltaPacker) continues(d *Delta) bool {
	limit := GroupTicks
	if p.groups == 1 {
		limit = firstTicks
	}
	return p.last.Group > 0 && p.stored && p.ticks < limit && p.bytes < groupBytes &&
		(!p.plain || p.bytes <= leanBytes*GroupTicks) && // or they have grown
		d.Tick == p.last.Tick+1 && follows(&p.last, d) && d.Layout == p.last.Layout
}

// follows reports whether two deltas have the same owner.
func follows(a, b *Delta) bool { return a.Lineage == b.Lineage && a.Epoch == b.Epoch }

// begin begins a group with d.
func (p *DeltaPacker) begin(d *Delta) {
	window := 0
	if p.plain = p.lean(d); !p.plain {
		window = min(max(minWindow, 4<<bits.Len(uint(len(d.Body)))), maxWindow)
	}
	if p.packing == nil {
		if p.packing, _ = resting(window).Get().(*packing); p.packing == nil {
			p.packing = new(packing)
		}
	}
	p.last = Delta{Group: d.Tick}
	p.ticks, p.bytes = 0, 0
	p.groups++
	p.predict.Begin(d.Layout)
	if window > p.window {
		p.window = window
		p.zstd = newDeltaEncoder(window)
	}
	if !p.plain {
		p.zstd.Reset(&p.packed)
	}
}

// leanBytes is the size up to which deltas are not compressed by a lean packer, on average over a group.
const leanBytes = 1 << 10

// lean reports whether the group that begins with d is not compressed. After a compressed group, deltas have to be half
// as large as they must be to need compression.
func (p *DeltaPacker) lean(d *Delta) bool {
	if !p.Lean {
		return false
	}
	size, limit := len(d.Body), leanBytes
	if p.ticks > 0 {
		size = p.bytes / p.ticks
		if !p.plain {
			limit /= 2
		}
	}
	return size <= limit
}

// wrap packs the content as zstd blocks that are not compressed.
func (p *DeltaPacker) wrap() {
	if p.ticks == 0 {
		p.packed.Write([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(bits.Len(minWindow)-11) << 3}) // a frame with a window of minWindow
	}
	for rest := p.content; len(rest) > 0; {
		n := min(len(rest), minWindow)
		p.packed.Write([]byte{byte(n << 3), byte(n >> 5), byte(n >> 13)}) // not the last block, not compressed
		p.packed.Write(rest[:n])
		rest = rest[n:]
	}
}

// newDeltaEncoder returns a compressor that works on its caller's goroutine with the least effort: it runs for every tick
// of every shard, and predict's output compresses easily.
func newDeltaEncoder(window int) *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(window <= minWindow), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // the options are valid for every window
	}
	return e
}

// deltaUnpacker is the inverse of DeltaPacker, for the whole deltas of a stream in order.
type deltaUnpacker struct {
	predict predict.Reader
	zstd    *zstd.Decoder
	in      feed
	last    Delta // without its body; its Group is 0 when no group can be continued
	owed    bool  // report an error if the next delta cannot be unpacked
}

// feed passes one message's bytes after the other to a decompressor.
type feed struct{ b []byte }

func (f *feed) Read(p []byte) (int, error) {
	if len(f.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.b)
	f.b = f.b[n:]
	return n, nil
}

// close frees the decompressor.
func (u *deltaUnpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// broken notes that a message could not be read. The deltas that build on it cannot be read either, without another error.
func (u *deltaUnpacker) broken() { u.last, u.owed = Delta{}, false }

// add takes the stream's next whole delta or gap and returns it unpacked. It returns false if it cannot unpack d because a
// delta that d builds on was not read, with an error the first time, unless reading began after that delta.
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

// discontinued returns the error for a delta that does not continue the last one read.
func (u *deltaUnpacker) discontinued(d *Delta) error {
	e := &CorruptError{What: "delta", Seq: d.RecordSeq, Tick: d.Tick, Reason: fmt.Sprintf("it builds on the deltas from tick %d on, and some of them are missing", d.Group), Err: ErrGap}
	if due := u.last.Tick + 1; u.last.Group == d.Group && d.Tick > due {
		e.Tick, e.Reason = due, fmt.Sprintf("it is missing, and tick %d builds on it", d.Tick)
	}
	return e
}

// begin begins a group.
func (u *deltaUnpacker) begin() error {
	if u.zstd == nil {
		u.zstd = newDecoder() // not from the pool: a read may last long
	}
	u.predict.Begin()
	u.in.b = nil
	if err := u.zstd.Reset(&u.in); err != nil {
		return fmt.Errorf("persistence: delta: %w", err)
	}
	return nil
}

// unpack returns a delta of the group with its original body, in newly allocated memory.
func (u *deltaUnpacker) unpack(d Delta) (Delta, error) {
	u.in.b = d.Body
	var content bytes.Buffer
	content.Grow(min(d.Size, 8*len(d.Body)+512)) // whatever size d declares
	n, err := content.ReadFrom(io.LimitReader(u.zstd, int64(d.Size)))
	if err != nil {
		return d, fmt.Errorf("its compressed body: %w", err)
	}
	if n != int64(d.Size) || len(u.in.b) > 0 {
		return d, fmt.Errorf("its body does not have the declared size of %d bytes", d.Size)
	}
	d.PackedBytes = len(d.Body)
	d.Body, err = u.predict.Append(nil, content.Bytes(), d.Tick, d.Checksum)
	d.Group, d.Size, d.Layout = 0, 0, u.predict.Layout()
	return d, err
}

// unpackDeltas unpacks the whole deltas of a stream. It omits those at the beginning whose group the stream's retention
// has cut. It passes errors through and continues after them as long as the caller does.
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
