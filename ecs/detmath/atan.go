package detmath

import "math"

// atanTable holds atan(i/8), each as a float64 and its rounding error.
var atanTable = [9][2]float64{
	{0, 0},
	{0x1.fd5ba9aac2f6ep-4, -0x1.cd37686760c17p-59},
	{0x1.f5b75f92c80ddp-3, 0x1.8ab6e3cf7afbdp-57},
	{0x1.6f61941e4def1p-2, -0x1.c63aae6f6e918p-56},
	{0x1.dac670561bb4fp-2, 0x1.a2b7f222f65e2p-56},
	{0x1.1e00babdefeb4p-1, -0x1.928df287a668fp-58},
	{0x1.4978fa3269ee1p-1, 0x1.2419a87f2a458p-56},
	{0x1.700a7c5784634p-1, -0x1.8c34d25aadef6p-56},
	{0x1.921fb54442d18p-1, 0x1.1a62633145c07p-55},
}

// Atan returns the angle in [-π/2, π/2] whose tangent is x, in radians; below 1 ULP.
func Atan(x float64) float64 {
	switch {
	case x != x:
		return math.NaN()
	case math.Abs(x) < 0x1p-27:
		return float64(x)
	case math.IsInf(x, 0):
		return math.Copysign(halfPiHigh, x)
	case math.Abs(x) <= 1:
		high, low := atanRatio(math.Abs(x), 1)
		return math.Copysign(high+low, x)
	}
	high, low := atanRatio(1, math.Abs(x))
	s, e := twoSum(halfPiHigh, -high)
	return math.Copysign(s+(e+(halfPiLow-low)), x)
}

// Atan2 returns the angle in [-π, π] of the direction (x, y), in radians, with the sign of y; below 1.5 ULP. The
// special cases are those of math.Atan2: signed zeros and infinities count as directions, NaN gives NaN.
func Atan2(y, x float64) float64 {
	ax, ay := math.Abs(x), math.Abs(y)
	var high, low float64
	switch {
	case x != x || y != y:
		return math.NaN()
	case ay == 0:
	case ax == 0 || math.IsInf(ay, 1) && !math.IsInf(ax, 1):
		high, low = halfPiHigh, halfPiLow
	case math.IsInf(ax, 1):
		if math.IsInf(ay, 1) {
			high, low = atanTable[8][0], atanTable[8][1]
		}
	case ay <= ax:
		high, low = atanRatio(ay, ax)
	default:
		high, low = atanRatio(ax, ay)
		s, e := twoSum(halfPiHigh, -high)
		high, low = s, e+(halfPiLow-low)
	}
	if math.Signbit(x) {
		s, e := twoSum(Pi, -high)
		high, low = s, e+(2*halfPiLow-low)
	}
	return math.Copysign(high+low, y)
}

// Asin returns the angle in [-π/2, π/2] whose sine is x, in radians; below 2 ULP. It is NaN outside [-1, 1].
func Asin(x float64) float64 {
	if !(x >= -1 && x <= 1) {
		return math.NaN()
	}
	if math.Abs(x) < 0x1p-27 {
		return float64(x)
	}
	return Atan2(x, otherLeg(x))
}

// Acos returns the angle in [0, π] whose cosine is x, in radians; below 2 ULP. It is NaN outside [-1, 1].
func Acos(x float64) float64 {
	if !(x >= -1 && x <= 1) {
		return math.NaN()
	}
	return Atan2(otherLeg(x), x)
}

// otherLeg returns √(1-x²), the leg beside x under a hypotenuse of 1, saving a rounding if possible.
func otherLeg(x float64) float64 {
	if math.Abs(x) < 0.5 {
		return math.Sqrt(math.FMA(-x, x, 1))
	}
	return math.Sqrt(float64((1 - x) * (1 + x))) // 1-x or 1+x is exact
}

// atanRatio returns atan(y/x) as a sum, for 0 < y <= x, both finite.
//
// Method: atan(y/x) = atan(c) + atan((y-cx)/(x+cy)) with c the multiple of 1/8 nearest to y/x, then the Taylor series
// to t^19, whose next term is below 2^-62 of t for the remaining |t| <= 1/8.
func atanRatio(y, x float64) (high, low float64) {
	t := y / x
	n := 0.0
	if t >= 0.125 {
		n = math.Floor(float64(8*t) + 0.5)
		if x > 0x1p900 {
			x, y = float64(x*0x1p-200), float64(y*0x1p-200)
		} else if x < 0x1p-900 {
			x, y = float64(x*0x1p200), float64(y*0x1p200)
		}
		t = math.FMA(-n, x, float64(8*y)) / math.FMA(n, y, float64(8*x))
	}
	z := float64(t * t)
	p := -1.0 / 19
	p = float64(p*z) + 1.0/17
	p = float64(p*z) - 1.0/15
	p = float64(p*z) + 1.0/13
	p = float64(p*z) - 1.0/11
	p = float64(p*z) + 1.0/9
	p = float64(p*z) - 1.0/7
	p = float64(p*z) + 1.0/5
	p = float64(p*z) - 1.0/3
	rest := float64(float64(t*z) * p)
	if n == 0 {
		return t, rest
	}
	c := atanTable[ToInt32(n)]
	return c[0], t + (c[1] + rest)
}
