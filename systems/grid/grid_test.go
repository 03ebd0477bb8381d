package grid_test

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ferris1/wind/systems/grid"
)

var seed = flag.Uint64("seed", 1, "seed of the random points")

var area = grid.Area{MinX: -50, MinY: -30, MaxX: 50, MaxY: 30}

func Example() {
	g := grid.New[string](grid.Area{MinX: 0, MinY: 0, MaxX: 100, MaxY: 100}, 10)
	for range 2 { // every tick: Reset, Add, Build
		g.Reset()
		g.Add(12, 10, "fox")
		g.Add(15, 14, "hare")
		g.Add(90, 90, "owl")
		g.Build()
	}
	for it := range g.Circle(10, 10, 8) {
		fmt.Println(it.Value, it.X, it.Y)
	}
	fmt.Println("nearest:", g.Nearest(80, 80, math.Inf(1), nil).Value)
	// Output:
	// fox 12 10
	// hare 15 14
	// nearest: owl
}

type point struct{ x, y float64 }

// crowd makes random points in and around the area, some on top of each other, on cell borders and far outside.
func crowd(r *rand.Rand, n int) []point {
	ps := make([]point, n)
	for i := range ps {
		ps[i] = point{r.Float64()*140 - 70, r.Float64()*90 - 45}
		switch r.IntN(20) {
		case 0:
			ps[i] = ps[r.IntN(i+1)]
		case 1:
			ps[i] = point{math.Round(ps[i].x/7) * 7, math.Round(ps[i].y/7) * 7}
		case 2:
			ps[i].x *= 1000
		}
	}
	return ps
}

func fill(g *grid.Grid[int], ps []point) {
	g.Reset()
	for i, p := range ps {
		g.Add(p.x, p.y, i)
	}
	g.Build()
}

// fillColumns does with Append, in several runs, what fill does with Add.
func fillColumns(g *grid.Grid[int], ps []point) {
	var columns []struct{ X, Y float64 }
	var values []int
	for i, p := range ps {
		columns = append(columns, struct{ X, Y float64 }{p.x, p.y})
		values = append(values, i)
	}
	g.Reset()
	for from, n := range []int{len(ps) / 3, 0, len(ps) - len(ps)/3} {
		from = min(from, 1) * (len(ps) / 3)
		grid.Append(g, columns[from:from+n], values[from:from+n])
	}
	g.Build()
}

func values(seq func(func(*grid.Item[int]) bool)) (vs []int) {
	for it := range seq {
		vs = append(vs, it.Value)
	}
	return vs
}

func TestQueriesFindWhatBruteForceFinds(t *testing.T) {
	t.Logf("-seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 1))
	for round := range 60 {
		g := grid.New[int](area, 0.5+r.Float64()*20)
		ps := crowd(r, r.IntN(400))
		fill(g, ps)
		for range 30 {
			x, y, rad := r.Float64()*160-80, r.Float64()*100-50, r.Float64()*40
			if k := len(ps); k > 0 && r.IntN(3) == 0 { // a query centred on a point, with the radius to another one
				p, q := ps[r.IntN(k)], ps[r.IntN(k)]
				x, y, rad = p.x, p.y, math.Sqrt((p.x-q.x)*(p.x-q.x)+(p.y-q.y)*(p.y-q.y))
			}
			var circle, box []int
			best, near := -1, math.Inf(1)
			for i, p := range ps {
				dx, dy := p.x-x, p.y-y
				d := float64(dx*dx) + float64(dy*dy)
				if d <= rad*rad {
					circle = append(circle, i)
					if i%3 != 0 && d < near {
						best, near = i, d
					}
				}
				if p.x >= x && p.x <= x+rad && p.y >= y-3 && p.y <= y {
					box = append(box, i)
				}
			}
			same(t, round, "circle", values(g.Circle(x, y, rad)), circle)
			same(t, round, "box", values(g.Box(x, y-3, x+rad, y)), box)
			got := g.Nearest(x, y, rad, func(it *grid.Item[int]) bool { return it.Value%3 != 0 })
			if (got == nil) != (best < 0) {
				t.Fatalf("round %d: nearest of (%v, %v) within %v is %v, want %d", round, x, y, rad, got, best)
			}
			if got != nil {
				if dx, dy := got.X-x, got.Y-y; float64(dx*dx)+float64(dy*dy) != near {
					t.Fatalf("round %d: nearest of (%v, %v) within %v is %v, want %d", round, x, y, rad, got, best)
				}
			}
		}
	}
}

func same(t *testing.T, round int, what string, got, want []int) {
	t.Helper()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("round %d: %s finds %v, want %v", round, what, got, want)
	}
}

