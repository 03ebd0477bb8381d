package detmath

import (
	"math"
	"math/big"
)

// The reference: each function at refBits by a plain series on math/big, slow and obvious.
const refBits = 320

func num(x float64) *big.Float       { return new(big.Float).SetPrec(refBits).SetFloat64(x) }
func zero() *big.Float               { return new(big.Float).SetPrec(refBits) }
func mul(a, b *big.Float) *big.Float { return zero().Mul(a, b) }
func add(a, b *big.Float) *big.Float { return zero().Add(a, b) }
func sub(a, b *big.Float) *big.Float { return zero().Sub(a, b) }
func quo(a, b *big.Float) *big.Float { return zero().Quo(a, b) }

// small reports whether a is too small to change a value of the size of b.
func small(a, b *big.Float) bool {
	return a.Sign() == 0 || b.Sign() != 0 && a.MantExp(nil) < b.MantExp(nil)-refBits
}

// refAtanInverse returns atan(1/n), for Machin's formula, in precision bits.
func refAtanInverse(n int64, precision uint) *big.Float {
	p := new(big.Int).Lsh(big.NewInt(1), precision+32)
	term := new(big.Int).Quo(p, big.NewInt(n))
	sum, square := new(big.Int), big.NewInt(n*n)
	for k := int64(1); term.Sign() != 0; k += 2 {
		t := new(big.Int).Quo(term, big.NewInt(k))
		if k%4 == 1 {
			sum.Add(sum, t)
		} else {
			sum.Sub(sum, t)
		}
		term.Quo(term, square)
	}
	f := new(big.Float).SetPrec(precision).SetInt(sum)
	return f.SetMantExp(f, -int(precision+32))
}

// refPiWide has enough bits to reduce the greatest float64.
var refPiWide = func() *big.Float {
	const precision = 1500
	a := refAtanInverse(5, precision)
	a.Mul(a, big.NewFloat(16))
	return a.Sub(a, new(big.Float).SetPrec(precision).Mul(refAtanInverse(239, precision), big.NewFloat(4)))
}()

func refSinCos(x float64) (sin, cos *big.Float) {
	// x = n·π/2 + r, with r slightly beyond [-π/4, π/4] at most.
	half := new(big.Float).SetPrec(1500).Quo(refPiWide, big.NewFloat(2))
	q := new(big.Float).SetPrec(1500).Quo(new(big.Float).SetPrec(1500).SetFloat64(x), half)
	if q.Signbit() {
		q.Sub(q, big.NewFloat(0.5))
	} else {
		q.Add(q, big.NewFloat(0.5))
	}
	n, _ := q.Int(nil)
	w := new(big.Float).SetPrec(2600).SetInt(n)
	w.Mul(w, half)
	r := zero().Set(w.Sub(new(big.Float).SetPrec(2600).SetFloat64(x), w))

	s, c := zero(), num(1)
	term := num(1)
	for k := int64(1); k < 200; k++ {
		term = quo(mul(term, r), num(float64(k)))
		if small(term, c) && small(term, s) {
			break
		}
		switch k % 4 {
		case 0:
			c = add(c, term)
		case 1:
			s = add(s, term)
		case 2:
			c = sub(c, term)
		case 3:
			s = sub(s, term)
		}
	}
	switch new(big.Int).And(n, big.NewInt(3)).Int64() {
	case 1:
		return c, zero().Neg(s)
	case 2:
		return zero().Neg(s), zero().Neg(c)
	case 3:
		return zero().Neg(c), s
	}
	return s, c
}

// refAtan halves the angle until the series converges quickly.
func refAtan(x *big.Float) *big.Float {
	halvings := 0
	for x.Sign() != 0 && x.MantExp(nil) > -8 {
		x = quo(x, add(num(1), zero().Sqrt(add(num(1), mul(x, x)))))
		halvings++
	}
	sum, power, square := zero().Set(x), x, mul(x, x)
	for k := 3; ; k += 2 {
		power = zero().Neg(mul(power, square))
		t := quo(power, num(float64(k)))
		if small(t, sum) {
			break
		}
		sum = add(sum, t)
	}
	return zero().SetMantExp(sum, halvings)
}

// refAngle returns the angle of the direction (x, y), not both zero.
func refAngle(y, x *big.Float) *big.Float {
	pi := zero().Set(refPiWide)
	a := quo(pi, num(2))
	if x.Sign() != 0 {
		a = refAtan(quo(zero().Abs(y), zero().Abs(x)))
	}
	if x.Sign() < 0 {
		a = sub(pi, a)
	}
	if y.Signbit() {
		a.Neg(a)
	}
	return a
}

func refAtan2(y, x float64) *big.Float { return refAngle(num(y), num(x)) }

var refLn2 = func() *big.Float { // 2·atanh(1/3)
	return mul(num(2), refAtanh(quo(num(1), num(3))))
}()

func refAtanh(x *big.Float) *big.Float {
	sum, power, square := zero().Set(x), x, mul(x, x)
	for k := 3; x.Sign() != 0; k += 2 {
		power = mul(power, square)
		t := quo(power, num(float64(k)))
		if small(t, sum) {
			break
		}
		sum = add(sum, t)
	}
	return sum
}

func refLog(x float64) *big.Float {
	frac, exp := math.Frexp(x)
	if frac < math.Sqrt2/2 {
		frac, exp = frac*2, exp-1
	}
	m := num(frac)
	l := mul(num(2), refAtanh(quo(sub(m, num(1)), add(m, num(1)))))
	return add(l, mul(num(float64(exp)), refLn2))
}

func refExp(x *big.Float) *big.Float {
	k, _ := quo(x, refLn2).Int64()
	r := sub(x, mul(num(float64(k)), refLn2))
	r.SetMantExp(r, -8)
	sum, term := num(1), num(1)
	for i := 1; ; i++ {
		term = quo(mul(term, r), num(float64(i)))
		if small(term, sum) {
			break
		}
		sum = add(sum, term)
	}
	for range 8 {
		sum = mul(sum, sum)
	}
	return sum.SetMantExp(sum, int(k))
}

// ulps returns the distance of got from want, in units of the last place of want.
func ulps(got float64, want *big.Float) float64 {
	w, _ := want.Float64()
	if math.IsInf(w, 0) || math.IsInf(got, 0) {
		if w == got {
			return 0
		}
		return math.Inf(1)
	}
	_, e := math.Frexp(w)
	e = max(e, -1021)
	unit := zero().SetMantExp(num(1), e-53)
	d, _ := quo(sub(num(got), want), unit).Float64()
	return math.Abs(d)
}
