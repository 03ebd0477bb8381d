package script_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.starlark.net/starlark"

	"github.com/ferris1/wind/systems/script"
)

// mod makes a module; its text may be indented with tabs.
func mod(name, source string) script.Module {
	return script.Module{Name: name, Source: []byte(strings.ReplaceAll(source, "\t", "  "))}
}

var rules = []script.Rule{
	{Folder: "handlers_client/", Prefix: "Handler_", Params: []string{"client", "request"}},
	{Folder: "handlers_server/", Prefix: "Handler_", Params: []string{"client", "request"}},
}

func options() script.Options {
	return script.Options{Rules: rules, Predeclared: starlark.StringDict{
		"player_id": starlark.String("p1"),
		"broken": starlark.NewBuiltin("broken", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			return nil, errBroken
		}),
		"panics": starlark.NewBuiltin("panics", func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
			panic("so it does")
		}),
	}}
}

var errBroken = errors.New("it is broken")

func load(t *testing.T, modules ...script.Module) *script.Set {
	t.Helper()
	s, err := script.Load(modules, options())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	const c = "handlers_client/c.star"
	for _, x := range []struct {
		name    string
		modules []script.Module
		want    string
	}{
		{"syntax", []script.Module{mod(c, "def f(:\n\tpass\n")}, "handlers_client/c.star:1:8: got ':', want ')'"},
		{"undefined", []script.Module{mod(c, "def f():\n\treturn player_idd\n")}, "handlers_client/c.star:2:10: undefined: player_idd (did you mean player_id?)"},
		{"undefined local", []script.Module{mod(c, "def f(target):\n\treturn taget\n")}, "handlers_client/c.star:2:10: undefined: taget (did you mean target?)"},
		{"undefined, nothing near", []script.Module{mod(c, "def f():\n\treturn zzzzzz\n")}, "handlers_client/c.star:2:10: undefined: zzzzzz"},
		{"two undefined", []script.Module{mod(c, "def f():\n\treturn zzzzzz\nx = qqqqqqq\n")}, "handlers_client/c.star:2:10: undefined: zzzzzz (and 1 more)"},
		{"attribute", []script.Module{mod(c, "x = [].apend(1)\n")}, "handlers_client/c.star:1:7: list has no .apend field or method (did you mean .append?)"},
		{"load of nothing", []script.Module{mod(c, "load('lib/mth.star', 'f')\n"), mod("lib/math.star", "")}, `handlers_client/c.star:1:6: no module "lib/mth.star" (did you mean lib/math.star?)`},
		{"load of no name", []script.Module{mod(c, "load('lib/a.star', 'adds')\n"), mod("lib/a.star", "def add(): pass\n")}, "handlers_client/c.star:1:1: load: name adds not found in module lib/a.star (did you mean add?)"},
		{"cycle", []script.Module{mod("a.star", "load('b.star', 'x')\n"), mod("b.star", "load('a.star', 'y')\n")}, "b.star:1:6: modules load each other: a.star, b.star, a.star"},
		{"loads itself", []script.Module{mod("a.star", "load('a.star', 'x')\n")}, "a.star:1:6: modules load each other: a.star, a.star"},
		{"endless loop", []script.Module{mod(c, "while True:\n\tpass\n")}, "handlers_client/c.star:1:1: loading used more than 1000000 steps"},
		{"division", []script.Module{mod(c, "def f(x):\n\treturn 1//x\ny = f(0)\n")}, "handlers_client/c.star:2:11: f: floored division by zero (called from handlers_client/c.star:3:6, while loading)"},
		{"recursion", []script.Module{mod(c, "def f():\n\treturn f()\nx = f()\n")}, "function f called recursively"},
		{"arity", []script.Module{mod(c, "def Handler_A(client):\n\tpass\n")}, "handlers_client/c.star:1:1: Handler_A takes the wrong parameters: want def Handler_A(client, request)"},
		{"arity of three", []script.Module{mod(c, "def Handler_A(client, request, x):\n\tpass\n")}, "want def Handler_A(client, request)"},
		{"keyword only", []script.Module{mod(c, "def Handler_A(client, request, *, x):\n\tpass\n")}, "want def Handler_A(client, request)"},
		{"twice", []script.Module{mod("handlers_client/a.star", "def Handler_A(client, request): pass\n"), mod("handlers_client/b.star", "\ndef Handler_A(client, request): pass\n")}, "handlers_client/b.star:2:1: Handler_A is already defined at handlers_client/a.star:1:1"},
		{"twice in a module", []script.Module{mod(c, "def Handler_A(client, request): pass\ndef Handler_A(client, request): pass\n")}, "handlers_client/c.star:2:5: cannot reassign global Handler_A declared at handlers_client/c.star:1:5"},
		{"frozen", []script.Module{mod(c, "load('lib/a.star', 'l')\nl.append(1)\n"), mod("lib/a.star", "l = []\n")}, "cannot append to frozen list"},
		{"panic", []script.Module{mod(c, "panics()\n")}, "script: loading panics: so it does"},
		{"not UTF-8", []script.Module{mod(c, "x = '\xff'\n")}, "script: handlers_client/c.star is not UTF-8"},
		{"two of a name", []script.Module{mod(c, ""), mod(c, "")}, "script: two modules are named handlers_client/c.star"},
		{"name", []script.Module{mod("../c.star", "")}, `script: module "../c.star": a name is a path of at most 64 letters`},
		{"size", []script.Module{{Name: c, Source: make([]byte, script.MaxSource+1)}}, "script: handlers_client/c.star has 262145 bytes, more than 262144"},
		{"nesting", []script.Module{mod(c, "x = "+strings.Repeat("(", 100_000))}, "excessive nesting"},
		{"no files", []script.Module{mod(c, "open('/etc/passwd')\n")}, "handlers_client/c.star:1:1: undefined: open"},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, err := script.Load(x.modules, options())
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Fatalf("got  %v\nwant %s", err, x.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than one line: %q", err)
			}
		})
	}
}

