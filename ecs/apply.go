package ecs

import (
	"errors"
	"fmt"
)

// Apply applies the delta of the next tick to the world, without running a system, and verifies the checksum. The bytes
// may come from anywhere: Apply returns an error if they are invalid. An error poisons the world, because it may have
// changed in part: every further Apply fails too.
func (w *World) Apply(delta []byte) error {
	if w.poison != nil {
		return w.poison
	}
	if err := w.applyDelta(&reader{b: delta}); err != nil {
		w.poison = fmt.Errorf("ecs: delta on tick %d: %w; %w", w.tick, err, ErrPoisoned)
		return w.poison
	}
	return nil
}

func (w *World) applyDelta(r *reader) error {
	tick, checksum := r.uvarint(), r.uint64()
	if r.err != nil {
		return r.err
	}
	if tick != w.tick+1 {
		return fmt.Errorf("it belongs to tick %d", tick)
	}
	w.begin()
	for _, part := range [...]func(*reader) error{w.applyTables, w.applyOps, w.applySessions, w.applyResources, w.applyColumns} {
		if err := part(r); err != nil {
			return err
		}
	}
	if r.end(); r.err != nil {
		return r.err
	}
	if got := w.Checksum(); got != checksum {
		return &ChecksumError{Got: got, Want: checksum}
	}
	return nil
}

// applyTables makes the new tables, in order.
func (w *World) applyTables(r *reader) error {
	for range r.count(1) {
		m, err := r.mask(len(w.components))
		if err != nil {
			return err
		}
		if w.tableOf[m] != nil {
			return fmt.Errorf("table %d already exists", w.tableOf[m].index)
		}
		if len(w.tables) >= maxTables {
			return ErrTables
		}
		w.table(m)
	}
	return r.err
}

// mask reads a set of components: their number and their ids, ascending.
func (r *reader) mask(components int) (m mask, err error) {
	last := -1
	for range r.count(1) {
		id := r.below(components)
		if r.err == nil && id <= last {
			r.fail(fmt.Errorf("a table's components are not in ascending order"))
		}
		if r.err != nil {
			return m, r.err
		}
		m.set(id)
		last = id
	}
	return m, r.err
}

func (w *World) applyOps(r *reader) error {
	n := r.uvarint()
	ops := reader{b: r.bytes()}
	if r.err != nil {
		return r.err
	}
	for ; n > 0 && ops.err == nil; n-- {
		if err := w.applyOp(&ops); err != nil {
			return err
		}
	}
	ops.end()
	return ops.err
}

func (w *World) applyOp(r *reader) error {
	kind, id := opKind(r.byte()), r.uint32()
	if r.err != nil {
		return r.err
	}
	switch kind {
	case opSpawn:
		return w.applySpawn(r, id)
	case opGiveBack:
		return w.applyGiveBack(r, id)
	}
	e, ok := w.inSlot(id)
	if !ok {
		return fmt.Errorf("entity %d is not alive", id)
	}
	switch kind {
	case opDespawn:
		w.recordOp(opDespawn, e, 0)
		w.pool.put(e)
		w.despawn(e)
	case opAdd, opRemove:
		c := r.below(len(w.components))
		if r.err != nil {
			return r.err
		}
		add := kind == opAdd
		m := w.tables[w.places[id].table].mask
		if m.has(c) == add {
			return fmt.Errorf("entity %d already has, or already lacks, component %q", id, w.components[c].Name)
		}
		if m.flip(c); w.tableOf[m] == nil {
			return fmt.Errorf("entity %d moves to a table that does not exist", id)
		}
		w.recordOp(kind, e, c)
		w.exchange(e, w.components[c], add)
	default:
		return fmt.Errorf("unknown operation %d", kind)
	}
	return nil
}

