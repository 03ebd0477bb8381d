package ecs

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	arche "github.com/mlange-42/arche/ecs"
)

// Restore makes the world that a snapshot holds. It lives the same future as the world that was saved: the
// same checksums, the same order of iteration, the same entities, for ever. The bytes may come from anywhere:
// what is wrong with them, or with the game, is an error. The game may have more components and resources than
// the snapshot, and others around them; what the snapshot holds it must have, laid out alike.
func Restore(g Game, snapshot []byte) (*World, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	w, err := restore(g, &reader{b: snapshot})
	if err != nil {
		return nil, fmt.Errorf("ecs: snapshot: %w", err)
	}
	return w, nil
}

// saved is a snapshot being restored.
type saved struct {
	w          *World
	components []*component // by number in the snapshot
	resources  []*resource
	sampled    []*handler
	free       []uint32 // the free slots from the top of their stack
	tables     []savedTable
}

type savedTable struct {
	t      *Table
	order  []*component // of the values
	values []byte
}

func restore(g Game, r *reader) (*World, error) {
	if string(r.take(len(snapshotMagic))) != snapshotMagic {
		return nil, errors.New("it does not begin like one")
	}
	if v := r.byte(); v != snapshotVersion {
		return nil, fmt.Errorf("version %d, want %d", v, snapshotVersion)
	}
	checksum, seed := r.uint64(), r.uint64()
	name, options := string(r.bytes()), append([]byte(nil), r.bytes()...)
	if r.err != nil {
		return nil, r.err
	}
	if name != g.Name {
		return nil, fmt.Errorf("it is of game %q, not of %q", name, g.Name)
	}
	w, err := New(g, Config{Seed: seed, Options: options})
	if err != nil {
		return nil, err
	}
	w.tick = r.uvarint()
	s := &saved{w: w}
	for _, part := range [...]func(*reader) error{s.readTypes, s.readPool, s.readTables, s.load, s.readResources, s.readSessions} {
		if err := part(r); err != nil {
			return nil, err
		}
	}
	if r.end(); r.err != nil {
		return nil, r.err
	}
	if got := w.Checksum(); got != checksum {
		return nil, &ChecksumError{Got: got, Want: checksum}
	}
	w.changes.begin()
	w.sessions.begin()
	return w, nil
}

