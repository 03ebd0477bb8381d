package detmath

import (
	"math"
	"testing"
)

// BenchmarkAgainstMath compares with package math within one run; each op is 1024 calls.
func BenchmarkAgainstMath(b *testing.B) {
	xs := make([]float64, 1024)
	for i := range xs {
		xs[i] = math.Mod(goldenInput(uint64(i)), 100)
		if xs[i] != xs[i] {
			xs[i] = 1.5
		}
	}
	for _, c := range []struct {
		name      string
		ours, std func(float64) float64
	}{
		{"sin", Sin, math.Sin},
		{"atan2", func(x float64) float64 { return Atan2(x, 1.5) }, func(x float64) float64 { return math.Atan2(x, 1.5) }},
		{"exp", Exp, math.Exp},
		{"log", func(x float64) float64 { return Log(math.Abs(x)) }, func(x float64) float64 { return math.Log(math.Abs(x)) }},
		{"pow", func(x float64) float64 { return Pow(math.Abs(x), 1.7) }, func(x float64) float64 { return math.Pow(math.Abs(x), 1.7) }},
		{"hypot", func(x float64) float64 { return Hypot(x, 3) }, func(x float64) float64 { return math.Hypot(x, 3) }},
		{"toint32", func(x float64) float64 { return float64(ToInt32(x)) }, func(x float64) float64 { return float64(int32(x)) }},
	} {
		run := func(f func(float64) float64) func(*testing.B) {
			return func(b *testing.B) {
				b.ReportAllocs()
				sum := 0.0
				for b.Loop() {
					for _, x := range xs {
						sum += f(x)
					}
				}
			}
		}
		b.Run(c.name+"/detmath", run(c.ours))
		b.Run(c.name+"/math", run(c.std))
	}
}