func (w *World) applySpawn(r *reader, id uint32) error {
	e, table := Entity{id, r.uint32()}, r.below(len(w.tables))
	if r.err != nil {
		return r.err
	}
	if got, _ := w.pool.get(); got != e {
		return fmt.Errorf("it spawns %s where the pool hands out %s", e, got)
	}
	w.recordOp(opSpawn, e, table)
	w.spawn(w.tables[table], e)
	return nil
}

// applyGiveBack drops the tables without rows. A tick does so at most once, after everything else.
func (w *World) applyGiveBack(r *reader, id uint32) error {
	if id != 0 || len(r.b) > 0 || w.uninhabited == 0 {
		return errors.New("tables are given back before the end of a tick, or needlessly")
	}
	w.recordOp(opGiveBack, Entity{}, 0)
	w.giveBack()
	return nil
}

// inSlot returns the living entity in a slot.
func (w *World) inSlot(id uint32) (Entity, bool) {
	if int(id) >= len(w.pool.slots) {
		return Entity{}, false
	}
	e := w.pool.slots[id]
	return e, w.stored(e) && e.id == id
}

func (w *World) applySessions(r *reader) error {
	b := r.bytes()
	if r.err != nil {
		return r.err
	}
	return w.sessions.applyChanges(&reader{b: b})
}

func (w *World) applyResources(r *reader) error {
	for {
		k := r.below(len(w.resources) + 1)
		if r.err != nil || k == 0 {
			return r.err
		}
		x := w.resources[k-1]
		f := x.form
		b := r.take(f.Packed)
		if r.err != nil {
			return r.err
		}
		if f.Transient {
			return fmt.Errorf("resource %q is transient", f.Name)
		}
		w.valueSum -= f.hash(Entity{}, x.old)
		f.unpack(x.old, b, 1)
		if !f.proper(x.old) {
			return fmt.Errorf("resource %q holds an invalid bool or text", f.Name)
		}
		w.valueSum += f.hash(Entity{}, x.old)
		copy(bytesAt(x.live, f.Size), bytesAt(x.old, f.Size))
		w.changes.resources = appendUvarint(w.changes.resources, uint64(k))
		w.changes.resources = append(w.changes.resources, b...)
	}
}

func (w *World) applyColumns(r *reader) error {
	for {
		k := r.below(len(w.components) + 1)
		if r.err != nil || k == 0 {
			return r.err
		}
		if err := w.applyColumn(r, w.components[k-1]); err != nil {
			return err
		}
	}
}

func (w *World) applyColumn(r *reader, c *component) error {
	n := r.count(c.Packed + 1)
	values := r.take(n * c.Packed)
	if r.err != nil {
		return r.err
	}
	if c.Transient || c.Size == 0 {
		return fmt.Errorf("component %q has no values in a delta", c.Name)
	}
	id := uint32(0)
	for ; n > 0; n-- {
		id += unzigzag(r.uint32())
		if r.err != nil {
			return r.err
		}
		if err := w.applyValue(c, id, values); err != nil {
			return err
		}
		values = values[c.Packed:]
	}
	return nil
}

// applyValue sets an entity's value to the first one in values.
func (w *World) applyValue(c *component, id uint32, values []byte) error {
	e, ok := w.inSlot(id)
	if !ok {
		return fmt.Errorf("entity %d, with a new %q, is not alive", id, c.Name)
	}
	p := w.places[id]
	t := w.tables[p.table]
	col := t.columnOf[c.id]
	if col < 0 {
		return fmt.Errorf("entity %d has no %q to change", id, c.Name)
	}
	x := &t.columns[col]
	live, old := x.at(int(p.row)), x.committed(int(p.row))
	before := c.hash(e, old)
	c.unpack(live, values, 1)
	if len(c.checks) > 0 && !c.proper(live) {
		return fmt.Errorf("entity %d: its new %q holds an invalid bool or text", id, c.Name)
	}
	copy(bytesAt(old, c.Size), bytesAt(live, c.Size))
	w.valueSum += c.hash(e, old) - before
	return nil
}
