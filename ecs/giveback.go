package ecs

import (
	"errors"
	"fmt"
	"unsafe"

	arche "github.com/mlange-42/arche/ecs"
)

// How many tables there may be, and what becomes of those without rows. Both follow from the list of tables alone, so
// that live, restored and following worlds agree.
var (
	// maxTables is how many tables a world may have, and bytes from outside may make. Each costs some 5 KB, and the
	// more there are, the longer arche looks for the next: 50 µs at this number. A variable for the tests.
	maxTables = 1 << 15
	// spareTables is how many tables without rows a tick may always leave behind. A variable for the tests.
	spareTables = 1 << 10
)

// ErrTables is wrapped by the errors of Restore and Apply, and is Access's word, when there are too many different sets
// of components.
var ErrTables = errors.New("too many different sets of components")

// tablesReason is the Reason of a system or a command whose changes would need more tables than there may be.
func tablesReason() string {
	return fmt.Sprintf("limit: %v: a world has at most %d; all changes of this call are dropped", ErrTables, maxTables)
}

// fits reports whether the queue can be applied without more tables than there may be.
func (w *World) fits() bool {
	room := maxTables - len(w.tables)
	if len(w.queue) <= room { // an operation makes one at most
		return true
	}
	return w.fewSets() || w.count(room) || mutant == limitIgnored
}

// fewSets reports whether there is room even if every component that the queue adds or removes were to be had and not to
// be had with all that there is: so for a system that does one thing to a hundred thousand entities.
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

// count runs through the queue with masks alone, and reports whether it makes no more than room new tables.
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

// mayKeep is how many tables without rows a tick leaves behind at most: as many as there are with rows, so that giving
// them back costs less than making them did, but no more than half of the room that those leave.
func (w *World) mayKeep() int {
	living := len(w.tables) - w.uninhabited
	return max(spareTables, min(living, (maxTables-living)/2))
}

// tidy gives tables back when a tick has left too many of them without rows.
func (w *World) tidy() {
	if mutant != tablesKept && w.uninhabited > w.mayKeep() {
		w.recordOp(opGiveBack, Entity{}, 0)
		w.giveBack()
	}
}

// giveBack drops the tables without rows. The others close up, in their order.
func (w *World) giveBack() {
	kept := w.tables[:0]
	for _, t := range w.tables {
		if len(t.entities) == 0 {
			w.layoutSum -= w.tableHash(t)
			delete(w.tableOf, t.mask)
			t.index = -1
			continue
		}
		t.edges = nil
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
		if b.table != nil && b.table.index < 0 && mutant != bundlesStale {
			b.table = nil
		}
	}
	w.rebuild()
}

// renumber moves a table to another place in the list.
func (w *World) renumber(t *Table, index int) {
	w.layoutSum -= w.tableHash(t)
	for row, e := range t.entities {
		w.layoutSum += layoutHash(e, index, row) - layoutHash(e, t.index, row)
		w.places[e.id].table = int32(index)
	}
	t.index = index
	w.layoutSum += w.tableHash(t)
}

// rebuild makes arche's side of the world anew, with the archetypes that have rows only: arche never gives one back.
func (w *World) rebuild() {
	w.arche = arche.NewWorld(firstRows)
	for _, c := range w.components {
		if arche.TypeID(&w.arche, c.typ) != c.arche {
			panic("ecs: arche numbers a component otherwise than before")
		}
	}
	w.loadPool()
	var live []unsafe.Pointer
	for _, t := range w.tables {
		live = live[:0]
		for i := range t.columns {
			live = append(live, t.columns[i].live)
		}
		w.loadRows(t)
		for i := range t.columns {
			n := len(t.entities) * t.columns[i].c.Size
			copy(bytesAt(t.columns[i].live, n), bytesAt(live[i], n))
		}
	}
}

// loadPool gives arche's pool a crafted stack that hands out every entity in the order of tables and rows, with the real
// free slots below.
func (w *World) loadPool() {
	slots := append([]Entity(nil), w.pool.slots...)
	next, free := w.pool.next, w.pool.free
	for i := len(w.tables) - 1; i >= 0; i-- {
		entities := w.tables[i].entities
		for k := len(entities) - 1; k >= 0; k-- {
			id := entities[k].id
			slots[id].id, next = next, id
			free++
		}
	}
	w.arche.LoadEntities(&arche.EntityDump{
		Entities: unsafe.Slice((*arche.Entity)(unsafe.Pointer(&slots[0])), len(slots)), Next: next, Available: free,
	})
}

// loadRows makes the rows of t in arche, in one batch that takes its entities from the crafted stack.
func (w *World) loadRows(t *Table) {
	if len(t.entities) > 0 {
		w.arche.Batch().New(len(t.entities), t.ids...)
		w.relocate(t)
	}
}