func TestOrderIsByCellThenByAdd(t *testing.T) {
	r := rand.New(rand.NewPCG(*seed, 2))
	g := grid.New[int](area, 7)
	ps := crowd(r, 500)
	fill(g, ps)
	ordered := func(its []int) bool {
		return slices.IsSortedFunc(its, func(a, b int) int {
			return cmp.Or(cmp.Compare(g.CellOf(ps[a].x, ps[a].y), g.CellOf(ps[b].x, ps[b].y)), cmp.Compare(a, b))
		})
	}
	if got := values(g.Circle(0, 0, 45)); !ordered(got) || len(got) < 50 {
		t.Errorf("circle yields %v", got)
	}
	if got := values(g.Box(-70, -40, 70, 40)); !ordered(got) || len(got) < 50 {
		t.Errorf("box yields %v", got)
	}
	cols, rows := g.Size()
	byAdd := slices.Clone(g.Items())
	if fillColumns(g, ps); !slices.Equal(byAdd, g.Items()) {
		t.Error("Append and Add give different orders")
	}
	n := 0
	for c := range cols * rows {
		for _, it := range g.Cell(c) {
			if g.Items()[n] != it {
				t.Fatalf("cell %d does not follow the order of Items", c)
			}
			n++
		}
	}
	if n != len(ps) || n != g.Len() {
		t.Errorf("the cells contain %d of %d items", n, len(ps))
	}
}

func TestNearestTakesTheFirstOfEquals(t *testing.T) {
	g := grid.New[int](area, 4)
	for i, p := range []point{{3, 0}, {0, 3}, {-3, 0}, {0, -3}, {0, -3}} {
		g.Add(p.x, p.y, i)
	}
	g.Build()
	if it := g.Nearest(0, 0, 10, nil); it.Value != 3 { // the lowest row of cells comes first
		t.Errorf("nearest is %d, want 3", it.Value)
	}
	if it := g.Nearest(0, 0, 2.9, nil); it != nil {
		t.Errorf("nearest within 2.9 m is %d", it.Value)
	}
}

func TestQueriesStopWhenAsked(t *testing.T) {
	g := grid.New[int](area, 4)
	fill(g, crowd(rand.New(rand.NewPCG(1, 3)), 300))
	n := 0
	for range g.Circle(0, 0, 100) {
		if n++; n == 3 {
			break
		}
	}
	for range g.Box(-100, -100, 100, 100) {
		if n++; n == 6 {
			break
		}
	}
	if n != 6 {
		t.Errorf("%d items seen, want 6", n)
	}
}

func TestNothingIsFoundWhereNothingIs(t *testing.T) {
	g := grid.New[int](area, 4)
	check := func(what string) {
		t.Helper()
		if n := len(values(g.Circle(0, 0, 1000))) + len(values(g.Box(-90, -90, 90, 90))); n != 0 || g.Nearest(0, 0, 1000, nil) != nil {
			t.Errorf("%s: %d items found", what, n)
		}
		if len(g.Cell(0)) != 0 {
			t.Errorf("%s: a cell has %v", what, g.Cell(0))
		}
	}
	check("new grid")
	g.Build()
	check("nothing built")
	fill(g, crowd(rand.New(rand.NewPCG(1, 4)), 300))
	g.Reset()
	check("after Reset")
	g.Add(1, 1, 1)
	check("before Build")
	g.Reset()
	g.Build()
	check("nothing built after something was")
	nan := math.NaN()
	g.Add(nan, 0, 1)
	g.Add(0, nan, 2)
	g.Build()
	check("not a number")
	fill(g, crowd(rand.New(rand.NewPCG(1, 4)), 300))
	for _, q := range []float64{nan, -1} {
		if n := len(values(g.Circle(0, 0, q))) + len(values(g.Box(1, nan, 0, 1))); n != 0 || g.Nearest(0, 0, q, nil) != nil {
			t.Errorf("radius %v: %d items found", q, n)
		}
	}
}

func TestAppendComesAfterAdd(t *testing.T) {
	g := grid.New[int](area, 4)
	grid.Append(g, []struct{ X, Y float64 }{{1, 1}, {1, 1}}, []int{1, 2})
	g.Add(1, 1, 0)
	g.Build()
	g.Build() // changes nothing
	if got := values(g.Circle(1, 1, 0)); !slices.Equal(got, []int{0, 1, 2}) || g.Len() != 3 {
		t.Errorf("order is %v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("Append accepts columns of different lengths")
		}
	}()
	grid.Append(g, []struct{ X, Y float64 }{{1, 1}}, nil)
}

func TestNewRefusesWhatIsNoGrid(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		a    grid.Area
		cell float64
	}{
		{area, 0},
		{area, -1},
		{area, nan},
		{area, inf},
		{area, 1e-4},
		{grid.Area{}, 1},
		{grid.Area{MinX: 1, MaxX: 0, MaxY: 1}, 1},
		{grid.Area{MaxX: inf, MaxY: 1}, 1},
		{grid.Area{MaxX: 1, MaxY: nan}, 1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%+v, %v) made a grid", c.a, c.cell)
				}
			}()
			grid.New[int](c.a, c.cell)
		}()
	}
}

func TestNoAllocationInTheSteadyState(t *testing.T) {
	g := grid.New[int](area, 4)
	ps := crowd(rand.New(rand.NewPCG(1, 5)), 2000)
	n := 0
	tick := func() {
		fill(g, ps)
		for i := range 50 {
			for it := range g.Circle(ps[i].x, ps[i].y, 8) {
				n += it.Value
			}
			for range g.Box(ps[i].x, ps[i].y, ps[i].x+5, ps[i].y+5) {
				n++
			}
			if it := g.Nearest(ps[i].x, ps[i].y, 20, func(it *grid.Item[int]) bool { return it.Value != i }); it != nil {
				n++
			}
		}
	}
	tick()
	if a := testing.AllocsPerRun(20, tick); a != 0 {
		t.Errorf("%v allocations per tick", a)
	}
}
