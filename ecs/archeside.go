package ecs

import (
	"cmp"
	"slices"
	"unsafe"

	arche "github.com/mlange-42/arche/ecs"
)

// arche never frees an archetype. To find one it adds the components one after another, with a graph node for each
// step, and it searches all nodes for each new step. Its cost depends only on the number of nodes: a leftover archetype
// works as well as a new one. So the moment of a rebuild of arche's side is not part of a world's state.

// route is the order in which components are added on the way to the tables with rows. The most common components come
// first, so that the paths share many steps.
type route struct {
	rank  []int // by component id
	nodes int   // in all paths together
}

func (w *World) route() route {
	count, order := make([]int, len(w.components)), make([]int, len(w.components))
	for t := range w.eachInhabited {
		for i := range t.columns {
			count[t.columns[i].c.id]++
		}
	}
	for id := range order {
		order[id] = id
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Or(count[b]-count[a], a-b) })
	r := route{rank: make([]int, len(order))}
	for i, id := range order {
		r.rank[id] = i
	}
	r.nodes = r.count(w)
	return r
}

// count returns the number of different steps on all paths.
func (r *route) count(w *World) (n int) {
	var ways [][]int
	for t := range w.eachInhabited {
		ways = append(ways, r.way(t))
	}
	slices.SortStableFunc(ways, slices.Compare)
	var last []int
	for _, way := range ways {
		shared := 0
		for shared < len(way) && shared < len(last) && way[shared] == last[shared] {
			shared++
		}
		n += len(way) - shared
		last = way
	}
	return n
}

// way returns the ranks of the table's components, ascending.
func (r *route) way(t *Table) []int {
	way := make([]int, len(t.columns))
	for i := range t.columns {
		way[i] = r.rank[t.columns[i].c.id]
	}
	slices.Sort(way)
	return way
}

// ids returns the table's components in route order.
func (r *route) ids(t *Table) []arche.ID {
	at := make([]int, len(t.ids))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return r.rank[t.columns[a].c.id] - r.rank[t.columns[b].c.id] })
	ids := make([]arche.ID, len(at))
	for i, k := range at {
		ids[i] = t.ids[k]
	}
	return ids
}

// rebuild replaces arche's side of the world with a new one that has only the archetypes with rows.
func (w *World) rebuild(r route) {
	w.arche = arche.NewWorld(firstRows)
	for _, c := range w.components {
		if arche.TypeID(&w.arche, c.typ) != c.arche {
			panic("ecs: arche numbers a component differently than before")
		}
	}
	w.loadPool()
	w.nodes = r.nodes
	var live []unsafe.Pointer
	for _, t := range w.tables {
		live = live[:0]
		for i := range t.columns {
			live = append(live, t.columns[i].live)
		}
		w.loadRows(t, &r)
		for i := range t.columns {
			n := len(t.entities) * t.columns[i].c.Size
			copy(bytesAt(t.columns[i].live, n), bytesAt(live[i], n))
		}
	}
}

// loadPool gives arche's pool a crafted stack that hands out every entity in order of tables and rows, above the real
// free slots.
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
func (w *World) loadRows(t *Table, r *route) {
	if len(t.entities) > 0 {
		w.arche.Batch().New(len(t.entities), r.ids(t)...)
		w.relocate(t)
	}
}
