package fused

import (
	"math"

	"github.com/ferris1/wind/ecs"
)

type Vec struct{ X, Y float64 }

type Metres float64

func (v Vec) Scale(k float64) Vec { return Vec{v.X * k, float64(v.Y * k)} } // want `this product may be fused with an addition that it meets later, across statements and inlined calls: round it with float64\(…\)`
func (v Vec) Add(o Vec) Vec       { return Vec{v.X + o.X, v.Y + o.Y} }

func Setup(w *ecs.World) { ecs.System(w, "move", move) }

var sink float64

func move(t *ecs.Tick) {
	x, y, z := 1.0, 2.0, 3.0
	v := Vec{}.Scale(2).Add(Vec{})

	_ = x*y + z      // want `this product may be fused with an addition, with one rounding instead of two on some CPUs: round it with float64\(…\)`
	_ = z - x*y      // want `this product may be fused`
	_ = -(x * y) + z // want `this product may be fused`
	_ = x*x + y*y    // want `this product may be fused` `this product may be fused`
	_ = float64(x*y) + z
	_ = float64(x*x) + float64(y*y)
	_ = x*y*z > 4
	_ = (x + y) * z
	_ = x / y * z
	_ = x/3 + z
	_ = x/2 + z    // want `this division by a power of two, which the compiler turns into a multiplication, may be fused`
	_ = x/0.25 + z // want `this division by a power of two`
	_ = math.Sqrt(x * y)
	_ = 2*3.5 + z
	z += x * y // want `this product may be fused with an addition`
	z -= float64(x * y)

	a := x * y // want `this product may be fused with an addition`
	_ = a + z
	b := x * y
	_ = b * z
	if b < z {
		return
	}
	var c = x * y // want `this product may be fused with an addition`
	c++
	d := x * y // want `this product may be fused with an addition`
	d += z
	e := x
	e *= y // want `this product may be fused with an addition, with one rounding instead of two on some CPUs: write e = float64\(e \* y\)`
	_ = e + z
	f := x
	f *= y
	_ = f * 2
	g := x * y // want `this product may be fused with an addition`
	h := g
	_ = h + z
	i := x * y // want `this product may be fused with an addition that it meets later`
	use(&i)

	v.X *= x    // want `this product may be fused with an addition that it meets later, across statements and inlined calls: write v.X = float64\(v.X \* x\)`
	v.Y = x * y // want `this product may be fused`
	v.Y /= 4    // want `this division by a power of two`
	v.Y /= 3
	plain(x * y)        // want `this product may be fused`
	_ = min(x*y, z) + 1 // want `this product may be fused`
	_ = min(x*y, z) > 1
	_ = []float64{x * y}                // want `this product may be fused`
	_ = map[string]Vec{"a": {X: x * y}} // want `this product may be fused`

	m := Metres(3)
	_ = m*m + 1 // want `this product may be fused with an addition, with one rounding instead of two on some CPUs: round it with Metres\(…\)`
	_ = float64(m*m) + z
	var s float32 = 3
	_ = s*s + 1 // want `round it with float32\(…\)`
	k := complex(x, y)
	_ = k * k // want `a complex product may be fused inside`
	n := 3
	_ = n*n + 4
	generic(x)
	_ = named(x)
	_ = func() float64 { return x * y }() // want `this product may be fused`
}

func plain(x float64) {}
func use(x *float64)  {}

func generic[T ~float32 | ~float64](x T) bool {
	return x*x+1 > 0 // want `this product may be fused with an addition, with one rounding instead of two on some CPUs: round it with T\(…\)`
}

func named(x float64) (r float64) {
	r = x * x // want `this product may be fused`
	return
}
