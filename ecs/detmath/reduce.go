package detmath

import (
	"math"
	"math/bits"
)

// π/2 as a sum: two parts of 33 bits, whose products with a count below 2^20 are exact, and the remainder; and as two
// float64s.
const (
	halfPi1    = 0x1.921fb544p+0
	halfPi2    = 0x1.0b4611a6p-34
	halfPi3    = 0x1.3198a2e037073p-69
	halfPiHigh = 0x1.921fb54442d18p+0
	halfPiLow  = 0x1.1a62633145c07p-54

	quarterPi = 0x1.921fb54442d18p-1
)

// twoOverPi holds the bits of 2/π after the binary point, after 64 zero bits.
var twoOverPi = [...]uint64{
	0,
	0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
	0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484,
	0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f,
	0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d, 0x7527bac7ebe5f17b,
	0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab, 0xf0cfbc209af4361d,
}

// reduce writes a finite x as quadrant·π/2 + high + low modulo 2π, with |high+low| at most slightly above π/4 and a
// relative error below 2^-70. The quadrant is 0 to 3.
//
// Method: Cody and Waite's subtraction of a multiple in parts; if that cancels too much, or x is large, Payne and
// Hanek's multiplication by the relevant bits of 2/π.
func reduce(x float64) (quadrant uint32, high, low float64) {
	if math.Abs(x) < 1<<20 {
		n := math.RoundToEven(float64(x * (2 / math.Pi)))
		r := x - float64(n*halfPi1) // exact: both are within a factor of two of each other
		h, l := twoSum(r, -float64(n*halfPi2))
		if math.Abs(h) > 0x1p-25 {
			l -= float64(n * halfPi3)
			high = h + l
			return uint32(ToInt32(n)) & 3, high, (h - high) + l
		}
		if n == 0 {
			return 0, x, 0
		}
	}
	quadrant, high, low = reduceBits(math.Abs(x))
	if x < 0 {
		return -quadrant & 3, -high, -low
	}
	return quadrant, high, low
}

// reduceBits is reduce for a finite x of at least 0.7, using 192-bit integers.
func reduceBits(x float64) (quadrant uint32, high, low float64) {
	b := math.Float64bits(x)
	mantissa := b&(1<<52-1) | 1<<52
	exponent := int(b>>52) - 1075 // x = mantissa · 2^exponent

	// x·(2/π)/4 modulo 1: bits of 2/π that give whole multiples of 4 are omitted.
	first := exponent - 2 + 64
	word, shift := first/64, uint(first%64)
	w0 := shiftIn(twoOverPi[word], twoOverPi[word+1], shift)
	w1 := shiftIn(twoOverPi[word+1], twoOverPi[word+2], shift)
	w2 := shiftIn(twoOverPi[word+2], twoOverPi[word+3], shift)
	h2, p2 := bits.Mul64(mantissa, w2)
	h1, p1 := bits.Mul64(mantissa, w1)
	p1, carry := bits.Add64(p1, h2, 0)
	p0 := mantissa*w0 + h1 + carry

	quadrant = uint32(p0 >> 62)
	p0, p1, p2 = p0<<2|p1>>62, p1<<2|p2>>62, p2<<2
	negative := p0>>63 == 1
	if negative { // nearer to the next multiple
		var borrow uint64
		quadrant = (quadrant + 1) & 3
		p2, borrow = bits.Sub64(0, p2, 0)
		p1, borrow = bits.Sub64(0, p1, borrow)
		p0, _ = bits.Sub64(0, p0, borrow)
	}
	scale := 1.0
	if p0 == 0 { // no float64 is closer to a multiple of π/2 than about 2^-62
		p0, p1, p2, scale = p1, p2, 0, 0x1p-64
	}
	lead := uint(bits.LeadingZeros64(p0))
	p0, p1 = shiftIn(p0, p1, lead), shiftIn(p1, p2, lead)
	scale = math.Ldexp(scale, -int(lead))

	f := float64(float64(int64(p0>>11)) * 0x1p-53)
	g := float64(float64(int64((p0<<53|p1>>11)>>1)) * 0x1p-116)
	high = float64(f * halfPiHigh)
	low = math.FMA(f, halfPiHigh, -high) + (float64(f*halfPiLow) + float64(g*halfPiHigh))
	high, low = fastTwoSum(high, low)
	if negative {
		scale = -scale
	}
	return quadrant, float64(high * scale), float64(low * scale)
}

// shiftIn returns the upper word of (a, b) shifted left by n < 64.
func shiftIn(a, b uint64, n uint) uint64 { return a<<n | b>>(64-n) }

// twoSum returns a+b as a rounded sum and its exact error (Knuth).
func twoSum(a, b float64) (sum, err float64) {
	sum = a + b
	v := sum - a
	return sum, (a - (sum - v)) + (b - v)
}

// fastTwoSum is twoSum for |a| >= |b| (Dekker).
func fastTwoSum(a, b float64) (sum, err float64) {
	sum = a + b
	return sum, b - (sum - a)
}

// twoProduct returns a·b as a rounded product and its exact error.
func twoProduct(a, b float64) (product, err float64) {
	product = float64(a * b)
	return product, math.FMA(a, b, -product)
}
