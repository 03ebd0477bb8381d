package grid

import "iter"

// Box yields the items with points in the rectangle, border included. The grid owns the items; do not change their
// points.
func (g *Grid[T]) Box(minX, minY, maxX, maxY float64) iter.Seq[*Item[T]] {
	return func(yield func(*Item[T]) bool) { g.box(minX, minY, maxX, maxY, yield) }
}

func (g *Grid[T]) box(minX, minY, maxX, maxY float64, yield func(*Item[T]) bool) {
	if !(minX <= maxX) || !(minY <= maxY) || len(g.sorted) == 0 {
		return
	}
	c0, c1 := g.col(minX), g.col(maxX)
	for r, last := g.row(minY), g.row(maxY); r <= last; r++ {
		run := g.run(r, c0, c1)
		for i := range run {
			it := &run[i]
			if it.X >= minX && it.X <= maxX && it.Y >= minY && it.Y <= maxY && !yield(it) {
				return
			}
		}
	}
}

// Circle yields the items with points within radius metres of (x, y), border included. The grid owns the items; do not
// change their points.
func (g *Grid[T]) Circle(x, y, radius float64) iter.Seq[*Item[T]] {
	return func(yield func(*Item[T]) bool) { g.circle(x, y, radius, yield) }
}

func (g *Grid[T]) circle(x, y, radius float64, yield func(*Item[T]) bool) {
	if !(radius >= 0) || len(g.sorted) == 0 {
		return
	}
	rr := radius * radius
	c0, c1 := g.col(x-radius), g.col(x+radius)
	for r, last := g.row(y-radius), g.row(y+radius); r <= last; r++ {
		run := g.run(r, c0, c1)
		for i := range run {
			it := &run[i]
			dx, dy := it.X-x, it.Y-y
			if float64(dx*dx)+float64(dy*dy) <= rr && !yield(it) {
				return
			}
		}
	}
}

// Nearest returns the item nearest to (x, y) within radius metres (infinity: anywhere) that accept returns true for; a
// nil accept accepts all. Of equally near items, the first in the grid's order wins. It returns nil if no item
// qualifies.
func (g *Grid[T]) Nearest(x, y, radius float64, accept func(*Item[T]) bool) *Item[T] {
	if !(radius >= 0) || len(g.sorted) == 0 {
		return nil
	}
	s := search[T]{x: x, y: y, within: float64(radius * radius), accept: accept}
	c0, c1, r0, r1 := g.col(x-radius), g.col(x+radius), g.row(y-radius), g.row(y+radius)
	if few := 32; g.atMost(few, c0, c1, r0, r1) {
		for r := r0; r <= r1; r++ {
			g.look(&s, r, c0, c1)
		}
	} else {
		g.spiral(&s)
	}
	if !s.found {
		return nil
	}
	return &g.sorted[s.best]
}

// atMost reports whether a box of cells holds no more than n items.
func (g *Grid[T]) atMost(n, c0, c1, r0, r1 int) bool {
	for r := r0; r <= r1 && n >= 0; r++ {
		n -= int(g.start[r*g.cols+c1+1] - g.start[r*g.cols+c0])
	}
	return n >= 0
}

// spiral searches ring by ring around the point until no farther ring can contain a nearer item.
func (g *Grid[T]) spiral(s *search[T]) {
	col, row := g.col(s.x), g.row(s.y)
	rings := max(col, g.cols-1-col, row, g.rows-1-row)
	for ring := 0; ring <= rings; ring++ {
		if away := g.gap(s.x, s.y, col, row, ring); float64(away*away) > s.within {
			return
		}
		top, bottom, left, right := row-ring, row+ring, col-ring, col+ring
		for r := max(top, 0); r <= min(bottom, g.rows-1); r++ {
			if r == top || r == bottom {
				g.look(s, r, max(left, 0), min(right, g.cols-1))
				continue
			}
			if left >= 0 {
				g.look(s, r, left, left)
			}
			if right < g.cols {
				g.look(s, r, right, right)
			}
		}
	}
}

// gap returns a lower bound of the distance from (x, y) to any item in a ring of cells around (col, row). Items outside
// the area lie in border cells, and are only farther away than the cells themselves.
func (g *Grid[T]) gap(x, y float64, col, row, ring int) float64 {
	if ring == 0 {
		return 0
	}
	left := x - (g.minX + float64(float64(col-ring+1)*g.side))
	right := g.minX + float64(float64(col+ring)*g.side) - x
	low := y - (g.minY + float64(float64(row-ring+1)*g.side))
	high := g.minY + float64(float64(row+ring)*g.side) - y
	return max(min(left, right, low, high)-g.slack, 0)
}

// search is the state of a Nearest: the best item so far, and the squared distance beyond which no item counts.
type search[T any] struct {
	x, y, within float64
	accept       func(*Item[T]) bool
	best         uint32
	found        bool
}

func (g *Grid[T]) look(s *search[T], row, c0, c1 int) {
	first, end := g.start[row*g.cols+c0], g.start[row*g.cols+c1+1]
	for i := first; i < end; i++ {
		it := &g.sorted[i]
		dx, dy := it.X-s.x, it.Y-s.y
		d := float64(dx*dx) + float64(dy*dy)
		if d > s.within || !(d == d) || s.found && d == s.within && i > s.best {
			continue
		}
		if s.accept == nil || s.accept(it) {
			s.best, s.within, s.found = i, d, true
		}
	}
}

// run returns the items in cells c0 to c1 of a row, which lie side by side.
func (g *Grid[T]) run(row, c0, c1 int) []Item[T] {
	return g.sorted[g.start[row*g.cols+c0]:g.start[row*g.cols+c1+1]]
}
