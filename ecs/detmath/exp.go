package detmath

import "math"

// ln 2 as a part of 32 bits, whose product with an exponent is exact, and the remainder; and in parts of 40, 40 and 53
// bits.
const (
	ln2High = 0x1.62e42feep-1
	ln2Low  = 0x1.a39ef35793c76p-33

	ln2First  = 0x1.62e42fefa2p-1
	ln2Second = 0x1.9ef35793c6p-41
	ln2Third  = 0x1.673007e5ed5e8p-81
)

const sqrtHalf = 0x1.6a09e667f3bcdp-1

// Exp returns e to the power of x; below 1 ULP. It is +Inf above 709.78 and 0 below -745.13.
func Exp(x float64) float64 {
	switch {
	case x != x:
		return math.NaN()
	case x > 710:
		return math.Inf(1)
	case x < -746:
		return 0
	}
	return expSum(x, 0)
}

// Log returns the natural logarithm of x; below 1 ULP. Log(0) = -Inf; it is NaN below 0.
//
// Method: x = 2^k·m with m near 1, log m = 2·atanh((m-1)/(m+1)) by its series to the 21st power.
func Log(x float64) float64 {
	switch {
	case x != x || x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case math.IsInf(x, 1):
		return x
	}
	k, m := splitExponent(x)
	f := m - 1
	s := f / (2 + f)
	z := float64(s * s)
	p := 2.0 / 21
	p = float64(p*z) + 2.0/19
	p = float64(p*z) + 2.0/17
	p = float64(p*z) + 2.0/15
	p = float64(p*z) + 2.0/13
	p = float64(p*z) + 2.0/11
	p = float64(p*z) + 2.0/9
	p = float64(p*z) + 2.0/7
	p = float64(p*z) + 2.0/5
	p = float64(p*z) + 2.0/3
	p = float64(p * z)
	// log(1+f) = f - f²/2 + s·(f²/2 + p): the exact f first, corrections after.
	half := float64(float64(0.5*f) * f)
	return float64(k*ln2High) - ((half - (float64(s*(half+p)) + float64(k*ln2Low))) - f)
}

// Pow returns x to the power of y; below 1 ULP, and exact if x^y is a float64. The special cases are those of math.Pow.
func Pow(x, y float64) float64 {
	switch {
	case y == 0 || x == 1:
		return 1
	case y == 1:
		return float64(x)
	case x != x || y != y:
		return math.NaN()
	case x == 0 || math.IsInf(x, 0) || math.IsInf(y, 0):
		return powSpecial(x, y)
	}
	sign := 1.0
	if x < 0 {
		if math.Floor(y) != y {
			return math.NaN()
		}
		if odd(y) {
			sign = -1
		}
		x = -x
	}
	if x == 1 {
		return sign
	}
	high, low := logSum(x)
	p := float64(y * high)
	switch {
	case p > 710:
		return math.Copysign(math.Inf(1), sign)
	case p < -746:
		return math.Copysign(0, sign)
	}
	return math.Copysign(expSum(p, math.FMA(y, high, -p)+float64(y*low)), sign)
}

// powSpecial is Pow for an x that is zero or infinite or a y that is infinite, with neither NaN.
func powSpecial(x, y float64) float64 {
	if math.IsInf(y, 0) {
		switch a := math.Abs(x); {
		case a == 1:
			return 1
		case (a < 1) == (y > 0):
			return 0
		}
		return math.Inf(1)
	}
	r := 0.0
	if (x == 0) == (y < 0) {
		r = math.Inf(1)
	}
	if math.Signbit(x) && odd(y) {
		return -r
	}
	return r
}

// odd reports whether y is an odd integer.
func odd(y float64) bool {
	return math.Abs(y) < 1<<53 && math.Floor(y) == y && math.Mod(y, 2) != 0
}

// splitExponent writes a positive finite x as 2^k·m with m in [√½, √2).
func splitExponent(x float64) (k, m float64) {
	b := math.Float64bits(x)
	if b>>52 == 0 { // subnormal
		b = math.Float64bits(float64(x * 0x1p54))
		k = -54
	}
	k += float64(int64(b>>52) - 1022)
	m = math.Float64frombits(b&(1<<52-1) | 1022<<52) // in [½, 1)
	if m < sqrtHalf {
		m = float64(m * 2)
		k--
	}
	return k, m
}

