package script

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"unsafe"

	"go.starlark.net/starlark"
)

var edges = []int64{0, 1, -1, 2, -2, 7, -7, 100, -100, 127, 128, -128, -129, 255, 256, 1 << 31, -1 << 31, math.MaxInt64, math.MinInt64, math.MinInt64 + 1}

// clamped returns the value of T nearest to x.
func clamped[T anyWhole](x *big.Int) *big.Int {
	lowest, highest := bounds[T]()
	low, high := asBig(lowest), asBig(highest)
	switch {
	case x.Cmp(low) < 0:
		return low
	case x.Cmp(high) > 0:
		return high
	}
	return x
}

func asBig[T anyWhole](x T) *big.Int {
	if x < 0 {
		return big.NewInt(int64(x))
	}
	return new(big.Int).SetUint64(uint64(x))
}

func againstBig[T anyWhole](t *testing.T, xs []T) {
	t.Helper()
	var sum big.Int
	for _, x := range xs {
		sum.Add(&sum, asBig(x))
		for _, d := range edges {
			if got, want := asBig(addFit(x, d)), clamped[T](new(big.Int).Add(asBig(x), big.NewInt(d))); got.Cmp(want) != 0 {
				t.Fatalf("%T: %d + %d is %d, want %d", x, x, d, got, want)
			}
			if got, want := asBig(mulFit(x, d)), clamped[T](new(big.Int).Mul(asBig(x), big.NewInt(d))); got.Cmp(want) != 0 {
				t.Fatalf("%T: %d * %d is %d, want %d", x, x, d, got, want)
			}
			if got, want := asBig(fit[T](d)), clamped[T](big.NewInt(d)); got.Cmp(want) != 0 {
				t.Fatalf("%T: %d becomes %d, want %d", x, d, got, want)
			}
		}
	}
	var got total
	wholes[T]().total(lane{unsafe.Pointer(&xs[0]), int(unsafe.Sizeof(xs[0])), len(xs)}, &got)
	if got.value().(starlark.Int).BigInt().Cmp(&sum) != 0 {
		t.Fatalf("%T: the sum is %v, want %v", xs[0], got.value(), &sum)
	}
}

func random[T anyWhole]() (xs []T) {
	r := rand.New(rand.NewPCG(1, 2))
	lowest, highest := bounds[T]()
	for _, d := range edges {
		xs = append(xs, fit[T](d), lowest+T(d), highest-T(d))
	}
	for range 500 {
		xs = append(xs, T(r.Uint64()), T(r.Uint64()>>r.UintN(64)))
	}
	return xs
}

func TestWholeNumbersNeverWrap(t *testing.T) {
	var small []int8
	var bytes []uint8
	for i := range 256 {
		small, bytes = append(small, int8(i)), append(bytes, uint8(i))
	}
	againstBig(t, small)
	againstBig(t, bytes)
	againstBig(t, random[int16]())
	againstBig(t, random[uint16]())
	againstBig(t, random[int32]())
	againstBig(t, random[uint32]())
	againstBig(t, random[int64]())
	againstBig(t, random[uint64]())
}

func TestFloatsBecomeWholeNumbers(t *testing.T) {
	for _, x := range []struct {
		of   float64
		i8   int8
		u64  uint64
		i64  int64
		u32  uint32
		what string
	}{
		{1.9, 1, 1, 1, 1, "the fraction goes"},
		{-1.9, -1, 0, -1, 0, "towards zero"},
		{1e300, 127, math.MaxUint64, math.MaxInt64, math.MaxUint32, "too much"},
		{-1e300, -128, 0, math.MinInt64, 0, "too little"},
		{math.NaN(), 0, 0, 0, 0, "no number"},
		{1 << 63, 127, 1 << 63, math.MaxInt64, math.MaxUint32, "above int64"},
	} {
		if a, b, c, d := fitFloat[int8](x.of), fitFloat[uint64](x.of), fitFloat[int64](x.of), fitFloat[uint32](x.of); a != x.i8 || b != x.u64 || c != x.i64 || d != x.u32 {
			t.Errorf("%s: %g is %d, %d, %d, %d", x.what, x.of, a, b, c, d)
		}
	}
}
