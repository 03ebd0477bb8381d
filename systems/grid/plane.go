package grid

import (
	"fmt"
	"math"

	"github.com/ferris1/wind/ecs/detmath"
)

// MaxCells bounds the number of cells of a grid: each takes 4 bytes, and every Build walks them all.
const MaxCells = 1 << 22

// Area is the rectangle that the cells cover, in metres. Points outside belong to the nearest border cell, so queries
// still find them, but more slowly if there are many.
type Area struct{ MinX, MinY, MaxX, MaxY float64 }

// plane describes how an area is divided into cells.
type plane struct {
	minX, minY float64 // metres
	side       float64 // of a cell, metres
	inverse    float64 // cells per metre
	lastCol    float64 // cols-1 and rows-1, to clamp before a conversion
	lastRow    float64
	cols, rows int
	slack      float64 // metres that rounding may move a cell's border by
}

func newPlane(a Area, cell float64) plane {
	w, h := a.MaxX-a.MinX, a.MaxY-a.MinY
	if !(w > 0) || !(h > 0) || !(cell > 0) || math.IsInf(w, 0) || math.IsInf(h, 0) || math.IsInf(cell, 0) {
		panic(fmt.Sprintf("grid: cannot cut area %+v into cells of %v m", a, cell))
	}
	cols, rows := math.Ceil(w/cell), math.Ceil(h/cell)
	if float64(cols*rows) > MaxCells {
		panic(fmt.Sprintf("grid: %v x %v cells of %v m are more than the limit of %d", cols, rows, cell, MaxCells))
	}
	far := max(math.Abs(a.MinX), math.Abs(a.MaxX), math.Abs(a.MinY), math.Abs(a.MaxY))
	return plane{
		minX: a.MinX, minY: a.MinY, side: cell, inverse: 1 / cell,
		lastCol: cols - 1, lastRow: rows - 1, cols: detmath.ToInt(cols), rows: detmath.ToInt(rows),
		slack: float64(1e-12 * (far + cell)),
	}
}

// Size returns the number of columns and rows of cells in the grid.
func (p *plane) Size() (cols, rows int) { return p.cols, p.rows }

// CellOf returns the index of the cell that contains a point: row × columns + column.
func (p *plane) CellOf(x, y float64) int { return p.row(y)*p.cols + p.col(x) }

func (p *plane) col(x float64) int { return clamp(float64((x-p.minX)*p.inverse), p.lastCol) }
func (p *plane) row(y float64) int { return clamp(float64((y-p.minY)*p.inverse), p.lastRow) }

// clamp converts f to an integer between 0 and last. A NaN becomes 0.
//
//windvet:allow the clamped value lies between 0 and last
func clamp(f, last float64) int {
	if f > last {
		return int(last)
	}
	if f > 0 {
		return int(f)
	}
	return 0
}

// count writes the cell of each point to cells, counts the points of each cell in counts, and returns how many points
// there were. It does what CellOf does in half the time by converting before it clamps. A number out of range converts
// to different integers on different CPUs, but never to one within the grid (NaN may become 0, as it should).
//
//windvet:allow see above
func (p *plane) count(points []point, cells, counts []uint32) int {
	minX, minY, inverse := p.minX, p.minY, p.inverse
	cols, rows := uint64(p.cols), uint64(p.rows)
	cells = cells[:len(points)]
	for i := range points {
		col := uint64(int64((points[i].x - minX) * inverse))
		row := uint64(int64((points[i].y - minY) * inverse))
		c := uint32(row)*uint32(cols) + uint32(col)
		if col >= cols || row >= rows {
			c = p.border(points[i])
		}
		cells[i] = c
		counts[c]++
	}
	return len(points)
}

//go:noinline
func (p *plane) border(at point) uint32 { return uint32(p.CellOf(at.x, at.y)) }
