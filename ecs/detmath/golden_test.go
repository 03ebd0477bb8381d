package detmath

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.txt; a changed line breaks recorded games")

// goldenInput returns the i-th committed input: all bit patterns, and values of every size that games use.
func goldenInput(i uint64) float64 {
	x := i*0x9e3779b97f4a7c15 + 0x1234567
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	unit := math.Ldexp(float64(int64(x>>11)), -53)
	switch i % 8 {
	case 0:
		return math.Float64frombits(x)
	case 1, 2:
		return math.Copysign(unit, float64(int64(x<<60)))
	case 3, 4:
		return math.Copysign(unit*16, float64(int64(x<<60)))
	case 5:
		return math.Copysign(unit*1024, float64(int64(x<<60)))
	case 6:
		return math.Copysign(unit*1e6, float64(int64(x<<60)))
	default:
		return math.Copysign(math.Ldexp(1+unit, int(x%200)-100), float64(int64(x<<55)))
	}
}

// goldenFunctions maps every function of the package to one from two inputs to some result bits.
var goldenFunctions = []struct {
	name string
	f    func(x, y float64) []float64
}{
	{"sin", func(x, _ float64) []float64 { return []float64{Sin(x)} }},
	{"cos", func(x, _ float64) []float64 { return []float64{Cos(x)} }},
	{"sincos", func(x, _ float64) []float64 { s, c := SinCos(x); return []float64{s, c} }},
	{"tan", func(x, _ float64) []float64 { return []float64{Tan(x)} }},
	{"atan", func(x, _ float64) []float64 { return []float64{Atan(x)} }},
	{"atan2", func(x, y float64) []float64 { return []float64{Atan2(x, y)} }},
	{"asin", func(x, _ float64) []float64 { return []float64{Asin(x)} }},
	{"acos", func(x, _ float64) []float64 { return []float64{Acos(x)} }},
	{"exp", func(x, _ float64) []float64 { return []float64{Exp(x)} }},
	{"log", func(x, _ float64) []float64 { return []float64{Log(x)} }},
	{"pow", func(x, y float64) []float64 { return []float64{Pow(x, y), Pow(math.Abs(x), y)} }},
	{"hypot", func(x, y float64) []float64 { return []float64{Hypot(x, y)} }},
	{"mod", func(x, y float64) []float64 { return []float64{Mod(x, y)} }},
	{"round", func(x, _ float64) []float64 { return []float64{Floor(x), Ceil(x), Trunc(x), Round(x), Sqrt(x), Abs(x)} }},
	{"wrapangle", func(x, _ float64) []float64 { return []float64{WrapAngle(x)} }},
	{"lerp", func(x, y float64) []float64 { return []float64{Lerp(x, y, Abs(Mod(y, 1))), Clamp(x, -1, 1)} }},
	{"convert", func(x, _ float64) []float64 {
		return []float64{float64(ToInt8(x)), float64(ToInt16(x)), float64(ToInt32(x)), math.Float64frombits(uint64(ToInt64(x))), float64(ToUint8(x)), float64(ToUint16(x)), float64(ToUint32(x)), math.Float64frombits(ToUint64(x)), float64(ToInt(x))}
	}},
	{"fixed", func(x, y float64) []float64 {
		f, g := FixedFromFloat(x), FixedFromFloat(y)
		var out []float64
		for _, v := range []Fixed{f, g, f.Add(g), f.Sub(g), f.Mul(g), f.Div(g), f.Sqrt(), f.Lerp(g, FixedOne/3), f.Neg(), f.Abs(), FixedFromInt(f.Floor())} {
			out = append(out, math.Float64frombits(uint64(v)))
		}
		return append(out, f.Float64())
	}},
}

// canonical returns the bits of x, with a single NaN, as in a world.
func canonical(x float64) uint64 {
	if x != x {
		return 0x7ff8000000000001
	}
	return math.Float64bits(x)
}

// golden returns a hash per function over 100,000 inputs, then a few results in full as a starting point for debugging.
func golden() string {
	var b strings.Builder
	for _, g := range goldenFunctions {
		h := fnv.New64a()
		for i := range uint64(100_000) {
			for _, v := range g.f(goldenInput(i), goldenInput(i+7)) {
				bits := canonical(v)
				if g.name == "fixed" || g.name == "convert" {
					bits = math.Float64bits(v)
				}
				h.Write([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24), byte(bits >> 32), byte(bits >> 40), byte(bits >> 48), byte(bits >> 56)})
			}
		}
		fmt.Fprintf(&b, "hash %-9s %016x\n", g.name, h.Sum64())
	}
	for _, g := range goldenFunctions {
		for i := range uint64(12) {
			x, y := goldenInput(i), goldenInput(i+7)
			fmt.Fprintf(&b, "%-9s %016x %016x =", g.name, math.Float64bits(x), math.Float64bits(y))
			for _, v := range g.f(x, y) {
				fmt.Fprintf(&b, " %016x", canonical(v))
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func TestBitsAreThoseOfEveryOtherMachine(t *testing.T) {
	got := golden()
	if *update {
		if err := os.WriteFile("testdata/golden.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	wants := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(wants) || line != wants[i] {
			t.Errorf("line %d of golden.txt:\n got %s\nwant %s", i+1, line, wants[min(i, len(wants)-1)])
		}
	}
}
