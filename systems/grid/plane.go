package grid

import (
	"fmt"
	"math"

	"github.com/ferris1/wind/ecs/detmath"
)

// MaxCells bounds a grid's cells: 4 bytes each are kept, and every Build walks them all.
const MaxCells = 1 << 22

// Area is the rectangle that the cells cover, in metres. Points outside belong to the nearest border cell, so
// queries find them all the same, only more slowly when there are many.
type Area struct{ MinX, MinY, MaxX, MaxY float64 }

// plane is how an area is cut into cells.
type plane struct {
	minX, minY float64 // metres
	side       float64 // of a cell, metres
	inverse    float64 // cells per metre
	lastCol    float64 // cols-1 and rows-1, to clamp before a conversion
	lastRow    float64
	cols, rows int
	slack      float64 // metres by which rounding may misplace a cell's border
}

func newPlane(a Area, cell float64) plane {
	w, h := a.MaxX-a.MinX, a.MaxY-a.MinY
	if !(w > 0) || !(h > 0) || !(cell > 0) || math.IsInf(w, 0) || math.IsInf(h, 0) || math.IsInf(cell, 0) {
		panic(fmt.Sprintf("grid: no area %+v with cells of %v m", a, cell))
	}
	cols, rows := math.Ceil(w/cell), math.Ceil(h/cell)
	if float64(cols*rows) > MaxCells {
		panic(fmt.Sprintf("grid: %v x %v cells of %v m are more than %d", cols, rows, cell, MaxCells))
	}
	far := max(math.Abs(a.MinX), math.Abs(a.MaxX), math.Abs(a.MinY), math.Abs(a.MaxY))
	return plane{
		minX: a.MinX, minY: a.MinY, side: cell, inverse: 1 / cell,
		lastCol: cols - 1, lastRow: rows - 1, cols: detmath.ToInt(cols), rows: detmath.ToInt(rows),
		slack: float64(1e-12 * (far + cell)),
	}
}

// Size is the number of cells in a row and in a column of the grid.
func (p *plane) Size() (cols, rows int) { return p.cols, p.rows }

// CellOf is the index of the cell of a point: row × columns + column.
func (p *plane) CellOf(x, y float64) int { return p.row(y)*p.cols + p.col(x) }

func (p *plane) col(x float64) int { return clamp(float64((x-p.minX)*p.inverse), p.lastCol) }
func (p *plane) row(y float64) int { return clamp(float64((y-p.minY)*p.inverse), p.lastRow) }

// clamp converts f to an integer within 0 and last. A NaN is 0.
//
//windvet:allow what is converted lies within 0 and last
func clamp(f, last float64) int {
	if f > last {
		return int(last)
	}
	if f > 0 {
		return int(f)
	}
	return 0
}

// count writes the cell of each point to cells, counts it in counts, and returns how many there were. It does what
// CellOf does in half the time: converted before it is clamped, a number out of range becomes another one on another
// CPU, but on none of them one within the grid (NaN may become 0, as it should).
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
