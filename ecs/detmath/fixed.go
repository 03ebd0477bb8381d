package detmath

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Fixed is a fixed-point number, Q32.32: 32 bits of integer including the sign, 32 bits of fraction. It has steps of
// 2^-32 (0.23 nanometres if the unit is a metre) in [-2147483648, 2147483648). Additions are exact, and every operation
// saturates at FixedMin and FixedMax instead of wrapping. It works as a component field like any int64. The operators
// <, == and > compare it, but + and - wrap: use Add and Sub.
type Fixed int64

const (
	FixedOne Fixed = 1 << 32   // 1
	FixedMax Fixed = 1<<63 - 1 // the greatest value, one step below 2147483648
	FixedMin Fixed = -1 << 63  // the least value, -2147483648
)

// FixedFromInt returns i, exactly.
func FixedFromInt(i int32) Fixed { return Fixed(i) << 32 }

// FixedFromFloat returns the Fixed nearest to x, ties to even, saturating; NaN gives 0.
func FixedFromFloat(x float64) Fixed {
	return Fixed(ToInt64(math.RoundToEven(float64(x * (1 << 32)))))
}

// Float64 returns the float64 nearest to f.
func (f Fixed) Float64() float64 { return float64(float64(int64(f)) * 0x1p-32) }

// Floor returns the greatest integer not above f.
func (f Fixed) Floor() int32 { return int32(f >> 32) }

// Add returns f + g.
func (f Fixed) Add(g Fixed) Fixed {
	s := f + g
	if (f >= 0) == (g >= 0) && (s >= 0) != (f >= 0) {
		return saturated(f < 0)
	}
	return s
}

// Sub returns f - g.
func (f Fixed) Sub(g Fixed) Fixed {
	s := f - g
	if (f >= 0) != (g >= 0) && (s >= 0) != (f >= 0) {
		return saturated(f < 0)
	}
	return s
}

// Neg returns -f. The negation of FixedMin is FixedMax.
func (f Fixed) Neg() Fixed {
	if f == FixedMin {
		return FixedMax
	}
	return -f
}

// Abs returns the absolute value of f. That of FixedMin is FixedMax.
func (f Fixed) Abs() Fixed {
	if f < 0 {
		return f.Neg()
	}
	return f
}

// Mul returns f·g rounded to nearest, halves away from zero.
func (f Fixed) Mul(g Fixed) Fixed {
	high, low := bits.Mul64(f.magnitude(), g.magnitude())
	low, carry := bits.Add64(low, 1<<31, 0)
	high += carry
	if high>>32 != 0 {
		return saturated((f < 0) != (g < 0))
	}
	return signed(high<<32|low>>32, (f < 0) != (g < 0))
}

// Div returns f/g rounded to nearest, halves away from zero. A division by zero saturates with the sign of f, and 0/0
// is 0.
func (f Fixed) Div(g Fixed) Fixed {
	a, b := f.magnitude(), g.magnitude()
	negative := (f < 0) != (g < 0)
	switch {
	case a == 0:
		return 0
	case b == 0 || a>>32 >= b:
		return saturated(negative)
	}
	q, r := bits.Div64(a>>32, a<<32, b)
	if r >= b-r && q != math.MaxUint64 {
		q++
	}
	return signed(q, negative)
}

// Sqrt returns the square root of f rounded down, or 0 for a negative f.
func (f Fixed) Sqrt() Fixed {
	if f <= 0 {
		return 0
	}
	r := uint64(ToInt64(float64(math.Sqrt(float64(int64(f))) * (1 << 16))))
	// The float has 53 correct bits, more than the 48 that matter; at most a step remains.
	for {
		high, low := bits.Mul64(r, r)
		if high > uint64(f)>>32 || high == uint64(f)>>32 && low > uint64(f)<<32 {
			r--
			continue
		}
		high, low = bits.Mul64(r+1, r+1)
		if high < uint64(f)>>32 || high == uint64(f)>>32 && low <= uint64(f)<<32 {
			r++
			continue
		}
		return Fixed(r)
	}
}

// Lerp returns the point at t on the way from f to g.
func (f Fixed) Lerp(g, t Fixed) Fixed { return f.Add(g.Sub(f).Mul(t)) }

// Clamp returns f limited to [lo, hi].
func (f Fixed) Clamp(lo, hi Fixed) Fixed { return max(lo, min(f, hi)) }

// String returns f in decimal, rounded to ten digits after the point, which is enough to tell f from its neighbours.
func (f Fixed) String() string {
	m := f.magnitude()
	high, low := bits.Mul64(m&(1<<32-1), 1e10)
	low, carry := bits.Add64(low, 1<<31, 0)
	digits := strconv.FormatUint(1e10+((high+carry)<<32|low>>32), 10)[1:]
	s := strconv.FormatUint(m>>32, 10) + "." + digits
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if f < 0 {
		return "-" + s
	}
	return s
}

func (f Fixed) magnitude() uint64 {
	if f < 0 {
		return -uint64(f)
	}
	return uint64(f)
}

// signed returns the Fixed with this magnitude and sign, saturating.
func signed(magnitude uint64, negative bool) Fixed {
	switch {
	case negative && magnitude >= 1<<63:
		return FixedMin
	case negative:
		return -Fixed(magnitude)
	case magnitude >= 1<<63:
		return FixedMax
	}
	return Fixed(magnitude)
}

func saturated(negative bool) Fixed {
	if negative {
		return FixedMin
	}
	return FixedMax
}
