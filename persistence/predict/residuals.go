package predict

import "encoding/binary"

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
	for i := range parts {
		p := &parts[i]
		c, k := &l.columns[p.component], &m.columns[p.component]
		at := len(slots)
		full, runs := false, 0
		for len(slots) < at+len(p.ids) {
			slot := m.slot(p.component, p.ids[len(slots)-at])
			full = full || slot < 0
			slots = append(slots, slot)
			slots = k.run(p.ids[len(slots)-at:], slots)
			runs++
		}
		// The usual case: consecutive slots, of which all predictions have the values that they need.
		consecutive := runs == 1 && !full && k.young == 0 && to == encode
		for j := range c.words {
			switch w := &c.words[j]; {
			case w.how == sum:
			case w.width == 8 && w.how != asIs && consecutive:
				k.encode8(int(slots[at]), w, rest[:len(p.ids)*c.packed])
			case w.width == 8 && w.how != asIs && !full:
				k.code8(slots[at:], w, rest, to)
			default:
				k.codeWord(slots[at:], w, rest, to)
			}
		}
		if !c.sums {
			k.given(slots[at:])
		}
		rest = rest[len(p.ids)*c.packed:]
	}
	m.codeSums(l, parts, slots[from:], values, to)
	return slots
}

// codeSums is code for the sums.
func (m *memory) codeSums(l *Layout, parts []part, slots []int32, values []byte, to way) {
	for i := range parts {
		p := &parts[i]
		c, k := &l.columns[p.component], &m.columns[p.component]
		if c.sums {
			for j := range c.words {
				if w := &c.words[j]; w.how == sum {
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
		if w.how == line {
			expected = 2*was - binary.LittleEndian.Uint64(e)
		}
		binary.LittleEndian.PutUint64(e, was)
		binary.LittleEndian.PutUint64(l, v)
		d := v - expected
		binary.LittleEndian.PutUint64(b, d<<1^uint64(int64(d)>>63))
	}
}
