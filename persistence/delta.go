package persistence

import (
	"fmt"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence/predict"
)

// Limits of deltas.
const (
	MaxDeltaBytes = 64 << 20 // one encoded message of the delta stream
	MaxParts      = 4096     // messages of one tick

	// A content is at most as large as a body and its plan.
	maxContentBytes = predict.MaxBody + 1<<20
)

// deltaVersion is the version of a delta whose body is packed, runVersion that of several deltas in one message. Gaps, and
// deltas that are not packed, have version 1.
const (
	deltaVersion = 2
	runVersion   = 3
)

// Delta is what one committed tick changed, as the delta stream stores it: as one
// message, or as numbered parts if it exceeds the stream's payload limit.
type Delta struct {
	Lineage   string
	Epoch     Epoch  // of the record that committed the tick
	RecordSeq Seq    // of that record
	Tick      uint64 // for a gap: its last tick
	Checksum  uint64 // of the world after Tick
	Part      int    // 1 to Parts; a whole delta is part 1 of 1, or 0 of 0 before it is encoded
	Parts     int
	Body      []byte // this part's share of ecs.Delta.AppendTo, packed or not
	Gap       *Gap   // set instead of Body: ticks whose deltas no owner could rebuild

	// Set while the delta is packed, as streams and files store it: see DeltaPacker. Their readers unpack it.
	Group uint64 // the first tick of its group; 0 when Body is not packed
	Size  int    // bytes of the content that Body unpacks to

	// Not stored; used for packing and statistics.
	Layout      *Layout // of the types in Body; without one, Body packs less well
	PackedBytes int     // size of Body in its stream or file; 0 when it was not packed
	Run         int     // deltas in its message; 0 when it is alone there
	Share       int     // bytes of that message that are this delta's
}

// Layout describes where the numbers are in a game's values. DeltaPacker uses it to pack a delta's body.
type Layout = predict.Layout

// LayoutOf returns the layout of a game's types. The deltas of one world should share one *Layout: a different one begins
// a new group.
func LayoutOf(s *ecs.Schema) *Layout { return predict.LayoutOf(s) }

// Gap names ticks that the delta stream will never contain. The log contains them.
type Gap struct {
	FromTick uint64
	ToTick   uint64
	Reason   string
}

// VoidReason is the Reason of the gap that follows an accepted loss of history. Unlike those of any other gap, its ticks are
// simulated and published again; their earlier deltas in the stream are void.
const VoidReason = "history was lost and the loss accepted: these ticks are void and come again"

// Void reports whether the gap declares ticks void after an accepted loss of history.
func (g *Gap) Void() bool { return g.Reason == VoidReason }

// FirstTick returns the first tick that the message covers.
func (d *Delta) FirstTick() uint64 {
	if d.Gap != nil {
		return d.Gap.FromTick
	}
	return d.Tick
}

// Header returns the readable summary stored beside the delta.
func (d *Delta) Header() Header {
	h := Header{Kind: "delta", FirstTick: d.FirstTick(), LastTick: d.Tick, Epoch: d.Epoch, Checksum: d.Checksum, Version: FormatVersion}
	if d.Group > 0 {
		h.Version = deltaVersion
	}
	if d.Gap != nil {
		h.Kind = "gap"
	} else if d.Parts > 1 {
		h.Part, h.Parts = d.Part, d.Parts
	}
	return h
}

func (d *Delta) validate() error {
	if err := validLineage(d.Lineage); err != nil {
		return err
	}
	switch {
	case d.Tick == 0 || d.RecordSeq == 0:
		return fmt.Errorf("a delta must not have tick %d of record %d", d.Tick, d.RecordSeq)
	case d.Parts < 1 || d.Parts > MaxParts || d.Part < 1 || d.Part > d.Parts:
		return fmt.Errorf("part %d of %d: a delta has 1 to %d parts", d.Part, d.Parts, MaxParts)
	case d.Group > d.Tick || d.Size < 0 || d.Size > maxContentBytes || d.Group == 0 && d.Size > 0:
		return fmt.Errorf("tick %[2]d cannot have a packed body of %[1]d bytes in the group of tick %[3]d", d.Size, d.Tick, d.Group)
	case d.Gap == nil:
		return nil
	case d.Gap.FromTick == 0 || d.Gap.FromTick > d.Gap.ToTick || d.Gap.ToTick != d.Tick:
		return fmt.Errorf("a gap from tick %d to %d cannot be at tick %d", d.Gap.FromTick, d.Gap.ToTick, d.Tick)
	case d.Parts != 1 || len(d.Body) > 0 || d.Group > 0:
		return fmt.Errorf("a gap must not have a body or parts")
	}
	return nil
}

