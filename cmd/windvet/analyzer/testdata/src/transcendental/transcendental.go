package transcendental

import (
	"math"

	"github.com/ferris1/wind/ecs"
)

func Setup(w *ecs.World) { ecs.System(w, "turn", turn) }

func turn(t *ecs.Tick) {
	x := 0.5
	_ = math.Sin(x)       // want `math.Sin gives different bits on different CPUs: use detmath.Sin`
	_, _ = math.Sincos(x) // want `math.Sincos gives different bits on different CPUs: use detmath.SinCos`
	_ = math.Cbrt(x)      // want `math.Cbrt gives different bits on different CPUs: compose it from ecs/detmath`
	f := math.Pow         // want `math.Pow gives different bits`
	_ = f
	_ = math.Sqrt(x) + math.Floor(x) + math.Abs(x) + math.Trunc(x) + math.Ceil(x) + math.Copysign(x, 1) + math.Inf(1) + math.Mod(x, 2) + math.FMA(x, x, x)
	_ = math.IsNaN(x) || math.IsInf(x, 0) || math.Float64bits(x) > math.MaxInt32
	_ = math.Pi
}
