package script

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"unsafe"

	"go.starlark.net/starlark"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/detmath"
)

// This file contains the loops over columns that scripts start with one call. Floats are computed in float64, with each
// product rounded before it is added, and stored in the field's own width. Whole numbers never wrap: a result that does
// not fit becomes the nearest value that does.

// lane is one field in consecutive rows.
type lane struct {
	p      unsafe.Pointer // of the field in the first row
	stride int            // bytes from row to row
	n      int            // rows
}

func pointer(b []byte, offset int) unsafe.Pointer { return unsafe.Pointer(&b[offset]) }

func at[T any](l lane, i int) *T { return (*T)(unsafe.Add(l.p, i*l.stride)) }

// number is an operand: a whole number or a float.
type number struct {
	whole bool
	i     int64
	f     float64 // also when whole
}

func numberOf(v starlark.Value) (n number, err error) {
	switch v := v.(type) {
	case starlark.Int:
		i, ok := v.Int64()
		if !ok {
			return n, fmt.Errorf("%s has more than 64 bits", oneLine(v.String()))
		}
		return number{true, i, float64(i)}, nil
	case starlark.Float:
		return number{f: float64(v)}, nil
	}
	return n, fmt.Errorf("want a number, got %s", v.Type())
}

type operation uint8

const (
	opAdd operation = iota
	opMul
)

// arithmetic is x + by or x * by, limited to [min, max].
type arithmetic struct {
	by       number
	min, max *number
}

// unpack reads (field, by, min=, max=).
func (a *arithmetic) unpack(b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple, path *string) error {
	var by, low, high starlark.Value
	err := starlark.UnpackArgs(b.Name(), args, named, "field", path, "by", &by, "min?", &low, "max?", &high)
	if err != nil {
		return err
	}
	if a.by, err = numberOf(by); err != nil {
		return fmt.Errorf("%s: %w", b.Name(), err)
	}
	for _, x := range []struct {
		v  starlark.Value
		to **number
	}{{low, &a.min}, {high, &a.max}} {
		if x.v == nil || x.v == starlark.None {
			continue
		}
		n, err := numberOf(x.v)
		if err != nil {
			return fmt.Errorf("%s: %w", b.Name(), err)
		}
		*x.to = &n
	}
	return nil
}

// kernel contains the loops for one kind of field.
type kernel struct {
	arithmetic func(l lane, o operation, a *arithmetic)
	total      func(l lane, t *total)
	extreme    func(l lane, greatest bool) int // a row, -1 if there are no rows
	compare    func(l lane, c comparison, hit func(row int))
	load       func(p unsafe.Pointer) number
	store      func(p unsafe.Pointer, n number)
}

// kernelOf returns the loops for a field, or an error if it is not a number.
func kernelOf(f *ecs.Field) (k kernel, err error) {
	if k = kernels[f.Kind]; f.Array || k.load == nil {
		return k, fmt.Errorf("%s is not a number", f.Path)
	}
	return k, nil
}

var kernels = [ecs.KindText + 1]kernel{
	ecs.KindI8: wholes[int8](), ecs.KindI16: wholes[int16](), ecs.KindI32: wholes[int32](), ecs.KindI64: wholes[int64](),
	ecs.KindU8: wholes[uint8](), ecs.KindU16: wholes[uint16](), ecs.KindU32: wholes[uint32](), ecs.KindU64: wholes[uint64](),
	ecs.KindF32: floats[float32](), ecs.KindF64: floats[float64](),
}

// apply computes in place.
func (a *arithmetic) apply(o operation, f *ecs.Field, l lane) error {
	k, err := kernelOf(f)
	if err != nil {
		return err
	}
	k.arithmetic(l, o, a)
	return nil
}

// total is a sum: floats add up in row order, whole numbers exactly.
type total struct {
	floats bool
	f      float64
	hi     int64
	lo     uint64
}

func (t *total) addWhole(negative bool, v uint64) {
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, v, 0)
	t.hi += int64(carry)
	if negative {
		t.hi--
	}
}

func (t *total) value() starlark.Value {
	if t.floats {
		return starlark.Float(t.f)
	}
	x := new(big.Int).Lsh(big.NewInt(t.hi), 64)
	return starlark.MakeBigInt(x.Add(x, new(big.Int).SetUint64(t.lo)))
}

