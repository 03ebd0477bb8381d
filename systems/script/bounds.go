package script

import (
	"fmt"
	"math"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Upper limits on a script's values. Building a value also costs steps: one per 16 bytes of text, one per list element.
// So the budget of a run bounds its time and its memory.
const (
	maxBits     = 8192    // of an integer
	maxBytes    = 4 << 20 // of a text
	maxElements = 1 << 20 // of a list, tuple, dict or set
	maxTuple    = 1024    // tuples in a tuple, counted as often as they occur: a key is hashed whole
	maxInside   = 500     // nesting depth of a value to print or compare
)

// Names of guards that are not operators.
const (
	checkTuple    = "«tuple»"
	guardReceiver = "«.»"
	guardWhole    = "«[:]»"
)

// allowance is a thread's budget of steps.
type allowance struct {
	limit uint64 // total over the thread's life
	spent bool   // it needed more
}

const allowanceKey = "wind.allowance"

// spend charges for work that the interpreter does not count as steps. It returns an error if the budget does not cover
// the work.
func spend(t *starlark.Thread, steps int) error {
	a, ok := t.Local(allowanceKey).(*allowance)
	if !ok || steps <= 0 {
		return nil
	}
	if t.Steps+uint64(steps) < a.limit {
		t.Steps += uint64(steps)
		return nil
	}
	t.Steps = a.limit
	a.spent = true
	return errSpent
}

var errSpent = fmt.Errorf("too many steps")

// guards are the builtins that replace operators, and those that replace Starlark's own builtins whose work depends on
// their arguments.
var guards = makeGuards()

func makeGuards() starlark.StringDict {
	d := starlark.StringDict{}
	add := func(name string, f func(t *starlark.Thread, args starlark.Tuple) (starlark.Value, error)) {
		d[name] = starlark.NewBuiltin(name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			return f(t, args)
		})
	}
	for _, op := range []syntax.Token{syntax.PLUS, syntax.MINUS, syntax.STAR, syntax.PERCENT, syntax.LTLT, syntax.AMP, syntax.PIPE, syntax.CIRCUMFLEX} {
		add(opName(op), func(t *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
			return arithmeticOf(t, op, args[0], args[1])
		})
	}
	for _, op := range []syntax.Token{syntax.EQL, syntax.NEQ, syntax.LT, syntax.LE, syntax.GT, syntax.GE} {
		add(opName(op), func(t *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
			return compared(t, op, args[0], args[1])
		})
	}
	for _, op := range []syntax.Token{syntax.IN, syntax.NOT_IN} {
		add(opName(op), func(t *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
			return contained(t, op, args[0], args[1])
		})
	}
	add(opName(syntax.PLUS)+"=", func(t *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
		return extended(t, args[0], args[1])
	})
	add(opName(syntax.PIPE)+"=", func(t *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
		return merged(t, args[0], args[1])
	})
	add(checkTuple, func(_ *starlark.Thread, args starlark.Tuple) (starlark.Value, error) { return args[0], tuples(args[0]) })
	add(guardWhole, func(t *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
		return args[0], spend(t, wholeCost(args[0]))
	})
	add(guardReceiver, func(t *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
		name, _ := starlark.AsString(args[1])
		return receiving(args[0], name), nil
	})
	for _, name := range []string{"all", "any", "bytes", "dict", "enumerate", "fail", "getattr", "hash", "int", "list", "max", "min", "print", "repr", "reversed", "set", "sorted", "str", "tuple", "zip"} {
		d[name] = guardedBuiltin(starlark.Universe[name].(*starlark.Builtin))
	}
	d.Freeze()
	return d
}

// length returns the number of elements of a value, or of bytes of a text; 0 for other values.
func length(v starlark.Value) int { return max(0, starlark.Len(v)) }

// wholeCost returns the cost in steps of going over a value.
func wholeCost(v starlark.Value) int {
	switch v := v.(type) {
	case starlark.String, starlark.Bytes:
		return length(v) / 16
	case *starlark.Dict, *starlark.Set:
		return 8 * length(v) // their entries are larger, and need hashing
	case starlark.Sequence, starlark.Mapping:
		return length(v)
	}
	return 0
}

// bitsOf returns the length of an integer in bits, without its sign.
func bitsOf(i starlark.Int) int {
	if _, ok := i.Int64(); ok {
		return 64
	}
	return i.BigInt().BitLen()
}

