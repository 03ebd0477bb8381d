package script

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"
)

// evil lists function bodies that would take the process down: by time, by memory, or by both.
var evil = map[string]string{
	"40 squarings of an integer":    "x = 12345\nfor i in range(40):\n    x = x * x",
	"40 squarings, in place":        "x = 12345\nfor i in range(40):\n    x *= x",
	"doubling an integer":           "x = 1\nwhile True:\n    x += x",
	"doubling by minus":             "x = 1\nwhile True:\n    x = x - (0 - x)",
	"doubling by 2":                 "x = 1\nwhile True:\n    x = 2 * x",
	"shifts":                        "x = 1\nwhile True:\n    x = x << 500",
	"shifts in place":               "x = [1]\nwhile True:\n    x[0] <<= 500",
	"an integer of a text":          "int('9' * 100000)",
	"a list of a billion":           "x = [0] * 1000000000",
	"a list of a billion, turned":   "x = 1000000000 * [0]",
	"a list in place":               "x = [0]\nx *= 1000000000",
	"a tuple of a billion":          "x = (0,) * 1000000000",
	"a text of 10 GB":               "x = 'x' * 10000000000",
	"bytes":                         "x = b'x' * 10000000000",
	"a list in a list, times":       "x = [[0] * 1000] * 1000000000",
	"doubling a list":               "x = [0]\nwhile True:\n    x = x + x",
	"doubling a list in place":      "x = [0]\nwhile True:\n    x += x",
	"doubling a list in a dict":     "x = {'a': [0]}\nwhile True:\n    x['a'] += x['a']",
	"extending a list by itself":    "x = [0]\nwhile True:\n    x.extend(x)",
	"extending by another name":     "x = [0]\nwhile True:\n    getattr(x, 'extend')(x)",
	"doubling a text":               "x = 'x'\nwhile True:\n    x = x + x",
	"keeping long texts":            "x = []\nwhile True:\n    x.append('x' * 100000)",
	"a list of a range":             "list(range(1000000000))",
	"a tuple of a range":            "tuple(range(1000000000))",
	"a set of a range":              "set(range(1000000000))",
	"sorting a range":               "sorted(range(1000000000))",
	"the greatest of a range":       "max(range(100000000000))",
	"all of a range":                "all(range(1, 100000000000))",
	"arguments of a range":          "max(*range(1000000000))",
	"enumerating a range":           "enumerate(range(1000000000))",
	"zipping ranges":                "zip(range(1000000000), range(1000000000))",
	"comprehending a range":         "[x for x in range(1000000000)]",
	"slices":                        "x = list(range(100000))\nwhile True:\n    y = x[:]",
	"joining":                       "x = ['x' * 100000] * 10000\n''.join(x)",
	"replacing":                     "x = ('x' * 100000).replace('x', 'x' * 100000)",
	"replacing nothing":             "x = ('x' * 100000).replace('', 'x' * 100000)",
	"formatting":                    "('{0}' * 10000).format('x' * 100000)",
	"formatting names":              "('{a}' * 10000).format(a = 'x' * 100000)",
	"percent":                       "('%s' * 10000) % tuple(['x' * 10000] * 10000)",
	"percent of a dict":             "('%(a)s' * 10000) % {'a': 'x' * 100000}",
	"percent of a float":            "x = '%%' * 1000000 + '%s'\nwhile True:\n    y = x % 0.5",
	"percent of a float, in place":  "x = ['%%' * 1000000 + '%s'] * 1000000\nfor i in range(1000000):\n    x[i] %= 2 * 0.5",
	"printing what is nested":       "x = [0]\nfor i in range(40):\n    x = [x, x]\nstr(x)",
	"printing, by percent":          "x = [0]\nfor i in range(40):\n    x = [x, x]\n'%s' % x",
	"printing, by percent of more":  "x = [0]\nfor i in range(40):\n    x = [x, x]\n'%s %s' % (1, x)",
	"printing, by format":           "x = [0]\nfor i in range(40):\n    x = [x, x]\n'{}'.format(x)",
	"failing with what is nested":   "x = {}\nfor i in range(40):\n    x = {1: x, 2: x}\nfail(x)",
	"print":                         "x = [0]\nfor i in range(40):\n    x = [x, x]\nprint(x)",
	"comparing what is nested":      "def f():\n    x = [0]\n    for i in range(9):\n        x = [x] * 1000\n    return x\nf() == f()",
	"looking for what is nested":    "def f():\n    x = [0]\n    for i in range(9):\n        x = [x] * 1000\n    return x\nf() in [f()]",
	"sorting what is nested":        "def f():\n    x = [0]\n    for i in range(9):\n        x = [x] * 1000\n    return x\nsorted([f(), f()])",
	"index of what is nested":       "def f():\n    x = [0]\n    for i in range(9):\n        x = [x] * 1000\n    return x\n[f()].index(f())",
	"a key of tuples":               "x = (0,)\nfor i in range(40):\n    x = (x, x)\n{x: 1}",
	"a key of tuples, of a list":    "x = (0,)\nfor i in range(40):\n    x = tuple([x, x])\n{x: 1}",
	"a key of tuples, zipped":       "x = (0,)\nfor i in range(40):\n    x = zip([x], [x])[0]\n{x: 1}",
	"a key of tuples, of a dict":    "x = (0,)\nfor i in range(40):\n    x = {x: x}.items()[0]\n{x: 1}",
	"a key of tuples, of arguments": "def f(*a):\n    return a\nx = (0,)\nfor i in range(40):\n    x = f(x, x)\n{x: 1}",
	"a key of tuples, of a lambda":  "l = [(0,)]\nf = lambda *a: l.append(a)\nfor i in range(40):\n    f(l[-1], l[-1])\n{l[-1]: 1}",
	"a key of tuples, added":        "x = (0,)\nfor i in range(40):\n    x = (x,) + (x,)\n{x: 1}",
	"a key of tuples, taken apart":  "x = (0,)\nfor i in range(40):\n    x, y = (x, x), 0\n{x: 1}",
	"searching a long list":         "x = list(range(100000))\nwhile True:\n    y = -1 in x",
	"searching by index":            "x = list(range(100000))\nwhile True:\n    x.index(99999)",
	"popping the first":             "x = list(range(100000))\nwhile True:\n    x.insert(0, x.pop(0))",
	"keys of a dict":                "x = {i: i for i in range(20000)}\nwhile True:\n    y = x.keys()",
	"unions":                        "x = {i: i for i in range(20000)}\nwhile True:\n    y = x | x",
	"a dict that swallows itself":   "x = {i: i for i in range(20000)}\nwhile True:\n    y = dict(x)",
	"nested deeper than the stack":  "x = []\nfor i in range(100000):\n    x = [x]\nstr(x)",
}

