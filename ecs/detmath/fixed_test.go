package detmath

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactly returns the Fixed to which the exact value n/d·2^-32 rounds, halves away from zero, saturating.
func exactly(n, d *big.Int) Fixed {
	negative := n.Sign()*d.Sign() < 0
	n, d = new(big.Int).Abs(n), new(big.Int).Abs(d)
	q := new(big.Int).Quo(new(big.Int).Add(new(big.Int).Lsh(n, 1), d), new(big.Int).Lsh(d, 1))
	if negative {
		q.Neg(q)
	}
	switch {
	case q.Cmp(big.NewInt(math.MaxInt64)) > 0:
		return FixedMax
	case q.Cmp(big.NewInt(math.MinInt64)) < 0:
		return FixedMin
	}
	return Fixed(q.Int64())
}

func TestFixedAgreesWithExactArithmetic(t *testing.T) {
	t.Logf("-seed=%d", *seed)
	r := rand.New(rand.NewPCG(*seed, 4))
	edges := []Fixed{0, 1, -1, FixedOne, -FixedOne, FixedMax, FixedMin, FixedMax - 1, FixedMin + 1, FixedOne / 2, 3, -3}
	next := func() Fixed {
		if r.IntN(4) == 0 {
			return edges[r.IntN(len(edges))]
		}
		return Fixed(r.Uint64()) >> r.IntN(63)
	}
	one := big.NewInt(1)
	for range 50000 {
		f, g := next(), next()
		bf, bg := big.NewInt(int64(f)), big.NewInt(int64(g))
		check := func(name string, got, want Fixed) {
			if got != want {
				t.Fatalf("%d %s %d = %d, want %d (-seed=%d)", f, name, g, got, want, *seed)
			}
		}
		check("+", f.Add(g), exactly(new(big.Int).Add(bf, bg), one))
		check("-", f.Sub(g), exactly(new(big.Int).Sub(bf, bg), one))
		check("*", f.Mul(g), exactly(new(big.Int).Mul(bf, bg), big.NewInt(1<<32)))
		check("neg", f.Neg(), exactly(new(big.Int).Neg(bf), one))
		check("abs", f.Abs(), exactly(new(big.Int).Abs(bf), one))
		if g != 0 {
			check("/", f.Div(g), exactly(new(big.Int).Lsh(bf, 32), bg))
		}
		if f > 0 {
			check("sqrt", f.Sqrt(), Fixed(new(big.Int).Sqrt(new(big.Int).Lsh(bf, 32)).Int64()))
		}
	}
}

func TestFixedAtItsEnds(t *testing.T) {
	for _, c := range []struct{ got, want Fixed }{
		{FixedOne.Div(0), FixedMax},
		{(-FixedOne).Div(0), FixedMin},
		{Fixed(0).Div(0), 0},
		{Fixed(-5).Sqrt(), 0},
		{FixedFromFloat(math.NaN()), 0},
		{FixedFromFloat(1e300), FixedMax},
		{FixedFromFloat(-1e300), FixedMin},
		{FixedFromFloat(-1.5), -FixedOne - FixedOne/2},
		{FixedFromInt(-3), -3 * FixedOne},
		{FixedMin.Div(-1), FixedMax},
		{Fixed(7).Clamp(1, 5), 5},
		{FixedFromInt(2).Lerp(FixedFromInt(4), FixedOne/2), FixedFromInt(3)},
	} {
		if c.got != c.want {
			t.Errorf("got %d, want %d", c.got, c.want)
		}
	}
	if f := FixedFromFloat(-1.25).Floor(); f != -2 {
		t.Errorf("floor of -1.25 is %d", f)
	}
}

func TestFixedNamesItself(t *testing.T) {
	for f, want := range map[Fixed]string{
		0: "0", FixedOne: "1", -FixedOne / 2: "-0.5", 1: "0.0000000002", FixedMin: "-2147483648", FixedMax: "2147483647.9999999998", FixedOne*10 + FixedOne/10: "10.0999999999",
	} {
		if got := f.String(); got != want {
			t.Errorf("%d is %q, want %q", int64(f), got, want)
		}
	}
}