func TestHandlersMayTakeMore(t *testing.T) {
	for _, params := range []string{"client, request", "c, r, more=1", "c, *rest", "*args", "c, r, **kw", "c, r, *, k=1", "a, b, *c, d=2, **e"} {
		if _, err := script.Load([]script.Module{mod("handlers_client/c.star", "def Handler_A("+params+"):\n\tpass\n")}, options()); err != nil {
			t.Errorf("(%s): %v", params, err)
		}
	}
}

func TestFunctionsAreFoundByFolderAndPrefix(t *testing.T) {
	s := load(t,
		mod("handlers_client/b.star", "load('lib/m.star', 'twice')\ndef Handler_B(client, request):\n\treturn twice(4)\ndef helper(): pass\n"),
		mod("handlers_client/a.star", "def Handler_C(client, request): pass\n"),
		mod("handlers_server/a.star", "def Handler_B(client, request): pass\n"),
		mod("lib/m.star", "def twice(x):\n\treturn 2*x\n"))
	var got []string
	for _, f := range s.Functions("handlers_client/", "Handler_") {
		got = append(got, f.Module+":"+f.Name)
	}
	if want := []string{"handlers_client/b.star:Handler_B", "handlers_client/a.star:Handler_C"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	v, err := script.Call(&starlark.Thread{}, s.Functions("handlers_client/", "Handler_B")[0].Func, 1000, starlark.None, starlark.None)
	if err != nil || v.String() != "8" {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestCallSaysWhereItFailed(t *testing.T) {
	s := load(t, mod("handlers_client/c.star", `def Handler_Loop(client, request):
	x = 0
	while True:
		x += 1
def Handler_Div(client, request):
	return helper(0)
def helper(x):
	return 1 // x
def Handler_Broken(client, request):
	broken()
def Handler_Panic(client, request):
	panics()
def Handler_Fail(client, request):
	fail("two\nlines")
def Handler_Ok(client, request):
	return player_id
def Handler_Deep(client, request):
	spin()
def spin():
	while True:
		pass
`))
	call := func(name string) (starlark.Value, error) {
		return script.Call(&starlark.Thread{}, s.Functions("", name)[0].Func, 1000, starlark.None, starlark.None)
	}
	for name, want := range map[string]string{
		"Handler_Loop":   "handlers_client/c.star:4:5: Handler_Loop used more than 1000 steps",
		"Handler_Div":    "handlers_client/c.star:8:12: helper: floored division by zero (called from handlers_client/c.star:6:16, Handler_Div)",
		"Handler_Broken": "handlers_client/c.star:10:9: Handler_Broken: it is broken",
		"Handler_Panic":  "script: Handler_Panic panics: so it does",
		"Handler_Fail":   "handlers_client/c.star:14:7: Handler_Fail: fail: two lines",
	} {
		if _, err := call(name); err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, want)
		}
	}
	if _, err := call("Handler_Deep"); err == nil || !strings.HasPrefix(err.Error(), "handlers_client/c.star:19:1") ||
		!strings.Contains(err.Error(), "Handler_Deep (in spin) used more than 1000 steps") {
		t.Errorf("got %v", err)
	}
	var e *script.Error
	if _, err := call("Handler_Loop"); !errors.As(err, &e) || !e.Budget {
		t.Errorf("%v is not a budget error", err)
	}
	if _, err := call("Handler_Broken"); !errors.Is(err, errBroken) {
		t.Errorf("%v hides the builtin's error", err)
	}
	if v, err := call("Handler_Ok"); err != nil || v != starlark.String("p1") {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestASetMayBeUsedConcurrently(t *testing.T) {
	s := load(t, mod("handlers_client/c.star", "table = {i: i*i for i in range(100)}\ndef Handler_A(client, request):\n\treturn sum_of(table)\ndef sum_of(d):\n\tn = 0\n\tfor k in d:\n\t\tn += d[k]\n\treturn n\n"))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				v, err := script.Call(&starlark.Thread{}, s.Functions("", "Handler_A")[0].Func, 0, starlark.None, starlark.None)
				if err != nil || v.String() != "328350" {
					t.Errorf("got %v, %v", v, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestReplaceReportsByFunction(t *testing.T) {
	const lib = "def pure(x):\n\treturn x + 1\ndef other():\n\treturn 2\nLIMIT = 5\n"
	const handlers = "load('lib/l.star', 'pure', 'LIMIT', o='other')\n" +
		"def Handler_A(client, request):\n\treturn pure(1)\n" +
		"def Handler_B(client, request):\n\treturn o()\n" +
		"def Handler_C(client, request):\n\treturn LIMIT\n" +
		"def Handler_D(client, request):\n\treturn 4\n"
	const c, l = "handlers_client/c.star", "lib/l.star"
	s := load(t, mod(c, handlers), mod(l, lib))
	change := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	for _, x := range []struct {
		name   string
		module string
		change func(string) string
		want   string
	}{
		{"nothing", c, change("", ""), "nothing changed"},
		{"layout", c, change("return 4", "return (4) # four\n\n"), "nothing changed"},
		{"one function", c, change("return 4", "return 5"), "changed handlers_client/c.star:Handler_D"},
		{"a slice", c, change("return 4", "return [4][1:]"), "changed handlers_client/c.star:Handler_D"},
		{"a library's function", l, change("x + 1", "x + 2"), "changed handlers_client/c.star:Handler_A, lib/l.star:pure"},
		{"a renamed load", l, change("return 2", "return 3"), "changed handlers_client/c.star:Handler_B, lib/l.star:other"},
		{"a variable", l, change("LIMIT = 5", "LIMIT = 6"), "changed handlers_client/c.star:Handler_C"},
		{"added", l, change("LIMIT", "def more(): pass\nLIMIT"), "added lib/l.star:more"},
		{"renamed", c, change("Handler_D", "Handler_E"), "added handlers_client/c.star:Handler_E; removed handlers_client/c.star:Handler_D"},
	} {
		source := handlers
		if x.module == l {
			source = lib
		}
		next, r, err := s.Replace([]script.Module{mod(x.module, x.change(source))}, options())
		if err != nil || r.String() != x.want {
			t.Errorf("%s: got %v, %v\nwant %s", x.name, r, err, x.want)
			continue
		}
		if _, back, err := next.Replace(s.Modules(), options()); err != nil || len(back.Changed) != len(r.Changed) {
			t.Errorf("%s: back: %v, %v", x.name, back, err)
		}
	}
	if _, _, err := s.Replace([]script.Module{{Name: l}}, options()); err == nil || !strings.Contains(err.Error(), `no module "lib/l.star"`) {
		t.Errorf("removing a library in use: %v", err)
	}
	next, r, err := s.Replace([]script.Module{{Name: c}, mod("x.star", "def f(): pass\n")}, options())
	if err != nil || r.String() != "added x.star:f; removed handlers_client/c.star:Handler_A, handlers_client/c.star:Handler_B, handlers_client/c.star:Handler_C, handlers_client/c.star:Handler_D" {
		t.Errorf("got %v, %v", r, err)
	}
	if len(next.Modules()) != 2 || len(s.Modules()) != 2 || next.SHA256() == s.SHA256() {
		t.Error("the old set changed, or the new one did not")
	}
}

func TestReportsAreJSONInLowerCase(t *testing.T) {
	for _, x := range []struct {
		of   script.Report
		want string
	}{
		{script.Report{}, `{}`},
		{script.Report{Changed: []string{"a"}, Added: []string{"b"}, Removed: []string{"c"}}, `{"changed":["a"],"added":["b"],"removed":["c"]}`},
	} {
		if got, err := json.Marshal(x.of); err != nil || string(got) != x.want {
			t.Errorf("got %s, %v, want %s", got, err, x.want)
		}
	}
}

func TestReadFollowsLinks(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "a.star"), []byte("a = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, l := range [][2]string{{other, "..data"}, {"..data", "lib"}, {"lib/a.star", "b.star"}, {"nowhere", "gone"}, {"nowhere", ".#b.star"}} {
		if err := os.Symlink(l[0], filepath.Join(dir, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	modules, err := script.Read(os.DirFS(dir))
	if err != nil || len(modules) != 2 || modules[0].Name != "b.star" || modules[1].Name != "lib/a.star" || string(modules[0].Source) != "a = 1\n" {
		t.Errorf("got %v, %v", modules, err)
	}
	if err := os.Symlink(".", filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	if _, err := script.Read(os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), "does a link lead back") {
		t.Errorf("a link to a parent folder: %v", err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "again")), os.Symlink("nowhere", filepath.Join(dir, "lost.star"))); err != nil {
		t.Fatal(err)
	}
	if _, err := script.Read(os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), "lost.star is a link that cannot be followed") {
		t.Errorf("a broken link: %v", err)
	}
}

func TestReadTakesStarFilesAlone(t *testing.T) {
	fsys := fstest.MapFS{
		"handlers_client/b.star": {Data: []byte("b = 1\n")}, "handlers_client/a.star": {Data: []byte("")},
		"handlers_client/a.py": {Data: []byte("import os")}, ".git/x.star": {Data: []byte("(")}, "lib/.hidden.star": {Data: []byte("(")},
	}
	modules, err := script.Read(fsys)
	if err != nil || len(modules) != 2 || modules[0].Name != "handlers_client/a.star" || modules[0].Source == nil || string(modules[1].Source) != "b = 1\n" {
		t.Errorf("got %v, %v", modules, err)
	}
	fsys["big.star"] = &fstest.MapFile{Data: make([]byte, script.MaxSource+1)}
	if _, err := script.Read(fsys); err == nil || !strings.Contains(err.Error(), "big.star has 262145 bytes") {
		t.Error(err)
	}
	many := fstest.MapFS{}
	for i := range script.MaxModules + 1 {
		many[fmt.Sprintf("m%d.star", i)] = &fstest.MapFile{}
	}
	if _, err := script.Read(many); err == nil || !strings.Contains(err.Error(), "more than 256") {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("def f(x):\n  return x[1:]\n")
	f.Add("load('a.star', 'b')\nfor i in range(3): print(i)\n")
	f.Add("x = [lambda a, *b, **c: a if b else {1: c} for y in (1, 2) if y]\n")
	f.Fuzz(func(t *testing.T, source string) {
		s, err := script.Load([]script.Module{mod("a.star", source)}, script.Options{StepBudget: 10_000})
		if err != nil {
			if strings.Contains(err.Error(), "panics") || strings.Contains(err.Error(), "\n") {
				t.Fatal(err)
			}
			return
		}
		if _, r, err := s.Replace(s.Modules(), script.Options{StepBudget: 10_000}); err != nil || !r.Empty() {
			t.Fatalf("%v, %v", r, err)
		}
	})
}