// indented puts a body into a function.
func indented(body string) string {
	return "def f():\n    " + strings.ReplaceAll(body, "\n", "\n    ") + "\n"
}

// bounded runs f and checks that it fails soon with one of Wind's own errors, and without taking much memory.
func bounded(t *testing.T, f func() error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	err := f()
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Error("it was not refused")
	}
	if took > 20*time.Second {
		t.Errorf("it took %v: %v", took, err)
	}
	if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 300 {
		t.Errorf("it took %d MiB: %v", mb, err)
	}
}

// TestOneRunIsBoundedInTimeAndMemory runs each with the large budget of a service's handler.
func TestOneRunIsBoundedInTimeAndMemory(t *testing.T) {
	for _, name := range sortedKeys(evil) {
		t.Run(name, func(t *testing.T) {
			s, err := Load([]Module{{Name: "a.star", Source: []byte(indented(evil[name]))}}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			f := s.Functions("", "f")[0].Func
			bounded(t, func() error {
				_, err := Call(&starlark.Thread{Print: func(*starlark.Thread, string) {}}, f, 2_000_000)
				return err
			})
		})
	}
}

// TestALoadIsBoundedInTimeAndMemory runs each at the top of a module, as a dry run does.
func TestALoadIsBoundedInTimeAndMemory(t *testing.T) {
	for _, name := range sortedKeys(evil) {
		t.Run(name, func(t *testing.T) {
			bounded(t, func() error {
				_, err := Load([]Module{{Name: "a.star", Source: []byte(evil[name] + "\n")}}, Options{Print: func(string, string) {}})
				return err
			})
		})
	}
}

// TestGuardsDoWhatTheLanguageDoes runs operators, methods and builtins over values of all kinds, in the plain
// interpreter and through guards, and expects the same values and the same errors.
func TestGuardsDoWhatTheLanguageDoes(t *testing.T) {
	values := []string{
		"1", "-3", "0", "2.5", "True", "None", "''", "'abc'", "b'xyz'", "[]", "[1, 2]", "['a', 'b']", "(1,)", "(1, (2, 'x'))", "{}", "{'a': 1}", "{'b': [2]}",
		"set([1, 2])", "set(['a'])", "range(3)", "1 << 70", "len", "[[1], [2]]",
	}
	var bodies []string
	for _, x := range values {
		for _, op := range []string{"+", "-", "*", "/", "//", "%", "|", "&", "^", "<<", ">>", "==", "!=", "<", "<=", ">", ">=", "in", "not in"} {
			for _, y := range values {
				bodies = append(bodies, fmt.Sprintf("x = %s\n    y = %s\n    return x %s y", x, y, op))
			}
			bodies = append(bodies, fmt.Sprintf("x = %s\n    return x %s (2 * 0.5), (x %s x) / 2 - x", x, op, op), fmt.Sprintf("x = %s\n    return -0.5 %s x", x, op))
		}
		for _, op := range []string{"+=", "-=", "*=", "%=", "|=", "&=", "^=", "<<=", ">>=", "//="} {
			for _, y := range values {
				bodies = append(bodies,
					fmt.Sprintf("x = %s\n    z = x\n    x %s %s\n    return x, z", x, op, y),
					fmt.Sprintf("x = [%s]\n    z = x[0]\n    x[len(x) - 1] %s %s\n    return x, z", x, op, y))
			}
			bodies = append(bodies, fmt.Sprintf("x = %s\n    x %s x * 0.5\n    return x", x, op))
		}
		for _, name := range []string{"all", "any", "bytes", "dict", "enumerate", "fail", "hash", "int", "list", "max", "min", "repr", "reversed", "set", "sorted", "str", "tuple", "zip"} {
			bodies = append(bodies, fmt.Sprintf("return %s(%s)", name, x), fmt.Sprintf("return %s(%s, %s)", name, x, x))
		}
		for _, name := range append(sortedKeys(costly), "nothing", "append", "get") {
			bodies = append(bodies, fmt.Sprintf("x = %s\n    return x.%s()", x, name), fmt.Sprintf("return getattr(%s, %q, 7)", x, name))
			for _, y := range []string{"1", "'a'", "[1]", "['a', 'b']", "{'c': 1}", "'a', 'zz'"} {
				bodies = append(bodies, fmt.Sprintf("x = %s\n    return x.%s(%s), x", x, name, y))
			}
		}
		bodies = append(bodies, fmt.Sprintf("x = %s\n    return x[1:], x[::-1]", x), fmt.Sprintf("g = lambda *a, **k: (a, k)\n    x = %s\n    return g(*x)", x),
			fmt.Sprintf("def g(a, *b, c = 1 + 1, **d):\n        return (a, b, c, d)\n    x = %s\n    return g(1, *x), g(2, x, c = x)", x))
	}
	bodies = append(bodies, "return '%s and %d' % ('a', 1), '%(k)s' % {'k': 1}", "return [x * y for x in range(3) if x + 0 in [1, 2] for y in 'ab'.elems()]",
		"a, (b, c) = 1, (2, 3)\n    return a + b * c", "a, b = 1, 2\n    [a, b] = (b, a)\n    return a, b, (1, 'x'), (0.5 * a, -1.0)", "a, b = 1, 2, 3", "d = {}\n    d['a'] = d.get('a', 0) + 1\n    d['a'] += 1\n    return {k: v + 1 for k, v in d.items()}",
		"n = [0]\n    def next():\n        n[0] += 1\n        return 0\n    l = [5]\n    l[next()] += 1\n    return l, n", "return (lambda x, y = 2 * 3: x + y)(1)", "return 1 if [1] == [1] else 2")
	differ, ran := 0, 0
	step := 7 // all of them take 15 s
	if os.Getenv("WIND_LONG") != "" {
		step = 1
	}
	for i, body := range bodies {
		if i%step != 0 {
			continue
		}
		ran++
		source := []byte("def f():\n    " + body + "\n")
		plain := outcome(t, source, false)
		if got := outcome(t, source, true); got != plain && !strings.Contains(plain, "too large") && !strings.Contains(plain, "builtin_function_or_method") {
			if differ++; differ < 20 {
				t.Errorf("%s\n  is    %s\n  want  %s", body, got, plain)
			}
		}
	}
	t.Logf("%d of %d functions", ran, len(bodies))
}

// outcome returns what f returns, or how and where it fails.
func outcome(t *testing.T, source []byte, guards bool) string {
	t.Helper()
	var globals starlark.StringDict
	thread := &starlark.Thread{}
	if guards {
		s, err := Load([]Module{{Name: "a.star", Source: source}}, Options{})
		if err != nil {
			return err.Error()
		}
		globals = s.loaded["a.star"].globals
	} else {
		var err error
		if globals, err = starlark.ExecFileOptions(dialect, thread, "a.star", source, nil); err != nil {
			return errorOf(err, nil).Error()
		}
	}
	v, err := Call(thread, globals["f"].(starlark.Callable), 1_000_000)
	if err != nil {
		return err.Error()
	}
	return v.String()
}
