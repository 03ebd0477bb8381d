package predict

import (
	"encoding/binary"
	"math"
	"slices"
)

// maxMemory bounds what a group remembers, in bytes as slotBytes counts them, even if contents keep naming new entities.
// Neither writers nor readers remember what does not fit.
const maxMemory = 64 << 20

// slotBytes is how much a value of that many packed bytes counts towards maxMemory.
func slotBytes(packed int) int { return packed + 16 }

// memory remembers the last two values of each entity's components in a group.
type memory struct {
	columns []known
	bytes   int
	orders  []order // of the parts that are being coded
}

// known is what is remembered of a component. Values are stored by slot; slots are assigned in order.
type known struct {
	packed int
	slotOf map[uint32]int32
	ids    []uint32
	times  []uint8 // how many values were seen, at most 2
	young  int     // slots that have seen fewer than 2
	last   []byte
	before []byte
	next   int32 // the slot that find tries first: entities usually come in the order of the previous tick
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
		k.young = 0
	}
}

// find returns an entity's slot, -1 if it has none.
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

// slot returns an entity's slot. It adds one if necessary, and returns -1 if there is no room.
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
	k.young++
	k.last = append(k.last, make([]byte, k.packed)...)
	k.before = append(k.before, make([]byte, k.packed)...)
	return n
}

// given counts one more value in each slot.
func (k *known) given(slots []int32) {
	if k.young == 0 {
		return
	}
	for _, slot := range slots {
		if slot >= 0 && k.times[slot] < 2 {
			if k.times[slot]++; k.times[slot] == 2 {
				k.young--
			}
		}
	}
}

// run appends the slots of ids as long as they are consecutive, beginning with the slot that find tries first.
func (k *known) run(ids []uint32, slots []int32) []int32 {
	n := int(k.next)
	known := k.ids[min(n, len(k.ids)):]
	known = known[:min(len(known), len(ids))]
	at := len(slots)
	slots = slices.Grow(slots, len(known))[:at+len(known)]
	to := slots[at:]
	for i, id := range known {
		if ids[i] != id {
			slots = slots[:at+i]
			break
		}
		to[i] = int32(n + i)
	}
	k.next = int32(n + len(slots) - at)
	return slots
}

// predicted returns the prediction of a word of a slot's next value. For a sum without a usable source it is a line.
func (k *known) predicted(slot int32, w *word) uint64 {
	if slot < 0 || w.how == asIs {
		return 0
	}
	at := int(slot)*k.packed + w.at
	last := load(k.last[at:], w.width)
	if w.how != difference && k.times[slot] >= 2 {
		return 2*last - load(k.before[at:], w.width)
	}
	return last // zero before the first value
}

// summed returns the prediction of a word that is a sum.
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

// term returns the present value of a source for the entity id, which has the slot in component.
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

// add returns the sum of two floats of a width, or the first of them if the sum is NaN.
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

// zigzag maps a small signed distance of width bytes to a small unsigned number.
func zigzag(d uint64, width int) uint64 {
	shift := 64 - 8*width
	s := int64(d<<shift) >> shift
	return (uint64(s)<<1 ^ uint64(s>>63)) << shift >> shift
}

// unzigzag is the inverse of zigzag, modulo the width.
func unzigzag(z uint64) uint64 { return z>>1 ^ -(z & 1) }
