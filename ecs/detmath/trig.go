package detmath

import "math"

// Sin returns the sine of x radians, for an x of any size; below 1 ULP. Sin(±Inf) = Sin(NaN) = NaN.
func Sin(x float64) float64 {
	if math.Abs(x) <= quarterPi {
		return kernelSin(x, 0)
	}
	if x-x != 0 {
		return math.NaN()
	}
	quadrant, y, low := reduce(x)
	return turn(quadrant, y, low)
}

// Cos returns the cosine of x radians, for an x of any size; below 1 ULP. Cos(±Inf) = Cos(NaN) = NaN.
func Cos(x float64) float64 {
	if math.Abs(x) <= quarterPi {
		return kernelCos(x, 0)
	}
	if x-x != 0 {
		return math.NaN()
	}
	quadrant, y, low := reduce(x)
	return turn(quadrant+1, y, low)
}

// SinCos returns Sin(x) and Cos(x), bit for bit, at less than the cost of both.
func SinCos(x float64) (sin, cos float64) {
	if math.Abs(x) <= quarterPi {
		return kernelSin(x, 0), kernelCos(x, 0)
	}
	if x-x != 0 {
		return math.NaN(), math.NaN()
	}
	quadrant, y, low := reduce(x)
	return turn(quadrant, y, low), turn(quadrant+1, y, low)
}

// Tan returns the tangent of x radians, for an x of any size; below 2 ULP. Tan(±Inf) = Tan(NaN) = NaN.
func Tan(x float64) float64 {
	if math.Abs(x) < 0x1p-27 {
		return float64(x)
	}
	sin, cos := SinCos(x)
	return sin / cos
}

// turn returns the sine of quadrant·π/2 + y + low.
func turn(quadrant uint32, y, low float64) float64 {
	var r float64
	if quadrant&1 == 0 {
		r = kernelSin(y, low)
	} else {
		r = kernelCos(y, low)
	}
	if quadrant&2 != 0 {
		return -r
	}
	return r
}

// kernelSin returns the sine of x + low for |x| <= π/4: the Taylor series to x^17 (the next term is below 2^-63 of x),
// with the tail folded in by the derivative, 1 - x²/2.
func kernelSin(x, low float64) float64 {
	if math.Abs(x) < 0x1p-27 {
		if low == 0 { // keeps the sign of a zero
			return float64(x)
		}
		return x + low
	}
	z := float64(x * x)
	p := 1.0 / 355687428096000
	p = float64(p*z) - 1.0/1307674368000
	p = float64(p*z) + 1.0/6227020800
	p = float64(p*z) - 1.0/39916800
	p = float64(p*z) + 1.0/362880
	p = float64(p*z) - 1.0/5040
	p = float64(p*z) + 1.0/120
	p = float64(p*z) - 1.0/6
	cube := float64(x * z)
	return x + (float64(cube*p) + float64(low*(1-float64(0.5*z))))
}

// kernelCos returns the cosine of x + low for |x| <= π/4: the Taylor series to x^16 (the next term is below 2^-58),
// with 1 - x²/2 summed exactly first.
func kernelCos(x, low float64) float64 {
	z := float64(x * x)
	p := 1.0 / 20922789888000
	p = float64(p*z) - 1.0/87178291200
	p = float64(p*z) + 1.0/479001600
	p = float64(p*z) - 1.0/3628800
	p = float64(p*z) + 1.0/40320
	p = float64(p*z) - 1.0/720
	p = float64(p*z) + 1.0/24
	half := float64(0.5 * z)
	one := 1 - half
	return one + (((1 - one) - half) + (float64(float64(z*z)*p) - float64(x*low)))
}