// arithmeticOf returns x op y.
func arithmeticOf(t *starlark.Thread, op syntax.Token, x, y starlark.Value) (starlark.Value, error) {
	if x, ok := x.(starlark.Int); ok {
		if y, ok := y.(starlark.Int); ok {
			n := max(bitsOf(x), bitsOf(y))
			switch op {
			case syntax.STAR:
				n = bitsOf(x) + bitsOf(y) - 1
			case syntax.LTLT:
				if by, ok := y.Int64(); ok && by > 0 {
					n = bitsOf(x) + int(min(by, maxBits))
				}
			}
			if n > maxBits {
				return nil, fmt.Errorf("%s makes an integer of more than %d bits", op, maxBits)
			}
			return starlark.Binary(op, x, y)
		}
	}
	n, per := 0, 1 // elements, and how many of them cost one step
	switch op {
	case syntax.STAR:
		n, per = repeated(x, y)
	case syntax.PERCENT:
		if format, ok := x.(starlark.String); ok {
			size, err := formatted(string(format), y)
			if err != nil {
				return nil, err
			}
			n, per = size, 16
		}
	default:
		n = length(x) + length(y)
		switch x.(type) {
		case starlark.String, starlark.Bytes:
			per = 16
		case *starlark.Dict, *starlark.Set:
			if err := spend(t, wholeCost(x)+wholeCost(y)); err != nil {
				return nil, err
			}
		}
	}
	if err := room(op.String(), n, per); err != nil {
		return nil, err
	}
	if err := spend(t, n/per); err != nil {
		return nil, err
	}
	v, err := starlark.Binary(op, x, y)
	if err != nil {
		return nil, err
	}
	return v, tuples(v)
}

// room returns an error if a text or a list is too long.
func room(what string, n, per int) error {
	switch {
	case per > 1 && n > maxBytes:
		return fmt.Errorf("%s makes a text of more than %d bytes", what, maxBytes)
	case per == 1 && n > maxElements:
		return fmt.Errorf("%s makes more than %d elements", what, maxElements)
	}
	return nil
}

// repeated returns the size of x * y for a text, list or tuple and a number.
func repeated(x, y starlark.Value) (n, per int) {
	if _, ok := x.(starlark.Int); ok {
		x, y = y, x
	}
	times, ok := y.(starlark.Int)
	if !ok {
		return 0, 1
	}
	switch x.(type) {
	case starlark.String, starlark.Bytes:
		per = 16
	case *starlark.List, starlark.Tuple:
		per = 1
	default:
		return 0, 1
	}
	count, ok := times.Int64()
	switch {
	case !ok && times.Sign() > 0:
		count = math.MaxInt32
	case count < 0:
		count = 0
	}
	return length(x) * int(min(count, math.MaxInt32)), per
}

// formatted returns an upper bound on the length of the text that % makes.
func formatted(format string, y starlark.Value) (int, error) {
	n, err := parts(y)
	if err != nil {
		return 0, err
	}
	if _, ok := y.(starlark.Mapping); ok { // the format may name a key many times
		n *= 1 + strings.Count(format, "%(")
	}
	return len(format) + n, nil
}

// parts returns the size of a value, contents included, when it is printed or compared; or an error if it is too large.
func parts(v starlark.Value) (int, error) {
	left := maxBytes
	if !measure(v, 0, &left) {
		return 0, fmt.Errorf("a %s is too large to print or compare", v.Type())
	}
	return maxBytes - left, nil
}

// measure subtracts the size of v from left, and reports whether enough was left.
func measure(v starlark.Value, depth int, left *int) bool {
	if *left -= 4; *left < 0 || depth > maxInside {
		return false
	}
	switch v := v.(type) {
	case starlark.String:
		*left -= len(v)
	case starlark.Bytes:
		*left -= len(v)
	case starlark.Int:
		*left -= bitsOf(v) / 3
	case starlark.Tuple:
		for _, x := range v {
			if !measure(x, depth+1, left) {
				return false
			}
		}
	case *starlark.List:
		for i := range v.Len() {
			if !measure(v.Index(i), depth+1, left) {
				return false
			}
		}
	case *starlark.Dict:
		if *left -= 4 * v.Len(); *left < 0 {
			return false
		}
		for k, x := range v.Entries() {
			if !measure(k, depth+1, left) || !measure(x, depth+1, left) {
				return false
			}
		}
	case *starlark.Set:
		for x := range v.Elements() {
			if !measure(x, depth+1, left) {
				return false
			}
		}
	}
	return *left >= 0
}

