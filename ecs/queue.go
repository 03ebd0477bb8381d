package ecs

// opKind is the kind of a deferred operation. Deltas contain its number.
type opKind uint8

const (
	opSpawn opKind = iota
	opDespawn
	opAdd
	opRemove
	opControl  // of a session; in deltas it is part of the session
	opGiveBack // of all empty tables; never queued, always a tick's last operation
)

// op is one deferred operation. The pool already reflects it.
type op struct {
	kind    opKind
	fresh   bool   // opSpawn: the slot is new
	arg     int32  // bundle or component
	entity  Entity // the entity it acts on
	values  int    // opSpawn, opAdd: start of its values in World.queued
	session uint64 // opControl
}

// flush applies the queue in order. A failure here is a defect of this package and is never contained.
func (w *World) flush() {
	for i := range w.queue {
		switch o := &w.queue[i]; o.kind {
		case opSpawn:
			w.flushSpawn(o)
		case opDespawn:
			w.recordOp(opDespawn, o.entity, 0)
			w.despawn(o.entity)
		case opAdd, opRemove:
			w.flushExchange(o)
		case opControl:
			w.sessions.control(o.session, o.entity)
		}
	}
	w.queue, w.queued = w.queue[:0], w.queued[:0]
}

func (w *World) flushSpawn(o *op) {
	b := w.bundles[o.arg]
	if b.table == nil {
		b.settle(w)
	}
	w.recordOp(opSpawn, o.entity, b.table.index)
	row := w.spawn(b.table, o.entity)
	for _, p := range b.parts {
		c := &b.table.columns[p.column]
		c.touched = true
		copy(bytesAt(c.at(row), p.size), w.queued[o.values+p.offset:])
	}
}

// flushExchange skips a dead entity, an added component that the entity has and a removed one that it lacks.
func (w *World) flushExchange(o *op) {
	if !w.stored(o.entity) {
		return
	}
	c, add := w.components[o.arg], o.kind == opAdd
	if has := w.tables[w.places[o.entity.id].table].mask.has(c.id); has != add {
		w.recordOp(o.kind, o.entity, c.id)
		w.exchange(o.entity, c, add)
	}
	if add {
		p := w.places[o.entity.id]
		t := w.tables[p.table]
		col := &t.columns[t.columnOf[c.id]]
		col.touched = true
		copy(bytesAt(col.at(int(p.row)), c.Size), w.queued[o.values:])
	}
}

// drop clears the queue and rolls the pool back to its state before the queue.
func (w *World) drop() {
	for i := len(w.queue) - 1; i >= 0; i-- {
		switch o := &w.queue[i]; o.kind {
		case opSpawn:
			w.pool.unget(o.entity, o.fresh)
		case opDespawn:
			w.pool.unput(o.entity)
		}
	}
	w.queue, w.queued = w.queue[:0], w.queued[:0]
}

// recordOp enters an applied operation into the tick's delta.
func (w *World) recordOp(kind opKind, e Entity, arg int) {
	b := append(w.changes.ops, byte(kind))
	b = appendUvarint(b, uint64(e.id))
	switch kind {
	case opSpawn:
		b = appendUvarint(b, uint64(e.gen))
		b = appendUvarint(b, uint64(arg))
	case opAdd, opRemove:
		b = appendUvarint(b, uint64(arg))
	}
	w.changes.ops = b
	w.changes.opCount++
}
