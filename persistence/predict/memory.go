package predict

import (
	"encoding/binary"
	"math"
)

// maxMemory bounds what a group remembers, in bytes by the measure of slotBytes: a content that names ever new entities
// costs no more. What does not fit is not remembered, by writers and readers alike.
const maxMemory = 64 << 20

// slotBytes is what a value of so many packed bytes counts.
func slotBytes(packed int) int { return packed + 16 }

// memory is what a group has said so far: the last two values of each entity's components.
type memory struct {
	columns []known
	bytes   int
}

// known is what is remembered of a component. Values lie by slot, slots are handed out in order.
type known struct {
	packed int
	slotOf map[uint32]int32
	ids    []uint32
	times  []uint8 // how often the value was given, 2 for more
	last   []byte
	before []byte
	next   int32 // the slot that is looked at first: entities come in the order of the tick before
}

// begin forgets everything.
func (m *memory) begin(l *Layout) {
	m.bytes = 0
	if len(m.columns) != len(l.columns) {
		m.columns = make([]known, len(l.columns))
	}
	for i := range m.columns {
		k := &m.columns[i]
		if k.packed = l.columns[i].packed; k.slotOf == nil {
			k.slotOf = map[uint32]int32{}
		}
		clear(k.slotOf)
		k.ids, k.times, k.last, k.before, k.next = k.ids[:0], k.times[:0], k.last[:0], k.before[:0], 0
	}
}

// find returns an entity's slot, -1 when nothing is remembered of it.
func (k *known) find(id uint32) int32 {
	if n := k.next; int(n) < len(k.ids) && k.ids[n] == id {
		k.next++
		return n
	}
	n, ok := k.slotOf[id]
	if !ok {
		return -1
	}
	k.next = n + 1
	return n
}

// slot is find for a value that is given now: it makes a slot where there is room for one.
func (m *memory) slot(component int, id uint32) int32 {
	k := &m.columns[component]
	if n := k.find(id); n >= 0 {
		return n
	}
	if m.bytes+slotBytes(k.packed) > maxMemory {
		return -1
	}
	m.bytes += slotBytes(k.packed)
	n := int32(len(k.ids))
	k.slotOf[id], k.next = n, n+1
	k.ids, k.times = append(k.ids, id), append(k.times, 0)
	k.last = append(k.last, make([]byte, k.packed)...)
	k.before = append(k.before, make([]byte, k.packed)...)
	return n
}

// given counts a value of each slot.
func (k *known) given(slots []int32) {
	for _, slot := range slots {
		if slot >= 0 && k.times[slot] < 2 {
			k.times[slot]++
		}
	}
}

// predicted is what a word of a slot's next value is expected to be, unless it is a sum.
func (k *known) predicted(slot int32, w *word) uint64 {
	if slot < 0 || w.how == asIs {
		return 0
	}
	at := int(slot)*k.packed + w.at
	last := load(k.last[at:], w.width)
	if w.how != difference && k.times[slot] >= 2 {
		return 2*last - load(k.before[at:], w.width)
	}
	return last // zero when there is none
}

// summed is what a word is expected to be that is a sum.
func (m *memory) summed(component int, slot int32, id uint32, w *word) uint64 {
	k := &m.columns[component]
	if slot >= 0 && k.times[slot] > 0 {
		last := load(k.last[int(slot)*k.packed+w.at:], w.width)
		for _, s := range w.sources {
			if term, ok := m.term(s, component, slot, id, w.width); ok {
				return add(last, term, w.width)
			}
		}
	}
	return k.predicted(slot, w)
}

// term is the present value of a source; the entity is the one in a slot of another component.
func (m *memory) term(s source, component int, slot int32, id uint32, width int) (uint64, bool) {
	from := &m.columns[s.component]
	if s.component != component {
		slot = from.find(id)
	}
	if slot < 0 {
		return 0, false
	}
	return load(from.last[int(slot)*from.packed+s.at:], width), true
}

// add is the sum of two floats of a width, the first one when it is not a number.
func add(a, b uint64, width int) uint64 {
	if width == 4 {
		x := math.Float32frombits(uint32(a)) + math.Float32frombits(uint32(b))
		if x != x {
			return a
		}
		return uint64(math.Float32bits(x))
	}
	x := math.Float64frombits(a) + math.Float64frombits(b)
	if x != x {
		return a
	}
	return math.Float64bits(x)
}

func load(b []byte, width int) uint64 {
	switch width {
	case 8:
		return binary.LittleEndian.Uint64(b)
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	}
	return uint64(b[0])
}

func store(b []byte, width int, v uint64) {
	switch width {
	case 8:
		binary.LittleEndian.PutUint64(b, v)
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	default:
		b[0] = byte(v)
	}
}

// zigzag makes a small number of a distance, either way, of so many bytes.
func zigzag(d uint64, width int) uint64 {
	shift := 64 - 8*width
	s := int64(d<<shift) >> shift
	return (uint64(s)<<1 ^ uint64(s>>63)) << shift >> shift
}

// unzigzag is the inverse of zigzag, modulo the width.
func unzigzag(z uint64) uint64 { return z>>1 ^ -(z & 1) }