// simple reports whether a value costs next to nothing to compare.
func simple(v starlark.Value) bool {
	switch v := v.(type) {
	case starlark.NoneType, starlark.Bool, starlark.Int, starlark.Float:
		return true
	case starlark.String:
		return len(v) < 256
	case starlark.Tuple, *starlark.List, *starlark.Dict, *starlark.Set, starlark.Bytes:
		return false
	}
	return true // one of the host's own types
}

// compared returns x op y. The smaller operand sets the cost.
func compared(t *starlark.Thread, op syntax.Token, x, y starlark.Value) (starlark.Value, error) {
	if !simple(x) && !simple(y) {
		n, err := parts(x)
		if err != nil {
			if n, err = parts(y); err != nil {
				return nil, err
			}
		}
		if err := spend(t, n/16); err != nil {
			return nil, err
		}
	}
	ok, err := starlark.Compare(op, x, y)
	return starlark.Bool(ok), err
}

// contained returns x in y, or x not in y.
func contained(t *starlark.Thread, op syntax.Token, x, y starlark.Value) (starlark.Value, error) {
	if err := sought(t, x, y); err != nil {
		return nil, err
	}
	v, err := starlark.Binary(syntax.IN, x, y)
	if err != nil || op == syntax.IN {
		return v, err
	}
	return !v.(starlark.Bool), nil
}

// sought charges for the search for x in y.
func sought(t *starlark.Thread, x, y starlark.Value) error {
	each := 1
	if !simple(x) {
		n, err := parts(x)
		if err != nil {
			return err
		}
		each += n / 16
	}
	switch y.(type) {
	case starlark.String, starlark.Bytes, *starlark.List, starlark.Tuple:
		return spend(t, min(length(y)*each, math.MaxInt32)/4)
	}
	return spend(t, each/16)
}

// extended returns x += y.
func extended(t *starlark.Thread, x, y starlark.Value) (starlark.Value, error) {
	list, ok := x.(*starlark.List)
	more, iterable := y.(starlark.Iterable)
	if !ok || !iterable {
		return arithmeticOf(t, syntax.PLUS, x, y)
	}
	v, err := list.Attr("extend")
	if err != nil {
		return nil, err
	}
	if err := grown(t, "+=", x, more); err != nil {
		return nil, err
	}
	if _, err := v.(*starlark.Builtin).CallInternal(t, starlark.Tuple{more}, nil); err != nil {
		return nil, fmt.Errorf("%s", strings.Replace(strings.TrimPrefix(err.Error(), "extend: "), "cannot extend", "cannot apply += to", 1))
	}
	return list, nil
}

// merged returns x |= y.
func merged(t *starlark.Thread, x, y starlark.Value) (starlark.Value, error) {
	into, ok := x.(*starlark.Dict)
	from, dict := y.(*starlark.Dict)
	if !ok || !dict {
		return arithmeticOf(t, syntax.PIPE, x, y)
	}
	if err := grown(t, "|=", x, y); err != nil {
		return nil, err
	}
	for k, v := range from.Entries() {
		if err := into.SetKey(k, v); err != nil {
			return nil, err
		}
	}
	return into, nil
}

// grown charges for the elements of y that go into x.
func grown(t *starlark.Thread, what string, x, y starlark.Value) error {
	n := length(y)
	if err := room(what, length(x)+n, 1); err != nil {
		return err
	}
	return spend(t, n)
}

// tuples returns an error if a value is a tuple that contains too many tuples, or directly contains such a tuple.
func tuples(v starlark.Value) error {
	t, ok := v.(starlark.Tuple)
	if !ok {
		return nil
	}
	left := maxTuple
	for _, x := range t {
		if inner, ok := x.(starlark.Tuple); ok && !count(inner, &left) {
			return fmt.Errorf("a tuple contains more than %d tuples", maxTuple)
		}
	}
	return nil
}

// count subtracts the tuples in t, and their elements, from left.
func count(t starlark.Tuple, left *int) bool {
	if *left -= 1 + len(t)/8; *left < 0 {
		return false
	}
	for _, x := range t {
		if inner, ok := x.(starlark.Tuple); ok && !count(inner, left) {
			return false
		}
	}
	return true
}
