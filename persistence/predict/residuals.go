package predict

import (
	"encoding/binary"
	"slices"
)

// way is the direction of coding: values to residuals, or back.
type way uint8

const (
	encode way = iota
	decode
)

// code turns the values of all parts, one after the other, into residuals or back, and remembers them as the last values.
// It codes the sums last, since they depend on the other words. It appends the slots of the rows to slots.
func (m *memory) code(l *Layout, parts []part, slots []int32, values []byte, to way) []int32 {
	from := len(slots)
	rest := values
	m.orders = m.orders[:0]
	for i := range parts {
		p := &parts[i]
		c, k := &l.columns[p.component], &m.columns[p.component]
		at := len(slots)
		var are order
		slots, are = m.slotsOf(p, slots)
		m.orders = append(m.orders, are)
		k.code(c, slots[at:], are, rest[:len(p.ids)*c.packed], to)
		if !c.sums {
			k.given(slots[at:])
		}
		rest = rest[len(p.ids)*c.packed:]
	}
	m.codeSums(l, parts, slots[from:], values, to)
	return slots
}

// order says how the slots of a part are.
type order uint8

const (
	scattered   order = iota
	consecutive       // one after the other, each with the two values that a prediction may need
	incomplete        // some rows have no slot
)

// slotsOf appends the slots of a part's rows to slots. It adds those that are missing.
func (m *memory) slotsOf(p *part, slots []int32) ([]int32, order) {
	k, at := &m.columns[p.component], len(slots)
	are, runs := scattered, 0
	for len(slots) < at+len(p.ids) {
		slot := m.slot(p.component, p.ids[len(slots)-at])
		if slot < 0 {
			are = incomplete
		}
		slots = append(slots, slot)
		slots = k.run(p.ids[len(slots)-at:], slots)
		runs++
	}
	if are == scattered && runs == 1 && k.young == 0 {
		are = consecutive
	}
	return slots, are
}

// code codes rows of a part, all words but the sums. given must follow once all rows of the part are coded.
func (k *known) code(c *column, slots []int32, are order, values []byte, to way) {
	for j := range c.words {
		switch w := &c.words[j]; {
		case w.how == sum:
		case w.width == 8 && w.how != asIs && are == consecutive && to == encode:
			k.encode8(int(slots[0]), w, values)
		case w.width == 8 && w.how != asIs && are != incomplete:
			k.code8(slots, w, values, to)
		default:
			k.codeWord(slots, w, values, to)
		}
	}
}

// codeSums is code for the sums.
func (m *memory) codeSums(l *Layout, parts []part, slots []int32, values []byte, to way) {
	for i := range parts {
		p := &parts[i]
		c, k := &l.columns[p.component], &m.columns[p.component]
		if c.sums {
			for j := range c.words {
				w := &c.words[j]
				switch {
				case w.how != sum:
				case w.width == 8 && to == encode && m.orders[i] == consecutive && m.without(w.sources):
					k.encode8(int(slots[0]), w, values[:len(p.ids)*c.packed])
				case w.width == 8 && to == encode && len(w.sources) > 0:
					m.encodeSum8(p, slots, w, values)
				default:
					for row, id := range p.ids {
						k.one(slots[row], w, values[row*c.packed+w.at:], m.summed(p.component, slots[row], id, w), to)
					}
				}
			}
			k.given(slots[:len(p.ids)])
		}
		slots, values = slots[len(p.ids):], values[len(p.ids)*c.packed:]
	}
}

// without reports whether no entity has a value of any source.
func (m *memory) without(sources []source) bool {
	return !slices.ContainsFunc(sources, func(s source) bool { return len(m.columns[s.component].ids) > 0 })
}

// encodeSum8 is codeSums for a word of 8 bytes. The first source is the usual one.
func (m *memory) encodeSum8(p *part, slots []int32, w *word, values []byte) {
	k := &m.columns[p.component]
	s := w.sources[0]
	from := &m.columns[s.component]
	for row, id := range p.ids {
		slot := slots[row]
		b := values[row*k.packed+w.at:][:8]
		other := slot
		if s.component != p.component {
			other = from.find(id)
		}
		if slot < 0 || other < 0 || k.times[slot] == 0 {
			k.one(slot, w, b, m.summed(p.component, slot, id, w), encode)
			continue
		}
		at := int(slot)*k.packed + w.at
		last, before := k.last[at:][:8], k.before[at:][:8]
		v, was := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(last)
		d := v - add(was, binary.LittleEndian.Uint64(from.last[int(other)*from.packed+s.at:]), 8)
		binary.LittleEndian.PutUint64(before, was)
		binary.LittleEndian.PutUint64(last, v)
		binary.LittleEndian.PutUint64(b, d<<1^uint64(int64(d)>>63))
	}
}

// codeWord codes one word of each row.
func (k *known) codeWord(slots []int32, w *word, values []byte, to way) {
	for row, slot := range slots {
		k.one(slot, w, values[row*k.packed+w.at:], k.predicted(slot, w), to)
	}
}

// one codes the word at the beginning of b.
func (k *known) one(slot int32, w *word, b []byte, expected uint64, to way) {
	v := load(b, w.width)
	switch {
	case w.how == asIs:
	case to == decode:
		v = expected + unzigzag(v)
		store(b, w.width, v)
	default:
		store(b, w.width, zigzag(v-expected, w.width))
	}
	if slot >= 0 {
		at := int(slot)*k.packed + w.at
		store(k.before[at:], w.width, load(k.last[at:], w.width))
		store(k.last[at:], w.width, v)
	}
}

// code8 is codeWord for the most common case: a word of 8 bytes, a difference or a line, and a slot for every row.
func (k *known) code8(slots []int32, w *word, values []byte, to way) {
	for row, slot := range slots {
		b := values[row*k.packed+w.at:][:8]
		at := int(slot)*k.packed + w.at
		last, before := k.last[at:][:8], k.before[at:][:8]
		was := binary.LittleEndian.Uint64(last)
		expected := was
		if w.how == line && k.times[slot] >= 2 {
			expected = 2*was - binary.LittleEndian.Uint64(before)
		}
		binary.LittleEndian.PutUint64(before, was)
		v := binary.LittleEndian.Uint64(b)
		if to == decode {
			v = expected + unzigzag(v)
			binary.LittleEndian.PutUint64(b, v)
		} else {
			d := v - expected
			binary.LittleEndian.PutUint64(b, d<<1^uint64(int64(d)>>63))
		}
		binary.LittleEndian.PutUint64(last, v)
	}
}

// encode8 is code8 for consecutive slots from first on that have seen two values.
func (k *known) encode8(first int, w *word, values []byte) {
	from := first*k.packed + w.at
	values = values[w.at:]
	last, before := k.last[from:][:len(values)], k.before[from:][:len(values)]
	for i := 0; i+8 <= len(values); i += k.packed {
		b, l, e := values[i:i+8:i+8], last[i:i+8:i+8], before[i:i+8:i+8]
		v, was := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(l)
		expected := was
		if w.how != difference { // a sum without a source is a line
			expected = 2*was - binary.LittleEndian.Uint64(e)
		}
		binary.LittleEndian.PutUint64(e, was)
		binary.LittleEndian.PutUint64(l, v)
		d := v - expected
		binary.LittleEndian.PutUint64(b, d<<1^uint64(int64(d)>>63))
	}
}
