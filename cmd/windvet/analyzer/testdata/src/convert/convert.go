package convert

import "github.com/ferris1/wind/ecs"

func Setup(w *ecs.World) { ecs.System(w, "cells", cells) }

func cells(t *ecs.Tick) {
	x := 1e300
	_ = int32(x)   // want `a float outside the range of int32 converts differently on other CPUs: use detmath.ToInt32`
	_ = int(x)     // want `use detmath.ToInt$`
	_ = uint64(x)  // want `use detmath.ToUint64`
	_ = byte(x)    // want `use detmath.ToUint8`
	_ = int64(3.0) // the compiler checks a constant
	_ = float32(x)
	_ = int64(int32(7))
	_ = to[int32](x)
}

func to[T ~int32 | ~int64](x float64) T { return T(x) } // want `a float outside the range of T converts differently`