// readTypes finds the game's types by name.
func (s *saved) readTypes(r *reader) error {
	w := s.w
	for range r.count(2) {
		var c *component
		err := r.name("component", func(name string) *form {
			if i, ok := w.schema.Component(name); ok {
				c = w.components[i]
				return &c.form
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.components = append(s.components, c)
	}
	for range r.count(2) {
		var x *resource
		err := r.name("resource", func(name string) *form {
			if i, ok := w.schema.Resource(name); ok {
				x = w.resources[i]
				return x.form
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.resources = append(s.resources, x)
	}
	for range r.count(2) {
		var h *handler
		err := r.name("sampled command", func(name string) *form {
			if i, ok := w.schema.Command(name); ok && w.handlers[i].f.Sampled {
				h = w.handlers[i]
				return h.f
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.sampled = append(s.sampled, h)
	}
	return s.distinct(r)
}

// name reads what appendName wrote and compares it with what the game has.
func (r *reader) name(what string, find func(string) *form) error {
	name, transient, packed, layout := string(r.bytes()), r.byte(), r.uvarint(), r.uint64()
	if r.err != nil {
		return r.err
	}
	f := find(name)
	if f == nil {
		return fmt.Errorf("the game has no %s %q", what, name)
	}
	if uint64(f.Packed) != packed || f.layout() != layout || boolByte(f.Transient) != transient {
		return fmt.Errorf("%s %q has other fields in the game", what, name)
	}
	return nil
}

// distinct refuses a type that stands twice.
func (s *saved) distinct(r *reader) error {
	if r.err != nil {
		return r.err
	}
	var m mask
	for _, c := range s.components {
		if m.has(c.id) {
			return fmt.Errorf("component %q stands twice", c.Name)
		}
		m.set(c.id)
	}
	resources, sampled := make([]bool, len(s.w.resources)), make([]bool, len(s.w.sampled))
	for _, x := range s.resources {
		if resources[x.form.id] {
			return fmt.Errorf("resource %q stands twice", x.form.Name)
		}
		resources[x.form.id] = true
	}
	for _, h := range s.sampled {
		if sampled[h.ordinal] {
			return fmt.Errorf("command %q stands twice", h.f.Name)
		}
		sampled[h.ordinal] = true
	}
	return nil
}

// readPool reads the slots with their generations and stacks up the free ones.
func (s *saved) readPool(r *reader) error {
	p := &s.w.pool
	n := r.count(1)
	p.slots = append(make([]Entity, 0, n+n/4+16), p.slots[0])
	for slot := range n {
		p.slots = append(p.slots, Entity{uint32(slot) + 1, r.uint32()})
	}
	s.free = make([]uint32, r.count(1))
	for i := range s.free {
		slot := r.below(len(p.slots))
		if r.err == nil && (slot == 0 || p.slots[slot].id != uint32(slot)) {
			r.fail(fmt.Errorf("slot %d is free twice", slot))
		}
		if r.err != nil {
			return r.err
		}
		s.free[i] = uint32(slot)
		p.slots[slot].id = 0 // not itself: free
	}
	if mutant == freeSlotsReversed {
		slices.Reverse(s.free)
	}
	for i := len(s.free) - 1; i >= 0; i-- {
		slot := s.free[i]
		p.slots[slot].id, p.next = p.next, slot
		p.free++
		p.sum += freeHash(slot, p.slots[slot].gen, p.slots[slot].id)
	}
	return r.err
}

// readTables makes every table in its order, emptied ones too, and notes its rows and values.
func (s *saved) readTables(r *reader) error {
	w := s.w
	w.places = make([]place, len(w.pool.slots), cap(w.pool.slots))
	for i := range w.places {
		w.places[i] = nowhere
	}
	for range r.count(2) {
		if mutant == tableNotRestored && len(r.b) > 0 && skipEmptyTable(r) {
			continue
		}
		t, order, err := s.readTable(r)
		if err != nil {
			return err
		}
		if err := s.readRows(r, t); err != nil {
			return err
		}
		size := 0
		for _, c := range order {
			if !c.Transient {
				size += c.Packed
			}
		}
		values := r.take(size * len(t.entities))
		if r.err != nil {
			return r.err
		}
		s.tables = append(s.tables, savedTable{t, order, values})
	}
	if living := len(w.pool.slots) - 1 - len(s.free); r.err == nil && w.living != living {
		return fmt.Errorf("%d entities have a row, %d live", w.living, living)
	}
	return r.err
}

// skipEmptyTable is part of a mutation: it reads over a table without rows.
func skipEmptyTable(r *reader) bool {
	ahead := reader{b: r.b}
	for range ahead.count(1) {
		ahead.uvarint()
	}
	if ahead.count(1) > 0 || ahead.err != nil {
		return false
	}
	r.b = ahead.b
	return true
}

func (s *saved) readTable(r *reader) (*Table, []*component, error) {
	var m mask
	var order []*component
	for range r.count(1) {
		k := r.below(len(s.components))
		if r.err != nil {
			return nil, nil, r.err
		}
		c := s.components[k]
		if m.has(c.id) {
			return nil, nil, fmt.Errorf("a table has component %q twice", c.Name)
		}
		m.set(c.id)
		order = append(order, c)
	}
	if r.err == nil && s.w.tableOf[m] != nil {
		return nil, nil, fmt.Errorf("table %d stands twice", s.w.tableOf[m].index)
	}
	if r.err == nil && len(s.w.tables) >= maxTables {
		r.fail(errTables)
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	return s.w.table(m), order, nil
}

func (s *saved) readRows(r *reader, t *Table) error {
	w := s.w
	n := r.count(1)
	t.entities = make([]Entity, 0, n+n/4)
	id := uint32(0)
	for row := range n {
		id += unzigzag(r.uint32())
		if r.err != nil {
			return r.err
		}
		if id == 0 || int(id) >= len(w.pool.slots) || w.pool.slots[id].id != id || w.places[id] != nowhere {
			return fmt.Errorf("entity %d does not live or stands twice", id)
		}
		t.entities = append(t.entities, w.pool.slots[id])
		w.places[id] = place{int32(t.index), int32(row)}
		w.layoutSum += layoutHash(w.pool.slots[id], t.index, row)
		w.living++
	}
	return nil
}

// load makes arche's side of the world. Its pool gets a crafted stack that hands out every entity in the order
// of tables and rows, with the real free slots below; then a batch per table takes them from it.
func (s *saved) load(*reader) error {
	w := s.w
	slots := append([]Entity(nil), w.pool.slots...)
	next, free := w.pool.next, w.pool.free
	for i := len(s.tables) - 1; i >= 0; i-- {
		entities := s.tables[i].t.entities
		for k := len(entities) - 1; k >= 0; k-- {
			id := entities[k].id
			slots[id].id, next = next, id
			free++
		}
	}
	w.arche.LoadEntities(&arche.EntityDump{
		Entities: unsafe.Slice((*arche.Entity)(unsafe.Pointer(&slots[0])), len(slots)), Next: next, Available: free,
	})
	for i := range s.tables {
		if err := s.loadTable(&s.tables[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *saved) loadTable(x *savedTable) error {
	w, t := s.w, x.t
	n := len(t.entities)
	if n == 0 {
		return nil
	}
	w.arche.Batch().New(n, t.ids...)
	w.relocate(t)
	for _, c := range x.order {
		col := &t.columns[t.columnOf[c.id]]
		if c.Transient {
			continue
		}
		c.unpack(col.live, x.values, n)
		x.values = x.values[n*c.Packed:]
		if len(c.checks) > 0 {
			for row := range n {
				if !c.proper(col.at(row)) {
					return fmt.Errorf("entity %s: its %q holds a bool or a text that is none", t.entities[row], c.Name)
				}
			}
		}
		if c.Size > 0 {
			col.old = append(make([]byte, 0, n*c.Size+n*c.Size/4), bytesAt(col.live, n*c.Size)...)
		}
		for row, e := range t.entities {
			w.valueSum += c.hash(e, col.committed(row))
		}
	}
	return nil
}

func (s *saved) readResources(r *reader) error {
	for _, x := range s.resources {
		f := x.form
		if f.Transient {
			continue
		}
		b := r.take(f.Packed)
		if r.err != nil {
			return r.err
		}
		s.w.valueSum -= f.hash(Entity{}, x.old)
		f.unpack(x.old, b, 1)
		if !f.proper(x.old) {
			return fmt.Errorf("resource %q holds a bool or a text that is none", f.Name)
		}
		s.w.valueSum += f.hash(Entity{}, x.old)
		copy(bytesAt(x.live, f.Size), bytesAt(x.old, f.Size))
	}
	return r.err
}

func (s *saved) readSessions(r *reader) error {
	for range r.count(2) {
		if err := s.w.sessions.read(r, s.sampled); err != nil {
			return err
		}
	}
	s.w.sessions.settle()
	return r.err
}
