package replication

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// bitpack is the first codec: it writes changed values bit by bit, each in one of a few widths.
// FORMAT.md, "Block body, codec 1", describes it.
type bitpack struct{}

var emptyState = &state{}

func (bitpack) append(dst []byte, l *layout, base, next *state, fate fate) []byte {
	w := bitWriter{buf: dst}
	enters := w.touched(l, base, next, fate)
	w.uint(uint32(enters))
	if enters > 0 {
		w.enters(l, base, next, fate)
	}
	return w.close()
}

// touched writes the entities of base that changed or went. It returns how many entities of
// next the method enters must write.
func (w *bitWriter) touched(l *layout, base, next *state, fate fate) (enters int) {
	gap, j := uint32(0), 0
	for i := range base.ents {
		old := &base.ents[i]
		for j < len(next.ents) && next.ents[j].key < old.key {
			j++
			enters++
		}
		stays := j < len(next.ents) && next.ents[j].key == old.key
		if stays && next.ents[j].shape != old.shape { // other components: gone here, entered below
			enters++
			j++
			w.uint(gap)
			w.put(0b01, 2)
			gap = 0
			continue
		}
		if !stays {
			w.uint(gap)
			w.put(1, 1)
			w.flag(fate.despawned(old.key))
			gap = 0
			continue
		}
		s := l.shapes[old.shape]
		a := base.words[old.at:][:s.words]
		b := next.words[next.ents[j].at:][:s.words]
		j++
		if equal(a, b) {
			gap++
			continue
		}
		if gap == 0 {
			w.put(0, 2)
		} else {
			w.uint(gap)
			w.put(0, 1)
			gap = 0
		}
		w.update(s, a, b)
	}
	if gap > 0 {
		w.uint(gap)
	}
	return enters + len(next.ents) - j
}

