package grid_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ferris1/wind/systems/grid"
)

// scene makes n points in a square, each with about 20 neighbours within a cell's width.
func scene(n int) (*grid.Grid[uint32], []point) {
	r := rand.New(rand.NewPCG(1, 1))
	side := math.Sqrt(float64(n) * math.Pi * 4 * 4 / 20)
	ps := make([]point, n)
	for i := range ps {
		ps[i] = point{r.Float64() * side, r.Float64() * side}
	}
	return grid.New[uint32](grid.Area{MaxX: side, MaxY: side}, 4), ps
}

// columns returns the scene as a system has it.
func columns(ps []point) (xy []struct{ X, Y float64 }, vs []uint32) {
	for i, p := range ps {
		xy, vs = append(xy, struct{ X, Y float64 }{p.x, p.y}), append(vs, uint32(i))
	}
	return xy, vs
}

func rebuild(g *grid.Grid[uint32], ps []point) {
	g.Reset()
	for i := range ps {
		g.Add(ps[i].x, ps[i].y, uint32(i))
	}
	g.Build()
}

func perPoint(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/point")
}

func BenchmarkRebuild(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		g, ps := scene(n)
		xy, vs := columns(ps)
		rebuild(g, ps)
		b.Run(fmt.Sprintf("add/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rebuild(g, ps)
			}
			perPoint(b, n)
		})
		b.Run(fmt.Sprintf("append/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Reset()
				grid.Append(g, xy, vs)
				g.Build()
			}
			perPoint(b, n)
		})
	}
}

// BenchmarkNeighbours rebuilds the grid and queries the 20 neighbours of every point.
func BenchmarkNeighbours(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g, ps := scene(n)
			found := 0
			b.ReportAllocs()
			for b.Loop() {
				rebuild(g, ps)
				for i := range ps {
					for it := range g.Circle(ps[i].x, ps[i].y, 4) {
						found += int(it.Value & 1)
					}
				}
			}
			perPoint(b, n)
		})
	}
}

func BenchmarkNearest(b *testing.B) {
	g, ps := scene(10_000)
	rebuild(g, ps)
	for b.Loop() {
		for i := range ps {
			g.Nearest(ps[i].x, ps[i].y, 20, func(it *grid.Item[uint32]) bool { return it.Value != uint32(i) })
		}
	}
	perPoint(b, len(ps))
}
