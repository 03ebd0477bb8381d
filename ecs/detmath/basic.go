package detmath

import "math"

// Pi is the ratio of a circle's circumference to its diameter, as a float64.
const Pi = float64(math.Pi)

// Sqrt returns the square root of x, correctly rounded, as IEEE 754 requires of every CPU.
func Sqrt(x float64) float64 { return math.Sqrt(x) }

// Abs returns the absolute value of x.
func Abs(x float64) float64 { return math.Abs(x) }

// Floor returns the greatest integer value not above x.
func Floor(x float64) float64 { return math.Floor(x) }

// Ceil returns the least integer value not below x.
func Ceil(x float64) float64 { return math.Ceil(x) }

// Trunc returns x without its fraction.
func Trunc(x float64) float64 { return math.Trunc(x) }

// Round returns the nearest integer value, halves away from zero.
func Round(x float64) float64 { return math.Round(x) }

// Mod returns the exact remainder of x/y, with the sign of x. It is NaN for an infinite x or a zero y.
func Mod(x, y float64) float64 { return math.Mod(x, y) }

// Clamp returns x limited to [lo, hi]. A NaN becomes lo, so that a poisoned value stays in range. Clamp panics if lo >
// hi or either is NaN, which is a bug of the caller.
func Clamp(x, lo, hi float64) float64 {
	if !(lo <= hi) {
		panic("detmath: Clamp with an empty range")
	}
	switch {
	case x > hi:
		return hi
	case x >= lo:
		return float64(x)
	default:
		return lo
	}
}

// Lerp returns the point at t on the way from a to b: exactly a at 0 and b at 1, monotonic in between, and outside the
// segment for a t outside [0, 1].
func Lerp(a, b, t float64) float64 {
	if t == 1 {
		return b
	}
	r := a + float64((b-a)*t)
	// Rounding may overshoot b by one step just before the end.
	if t > 0 && t < 1 && (b > a && r > b || b < a && r < b) {
		return b
	}
	return r
}

// Hypot returns the length of (x, y) without intermediate overflow; below 1 ULP. An infinite argument gives +Inf, even
// if the other is NaN.
func Hypot(x, y float64) float64 {
	x, y = math.Abs(x), math.Abs(y)
	switch {
	case math.IsInf(x, 1) || math.IsInf(y, 1):
		return math.Inf(1)
	case x != x || y != y:
		return math.NaN()
	}
	if x < y {
		x, y = y, x
	}
	scale := 1.0
	switch {
	case x > 0x1p500:
		x, y, scale = float64(x*0x1p-600), float64(y*0x1p-600), 0x1p600
	case x < 0x1p-400:
		x, y, scale = float64(x*0x1p600), float64(y*0x1p600), 0x1p-600
	}
	return float64(scale * math.Sqrt(math.FMA(x, x, float64(y*y))))
}

// WrapAngle returns the angle in [-π, π] (π rounded to float64) with the direction of x radians, for an x of any size;
// below 1 ULP of π. Infinities and NaN give NaN.
func WrapAngle(x float64) float64 {
	if x >= -Pi && x <= Pi {
		return x
	}
	if x-x != 0 {
		return math.NaN()
	}
	quadrant, y, _ := reduce(x)
	switch {
	case quadrant == 0:
		return y
	case quadrant == 1:
		return halfPiHigh + y
	case quadrant == 3:
		return y - halfPiHigh
	case y > 0:
		return y - Pi
	default:
		return y + Pi
	}
}