// comparison lists the outcomes of comparing x with an operand for which a row matches.
type comparison struct {
	less, equal, greater, unordered bool
	with                            number
}

var comparisons = map[string]comparison{
	"<": {less: true}, "<=": {less: true, equal: true}, ">": {greater: true}, ">=": {greater: true, equal: true},
	"==": {equal: true}, "!=": {less: true, greater: true, unordered: true},
}

func (c *comparison) float(x float64) bool {
	y := c.with.f
	return x < y && c.less || x == y && c.equal || x > y && c.greater || (x != x || y != y) && c.unordered
}

func (c *comparison) whole(x int64) bool {
	y := c.with.i
	return x < y && c.less || x == y && c.equal || x > y && c.greater
}

type anyFloat interface{ float32 | float64 }

func floats[T anyFloat]() kernel {
	return kernel{
		arithmetic: floatArithmetic[T],
		total: func(l lane, t *total) {
			t.floats = true
			for i := range l.n {
				t.f += float64(*at[T](l, i))
			}
		},
		extreme: func(l lane, greatest bool) int {
			best := -1
			for i := range l.n {
				switch x := *at[T](l, i); {
				case x != x:
				case best < 0, greatest && x > *at[T](l, best), !greatest && x < *at[T](l, best):
					best = i
				}
			}
			return best
		},
		compare: func(l lane, c comparison, hit func(int)) {
			for i := range l.n {
				if c.float(float64(*at[T](l, i))) {
					hit(i)
				}
			}
		},
		load:  func(p unsafe.Pointer) number { return number{f: float64(*(*T)(p))} },
		store: func(p unsafe.Pointer, n number) { *(*T)(p) = T(n.f) },
	}
}

func floatArithmetic[T anyFloat](l lane, o operation, a *arithmetic) {
	by, low, high := a.by.f, math.Inf(-1), math.Inf(1)
	if a.min != nil {
		low = a.min.f
	}
	if a.max != nil {
		high = a.max.f
	}
	bounded := a.min != nil || a.max != nil
	for i := range l.n {
		p := at[T](l, i)
		x := float64(*p)
		if o == opMul {
			x = float64(x * by)
		} else {
			x += by
		}
		if bounded {
			x = detmath.Clamp(x, low, high)
		}
		*p = T(x)
	}
}

type anyWhole interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

func wholes[T anyWhole]() kernel {
	return kernel{
		arithmetic: wholeArithmetic[T],
		total: func(l lane, t *total) {
			for i := range l.n {
				x := *at[T](l, i)
				t.addWhole(x < 0, uint64(x)) // sign-extended
			}
		},
		extreme: func(l lane, greatest bool) int {
			best := -1
			for i := range l.n {
				if x := *at[T](l, i); best < 0 || greatest && x > *at[T](l, best) || !greatest && x < *at[T](l, best) {
					best = i
				}
			}
			return best
		},
		compare: func(l lane, c comparison, hit func(int)) {
			for i := range l.n {
				x := *at[T](l, i)
				yes := false
				switch {
				case !c.with.whole:
					yes = c.float(float64(x))
				case x > 0 && int64(x) < 0: // above all int64 values
					yes = c.greater
				default:
					yes = c.whole(int64(x))
				}
				if yes {
					hit(i)
				}
			}
		},
		load: func(p unsafe.Pointer) number {
			x := *(*T)(p)
			return number{whole: x < 0 || int64(x) >= 0, i: int64(x), f: float64(x)}
		},
		store: func(p unsafe.Pointer, n number) {
			if n.whole {
				*(*T)(p) = fit[T](n.i)
			} else {
				*(*T)(p) = fitFloat[T](n.f)
			}
		},
	}
}

// bounds returns the lowest and highest values of T.
func bounds[T anyWhole]() (lowest, highest T) {
	n := 8 * unsafe.Sizeof(lowest)
	if ^T(0) > 0 {
		return 0, ^T(0)
	}
	highest = T(1)<<(n-1) - 1
	return ^highest, highest
}

// fit returns the value of T nearest to i.
func fit[T anyWhole](i int64) T {
	lowest, highest := bounds[T]()
	switch {
	case i < 0 && (lowest == 0 || i < int64(lowest)):
		return lowest
	case i > 0 && uint64(i) > uint64(highest):
		return highest
	}
	return T(i)
}