// Encode appends the message's bytes to dst. If d is not a valid delta or gap, it
// returns dst unchanged and an error.
func (d *Delta) Encode(dst []byte) ([]byte, error) {
	if d.Part == 0 && d.Parts == 0 {
		whole := *d
		whole.Part, whole.Parts = 1, 1
		d = &whole
	}
	if err := d.validate(); err != nil {
		return dst, fmt.Errorf("persistence: cannot encode delta of tick %d: %w", d.Tick, err)
	}
	h := d.Header()
	w := newWriter(dst)
	entries := 9
	switch {
	case h.Kind == "gap":
		entries = 10
	case h.Parts > 1:
		entries = 11
	}
	if d.Group > 0 {
		entries += 2
	}
	w.mapLen(entries)
	w.uint(keyVersion, uint64(h.Version))
	w.str("kind", h.Kind, maxKindBytes)
	w.str("lineage", d.Lineage, maxLineage)
	w.uint("epoch", uint64(d.Epoch))
	w.uint("record", uint64(d.RecordSeq))
	w.uint("tick", d.Tick)
	w.fixed("check", d.Checksum)
	if d.Gap != nil {
		w.uint("from", d.Gap.FromTick)
		w.str("reason", clip(d.Gap.Reason, maxTextBytes), maxTextBytes)
	} else {
		if h.Parts > 1 {
			w.uint("part", uint64(d.Part))
			w.uint("parts", uint64(d.Parts))
		}
		if d.Group > 0 {
			w.uint("group", d.Group)
			w.uint("size", uint64(d.Size))
			w.bin("zstd", d.Body, MaxDeltaBytes)
		} else {
			w.bin("body", d.Body, MaxDeltaBytes)
		}
	}
	w.sum(len(dst))
	b, err := w.done()
	if size := len(b) - len(dst); err == nil && size > MaxDeltaBytes {
		err = fmt.Errorf("%d bytes, at most %d are allowed: split it", size, MaxDeltaBytes)
	}
	if err != nil {
		return dst, fmt.Errorf("persistence: cannot encode delta of tick %d: %w", d.Tick, err)
	}
	return b, nil
}

// DecodeDelta is the inverse of Encode. It returns a *CorruptError for bytes that
// are damaged or not one delta and a *VersionError for a newer version. Body aliases
// b, which must not change while the delta is used.
func DecodeDelta(b []byte) (Delta, error) {
	m, err := openDeltas(b)
	if err != nil {
		return Delta{}, err
	}
	if m.kind == runKind {
		m.r.fail("several deltas where one was expected")
	}
	return m.single()
}

// deltaMessage is a message of a delta stream while it is decoded.
type deltaMessage struct {
	r       *reader
	f       *fields
	version uint64
	kind    string
	head    Delta // what all kinds begin with
}

// openDeltas opens a message of any kind.
func openDeltas(b []byte) (m deltaMessage, err error) {
	if m.r, m.f, m.version, err = openAs("delta", b, MaxDeltaBytes, runVersion); err != nil {
		return m, err
	}
	m.kind = m.f.str("kind", maxKindBytes)
	m.head = Delta{Lineage: m.f.str("lineage", maxLineage), Epoch: Epoch(m.f.uint("epoch")), Part: 1, Parts: 1}
	return m, nil
}

