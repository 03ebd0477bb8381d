package ecs

import (
	"bytes"
	"unsafe"
)

// changes gathers what a tick changes, for its delta.
type changes struct {
	newTables []*Table
	tables    []byte // their components
	ops       []byte // structural operations, in order
	opCount   int
	sessions  []byte
	resources []byte        // index+1 and packed value of each changed resource
	columns   []ColumnDelta // by component
}

func (c *changes) begin() {
	c.newTables, c.ops, c.opCount = c.newTables[:0], c.ops[:0], 0
	for i := range c.columns {
		d := &c.columns[i]
		d.Count, d.IDs, d.Values, d.last = 0, d.IDs[:0], d.Values[:0], 0
	}
	c.resources = c.resources[:0]
}

// ColumnDelta holds the values of one component that changed. Values[i*Packed:] belongs to the i-th entity.
type ColumnDelta struct {
	Component int    // index in Schema.Components
	Count     int    // values
	IDs       []byte // entity ids: zigzag varints of their differences, from 0
	Values    []byte // packed
	last      uint32
}

// rowsPerBlock is how many rows are compared at once before they are looked at one by one.
const rowsPerBlock = 64

// detect compares every column that may have been written with its committed values, and brings those, the
// checksum and the delta up to date. NaNs become the one NaN on the way.
func (w *World) detect() {
	for _, t := range w.tables {
		if len(t.entities) == 0 {
			continue
		}
		for i := range t.columns {
			c := &t.columns[i]
			if !c.touched {
				continue
			}
			c.touched = false
			if !c.compared() {
				continue
			}
			d := &w.changes.columns[c.c.id]
			if c.c.mask == nil && c.c.Size == 16 {
				w.valueSum += detect16(d, c, t.entities)
			} else {
				w.valueSum += detectAny(d, c, t.entities)
			}
		}
	}
	for i, r := range w.resources {
		w.detectResource(i, r)
	}
}

func (w *World) detectResource(i int, r *resource) {
	f := r.form
	if f.Transient || f.Size == 0 || f.equal(r.live, r.old) {
		return
	}
	f.canonical(r.live)
	if f.equal(r.live, r.old) {
		return
	}
	w.valueSum += f.hash(Entity{}, r.live) - f.hash(Entity{}, r.old)
	copy(bytesAt(r.old, f.Size), bytesAt(r.live, f.Size))
	w.changes.resources = appendUvarint(w.changes.resources, uint64(i)+1)
	w.changes.resources = f.pack(w.changes.resources, r.live, 1)
}

// id appends an entity's id.
func (d *ColumnDelta) id(id uint32) {
	d.IDs = appendUvarint(d.IDs, uint64(zigzag(id-d.last)))
	d.last = id
}

func zigzag(d uint32) uint32   { return d<<1 ^ uint32(int32(d)>>31) }
func unzigzag(z uint32) uint32 { return z>>1 ^ -(z & 1) }

// detectAny serves columns of any size.
func detectAny(d *ColumnDelta, c *column, entities []Entity) (sum uint64) {
	n, size, f := len(entities), c.c.Size, &c.c.form
	for s := 0; s < n; s += rowsPerBlock {
		e := min(s+rowsPerBlock, n)
		if bytes.Equal(bytesAt(c.at(s), (e-s)*size), c.old[s*size:e*size]) {
			continue
		}
		for i := s; i < e; i++ {
			live, old := c.at(i), c.committed(i)
			if f.equal(live, old) {
				continue
			}
			if f.canonical(live); f.equal(live, old) {
				continue
			}
			sum += f.hash(entities[i], live) - f.hash(entities[i], old)
			copy(bytesAt(old, size), bytesAt(live, size))
			d.Values = f.pack(d.Values, live, 1)
			d.id(entities[i].id)
			d.Count++
		}
	}
	return sum
}

type words2 [2]uint64

// detect16 is detectAny for the commonest column, two words without padding, such as a Position.
func detect16(d *ColumnDelta, c *column, entities []Entity) (sum uint64) {
	n, f := len(entities), &c.c.form
	d.Values = reserve(d.Values, n*16)
	d.IDs = reserve(d.IDs, n*5)
	live := unsafe.Slice((*words2)(c.live), n)
	old := unsafe.Slice((*words2)(unsafe.Pointer(&c.old[0])), n)
	values := unsafe.Slice((*words2)(unsafe.Pointer(unsafe.SliceData(d.Values[len(d.Values):cap(d.Values)][:n*16]))), n)
	ids := d.IDs[:cap(d.IDs)]
	ni, last, k := len(d.IDs), d.last, 0
	seed, floats := f.seed, len(f.floats) > 0
	for s := 0; s < n; s += rowsPerBlock {
		e := min(s+rowsPerBlock, n)
		if bytes.Equal(bytesAt(unsafe.Pointer(&live[s]), (e-s)*16), bytesAt(unsafe.Pointer(&old[s]), (e-s)*16)) {
			continue
		}
		a, b, es := live[s:e], old[s:e], entities[s:e]
		b, es = b[:len(a)], es[:len(a)]
		for i := range a {
			x, y := a[i], b[i]
			if x == y {
				continue
			}
			if floats && (maybeNaN(x[0]) || maybeNaN(x[1])) {
				f.canonical(unsafe.Pointer(&a[i]))
				if x = a[i]; x == y {
					continue
				}
			}
			h := mum(es[i].key()^seed, k0)
			sum += mum(x[0]^h, x[1]^k1) - mum(y[0]^h, y[1]^k1)
			b[i] = x
			values[k] = x
			k++
			z := zigzag(es[i].id - last)
			last = es[i].id
			for z >= 0x80 {
				ids[ni] = byte(z) | 0x80
				ni++
				z >>= 7
			}
			ids[ni] = byte(z)
			ni++
		}
	}
	d.IDs, d.Values, d.last = ids[:ni], d.Values[:len(d.Values)+k*16], last
	d.Count += k
	return sum
}

// maybeNaN reports whether a word can hold a NaN of either width. A hit costs time, nothing else.
func maybeNaN(x uint64) bool {
	const e64, e32 = 0x7FF << 52, 0xFF << 23
	return x&e64 == e64 || x&e32 == e32
}

// reserve makes room for n more bytes.
func reserve(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, len(b)+n+n/2), b...)
}
