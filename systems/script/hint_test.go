package script

import (
	"strings"
	"testing"
)

// TestWhatPythonHasAndStarlarkLacksIsNamed: the parser's own words do not say what to write instead.
func TestWhatPythonHasAndStarlarkLacksIsNamed(t *testing.T) {
	for source, want := range map[string]string{
		"import os\n":       `a.star:1:1: got import, want primary expression: Starlark has no import: load("lib/rooms.star", "room_of")`,
		"from a import b\n": "no import",
		"def f():\n    try:\n        g()\n    except:\n        pass\n": "a.star:2:5: got try, want primary expression: Starlark has no exceptions: fail ends",
		"def f():\n    raise X\n":                                      "use fail(text)",
		"def f():\n    assert x\n":                                     "no assert",
		"class A:\n    pass\n":                                         "no classes",
		"def f():\n    with g() as x:\n        pass\n":                 "no with",
		"x = 1 is None\n":                                              "use == or !=",
		"async def f():\n    pass\n":                                   "no async",
		"x = await f()\n":                                              "no await",
		"def f():\n    yield 1\n":                                      "return a list",
		"def f():\n    global x\n":                                     "read-only once it is loaded",
		"def f():\n    nonlocal x\n":                                   "no nonlocal",
		"def f(d):\n    del d[1]\n":                                    "d.pop(key)",
		"x = 2 ** 3\n":                                                 "no **",
		"@f\ndef g():\n    pass\n":                                     "no decorators",
		"def f(x: int):\n    pass\n":                                   "no type annotations",
		"x: int = 5\n":                                                 "no type annotations",
		"n = 1\nx = f\"ä {n}\"\n":                                      "no f-strings",
		"x = [1, f'{n}']\n":                                            "no f-strings",
		"print(f'{n}')\n":                                              "no f-strings",
		"x = 'a' f'{n}'\n":                                             "no f-strings",
	} {
		_, err := Load([]Module{{Name: "a.star", Source: []byte(source)}}, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q ends with %v, want %q in it", source, err, want)
		}
	}
	for _, plain := range []string{"x = g 'a'\n", "x = (1\n", "def f(:\n", "def f(tick:\n", "x = {'f': 1 'b'}\n", "if x y:\n    pass\n"} {
		_, err := Load([]Module{{Name: "a.star", Source: []byte(plain)}}, Options{})
		if err == nil || strings.Contains(err.Error(), "Starlark has no") {
			t.Errorf("%q ends with %v", plain, err)
		}
	}
}