// single decodes the rest of a message with one delta, or a part of it, or a gap.
func (m *deltaMessage) single() (Delta, error) {
	r, f, d := m.r, m.f, m.head
	newest := uint64(deltaVersion)
	if m.kind == "gap" {
		newest = FormatVersion
	}
	switch {
	case m.kind != "delta" && m.kind != "gap":
		r.fail("unknown kind %q", m.kind)
	case m.version > newest:
		r.fail("a %s of version %d", m.kind, m.version)
	}
	d.RecordSeq = Seq(f.uint("record"))
	d.Tick = f.uint("tick")
	d.Checksum = f.uint("check")
	switch m.kind {
	case "gap":
		d.Gap = &Gap{FromTick: f.uint("from"), ToTick: d.Tick, Reason: f.str("reason", maxTextBytes)}
	case "delta":
		if f.has("part") {
			part := r.readUint()
			if d.Part = int(part); part > MaxParts {
				r.fail("part is %d, at most %d is allowed", part, MaxParts)
			}
			d.Parts = f.count("parts", MaxParts)
		}
		if m.version < deltaVersion {
			d.Body = f.bin("body", MaxDeltaBytes)
			break
		}
		if d.Group = f.uint("group"); d.Group == 0 && r.err == nil {
			r.fail("its group is 0")
		}
		d.Size = f.count("size", maxContentBytes)
		d.Body = f.bin("zstd", MaxDeltaBytes)
	}
	if err := r.close(f); err != nil {
		return Delta{}, err
	}
	if err := d.validate(); err != nil {
		return Delta{}, &CorruptError{What: "delta", Reason: err.Error(), Err: err}
	}
	return d, nil
}

// bodyOverhead is an upper bound of an encoded delta's size without its body.
const bodyOverhead = 128 + maxLineage + 12*9

// Split cuts a whole delta into messages of at most limit encoded bytes each. The
// parts share d's body. Split panics if limit is below 1 KiB, and returns an error
// if the delta needs more than MaxParts messages.
func (d Delta) Split(limit int) ([]Delta, error) {
	if limit < 1<<10 {
		panic(fmt.Sprintf("persistence: a delta cannot be split into messages of %d bytes", limit))
	}
	share := min(limit, MaxDeltaBytes) - bodyOverhead
	parts := max((len(d.Body)+share-1)/share, 1)
	if parts > MaxParts {
		return nil, fmt.Errorf("persistence: delta of tick %d has %d bytes: %d messages, at most %d are allowed", d.Tick, len(d.Body), parts, MaxParts)
	}
	all := make([]Delta, parts)
	for i := range all {
		all[i] = d
		all[i].Part, all[i].Parts = i+1, parts
		all[i].Body = d.Body[min(i*share, len(d.Body)):min((i+1)*share, len(d.Body))]
	}
	return all, nil
}

// Joiner joins the parts of deltas: the inverse of Split, for the messages of a
// delta stream in order. The zero value is ready. If a writer died between two
// parts, its successor begins the tick again at part 1, and Joiner drops the
// abandoned parts.
type Joiner struct {
	whole Delta
	next  int // the expected part; 0 when no delta is pending
}

// Add takes the next message. With a delta's last part it returns the whole delta
// and true. The body of a delta in one part aliases d's; any other body is new.
func (j *Joiner) Add(d Delta) (Delta, bool, error) {
	if d.Part == 1 {
		if j.next > 0 && d.Tick != j.whole.Tick {
			err := j.broken(d)
			j.next = 0
			return Delta{}, false, err
		}
		j.next = 0
		if d.Parts == 1 {
			return d, true, nil
		}
		j.whole, j.next = d, 2
		j.whole.Body = append([]byte(nil), d.Body...)
		return Delta{}, false, nil
	}
	w := &j.whole
	if j.next != d.Part || w.Parts != d.Parts || w.Tick != d.Tick || w.Checksum != d.Checksum || w.Lineage != d.Lineage || w.RecordSeq != d.RecordSeq || w.Epoch != d.Epoch || w.Group != d.Group || w.Size != d.Size {
		err := j.broken(d)
		j.next = 0
		return Delta{}, false, err
	}
	w.Body = append(w.Body, d.Body...)
	if j.next++; d.Part < d.Parts {
		return Delta{}, false, nil
	}
	j.next = 0
	out := *w
	out.Part, out.Parts = 1, 1
	w.Body = nil
	return out, true, nil
}

// Pending reports whether a delta still lacks parts, and returns its tick.
func (j *Joiner) Pending() (tick uint64, pending bool) { return j.whole.Tick, j.next > 0 }

func (j *Joiner) broken(d Delta) error {
	reason := fmt.Sprintf("part %d of %d comes first", d.Part, d.Parts)
	if j.next > 0 {
		reason = fmt.Sprintf("part %d of %d of tick %d was expected, part %d of %d of tick %d came",
			j.next, j.whole.Parts, j.whole.Tick, d.Part, d.Parts, d.Tick)
	}
	return &CorruptError{What: "delta", Seq: d.RecordSeq, Tick: d.Tick, Reason: reason, Err: ErrGap}
}
