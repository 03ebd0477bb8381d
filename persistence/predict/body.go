package predict

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// body is a parsed delta body (ecs/FORMAT.md, Delta). Its slices alias the bytes that it was parsed from.
type body struct {
	tick      uint64
	checksum  uint64
	tables    []byte // sets of components, each with one bit per component, lowest bit first
	tableN    int
	ops       []op
	sessions  []byte
	resources []byte // including the final 0
	columns   []part
}

// op is a structural operation. The meaning of a and b depends on its kind.
type op struct {
	kind byte
	id   uint32
	a, b uint32 // generation and table of a spawn; a is the component of an add or a remove
}

// Kinds of operations, as in ecs/FORMAT.md.
const (
	opSpawn    = 0
	opDespawn  = 1
	opAdd      = 2
	opRemove   = 3
	opGiveBack = 5
)

// part is a component's share of a delta.
type part struct {
	component int
	ids       []uint32
	idBytes   []byte // the ids as encoded
	known     []byte // a copy of the encoded ids that were last decoded into ids
	values    []byte
}

var errBody = errors.New("it is not a delta of this layout")

// parse parses a body. It accepts only bodies that append reproduces byte for byte.
func (d *body) parse(l *Layout, b []byte) error {
	r := &reader{b: b}
	d.tick = r.uvarint()
	if c := r.take(8); c != nil {
		d.checksum = binary.LittleEndian.Uint64(c)
	}
	d.parseTables(r, len(l.columns))
	d.parseOps(r)
	d.sessions = r.take(r.count(1))
	d.resources = readResources(r, l)
	d.columns = d.columns[:0]
	for k := r.below(len(l.columns) + 1); k > 0; k = r.below(len(l.columns) + 1) {
		p := d.nextPart(r, k-1)
		n := r.count(l.columns[k-1].packed + 1)
		p.values = r.take(n * l.columns[k-1].packed)
		p.readIDs(r, n)
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail(errBody)
	}
	return r.err
}

// nextPart returns a new part, in reused memory if possible. Components must ascend.
func (d *body) nextPart(r *reader, component int) *part {
	if n := len(d.columns); n > 0 && component <= d.columns[n-1].component {
		r.fail(errBody)
	}
	if n := len(d.columns); n < cap(d.columns) {
		d.columns = d.columns[:n+1]
	} else {
		d.columns = append(d.columns, part{})
	}
	p := &d.columns[len(d.columns)-1]
	p.component = component
	return p
}

// readIDs reads the ids of n entities.
func (p *part) readIDs(r *reader, n int) {
	from := r.b
	if n > 0 && n == len(p.ids) && bytes.HasPrefix(from, p.known) { // the same entities as in the previous body
		p.idBytes, r.b = from[:len(p.known)], from[len(p.known):]
		return
	}
	p.ids, p.known = slices.Grow(p.ids[:0], n), p.known[:0]
	id := uint32(0)
	for range n {
		if len(r.b) > 0 && r.b[0] < 0x80 { // the usual case
			id += unzigzag32(uint32(r.b[0]))
			r.b = r.b[1:]
		} else {
			id += unzigzag32(r.uint32())
		}
		p.ids = append(p.ids, id)
	}
	if r.err != nil {
		p.ids = p.ids[:0]
		return
	}
	p.idBytes = from[:len(from)-len(r.b)]
	p.known = append(p.known, p.idBytes...)
}

func (d *body) parseTables(r *reader, components int) {
	width := (components + 7) / 8
	d.tables, d.tableN = d.tables[:0], r.count(1)
	for range d.tableN {
		at := len(d.tables)
		d.tables = append(d.tables, make([]byte, width)...)
		last := -1
		for range r.count(1) {
			c := r.below(components)
			if c <= last {
				r.fail(errBody)
			}
			if r.err != nil {
				return
			}
			d.tables[at+c/8] |= 1 << (c % 8)
			last = c
		}
	}
}

func (d *body) parseOps(r *reader) {
	n := r.below(1 << 31)
	ops := &reader{b: r.take(r.count(1))}
	d.ops = d.ops[:0]
	for ; n > 0 && ops.err == nil && r.err == nil; n-- {
		o := op{kind: ops.byte(), id: ops.uint32()}
		switch o.kind {
		case opSpawn:
			o.a, o.b = ops.uint32(), ops.uint32()
		case opAdd, opRemove:
			o.a = uint32(ops.below(1 << 16))
		case opDespawn, opGiveBack:
		default:
			ops.fail(errBody)
		}
		d.ops = append(d.ops, o)
	}
	if ops.err != nil || len(ops.b) > 0 {
		r.fail(errBody)
	}
}

// readResources returns the resources' bytes unchanged, including the final 0.
func readResources(r *reader, l *Layout) []byte {
	from := r.b
	for k := r.below(len(l.resources) + 1); k > 0; k = r.below(len(l.resources) + 1) {
		r.take(l.resources[k-1])
	}
	if r.err != nil {
		return nil
	}
	return from[:len(from)-len(r.b)]
}

// append is the inverse of parse.
func (d *body) append(b []byte, components int) []byte {
	b = appendUvarint(b, d.tick)
	b = binary.LittleEndian.AppendUint64(b, d.checksum)
	b = appendUvarint(b, uint64(d.tableN))
	width := (components + 7) / 8
	var set []byte
	for i := range d.tableN {
		bits, n := d.tables[i*width:][:width], 0
		set = set[:0]
		for c := range components {
			if bits[c/8]>>(c%8)&1 != 0 {
				set = appendUvarint(set, uint64(c))
				n++
			}
		}
		b = append(appendUvarint(b, uint64(n)), set...)
	}
	b = appendUvarint(b, uint64(len(d.ops)))
	var ops []byte
	for _, o := range d.ops {
		ops = appendUvarint(append(ops, o.kind), uint64(o.id))
		switch o.kind {
		case opSpawn:
			ops = appendUvarint(appendUvarint(ops, uint64(o.a)), uint64(o.b))
		case opAdd, opRemove:
			ops = appendUvarint(ops, uint64(o.a))
		}
	}
	b = append(appendUvarint(b, uint64(len(ops))), ops...)
	b = append(appendUvarint(b, uint64(len(d.sessions))), d.sessions...)
	b = append(b, d.resources...)
	for i := range d.columns {
		p := &d.columns[i]
		b = appendUvarint(b, uint64(p.component)+1)
		b = appendUvarint(b, uint64(len(p.ids)))
		b = append(b, p.values...)
		b = append(b, p.idBytes...)
	}
	return append(b, 0)
}
