package ecs

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Delta is what one tick changed. Applied to the world before the tick, it gives the world after it: the same values,
// the same rows in the same order, the same free slots. It refers to the world's own memory: valid until the next Step
// or Apply unless cloned. FORMAT.md specifies the bytes.
type Delta struct {
	Tick     uint64
	Checksum uint64 // of the world after the tick
	changes  *changes
	encoded  []byte // of a clone
	counts   []int  // of a clone
}

func (w *World) delta(checksum uint64) Delta {
	c := &w.changes
	c.tables = c.tables[:0]
	for _, t := range c.newTables {
		c.tables = appendUvarint(c.tables, uint64(len(t.columns)))
		for i := range t.columns {
			c.tables = appendUvarint(c.tables, uint64(t.columns[i].c.id))
		}
	}
	c.sessions = w.sessions.appendChanges(c.sessions[:0])
	return Delta{Tick: w.tick, Checksum: checksum, changes: c}
}

// AppendTo appends the delta's bytes.
func (d Delta) AppendTo(b []byte) []byte {
	if d.changes == nil {
		return append(b, d.encoded...)
	}
	c := d.changes
	b = appendUvarint(b, d.Tick)
	b = binary.LittleEndian.AppendUint64(b, d.Checksum)
	b = appendUvarint(b, uint64(len(c.newTables)))
	b = append(b, c.tables...)
	b = appendUvarint(b, uint64(c.opCount))
	b = appendBytes(b, c.ops)
	b = appendBytes(b, c.sessions)
	b = append(b, c.resources...)
	b = append(b, 0)
	for i := range c.columns {
		if c.columns[i].count > 0 {
			b = appendUvarint(b, uint64(i)+1)
			b = c.columns[i].append(b)
		}
	}
	return append(b, 0)
}

// append appends the number of values, the values, and their entities' ids as zigzag varints of the differences.
func (c *columnChanges) append(b []byte) []byte {
	b = appendUvarint(b, uint64(c.count))
	for i := range c.blocks {
		b = c.blocks[i].appendValues(b)
	}
	last := uint32(0)
	for i := range c.blocks {
		b, last = c.blocks[i].appendIDs(b, last)
	}
	return b
}

func (k *block) appendValues(b []byte) []byte {
	c := &k.t.columns[k.column]
	for rows, i := k.changed, int(k.first); rows != 0; {
		skip := bits.TrailingZeros64(rows)
		rows >>= skip
		i += skip
		run := bits.TrailingZeros64(^rows)
		b = c.c.pack(b, c.committed(i), run)
		rows >>= run
		i += run
	}
	return b
}

// maxID is the length of the longest encoded id.
const maxID = 5

func (k *block) appendIDs(b []byte, last uint32) ([]byte, uint32) {
	b = slices.Grow(b, rowsPerBlock*maxID)
	out := (*[rowsPerBlock * maxID]byte)(b[len(b):cap(b)])
	n := 0
	for rows, i := k.changed, int(k.first); rows != 0; {
		skip := bits.TrailingZeros64(rows)
		rows >>= skip
		i += skip
		run := bits.TrailingZeros64(^rows)
		for _, e := range k.t.entities[i : i+run] {
			z := zigzag(e.id - last)
			last = e.id
			if z < 0x80 {
				out[n] = byte(z)
				n++
				continue
			}
			for ; z >= 0x80; z >>= 7 {
				out[n] = byte(z) | 0x80
				n++
			}
			out[n] = byte(z)
			n++
		}
		rows >>= run
		i += run
	}
	return b[:len(b)+n], last
}

// Size returns an upper bound on the number of bytes that AppendTo appends, at most a few bytes per value too high.
func (d Delta) Size() int {
	if d.changes == nil {
		return len(d.encoded)
	}
	c := d.changes
	n := 64 + len(c.tables) + len(c.ops) + len(c.sessions) + len(c.resources)
	for i := range c.columns {
		if x := &c.columns[i]; x.count > 0 {
			k := &x.blocks[0]
			n += 16 + x.count*(5+k.t.columns[k.column].c.Packed)
		}
	}
	return n
}

// Changed returns the number of changed values of a component, by its index in the schema. A new entity counts if its
// value is not zero.
func (d Delta) Changed(component int) int {
	if d.changes == nil {
		return d.counts[component]
	}
	return d.changes.columns[component].count
}

// Clone returns a copy of the delta that outlives the next Step.
func (d Delta) Clone() Delta {
	if d.changes == nil {
		return d
	}
	c := Delta{Tick: d.Tick, Checksum: d.Checksum, encoded: d.AppendTo(nil)}
	for i := range d.changes.columns {
		c.counts = append(c.counts, d.changes.columns[i].count)
	}
	return c
}
