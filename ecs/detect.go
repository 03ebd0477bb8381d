package ecs

import (
	"bytes"
	"math/bits"
	"unsafe"
)

// changes collects what a tick changes, for its delta.
type changes struct {
	newTables []*Table
	tables    []byte // their components
	ops       []byte // structural operations, in order
	opCount   int
	sessions  []byte
	resources []byte          // index+1 and packed value of each changed resource
	columns   []columnChanges // by component
}

// columnChanges records which values of a component changed. The values themselves stay among the committed ones.
type columnChanges struct {
	count  int
	blocks []block
}

// block is up to 64 rows of a column.
type block struct {
	t       *Table
	column  int32
	first   int32
	changed uint64 // bit i: row first+i
}

// rowsPerBlock is how many rows are compared at once, before any is compared alone.
const rowsPerBlock = 64

func (c *changes) begin() {
	c.newTables, c.ops, c.opCount = c.newTables[:0], c.ops[:0], 0
	for i := range c.columns {
		d := &c.columns[i]
		d.count, d.blocks = 0, d.blocks[:0]
	}
	c.resources = c.resources[:0]
}

// detect compares every column that may have been written with its committed values, then updates those, the checksum
// and the delta. It also makes all NaNs canonical.
func (w *World) detect() {
	for t := range w.eachInhabited {
		for i := range t.columns {
			c := &t.columns[i]
			if !c.touched {
				continue
			}
			c.touched = false
			if c.compared() {
				w.valueSum += c.detect(&w.changes.columns[c.c.id], t, i)
			}
		}
	}
	for i, r := range w.resources {
		w.detectResource(i, r)
	}
}

// detect commits a column's changes and returns the change in the checksum.
func (c *column) detect(d *columnChanges, t *Table, index int) (sum uint64) {
	n, size := len(t.entities), c.c.Size
	for s := 0; s < n; s += rowsPerBlock {
		e := min(s+rowsPerBlock, n)
		live, old := bytesAt(c.at(s), (e-s)*size), c.old[s*size:e*size]
		if bytes.Equal(live, old) {
			continue
		}
		var rows, change uint64
		if size == 16 && c.c.mask == nil {
			rows, change = c.commit16(t.entities, s, e)
		} else {
			rows, change = c.commit(t.entities, s, e)
		}
		if rows == 0 {
			continue
		}
		sum += change
		d.count += bits.OnesCount64(rows)
		d.blocks = append(d.blocks, block{t, int32(index), int32(s), rows})
	}
	return sum
}

// commit compares the rows s to e one by one.
func (c *column) commit(entities []Entity, s, e int) (rows, sum uint64) {
	f := &c.c.form
	for i := s; i < e; i++ {
		live, old := c.at(i), c.committed(i)
		if f.equal(live, old) {
			continue
		}
		if len(f.floats) > 0 {
			if f.canonical(live); f.equal(live, old) {
				continue
			}
		}
		sum += f.hash(entities[i], live) - f.hash(entities[i], old)
		copy(bytesAt(old, f.Size), bytesAt(live, f.Size))
		rows |= 1 << (i - s)
	}
	return rows, sum
}

type words2 [2]uint64

// commit16 is commit for the most common column: two words without padding, such as a Position.
func (c *column) commit16(entities []Entity, s, e int) (rows, sum uint64) {
	f := &c.c.form
	live := unsafe.Slice((*words2)(c.at(s)), e-s)
	old := unsafe.Slice((*words2)(c.committed(s)), e-s)
	keys := unsafe.Slice((*uint64)(unsafe.Pointer(&entities[s])), e-s) // Entity.key of each
	rows, sum, special := compare16(live, old, keys, f)
	if special {
		for i := range live {
			f.canonical(unsafe.Pointer(&live[i]))
		}
		rows, sum, _ = compare16(live, old, keys, f)
	}
	copy(old, live)
	return rows, sum
}

// compare16 finds the rows that differ and their change in the checksum, and reports whether any may be a NaN.
func compare16(live, old []words2, keys []uint64, f *form) (rows, sum uint64, special bool) {
	old, keys = old[:len(live)], keys[:len(live)]
	seed, exponents, ones := f.seed, f.exponents, f.exponentOnes
	var carries uint64
	for i := range live {
		x0, x1, y0, y1 := live[i][0], live[i][1], old[i][0], old[i][1]
		if x0 == y0 && x1 == y1 {
			continue
		}
		rows |= 1 << (i & 63)
		carries |= (x0&exponents + ones) | (x1&exponents + ones)
		h := (keys[i] ^ seed) * k0
		sum += mum(x0^h, x1^k1) - mum(y0^h, y1^k1)
	}
	return rows, sum, carries&f.exponentCarries != 0
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

func zigzag(d uint32) uint32   { return d<<1 ^ uint32(int32(d)>>31) }
func unzigzag(z uint32) uint32 { return z>>1 ^ -(z & 1) }
