package ecs

import (
	"errors"
	"fmt"
)

// The limit on tables, and the rule for giving back empty ones. Both depend on the list of tables alone, so that live,
// restored and following worlds agree.
var (
	// maxTables is the largest number of tables in a world; outside bytes cannot make more. Each costs about 5 KB, and
	// arche's search for the next one takes longer with each: 50 µs at this number. A variable for tests.
	maxTables = 1 << 15
	// spareTables is how many empty tables a tick may always leave behind. A variable for tests.
	spareTables = 1 << 10
)

// ErrTables is wrapped by errors of Restore, Apply and Access when a world would need too many different sets of
// components.
var ErrTables = errors.New("too many different sets of components")

// tablesReason returns the Reason for a system or a command whose changes would need too many tables.
func tablesReason() string {
	return fmt.Sprintf("limit: %v: a world has at most %d; all changes of this call are dropped", ErrTables, maxTables)
}

// fits reports whether the queue can be applied without exceeding the limit on tables.
func (w *World) fits() bool {
	room := maxTables - len(w.tables)
	if len(w.queue) <= room { // each operation makes at most one
		return true
	}
	return w.fewSets() || w.count(room)
}

// fewSets reports whether there is room even if every component that the queue adds or removes were combined with every
// existing set. That settles the case of a system that makes the same change to a hundred thousand entities.
func (w *World) fewSets() bool {
	sets, flipped := len(w.tables), mask{}
	for _, b := range w.bundles {
		if b.table == nil {
			sets++
		}
	}
	for i := range w.queue {
		o := &w.queue[i]
		if (o.kind != opAdd && o.kind != opRemove) || flipped.has(int(o.arg)) {
			continue
		}
		flipped.set(int(o.arg))
		if sets *= 2; sets > maxTables {
			return false
		}
	}
	return sets <= maxTables
}

// count runs through the queue with masks only and reports whether it makes at most room new tables.
func (w *World) count(room int) bool {
	masks, made := map[Entity]mask{}, map[mask]bool{} // looked up, never ranged over
	for i := range w.queue {
		o := &w.queue[i]
		m, known := masks[o.entity]
		switch o.kind {
		case opSpawn:
			m = w.bundles[o.arg].mask
		case opAdd, opRemove:
			if !known && !w.stored(o.entity) {
				continue // see flushExchange
			}
			if !known {
				m = w.tables[w.places[o.entity.id].table].mask
			}
			if m.has(int(o.arg)) == (o.kind == opAdd) {
				continue
			}
			m.flip(int(o.arg))
		default:
			continue
		}
		masks[o.entity] = m
		if w.tableOf[m] == nil && !made[m] {
			made[m] = true
			if len(made) > room {
				return false
			}
		}
	}
	return true
}

// mayKeep returns the largest number of empty tables that a tick leaves behind: as many as have rows, so that giving
// them back costs less than making them did, but at most half of the remaining room.
func (w *World) mayKeep() int {
	living := len(w.tables) - w.uninhabited
	return max(spareTables, min(living, (maxTables-living)/2))
}

// tidy gives tables back if a tick has left too many empty ones.
func (w *World) tidy() {
	if w.uninhabited > w.mayKeep() {
		w.recordOp(opGiveBack, Entity{}, 0)
		w.giveBack()
	}
}

// giveBack drops the tables without rows. The others close up, in order.
func (w *World) giveBack() {
	kept := w.tables[:0]
	for _, t := range w.tables {
		t.edges = nil // a single leftover reference to a table would keep all past tables alive
		if len(t.entities) == 0 {
			w.layoutSum -= w.tableHash(t)
			delete(w.tableOf, t.mask)
			t.index = -1
			continue
		}
		if t.index != len(kept) {
			w.renumber(t, len(kept))
		}
		kept = append(kept, t)
	}
	clear(w.tables[len(kept):])
	w.tables = kept
	w.inhabited, w.uninhabited = w.inhabited[:0], 0
	for i := range kept {
		if i&63 == 0 {
			w.inhabited = append(w.inhabited, 0)
		}
		w.inhabited[i>>6] |= 1 << (i & 63)
	}
	w.shape++
	for _, b := range w.bundles {
		if b.table != nil && b.table.index < 0 {
			b.table = nil
		}
	}
	if r := w.route(); 2*r.nodes <= w.nodes {
		w.rebuild(r)
	}
}

// renumber moves a table to another index in the list.
func (w *World) renumber(t *Table, index int) {
	w.layoutSum -= w.tableHash(t)
	for row, e := range t.entities {
		w.layoutSum += layoutHash(e, index, row) - layoutHash(e, t.index, row)
		w.places[e.id].table = int32(index)
	}
	t.index = index
	w.layoutSum += w.tableHash(t)
}
