package ecs

import "math/bits"

// Rand is a small deterministic generator: splitmix64 (Steele, Lea, Flood, 2014), started from a key. It is a value: a
// copy continues independently. Do not use it for secrets.
type Rand struct{ state uint64 }

// Uint64 returns 64 random bits.
func (r *Rand) Uint64() uint64 {
	r.state += k0
	z := r.state
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// IntN returns a number in [0, n), by Lemire's multiplication: the bias is below n/2^64. It panics if n is not
// positive.
func (r *Rand) IntN(n int) int {
	if n <= 0 {
		panic("ecs: Rand.IntN needs a positive n")
	}
	hi, _ := bits.Mul64(r.Uint64(), uint64(n))
	return int(hi)
}

// Float64 returns a multiple of 2^-53 in [0, 1).
func (r *Rand) Float64() float64 { return float64(float64(r.Uint64()>>11) / (1 << 53)) }

// Range returns a number in [lo, hi), or lo if hi is not above it.
func (r *Rand) Range(lo, hi float64) float64 {
	if v := lo + float64(r.Float64()*float64(hi-lo)); v < hi { // it can round up to hi
		return v
	}
	return lo
}

// Bool returns true half of the time.
func (r *Rand) Bool() bool { return r.Uint64()>>63 == 1 }