// fitFloat returns x without its fraction, or the nearest value of T; 0 for NaN.
func fitFloat[T anyWhole](x float64) T {
	if lowest, highest := bounds[T](); lowest == 0 && uint64(highest) == math.MaxUint64 {
		return T(detmath.ToUint64(x))
	}
	return fit[T](detmath.ToInt64(x))
}

func wholeArithmetic[T anyWhole](l lane, o operation, a *arithmetic) {
	low, high := bounds[T]()
	if a.min != nil {
		low = fitNumber[T](*a.min)
	}
	if a.max != nil {
		high = fitNumber[T](*a.max)
	}
	for i := range l.n {
		p := at[T](l, i)
		var x T
		switch {
		case o == opMul && a.by.whole:
			x = mulFit(*p, a.by.i)
		case o == opMul:
			x = fitFloat[T](float64(float64(*p) * a.by.f))
		case a.by.whole:
			x = addFit(*p, a.by.i)
		default:
			x = fitFloat[T](float64(*p) + a.by.f)
		}
		*p = max(low, min(x, high))
	}
}

func fitNumber[T anyWhole](n number) T {
	if n.whole {
		return fit[T](n.i)
	}
	return fitFloat[T](n.f)
}

// addFit returns x + d, or the nearest value of T.
func addFit[T anyWhole](x T, d int64) T {
	lowest, highest := bounds[T]()
	if d >= 0 {
		if room := uint64(highest) - uint64(x); uint64(d) > room { // both are sign-extended, so the difference is right
			return highest
		}
		return x + T(d)
	}
	if room := uint64(x) - uint64(lowest); uint64(-d) > room { // -d of the lowest int64 is right as a uint64
		return lowest
	}
	return x - T(uint64(-d))
}

// mulFit returns x * d, or the nearest value of T.
func mulFit[T anyWhole](x T, d int64) T {
	lowest, highest := bounds[T]()
	a, b := uint64(x), uint64(d)
	if x < 0 {
		a = -a
	}
	if d < 0 {
		b = -b
	}
	negative := (x < 0) != (d < 0)
	hi, lo := bits.Mul64(a, b)
	switch {
	case negative && (hi > 0 || lo > -uint64(lowest)):
		return lowest
	case negative:
		return T(-lo)
	case hi > 0 || lo > uint64(highest):
		return highest
	}
	return T(lo)
}

// integrate adds from * k to to, row by row. Both lanes cover the same rows.
func integrate(to, from lane, toField, fromField *ecs.Field, k float64) error {
	load, err := kernelOf(fromField)
	if err != nil {
		return err
	}
	if toField.Array || toField.Kind != ecs.KindF64 && toField.Kind != ecs.KindF32 {
		return fmt.Errorf("%s is not a float", toField.Path)
	}
	switch {
	case toField.Kind == ecs.KindF64 && fromField.Kind == ecs.KindF64:
		for i := range to.n {
			*at[float64](to, i) += float64(*at[float64](from, i) * k)
		}
	case toField.Kind == ecs.KindF64:
		for i := range to.n {
			*at[float64](to, i) += float64(load.load(unsafe.Pointer(at[byte](from, i))).f * k)
		}
	default:
		for i := range to.n {
			p := at[float32](to, i)
			*p = float32(float64(*p) + float64(load.load(unsafe.Pointer(at[byte](from, i))).f*k))
		}
	}
	return nil
}

// copyField copies from into to, row by row: between fields of the same kind, or from number to number.
func copyField(to, from lane, toField, fromField *ecs.Field) error {
	if toField.Kind == fromField.Kind && toField.Width == fromField.Width && toField.Count == fromField.Count && toField.Array == fromField.Array {
		n := toField.Width * toField.Count
		for i := range to.n {
			copy(unsafe.Slice(at[byte](to, i), n), unsafe.Slice(at[byte](from, i), n))
		}
		return nil
	}
	store, err := kernelOf(toField)
	if err != nil {
		return err
	}
	load, err := kernelOf(fromField)
	if err != nil {
		return err
	}
	for i := range to.n {
		store.store(unsafe.Pointer(at[byte](to, i)), load.load(unsafe.Pointer(at[byte](from, i))))
	}
	return nil
}
