// Package grid is a uniform spatial grid over points in the plane, built anew whenever the points have moved.
//
// Building is a counting sort of the points by cell into one dense array: a few nanoseconds per point, no pointers,
// and no allocation once the arrays have grown to the largest number of points seen. Queries read runs of that array,
// so neighbour work touches memory in order; a component looked up per neighbour costs many times as much. Carry in
// the item's value what the query's loop needs (an entity, a radius, a team).
//
//	g := grid.New[ecs.Entity](grid.Area{MinX: -50, MinY: -50, MaxX: 50, MaxY: 50}, 5)
//	g.Reset()
//	g.Add(x, y, entity)                // one point, or
//	grid.Append(g, positions, entities) // columns of them
//	g.Build()
//	for it := range g.Circle(x, y, 5) { … }
//
// Everything depends only on the points and on the order in which they were added: items lie by cell (rows of cells
// from low y to high y, in a row from low x to high x) and within a cell in the order in which they came, those of
// Add before those of Append; queries yield them so.
// The package imports only detmath and is used by systems and by replication alike.
//
// A Grid is not safe for concurrent use while it is being built; queries alone may run concurrently.
package grid

import "unsafe"

// Item is a point, in metres, with the value that it was added with.
type Item[T any] struct {
	X, Y  float64
	Value T
}

// Grid holds points by cell. Make one with New; keep it, and its memory, from tick to tick.
type Grid[T any] struct {
	plane
	added  run[T]   // what Add took
	runs   []run[T] // what Append took
	cells  []uint32 // the cell of each point: those of added, then run after run
	start  []uint32 // first item of each cell in sorted, one past the last cell, and one more that Build needs
	sorted []Item[T]
}

// run is points and their values, side by side.
type run[T any] struct {
	points []point
	values []T
}

type point struct{ x, y float64 }

// New makes a grid of square cells whose sides are cell metres. A cell as wide as the usual query's radius serves
// well. It panics where the area is empty, a number is not finite, or there would be more than MaxCells cells.
func New[T any](area Area, cell float64) *Grid[T] {
	p := newPlane(area, cell)
	return &Grid[T]{plane: p, start: make([]uint32, p.cols*p.rows+2)}
}

// Reset forgets the points and keeps the memory.
func (g *Grid[T]) Reset() {
	g.added.points, g.added.values = g.added.points[:0], g.added.values[:0]
	clear(g.runs)
	g.runs = g.runs[:0]
	clear(g.start)
	g.sorted = g.sorted[:0]
}

// Add takes a point in; it is found from the next Build on. A NaN counts as the area's lower border, and no query
// yields it.
func (g *Grid[T]) Add(x, y float64, v T) {
	g.added.points, g.added.values = append(g.added.points, point{x, y}), append(g.added.values, v)
}

// Append takes columns of points and of their values in, faster than Add one by one. It panics where their lengths
// differ. The slices are read by Build, not copied before: leave them as they are until then.
func Append[P ~struct{ X, Y float64 }, T any](g *Grid[T], points []P, values []T) {
	if len(points) != len(values) {
		panic("grid: as many points as values are needed")
	}
	// P has the layout of point: the same two fields.
	ps := unsafe.Slice((*point)(unsafe.Pointer(unsafe.SliceData(points))), len(points))
	g.runs = append(g.runs, run[T]{ps, values})
}

// Len is the number of points added since Reset.
func (g *Grid[T]) Len() int {
	n := len(g.added.points)
	for i := range g.runs {
		n += len(g.runs[i].points)
	}
	return n
}

// Build sorts all that was added since Reset.
func (g *Grid[T]) Build() {
	n := g.Len()
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
	for i, k := range g.start { // start[c+1]: its first item …
		sum += k
		g.start[i] = sum
	}
	next := g.start[1:] // … and, each item having moved it on, the first item of cell c+1
	cells = g.cells[place(&g.added, g.cells, next, g.sorted):]
	for i := range g.runs {
		cells = cells[place(&g.runs[i], cells, next, g.sorted):]
	}
}

// place copies a run's items to where their cells' next ones go, and returns how many there were.
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

// Items are all built points, by cell. They belong to the grid and hold until the next Reset.
func (g *Grid[T]) Items() []Item[T] { return g.sorted }

// Cell is the items of one cell, in the order in which they came. They belong to the grid and hold until the next
// Reset.
func (g *Grid[T]) Cell(i int) []Item[T] { return g.sorted[g.start[i]:g.start[i+1]] }
