package detmath

import (
	"flag"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"testing"
)

var seed = flag.Uint64("seed", rand.Uint64(), "seed of the random inputs")

// inputs yields n floats of both signs with exponents uniform in [low, high], and the given edge cases.
func inputs(r *rand.Rand, n, low, high int, edges ...float64) []float64 {
	xs := append([]float64{}, edges...)
	for len(xs) < n {
		x := math.Ldexp(1+r.Float64(), low+r.IntN(high-low+1))
		if r.IntN(2) == 0 {
			x = -x
		}
		xs = append(xs, x)
	}
	return xs
}

// nearHalfPi are floats next to multiples of π/2, where reduction cancels most.
func nearHalfPi(r *rand.Rand, n int) (xs []float64) {
	for range n {
		k := float64(1 + r.IntN(1<<(1+r.IntN(20))))
		x := k * (math.Pi / 2)
		for range r.IntN(3) {
			x = math.Nextafter(x, 0)
		}
		xs = append(xs, x, -x)
	}
	// The float64 nearest to any multiple of π/2 (Kahan's): 6381956970095103·2^797.
	return append(xs, math.Ldexp(6381956970095103, 797))
}

func TestErrorsStayBelowTheirBounds(t *testing.T) {
	t.Logf("-seed=%d", *seed)
	r := rand.New(rand.NewPCG(*seed, 1))
	n := 600
	if os.Getenv("WIND_LONG") != "" {
		n = 60000
	}
	angles := append(inputs(r, n, -40, 20), append(inputs(r, n/3, -300, 1023), nearHalfPi(r, n/4)...)...)
	units := inputs(r, n, -30, -1, 1, -1, 0.5, -0.5, math.Nextafter(1, 0), -math.Nextafter(1, 0))
	all := inputs(r, n, -1022, 1023, 5e-324, math.MaxFloat64)

	one := func(name string, bound float64, xs []float64, f func(float64) float64, ref func(float64) *big.Float) {
		worst, at := 0.0, 0.0
		for _, x := range xs {
			if u := ulps(f(x), ref(x)); u > worst || u != u {
				worst, at = u, x
			}
		}
		t.Logf("%-6s %.3f ULP at %x over %d", name, worst, at, len(xs))
		if !(worst < bound) {
			t.Errorf("%s is %.3f ULP off at %x: the documented bound is %v", name, worst, at, bound)
		}
	}
	sin := func(x float64) *big.Float { s, _ := refSinCos(x); return s }
	cos := func(x float64) *big.Float { _, c := refSinCos(x); return c }
	one("Sin", 1, angles, Sin, sin)
	one("Cos", 1, angles, Cos, cos)
	one("Tan", 2, angles, Tan, func(x float64) *big.Float { s, c := refSinCos(x); return quo(s, c) })
	one("Atan", 1, append(inputs(r, n, -6, 6), all...), Atan, func(x float64) *big.Float { return refAtan2(x, 1) })
	other := func(x float64) *big.Float { // the other leg beside x
		return zero().Sqrt(mul(sub(num(1), num(x)), add(num(1), num(x))))
	}
	one("Asin", 2, units, Asin, func(x float64) *big.Float { return refAngle(num(x), other(x)) })
	one("Acos", 2, units, Acos, func(x float64) *big.Float { return refAngle(other(x), num(x)) })
	one("Exp", 1, inputs(r, n, -30, 9, 709.7, -745.1, -708.5, 0), Exp, func(x float64) *big.Float { return refExp(num(x)) })
	positive := make([]float64, 0, 2*n)
	for _, x := range all {
		positive = append(positive, math.Abs(x), 0.5+1.5*r.Float64())
	}
	one("Log", 1, positive, Log, refLog)

	two := func(name string, bound float64, f func(x, y float64) float64, ref func(x, y float64) *big.Float, pair func() (float64, float64)) {
		worst, ax, ay := 0.0, 0.0, 0.0
		for range 2 * n {
			x, y := pair()
			if u := ulps(f(x, y), ref(x, y)); u > worst || u != u {
				worst, ax, ay = u, x, y
			}
		}
		t.Logf("%-6s %.3f ULP at %x, %x", name, worst, ax, ay)
		if !(worst < bound) {
			t.Errorf("%s is %.3f ULP off at %x, %x: the documented bound is %v", name, worst, ax, ay, bound)
		}
	}
	signed := func(low, high int) float64 { return inputs(r, 1, low, high)[0] }
	two("Atan2", 1.5, Atan2, refAtan2, func() (float64, float64) {
		e := r.IntN(1800) - 900
		return signed(e-6, e+6), signed(e-6, e+6)
	})
	two("Hypot", 1, Hypot, func(x, y float64) *big.Float { return zero().Sqrt(add(mul(num(x), num(x)), mul(num(y), num(y)))) },
		func() (float64, float64) { e := r.IntN(2000) - 1010; return signed(e, e+10), signed(e, e+10) })
	two("Pow", 1, Pow, func(x, y float64) *big.Float { return refExp(mul(num(y), refLog(x))) },
		func() (float64, float64) {
			x := math.Abs(signed(-30, 30))
			if r.IntN(3) == 0 {
				x = 1 + signed(-20, -3)
			}
			limit := 740 / math.Abs(math.Log(x)) // as far as the exponent reaches
			return x, (2*r.Float64() - 1) * min(limit, 1e300)
		})
}

