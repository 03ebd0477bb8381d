// Package grid is a uniform spatial grid over points in the plane. Rebuild it whenever the points have moved.
//
// Build counting-sorts the points by cell into one dense array. It takes a few nanoseconds per point, uses no pointers,
// and allocates nothing once the arrays have grown to the largest number of points seen. Queries read runs of that
// array, so neighbour work touches memory in order; looking up a component per neighbour costs many times as much. Put
// what the query's loop needs (an entity, a radius, a team) into the item's value.
//
//	g := grid.New[ecs.Entity](grid.Area{MinX: -50, MinY: -50, MaxX: 50, MaxY: 50}, 5)
//	g.Reset()
//	g.Add(x, y, entity)                // one point, or
//	grid.Append(g, positions, entities) // columns of them
//	g.Build()
//	for it := range g.Circle(x, y, 5) { … }
//
// The result depends only on the points and the order they were added in. Items lie by cell: rows from low y to high y,
// cells in a row from low x to high x. Within a cell they keep the order they were added in, those of Add before those
// of Append. Queries yield items in this order.
// The package imports only detmath; systems and replication both use it.
//
// A Grid is not safe for concurrent use while Build or a call that adds points runs; queries alone may run
// concurrently.
package grid

import "unsafe"

// Item is a point, in metres, with the value it was added with.
type Item[T any] struct {
	X, Y  float64
	Value T
}

// Grid stores points by cell. Make one with New; keep it, and its memory, from tick to tick.
type Grid[T any] struct {
	plane
	added  run[T]   // points from Add
	runs   []run[T] // points from Append
	cells  []uint32 // the cell of each point: added first, then run after run
	start  []uint32 // first item of each cell in sorted, then one past the last cell, and one more that Build needs; nil until there was an item
	sorted []Item[T]
}

// run is points and their values, side by side.
type run[T any] struct {
	points []point
	values []T
}

type point struct{ x, y float64 }

// New makes a grid of square cells with sides of cell metres. A cell as wide as the usual query radius works well. It
// panics if the area is empty, a number is not finite, or the grid would have more than MaxCells cells.
func New[T any](area Area, cell float64) *Grid[T] {
	return &Grid[T]{plane: newPlane(area, cell)}
}

// Reset removes all points and keeps the memory.
func (g *Grid[T]) Reset() {
	g.added.points, g.added.values = g.added.points[:0], g.added.values[:0]
	clear(g.runs)
	g.runs = g.runs[:0]
	g.sorted = g.sorted[:0]
}

// Add adds a point; queries find it after the next Build. A NaN counts as the area's lower border, and no query yields
// it.
func (g *Grid[T]) Add(x, y float64, v T) {
	g.added.points, g.added.values = append(g.added.points, point{x, y}), append(g.added.values, v)
}

// Append adds columns of points and their values, faster than one Add per point. It panics if their lengths differ.
// Build reads the slices, which are not copied: do not change them until then.
func Append[P ~struct{ X, Y float64 }, T any](g *Grid[T], points []P, values []T) {
	if len(points) != len(values) {
		panic("grid: Append got different numbers of points and values")
	}
	// P has the layout of point: the same two fields.
	ps := unsafe.Slice((*point)(unsafe.Pointer(unsafe.SliceData(points))), len(points))
	g.runs = append(g.runs, run[T]{ps, values})
}

// Len returns the number of points added since Reset.
func (g *Grid[T]) Len() int {
	n := len(g.added.points)
	for i := range g.runs {
		n += len(g.runs[i].points)
	}
	return n
}

// Build sorts all points added since Reset.
func (g *Grid[T]) Build() {
	n := g.Len()
	if n == 0 {
		g.sorted = g.sorted[:0] // the cells have no items to begin with
		return
	}
	if g.start == nil {
		g.start = make([]uint32, g.cols*g.rows+2)
	}
	if cap(g.sorted) < n {
		g.sorted, g.cells = make([]Item[T], n+n/4), make([]uint32, n+n/4)
	}
	g.sorted, g.cells = g.sorted[:n], g.cells[:n]

	clear(g.start)
	counts := g.start[2:] // start[c+2]: the number of items of cell c
	cells := g.cells[g.count(g.added.points, g.cells, counts):]
	for i := range g.runs {
		cells = cells[g.count(g.runs[i].points, cells, counts):]
	}
	sum := uint32(0)
	for i, k := range g.start { // start[c+1]: the first item of cell c …
		sum += k
		g.start[i] = sum
	}
	next := g.start[1:] // … and, once each item has advanced it, the first item of cell c+1
	cells = g.cells[place(&g.added, g.cells, next, g.sorted):]
	for i := range g.runs {
		cells = cells[place(&g.runs[i], cells, next, g.sorted):]
	}
}

// place copies a run's items to the next free places of their cells and returns how many it copied.
func place[T any](r *run[T], cells, next []uint32, sorted []Item[T]) int {
	points := r.points
	values, cells := r.values[:len(points)], cells[:len(points)]
	for i, p := range points {
		c := cells[i]
		at := next[c]
		next[c] = at + 1
		sorted[at] = Item[T]{p.x, p.y, values[i]}
	}
	return len(points)
}

// Items returns all built points, by cell. The grid owns the slice, which stays valid until the next Reset.
func (g *Grid[T]) Items() []Item[T] { return g.sorted }

// Cell returns the items of one cell, in the order they were added. The grid owns the slice, which stays valid until
// the next Reset.
func (g *Grid[T]) Cell(i int) []Item[T] {
	if len(g.sorted) == 0 {
		return nil
	}
	return g.sorted[g.start[i]:g.start[i+1]]
}
