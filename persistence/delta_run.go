package persistence

import "fmt"

// Limits of a message with several deltas: a reader keeps no more of them in memory.
const (
	MaxRun      = 256      // deltas
	MaxRunBytes = 64 << 10 // their packed bodies together
)

// runKind is the kind of a message with several deltas.
const runKind = "deltas"

// Bounds of the size of an element of "deltas", without its body.
const (
	minElement = 21
	maxElement = 1 + 7 + 9 + 6 + 9 + 6 + 9 + 5 + 5 + 5 + 3
)

// DeltaRun collects deltas, as DeltaPacker returns them, for one message of a stream. The zero value is ready.
type DeltaRun struct {
	deltas []Delta
	bodies []byte // of deltas
}

// Add appends a copy of d, which is whole. It returns false, and changes nothing, if d is no packed delta of the next tick and
// the same owner, or if the message would exceed limit bytes. A gap stays alone in its message, and so does a large delta.
func (r *DeltaRun) Add(d Delta, limit int) bool {
	n := len(r.deltas)
	if n > 0 && (n == MaxRun || !continuesRun(&r.deltas[n-1], &d)) {
		return false
	}
	bodies := len(r.bodies) + len(d.Body)
	if bodies > MaxRunBytes || d.Gap == nil && bodyOverhead+(n+1)*maxElement+bodies > min(limit, MaxDeltaBytes) {
		return false
	}
	begin := len(r.bodies)
	r.bodies = append(r.bodies, d.Body...)
	d.Part, d.Parts, d.Body, d.Layout = 1, 1, r.bodies[begin:bodies:bodies], nil
	r.deltas = append(r.deltas, d)
	return true
}

// Reset empties the run.
func (r *DeltaRun) Reset() {
	clear(r.deltas)
	r.deltas, r.bodies = r.deltas[:0], r.bodies[:0]
}

// Deltas returns the run's deltas. They are valid until Reset.
func (r *DeltaRun) Deltas() []Delta { return r.deltas }

// continuesRun reports whether a message may contain b directly after a.
func continuesRun(a, b *Delta) bool {
	return a.Group > 0 && b.Group > 0 && b.Tick == a.Tick+1 && follows(a, b)
}

// DeltasHeader returns the readable summary stored beside what EncodeDeltas returns.
func DeltasHeader(run []Delta) Header {
	last := &run[len(run)-1]
	h := last.Header()
	if len(run) > 1 {
		h.Kind, h.Version, h.FirstTick = runKind, runVersion, run[0].Tick
	}
	return h
}

// validRun returns an error unless one message may contain these deltas.
func validRun(run []Delta) error {
	if len(run) < 2 || len(run) > MaxRun {
		return fmt.Errorf("%d deltas in one message, 2 to %d are allowed", len(run), MaxRun)
	}
	bodies := 0
	for i := range run {
		d := &run[i]
		if err := d.validate(); err != nil {
			return err
		}
		if d.Parts != 1 || d.Group == 0 {
			return fmt.Errorf("the delta of tick %d is not packed and whole", d.Tick)
		}
		if i > 0 && !continuesRun(&run[i-1], d) {
			return fmt.Errorf("the delta of tick %d cannot follow that of tick %d in one message", d.Tick, run[i-1].Tick)
		}
		bodies += len(d.Body)
	}
	if bodies > MaxRunBytes {
		return fmt.Errorf("packed bodies of %d bytes in one message, at most %d are allowed", bodies, MaxRunBytes)
	}
	return nil
}

// EncodeDeltas appends one message to dst: with packed, whole deltas of consecutive ticks and one owner, or with a single
// delta, a part of one or a gap. If the deltas cannot be in one message, it returns dst unchanged and an error.
func EncodeDeltas(dst []byte, run []Delta) ([]byte, error) {
	if len(run) == 1 {
		return run[0].Encode(dst)
	}
	if err := validRun(run); err != nil {
		return dst, fmt.Errorf("persistence: cannot encode deltas: %w", err)
	}
	first, last := &run[0], &run[len(run)-1]
	w := newWriter(dst)
	w.mapLen(8)
	w.uint(keyVersion, runVersion)
	w.str("kind", runKind, maxKindBytes)
	w.str("lineage", first.Lineage, maxLineage)
	w.uint("epoch", uint64(first.Epoch))
	w.uint("tick", last.Tick)
	w.uint("from", first.Tick)
	w.array("deltas", len(run), MaxRun)
	before := &Delta{}
	for i := range run {
		d := &run[i]
		newRecord, newGroup := d.RecordSeq != before.RecordSeq, d.Group != before.Group
		entries := 3
		if newRecord {
			entries++
		}
		if newGroup {
			entries++
		}
		w.mapLen(entries)
		if newRecord {
			w.uint("record", uint64(d.RecordSeq))
		}
		w.fixed("check", d.Checksum)
		if newGroup {
			w.uint("group", d.Group)
		}
		w.uint("size", uint64(d.Size))
		w.bin("zstd", d.Body, MaxRunBytes)
		before = d
	}
	w.sum(len(dst))
	b, err := w.done()
	if err != nil {
		return dst, fmt.Errorf("persistence: cannot encode deltas of ticks %d to %d: %w", first.Tick, last.Tick, err)
	}
	return b, nil
}

// DecodeDeltas is the inverse of EncodeDeltas, for any message of a delta stream. It returns at least one delta or the errors
// of DecodeDelta. The bodies alias b, which must not change while the deltas are used.
func DecodeDeltas(b []byte) ([]Delta, error) {
	m, err := openDeltas(b)
	if err != nil {
		return nil, err
	}
	if m.kind != runKind {
		d, err := m.single()
		if err != nil {
			return nil, err
		}
		return []Delta{d}, nil
	}
	run, err := m.run()
	if err != nil {
		return nil, err
	}
	if err := validRun(run); err != nil {
		return nil, &CorruptError{What: "delta", Reason: err.Error(), Err: err}
	}
	bodies := 0
	for i := range run {
		bodies += len(run[i].Body)
	}
	for i := range run {
		d := &run[i]
		d.Run, d.Share = len(run), len(d.Body)+(len(b)-bodies)/len(run)
	}
	return run, nil
}

// run decodes the rest of a message with several deltas.
func (m *deltaMessage) run() (run []Delta, err error) {
	r, f, d := m.r, m.f, m.head
	if m.version != runVersion {
		r.fail("deltas of version %d", m.version)
	}
	last := f.uint("tick")
	d.Tick = f.uint("from")
	n := f.array("deltas", MaxRun)
	if first := d.Tick; r.err == nil && (first == 0 || first > last || last-first != uint64(n)-1) {
		r.fail("%d deltas from tick %d to %d", n, first, last)
	}
	run = make([]Delta, 0, min(n, r.src.Len()/minElement))
	for ; n > 0 && r.err == nil; n-- {
		e := r.fields()
		if len(run) == 0 {
			d.RecordSeq = Seq(e.uint("record"))
		} else if e.has("record") {
			d.RecordSeq = Seq(r.readUint())
		}
		d.Checksum = e.uint("check")
		if len(run) == 0 {
			d.Group = e.uint("group")
		} else if e.has("group") {
			d.Group = r.readUint()
		}
		d.Size = e.count("size", maxContentBytes)
		d.Body = e.bin("zstd", MaxRunBytes)
		e.end()
		run = append(run, d)
		d.Tick++
	}
	return run, r.close(f)
}