// logSum returns log x as a sum, with a relative error below 2^-65, for a positive finite x other than 1: Log's series,
// with the first terms in twice the precision.
func logSum(x float64) (high, low float64) {
	k, m := splitExponent(x)
	f := m - 1
	d, dLow := twoSum(m, 1)
	s := f / d
	sLow := (math.FMA(-s, d, f) - float64(s*dLow)) / d
	z, zLow := twoProduct(s, s)
	zLow += float64(2 * float64(s*sLow))

	p := 1.0 / 25
	p = float64(p*z) + 1.0/23
	p = float64(p*z) + 1.0/21
	p = float64(p*z) + 1.0/19
	p = float64(p*z) + 1.0/17
	p = float64(p*z) + 1.0/15
	p = float64(p*z) + 1.0/13
	p = float64(p*z) + 1.0/11
	p = float64(p*z) + 1.0/9
	p = float64(p*z) + 1.0/7

	h, l := z, zLow
	h, l = mulSum(h, l, p, 0)
	h, l = addSum(fifth, fifthLow, h, l)
	h, l = mulSum(h, l, z, zLow)
	h, l = addSum(third, thirdLow, h, l)
	h, l = mulSum(h, l, z, zLow)
	h, l = mulSum(h, l, s, sLow)
	h, l = addSum(s, sLow, h, l)
	h, l = float64(2*h), float64(2*l)

	high, low = twoSum(float64(k*ln2First), h)
	low += float64(k*ln2Second) + (l + float64(k*ln2Third))
	return fastTwoSum(high, low)
}

const (
	third    = 1.0 / 3
	thirdLow = 0x1.5555555555555p-56
	fifth    = 1.0 / 5
	fifthLow = -0x1.999999999999ap-57
)

// addSum returns a + b for two-part sums with |a| >= |b|.
func addSum(a, aLow, b, bLow float64) (high, low float64) {
	high, low = twoSum(a, b)
	return fastTwoSum(high, low+(aLow+bLow))
}

// mulSum returns a·b for two-part sums.
func mulSum(a, aLow, b, bLow float64) (high, low float64) {
	high, low = twoProduct(a, b)
	low += float64(a*bLow) + float64(aLow*b)
	return fastTwoSum(high, low)
}

// expSum returns e to the power of x + low, for x in [-746, 710] and a low much smaller than x.
//
// Method: x = k·ln 2 + r, the Taylor series of r to the 13th power (the next term is below 2^-57), 1 + r summed
// exactly.
func expSum(x, low float64) float64 {
	k := math.RoundToEven(float64(x * (1 / math.Ln2)))
	h := x - float64(k*ln2High)
	r, rLow := twoSum(h, low-float64(k*ln2Low))
	p := 1.0 / 6227020800
	p = float64(p*r) + 1.0/479001600
	p = float64(p*r) + 1.0/39916800
	p = float64(p*r) + 1.0/3628800
	p = float64(p*r) + 1.0/362880
	p = float64(p*r) + 1.0/40320
	p = float64(p*r) + 1.0/5040
	p = float64(p*r) + 1.0/720
	p = float64(p*r) + 1.0/120
	p = float64(p*r) + 1.0/24
	p = float64(p*r) + 1.0/6
	p = float64(p*r) + 1.0/2
	s, e := twoSum(1, r)
	tail := float64(float64(r*r)*p) + float64(rLow*(1+r))
	return scaleBy(s+(e+tail), ToInt32(k))
}

// scaleBy returns x·2^k for an x near 1, through an intermediate factor if 2^k is not a normal number.
func scaleBy(x float64, k int32) float64 {
	switch {
	case k > 1023:
		return float64(float64(x*0x1p1000) * power2(k-1000))
	case k < -1022:
		return float64(float64(x*0x1p-900) * power2(k+900))
	}
	return float64(x * power2(k))
}

// power2 returns 2^k for k in [-1022, 1023].
func power2(k int32) float64 { return math.Float64frombits(uint64(int64(k)+1023) << 52) }
