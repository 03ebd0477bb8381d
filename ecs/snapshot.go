package ecs

import (
	"encoding/binary"
)

// snapshotMagic starts a snapshot; the next byte is the version.
const (
	snapshotMagic   = "WSNP"
	snapshotVersion = 1
)

// AppendSnapshot appends the whole world in the format of FORMAT.md, for Restore: everything that the checksum covers,
// with seed and options. It panics on a poisoned world.
func (w *World) AppendSnapshot(b []byte) []byte {
	w.mustWork("AppendSnapshot")
	b = append(b, snapshotMagic...)
	b = append(b, snapshotVersion)
	b = binary.LittleEndian.AppendUint64(b, w.Checksum())
	b = binary.LittleEndian.AppendUint64(b, w.seed)
	b = appendString(b, w.game.Name)
	b = appendBytes(b, w.options)
	b = appendUvarint(b, w.tick)
	b = w.appendTypes(b)
	b = w.pool.append(b)
	b = appendUvarint(b, uint64(len(w.tables)))
	for _, t := range w.tables {
		b = t.append(b)
	}
	for _, r := range w.resources {
		if !r.form.Transient {
			b = r.form.pack(b, r.live, 1)
		}
	}
	return w.sessions.appendAll(b)
}

// appendTypes appends the names and layouts to which the rest refers by number: components, then resources, then
// sampled commands.
func (w *World) appendTypes(b []byte) []byte {
	b = appendUvarint(b, uint64(len(w.components)))
	for _, c := range w.components {
		b = c.appendName(b)
	}
	b = appendUvarint(b, uint64(len(w.resources)))
	for _, r := range w.resources {
		b = r.form.appendName(b)
	}
	b = appendUvarint(b, uint64(len(w.sampled)))
	for _, h := range w.sampled {
		b = h.f.appendName(b)
	}
	return b
}

// appendName appends the name, whether the type is transient, the length and the layout.
func (f *form) appendName(b []byte) []byte {
	b = appendString(b, f.Name)
	b = append(b, boolByte(f.Transient))
	b = appendUvarint(b, uint64(f.Packed))
	return binary.LittleEndian.AppendUint64(b, f.layout())
}

// layout returns a hash of what the packed bytes mean: the fields' paths, kinds and counts.
func (f *form) layout() uint64 {
	h := uint64(k3)
	for i := range f.Fields {
		d := &f.Fields[i]
		h = mum(stringHash(h, d.Path)^uint64(d.Kind), uint64(d.Count)<<32^uint64(d.Width)^k1)
	}
	return h
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// append appends the generations of all slots, then the free slots from the top of their stack.
func (p *pool) append(b []byte) []byte {
	b = appendUvarint(b, uint64(len(p.slots)-1))
	for _, s := range p.slots[1:] {
		b = appendUvarint(b, uint64(s.gen))
	}
	b = appendUvarint(b, uint64(p.free))
	for slot, n := p.next, p.free; n > 0; n-- {
		b = appendUvarint(b, uint64(slot))
		slot = p.slots[slot].id
	}
	return b
}

// append appends the components, the entities by row and the values by column.
func (t *Table) append(b []byte) []byte {
	b = appendUvarint(b, uint64(len(t.columns)))
	for i := range t.columns {
		b = appendUvarint(b, uint64(t.columns[i].c.id))
	}
	b = appendUvarint(b, uint64(len(t.entities)))
	last := uint32(0)
	for _, e := range t.entities {
		b = appendUvarint(b, uint64(zigzag(e.id-last)))
		last = e.id
	}
	for i := range t.columns {
		if c := &t.columns[i]; !c.c.Transient && len(t.entities) > 0 {
			b = c.c.pack(b, c.live, len(t.entities))
		}
	}
	return b
}
