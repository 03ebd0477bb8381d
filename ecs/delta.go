package ecs

import (
	"encoding/binary"
	"slices"
)

// Delta is what one tick changed. Applied to the world before it, it gives the world after it: the same
// values, the same rows in the same order, the same free slots. It reads the world's own memory: valid until
// the next Step or Apply, unless cloned. The bytes are specified in FORMAT.md.
type Delta struct {
	Tick     uint64
	Checksum uint64 // of the world after the tick
	Columns  []ColumnDelta
	changes  *changes
	encoded  []byte // of a clone
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
	return Delta{Tick: w.tick, Checksum: checksum, Columns: c.columns, changes: c}
}

// AppendTo appends the delta's bytes.
func (d Delta) AppendTo(b []byte) []byte {
	if d.encoded != nil || d.changes == nil {
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
	for i := range d.Columns {
		x := &d.Columns[i]
		if x.Count == 0 {
			continue
		}
		b = appendUvarint(b, uint64(i)+1)
		b = appendUvarint(b, uint64(x.Count))
		b = appendBytes(b, x.IDs)
		b = append(b, x.Values...)
	}
	return append(b, 0)
}

// Size is the number of bytes that AppendTo appends, within a few.
func (d Delta) Size() int {
	if d.encoded != nil || d.changes == nil {
		return len(d.encoded)
	}
	c := d.changes
	n := 32 + len(c.tables) + len(c.ops) + len(c.sessions) + len(c.resources)
	for i := range d.Columns {
		if x := &d.Columns[i]; x.Count > 0 {
			n += 12 + len(x.IDs) + len(x.Values)
		}
	}
	return n
}

// Clone copies the delta, so that it outlives the next Step.
func (d Delta) Clone() Delta {
	if d.encoded == nil && d.changes != nil {
		d.encoded = d.AppendTo(make([]byte, 0, d.Size()))
	}
	d.changes = nil
	d.Columns = slices.Clone(d.Columns)
	for i := range d.Columns {
		d.Columns[i].IDs = slices.Clone(d.Columns[i].IDs)
		d.Columns[i].Values = slices.Clone(d.Columns[i].Values)
	}
	return d
}
