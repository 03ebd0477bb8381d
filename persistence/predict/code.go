package predict

import (
	"errors"
	"fmt"
)

// MaxBody is the size of the largest body that a Reader returns.
const MaxBody = 64 << 20

// Forms of a content.
const (
	formBody    = 0 // the body unchanged
	formColumns = 1 // predicted
)

// Writer encodes bodies of consecutive ticks as contents. Call Begin first. Not safe for concurrent use.
type Writer struct {
	layout *Layout // of the game
	plan   *Layout // of this group
	memory memory
	body   body
	chosen choice
	begun  bool // the plan is written
	ticks  int
	slots  []int32
	rest   []byte // residuals: values minus predictions
	ops    []byte
}

var noLayout Layout

// Begin begins a group. With a nil layout the game's types are unknown, and bodies are stored unchanged.
func (w *Writer) Begin(l *Layout) {
	if l == nil || l.count() > maxWords {
		l = &noLayout
	}
	if l != w.layout {
		w.layout, w.plan = l, l.planned()
		w.chosen = newChoice(l)
	} else if !l.chosen {
		w.chosen.settle(w.plan)
	}
	w.begun, w.ticks = false, 0
	w.memory.begin(w.plan)
}

// Append appends to dst the content of the group's next body b, with the tick and checksum of its envelope.
func (w *Writer) Append(dst, b []byte, tick, checksum uint64) []byte {
	if !w.begun {
		dst = w.plan.appendTo(dst)
		w.begun = true
	}
	d := &w.body
	if len(w.layout.columns) == 0 || d.parse(w.layout, b) != nil || d.tick != tick || d.checksum != checksum {
		return append(append(dst, formBody), b...)
	}
	w.ticks++
	sampled := w.ticks%sampleEvery == 0 && !w.layout.chosen
	if sampled {
		w.chosen.costs(&w.memory, d)
	}
	dst = append(dst, formColumns)
	dst = appendUvarint(dst, uint64(d.tableN))
	dst = appendPlanes(dst, d.tables, (len(w.layout.columns)+7)/8)
	dst = appendOps(dst, d.ops, &w.ops)
	dst = append(appendUvarint(dst, uint64(len(d.sessions))), d.sessions...)
	dst = append(dst, d.resources...)
	dst = w.columns(dst, d)
	if sampled {
		w.chosen.sums(&w.memory, d)
	}
	return dst
}

// columns appends the components. It codes all other words before the sums, which depend on them.
func (w *Writer) columns(dst []byte, d *body) []byte {
	w.rest = w.rest[:0]
	for i := range d.columns {
		w.rest = append(w.rest, d.columns[i].values...)
	}
	w.slots = w.memory.code(w.plan, d.columns, w.slots[:0], w.rest, encode)
	rest := w.rest
	for i := range d.columns {
		p := &d.columns[i]
		dst = appendUvarint(dst, uint64(p.component)+1)
		dst = appendUvarint(dst, uint64(len(p.ids)))
		dst = append(dst, p.idBytes...)
		dst = appendPlanes(dst, rest[:len(p.values)], w.plan.columns[p.component].packed)
		rest = rest[len(p.values):]
	}
	return append(dst, 0)
}

// Reader decodes contents to bodies. Call Begin first. Not safe for concurrent use.
type Reader struct {
	plan   *Layout // nil before the group's first content
	memory memory
	body   body
	slots  []int32
	values []byte
	ops    []byte
}

// Begin begins a group.
func (r *Reader) Begin() { r.plan = nil }

// Layout returns the layout of the group's bodies, nil before its first content. All bodies of a group share one *Layout.
func (r *Reader) Layout() *Layout { return r.plan }

// Append appends to dst the body of the group's next content, with the tick and checksum of its envelope. After an error
// the rest of the group cannot be read.
func (r *Reader) Append(dst, content []byte, tick, checksum uint64) ([]byte, error) {
	dst, err := r.append(dst, content, tick, checksum)
	if err != nil {
		return dst, fmt.Errorf("its content: %w", err)
	}
	return dst, nil
}

func (r *Reader) append(dst, content []byte, tick, checksum uint64) ([]byte, error) {
	in := &reader{b: content}
	if r.plan == nil {
		plan, err := readLayout(in)
		if err != nil {
			return dst, err
		}
		r.plan = plan
		r.memory.begin(plan)
	}
	switch in.byte() {
	case formBody:
		return append(dst, in.b...), in.err
	case formColumns:
	default:
		in.fail(errors.New("its form is unknown"))
		return dst, in.err
	}
	d := &r.body
	d.tick, d.checksum = tick, checksum
	d.tableN = in.count(1)
	width := (len(r.plan.columns) + 7) / 8
	d.tables = fromPlanes(d.tables[:0], in.take(d.tableN*width), width)
	d.ops = readOps(in, d.ops, &r.ops)
	d.sessions = in.take(in.count(1))
	d.resources = readResources(in, r.plan)
	r.columns(in, d)
	if in.err == nil && len(in.b) > 0 {
		in.fail(errors.New("it has bytes after its end"))
	}
	if in.err == nil && d.size(len(r.plan.columns)) > MaxBody {
		in.fail(errNumber)
	}
	if in.err != nil {
		return dst, in.err
	}
	return d.append(dst, len(r.plan.columns)), nil
}

// size returns an upper bound of the bytes that append appends.
func (d *body) size(components int) int {
	n := 64 + d.tableN*(2*components+5) + len(d.ops)*16 + len(d.sessions) + len(d.resources)
	for i := range d.columns {
		n += 16 + len(d.columns[i].values) + len(d.columns[i].idBytes)
	}
	return n
}

// columns reads what Writer.columns wrote.
func (r *Reader) columns(in *reader, d *body) {
	d.columns, r.slots, r.values = d.columns[:0], r.slots[:0], r.values[:0]
	for k := in.below(len(r.plan.columns) + 1); k > 0; k = in.below(len(r.plan.columns) + 1) {
		p := d.nextPart(in, k-1)
		packed := r.plan.columns[k-1].packed
		n := in.count(packed + 1)
		p.readIDs(in, n)
		planes := in.take(n * packed)
		if in.err != nil {
			return
		}
		r.values = fromPlanes(r.values, planes, packed)
	}
	r.slots = r.memory.code(r.plan, d.columns, r.slots, r.values, decode)
	at := 0
	for i := range d.columns {
		p := &d.columns[i]
		n := len(p.ids) * r.plan.columns[p.component].packed
		p.values = r.values[at:][:n]
		at += n
	}
}