func TestReductionTableHoldsTwoOverPi(t *testing.T) {
	w := new(big.Float).SetPrec(1400).Quo(new(big.Float).SetPrec(1500).SetInt64(2), refPiWide)
	w.SetMantExp(w, 64*(len(twoOverPi)-1))
	want, _ := w.Int(nil)
	got := new(big.Int)
	for _, word := range twoOverPi {
		got.Lsh(got, 64).Or(got, new(big.Int).SetUint64(word))
	}
	if got.Cmp(want) != 0 {
		t.Fatalf("table %x\nwant  %x", got, want)
	}
}

func TestSinCosIsSinAndCos(t *testing.T) {
	r := rand.New(rand.NewPCG(*seed, 2))
	for _, x := range inputs(r, 20000, -30, 1023, 0, math.Inf(1), math.NaN()) {
		s, c := SinCos(x)
		if math.Float64bits(s) != math.Float64bits(Sin(x)) || math.Float64bits(c) != math.Float64bits(Cos(x)) {
			t.Fatalf("SinCos(%v) = %v, %v; Sin and Cos %v, %v (-seed=%d)", x, s, c, Sin(x), Cos(x), *seed)
		}
	}
}

func TestSpecialValuesAreThoseOfPackageMath(t *testing.T) {
	specials := []float64{0, math.Copysign(0, -1), 1, -1, 2, -2, 3, -3, 0.5, -0.5, math.Inf(1), math.Inf(-1), math.NaN(), 1e300, -1e300, 1e-310, -1e-310, 7, -7.5}
	// same: equal, with equal signs of zeros, or adjacent: these are not accuracy tests.
	same := func(a, b float64) bool {
		switch {
		case a != a || b != b:
			return a != a && b != b
		case a == 0 || b == 0 || math.IsInf(a, 0) || math.IsInf(b, 0):
			return a == b && math.Signbit(a) == math.Signbit(b)
		}
		return math.Abs(a-b) <= 4e-16*math.Abs(b)
	}
	for name, f := range map[string][2]func(float64) float64{
		"Sin": {Sin, math.Sin}, "Cos": {Cos, math.Cos}, "Tan": {Tan, math.Tan}, "Atan": {Atan, math.Atan}, "Asin": {Asin, math.Asin},
		"Acos": {Acos, math.Acos}, "Exp": {Exp, math.Exp}, "Log": {Log, math.Log}, "Floor": {Floor, math.Floor}, "Sqrt": {Sqrt, math.Sqrt},
	} {
		for _, x := range specials {
			if math.Abs(x) > 1e299 && !math.IsInf(x, 0) && (name == "Sin" || name == "Cos" || name == "Tan") {
				continue // covered by the accuracy test; here both sides' bounds would add up
			}
			if x == 1e-310 && name == "Log" {
				continue // math.Log is wrong here on amd64
			}
			if got, want := f[0](x), f[1](x); !same(got, want) {
				t.Errorf("%s(%v) = %v, want %v", name, x, got, want)
			}
		}
	}
	for name, f := range map[string][2]func(x, y float64) float64{
		"Pow": {Pow, math.Pow}, "Atan2": {Atan2, math.Atan2}, "Hypot": {Hypot, math.Hypot}, "Mod": {Mod, math.Mod},
	} {
		for _, x := range specials {
			for _, y := range specials {
				if name == "Atan2" && math.Abs(x) < 1e-300 && math.Abs(y) > 1e299 {
					continue // math.Atan2 loses the sign of a quotient that underflows
				}
				if got, want := f[0](x, y), f[1](x, y); !same(got, want) {
					t.Errorf("%s(%v, %v) = %v, want %v", name, x, y, got, want)
				}
			}
		}
	}
}

