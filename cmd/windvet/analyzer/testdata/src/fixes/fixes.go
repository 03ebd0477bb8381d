package fixes

import "github.com/ferris1/wind/ecs"

type vec struct{ X, Y float64 }

type metres float32

func Setup(w *ecs.World) { ecs.System(w, "move", move) }

func move(t *ecs.Tick) {
	v, x, m := vec{}, 2.0, metres(3)
	v.X += v.Y * x       // want `product`
	v.Y = -(v.X * x) + 1 // want `product`
	v.X *= x + 1         // want `product`
	v.Y /= 2             // want `division`
	_ = m*m-(m*3) > 0    // want `product` `product`
}