func equal(a, b []uint32) bool {
	b = b[:len(a)]
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// update writes the values that differ between two rows of a shape.
func (w *bitWriter) update(s *shape, a, b []uint32) {
	for i := range s.parts {
		p := &s.parts[i]
		if len(p.slots) == 0 {
			continue
		}
		from, to := a[p.at:][:p.words], b[p.at:][:p.words]
		if p.plain {
			w.plain(p.component, from, to, len(s.parts) > 1)
			continue
		}
		if len(s.parts) > 1 {
			if equal(from, to) {
				w.put(0, 1)
				continue
			}
			w.put(1, 1)
		}
		for g := 0; g < len(p.slots); g += 8 {
			w.group(p.slots[g:min(g+8, len(p.slots))], from, to, len(p.slots))
		}
	}
}

// plain does what group does for a component of up to eight values of one word each. With several
// components it first writes the bit that says whether this one changed.
func (w *bitWriter) plain(c *component, from, to []uint32, several bool) {
	mask := uint32(0)
	to = to[:len(from)]
	for k := range from {
		if from[k] != to[k] {
			mask |= 1 << k
		}
	}
	if several {
		if mask == 0 {
			w.put(0, 1)
			return
		}
		w.put(1, 1)
	}
	if len(from) > 1 {
		w.put(mask, uint(len(from)))
	}
	for ; mask != 0; mask &= mask - 1 {
		k := bits.TrailingZeros32(mask)
		w.step(&c.slots[k], from, to)
	}
}

// group writes a mask that marks the differing ones among up to eight values, then their steps. A component
// of one value needs no mask; in a component of more than eight, each group starts with a bit that says whether it changed.
func (w *bitWriter) group(slots []slot, from, to []uint32, all int) {
	mask := uint32(0)
	for k := range slots {
		if slots[k].differ(from, to) {
			mask |= 1 << k
		}
	}
	if all > 8 {
		w.flag(mask != 0)
		if mask == 0 {
			return
		}
	}
	if all > 1 {
		w.put(mask, uint(len(slots)))
	}
	for k := range slots {
		if mask>>k&1 == 1 {
			w.step(&slots[k], from, to)
		}
	}
}

func (s *slot) differ(a, b []uint32) bool {
	switch s.kind {
	case slotWide, slotF64, slotEntity:
		return a[s.at] != b[s.at] || a[s.at+1] != b[s.at+1]
	case slotText:
		n := s.words()
		return !slices.Equal(a[s.at:s.at+n], b[s.at:s.at+n])
	}
	return a[s.at] != b[s.at]
}

// step writes a value that differs from its baseline.
func (w *bitWriter) step(s *slot, from, to []uint32) {
	a, b := from[s.at], to[s.at]
	switch s.kind {
	case slotBool: // it flipped
	case slotQuant:
		z := zigzag(int32(b - a))
		switch {
		case z < 1<<4:
			w.put(z<<2, 6)
		case z < 1<<7:
			w.put(z<<2|1, 9)
		case z < 1<<11:
			w.put(z<<2|2, 13)
		default:
			w.put(3, 2)
			w.put(b, uint(s.bits))
		}
	case slotInt:
		w.classed(uint64(zigzag(int32(b-a))), &wordClasses)
	case slotWide:
		w.classed(zigzag64(int64(wide(to, s.at)-wide(from, s.at))), &wideClasses)
	default:
		w.full(s, to)
	}
}

// enters writes the entities of next that base does not have.
func (w *bitWriter) enters(l *layout, base, next *state, fate fate) {
	last, lastShape, i := uint32(0), uint32(math.MaxUint32), 0
	for j := range next.ents {
		e := &next.ents[j]
		for i < len(base.ents) && base.ents[i].key < e.key {
			i++
		}
		if i < len(base.ents) && base.ents[i].key == e.key && base.ents[i].shape == e.shape {
			continue
		}
		id, gen := uint32(e.key>>32), uint32(e.key)
		w.uint(id - last)
		w.uint(gen)
		last = id
		s := l.shapes[e.shape]
		if id != 0 {
			w.flag(fate.spawned(e.key, base.version, next.version))
			if e.shape == lastShape {
				w.put(1, 1)
			} else {
				w.put(0, 1)
				w.put64(s.mask, uint(len(l.comps)))
				lastShape = e.shape
			}
		}
		row := next.words[e.at:][:s.words]
		for k := range s.parts {
			p := &s.parts[k]
			for m := range p.slots {
				w.full(&p.slots[m], row[p.at:])
			}
		}
	}
}

// full writes a value without a baseline.
func (w *bitWriter) full(s *slot, row []uint32) {
	v := row[s.at]
	switch s.kind {
	case slotBool:
		w.put(v, 1)
	case slotQuant:
		w.put(v, uint(s.bits))
	case slotInt:
		w.classed(uint64(zigzag(int32(v))), &wordClasses)
	case slotWide:
		w.classed(zigzag64(int64(wide(row, s.at))), &wideClasses)
	case slotF32:
		w.put(v, 32)
	case slotF64:
		x := wide(row, s.at)
		if short, ok := halve(x); ok {
			w.put(1, 1)
			w.put(short, 32)
			return
		}
		w.put(0, 1)
		w.put64(x, 64)
	case slotEntity:
		w.uint(v)
		w.uint(row[s.at+1])
	case slotText:
		w.put(v, 8)
		for k := range v {
			w.put(row[s.at+1+int(k/4)]>>(8*(k&3))&0xff, 8)
		}
	}
}

func wide(row []uint32, at int) uint64 { return uint64(row[at]) | uint64(row[at+1])<<32 }

// halve converts a float64's bits to a float32's; ok is false if that loses precision.
func halve(x uint64) (uint32, bool) {
	f := float32(math.Float64frombits(x))
	return math.Float32bits(f), math.Float64bits(float64(f)) == x
}

var (
	errOrder = errors.New("replication: entities out of order")
	errWords = errors.New("replication: block expands to more than the limit")
)

func (bitpack) read(b []byte, l *layout, base, next *state, maxWords int, news *news) error {
	r := bitReader{buf: b}
	if err := r.touched(l, base, next, maxWords, news); err != nil {
		return err
	}
	stayed := len(next.ents)
	if err := r.enters(l, next, maxWords, news); err != nil {
		return err
	}
	if stayed < len(next.ents) && stayed > 0 {
		slices.SortFunc(next.ents, func(a, b ent) int { return cmp.Compare(a.key, b.key) })
		for i := 1; i < len(next.ents); i++ {
			if next.ents[i-1].key == next.ents[i].key {
				return errOrder
			}
		}
	}
	return r.end()
}

func (r *bitReader) touched(l *layout, base, next *state, maxWords int, news *news) error {
	for i := 0; i < len(base.ents); {
		gap := int(r.uint())
		if r.short {
			return errBits
		}
		if gap > len(base.ents)-i {
			return errOrder
		}
		for range gap {
			if _, err := next.keep(l, base, i, maxWords); err != nil {
				return err
			}
			i++
		}
		if i == len(base.ents) {
			break
		}
		if r.flag() {
			if r.flag() {
				news.despawned = append(news.despawned, base.ents[i].key)
			}
			i++
			continue
		}
		row, err := next.keep(l, base, i, maxWords)
		if err != nil {
			return err
		}
		if err := r.update(l.shapes[base.ents[i].shape], row); err != nil {
			return err
		}
		i++
	}
	return nil
}

// keep copies the entity at index i of base into s and returns its row there.
func (s *state) keep(l *layout, base *state, i, maxWords int) ([]uint32, error) {
	e := base.ents[i]
	n := l.shapes[e.shape].words
	if s.cost(n) > maxWords {
		return nil, errWords
	}
	at := len(s.words)
	s.words = append(s.words, base.words[e.at:][:n]...)
	e.at = uint32(at)
	s.ents = append(s.ents, e)
	return s.words[at:], nil
}

func (r *bitReader) update(s *shape, row []uint32) error {
	for i := range s.parts {
		p := &s.parts[i]
		if len(p.slots) == 0 || len(s.parts) > 1 && !r.flag() {
			continue
		}
		for g := 0; g < len(p.slots); g += 8 {
			group := p.slots[g:min(g+8, len(p.slots))]
			if len(p.slots) > 8 && !r.flag() {
				continue
			}
			mask := uint32(1)
			if len(p.slots) > 1 {
				mask = r.get(uint(len(group)))
			}
			for k := range group {
				if mask>>k&1 == 0 {
					continue
				}
				if err := r.step(&group[k], row[p.at:]); err != nil {
					return err
				}
			}
		}
	}
	if r.short {
		return errBits
	}
	return nil
}

func (r *bitReader) step(s *slot, row []uint32) error {
	switch s.kind {
	case slotBool:
		row[s.at] ^= 1
	case slotQuant:
		sel := r.get(2)
		if sel == 3 {
			return r.full(s, row)
		}
		row[s.at] += uint32(unzigzag(r.get(uint(stepClasses[sel]))))
		return s.check(row[s.at])
	case slotInt:
		row[s.at] += uint32(unzigzag(uint32(r.classed(&wordClasses))))
	case slotWide:
		v := wide(row, s.at) + uint64(unzigzag64(r.classed(&wideClasses)))
		row[s.at], row[s.at+1] = uint32(v), uint32(v>>32)
	default:
		return r.full(s, row)
	}
	return nil
}

// check rejects a quantised word outside its range.
func (s *slot) check(word uint32) error {
	if word > s.steps {
		return fmt.Errorf("replication: quantised value %d, the range ends at %d", word, s.steps)
	}
	return nil
}

func (r *bitReader) enters(l *layout, next *state, maxWords int, news *news) error {
	n := r.uint()
	if int64(n) > int64(r.left()) { // an entity takes at least two bits
		return errBits
	}
	id, shape, lastKey := uint32(0), uint32(math.MaxUint32), uint64(0)
	for range n {
		gap, gen := r.uint(), r.uint()
		if r.short {
			return errBits
		}
		if id += gap; id < gap {
			return errOrder
		}
		key := keyOf(id, gen)
		if key <= lastKey {
			return errOrder
		}
		lastKey = key
		number := gen - 1 // the shape, if this is a resource
		if id == 0 {
			if gen == 0 || int(number) >= len(l.resources) {
				return errors.New("replication: a resource outside the schema")
			}
		} else {
			if r.flag() {
				news.spawned = append(news.spawned, key)
			}
			if !r.flag() {
				var err error
				if shape, err = l.shape(r.get64(uint(len(l.comps)))); err != nil {
					return err
				}
			} else if shape == math.MaxUint32 {
				return errors.New("replication: the first entity repeats a shape")
			}
			number = shape
		}
		if err := r.row(l, next, ent{key: key, shape: number}, maxWords); err != nil {
			return err
		}
	}
	return nil
}

// row reads a whole row and appends it to s.
func (r *bitReader) row(l *layout, s *state, e ent, maxWords int) error {
	sh := l.shapes[e.shape]
	at := len(s.words)
	if s.cost(sh.words) > maxWords {
		return errWords
	}
	s.words = slices.Grow(s.words, sh.words)[:at+sh.words]
	row := s.words[at:]
	clear(row)
	for i := range sh.parts {
		p := &sh.parts[i]
		for k := range p.slots {
			if err := r.full(&p.slots[k], row[p.at:]); err != nil {
				return err
			}
		}
	}
	if r.short {
		return errBits
	}
	e.at = uint32(at)
	s.ents = append(s.ents, e)
	return nil
}

func (r *bitReader) full(s *slot, row []uint32) error {
	switch s.kind {
	case slotBool:
		row[s.at] = r.get(1)
	case slotQuant:
		row[s.at] = r.get(uint(s.bits))
		return s.check(row[s.at])
	case slotInt:
		row[s.at] = uint32(unzigzag(uint32(r.classed(&wordClasses))))
	case slotWide:
		v := uint64(unzigzag64(r.classed(&wideClasses)))
		row[s.at], row[s.at+1] = uint32(v), uint32(v>>32)
	case slotF32:
		row[s.at] = r.get(32)
	case slotF64:
		v := uint64(0)
		if r.flag() {
			v = math.Float64bits(float64(math.Float32frombits(r.get(32))))
		} else {
			v = r.get64(64)
		}
		row[s.at], row[s.at+1] = uint32(v), uint32(v>>32)
	case slotEntity:
		row[s.at], row[s.at+1] = r.uint(), r.uint()
	case slotText:
		n := r.get(8)
		if int(n) > s.size-1 {
			return fmt.Errorf("replication: text of %d bytes in a field of %d", n, s.size-1)
		}
		text := row[s.at : s.at+s.words()]
		clear(text)
		text[0] = n
		for k := range n {
			text[1+k/4] |= r.get(8) << (8 * (k & 3))
		}
	}
	return nil
}