func TestPowIsExactWhereItCanBe(t *testing.T) {
	for base := 1; base <= 40; base++ {
		want := 1.0
		for n := 0; want < 1<<53; n++ {
			if got := Pow(float64(base), float64(n)); got != want {
				t.Errorf("Pow(%d, %d) = %v, want %v", base, n, got, want)
			}
			if want *= float64(base); base == 1 && n > 3 {
				break
			}
		}
		if got := Pow(float64(base*base), 0.5); got != float64(base) {
			t.Errorf("Pow(%d, 0.5) = %v", base*base, got)
		}
	}
}

func TestConversionsSaturate(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		x   float64
		i8  int8
		i32 int32
		i64 int64
		u8  uint8
		u32 uint32
		u64 uint64
	}{
		{nan, 0, 0, 0, 0, 0, 0},
		{inf, 127, math.MaxInt32, math.MaxInt64, 255, math.MaxUint32, math.MaxUint64},
		{-inf, -128, math.MinInt32, math.MinInt64, 0, 0, 0},
		{1.9, 1, 1, 1, 1, 1, 1},
		{-1.9, -1, -1, -1, 0, 0, 0},
		{127.9, 127, 127, 127, 127, 127, 127},
		{128, 127, 128, 128, 128, 128, 128},
		{-128.5, -128, -128, -128, 0, 0, 0},
		{2147483646.5, 127, 2147483646, 2147483646, 255, 2147483646, 2147483646},
		{2147483647.5, 127, math.MaxInt32, 2147483647, 255, 2147483647, 2147483647},
		{4294967295.5, 127, math.MaxInt32, 4294967295, 255, math.MaxUint32, 4294967295},
		{0x1p63, 127, math.MaxInt32, math.MaxInt64, 255, math.MaxUint32, 1 << 63},
		{0x1.8p63, 127, math.MaxInt32, math.MaxInt64, 255, math.MaxUint32, 3 << 62},
		{0x1p64, 127, math.MaxInt32, math.MaxInt64, 255, math.MaxUint32, math.MaxUint64},
	} {
		if a, b, d := ToInt8(c.x), ToInt32(c.x), ToInt64(c.x); a != c.i8 || b != c.i32 || d != c.i64 {
			t.Errorf("%v to int8, int32, int64: %v %v %v", c.x, a, b, d)
		}
		if a, b, d := ToUint8(c.x), ToUint32(c.x), ToUint64(c.x); a != c.u8 || b != c.u32 || d != c.u64 {
			t.Errorf("%v to uint8, uint32, uint64: %v %v %v", c.x, a, b, d)
		}
	}
	if ToInt16(40000) != math.MaxInt16 || ToUint16(-1) != 0 || ToInt(1e12) != math.MaxInt32 {
		t.Error("int16, uint16 or int do not saturate")
	}
}

func TestClampLerpWrap(t *testing.T) {
	if Clamp(math.NaN(), -1, 1) != -1 || Clamp(3, -1, 1) != 1 || Clamp(-3, -1, 1) != -1 || Clamp(0.5, -1, 1) != 0.5 {
		t.Error("Clamp")
	}
	r := rand.New(rand.NewPCG(*seed, 3))
	for range 20000 {
		a, b := r.NormFloat64()*100, r.NormFloat64()*100
		x, y := r.Float64(), r.Float64()
		x, y = min(x, y), max(x, y)
		if Lerp(a, b, 0) != a || Lerp(a, b, 1) != b {
			t.Fatalf("Lerp(%v, %v) does not end at its ends", a, b)
		}
		if p, q := Lerp(a, b, x), Lerp(a, b, y); (b-a)*(q-p) < 0 || min(a, b) > p || max(a, b) < p {
			t.Fatalf("Lerp(%v, %v): %v at %v, %v at %v", a, b, p, x, q, y)
		}
		if r.IntN(20) != 0 { // the reference is slow
			continue
		}
		angle := inputs(r, 1, -3, 60)[0]
		w := WrapAngle(angle)
		s, c := refSinCos(angle)
		ws, wc := refSinCos(w)
		if !(w >= -Pi && w <= Pi) || ulpsAbs(s, ws) > 0x1p-51 || ulpsAbs(c, wc) > 0x1p-51 {
			t.Fatalf("WrapAngle(%v) = %v (-seed=%d)", angle, w, *seed)
		}
	}
}

func ulpsAbs(a, b *big.Float) float64 {
	d, _ := sub(a, b).Float64()
	return math.Abs(d)
}
