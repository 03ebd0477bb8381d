package ecs

import (
	"fmt"
)

// readPool reads the slots with their generations and rebuilds the stack of free ones.
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
		p.slots[slot].id = 0 // does not name itself: free
	}
	for i := len(s.free) - 1; i >= 0; i-- {
		slot := s.free[i]
		p.slots[slot].id, p.next = p.next, slot
		p.free++
		p.sum += freeHash(slot, p.slots[slot].gen, p.slots[slot].id)
	}
	return r.err
}

// readTables makes every table in order, emptied ones too, and notes its rows and values.
func (s *saved) readTables(r *reader) error {
	w := s.w
	w.places = make([]place, len(w.pool.slots), cap(w.pool.slots))
	for i := range w.places {
		w.places[i] = nowhere
	}
	for range r.count(2) {
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
		return fmt.Errorf("%d entities have a row, but %d are alive", w.living, living)
	}
	return r.err
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
		return nil, nil, fmt.Errorf("table %d appears twice", s.w.tableOf[m].index)
	}
	if r.err == nil && len(s.w.tables) >= maxTables {
		r.fail(ErrTables)
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	return s.w.table(m), order, nil
}

func (s *saved) readRows(r *reader, t *Table) error {
	w := s.w
	n := r.count(1)
	if n > 0 {
		w.settled(t)
	}
	t.entities = make([]Entity, 0, n+n/4)
	id := uint32(0)
	for row := range n {
		id += unzigzag(r.uint32())
		if r.err != nil {
			return r.err
		}
		if id == 0 || int(id) >= len(w.pool.slots) || w.pool.slots[id].id != id || w.places[id] != nowhere {
			return fmt.Errorf("entity %d is not alive or appears twice", id)
		}
		t.entities = append(t.entities, w.pool.slots[id])
		w.places[id] = place{int32(t.index), int32(row)}
		w.layoutSum += layoutHash(w.pool.slots[id], t.index, row)
		w.living++
	}
	return nil
}

// load builds arche's side of the world.
func (s *saved) load(*reader) error {
	s.w.loadPool()
	r := s.w.route()
	s.w.nodes = r.nodes
	for i := range s.tables {
		if err := s.loadTable(&s.tables[i], &r); err != nil {
			return err
		}
	}
	return nil
}

func (s *saved) loadTable(x *savedTable, r *route) error {
	w, t := s.w, x.t
	n := len(t.entities)
	if n == 0 {
		return nil
	}
	w.loadRows(t, r)
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
					return fmt.Errorf("entity %s: its %q holds an invalid bool or text", t.entities[row], c.Name)
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
