package analyzer

import (
	"go/ast"
	"go/types"
	"strings"
)

// A ban says what is wrong with using a package, or some of its names, inside the simulation.
type ban struct {
	rule, what, remedy string
	names              map[string]bool // the banned names; nil: all
	importable         bool            // a simulation package may import it for the other names
}

func names(s string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(s) {
		m[n] = true
	}
	return m
}

var (
	banClock   = ban{rule: "walltime", what: "reads or waits for wall time", remedy: "count ticks with Tick.Now and Tick.Rate", names: names("Now Since Until Sleep After AfterFunc Tick NewTimer NewTicker Local LoadLocation")}
	banRandom  = ban{rule: "random", what: "is randomness that a replay cannot repeat", remedy: "use Tick.Rand(entity)"}
	banGlobal  = ban{rule: "random", what: banRandom.what, remedy: banRandom.remedy, importable: true} // a seeded generator is allowed
	banIO      = ban{rule: "io", what: "is I/O", remedy: "do it in the host and bring the result in as a command"}
	banSync    = ban{rule: "concurrency", what: "is for concurrent code", remedy: "one goroutine steps a world, which needs no synchronisation"}
	banShell   = ban{rule: "shell", what: "is for the host, not for the simulation", remedy: "emit an event or send to the outbox, and let the host act on it"}
	banRuntime = ban{rule: "runtime", what: "depends on the process", remedy: "keep its results out of the simulation"}
	banOrder   = ban{rule: "maprange", what: "yields the entries of a map in random order", remedy: "sort them first (slices.Sorted(maps.Keys(m))), or keep a slice beside the map", importable: true}
	banSort    = ban{rule: "sort", what: "leaves equal elements in an order that a Go release may change", remedy: "use slices.SortStableFunc or sort.SliceStable", importable: true}
)

// bans by import path; a path that ends in /... includes its subpackages.
var bans = map[string][]ban{
	"time":                  {banClock},
	"math/rand/...":         {banGlobal},
	"crypto/rand":           {banRandom},
	"hash/maphash":          {banRandom},
	"os/...":                {banIO},
	"net/...":               {banIO},
	"syscall/...":           {banIO},
	"golang.org/x/sys/...":  {banIO},
	"io/fs":                 {banIO},
	"io/ioutil":             {banIO},
	"database/sql/...":      {banIO},
	"plugin":                {banIO},
	"expvar":                {banShell},
	"flag":                  {banShell},
	"testing/...":           {banShell},
	"log/...":               {banShell},
	"context":               {banSync},
	"sync/...":              {banSync},
	"golang.org/x/sync/...": {banSync},
	"runtime/...":           {banRuntime},
	"unique":                {banRuntime},
	"weak":                  {banRuntime},
	"fmt": {{
		rule: "io", what: "prints to the process's output", remedy: banShell.remedy, importable: true,
		names: names("Print Printf Println Scan Scanf Scanln"),
	}},
	"path/filepath": {{
		rule: "io", what: "reads the file system", remedy: banIO.remedy, importable: true,
		names: names("Abs EvalSymlinks Glob Walk WalkDir"),
	}},
	"maps": {withNames(banOrder, "All Keys Values")},
	"reflect": {
		withNames(banOrder, "MapKeys MapRange"),
		{rule: "concurrency", what: "works on channels", remedy: banSync.remedy, importable: true, names: names("Select MakeChan Send Recv TrySend TryRecv ChanOf")},
	},
	"sort":   {withNames(banSort, "Slice Sort")},
	"slices": {withNames(banSort, "SortFunc")},
	"math": {{
		rule: "math", what: "gives different bits on different CPUs", remedy: "use its counterpart in ecs/detmath", importable: true,
		names: names("Acos Acosh Asin Asinh Atan Atan2 Atanh Cbrt Cos Cosh Erf Erfc Erfcinv Erfinv Exp Exp2 Expm1 Gamma Hypot J0 J1 Jn Lgamma Log Log10 Log1p Log2 Pow Pow10 Sin Sincos Sinh Tan Tanh Y0 Y1 Yn"),
	}},
	"math/cmplx": {{rule: "math", what: "gives different bits on different CPUs", remedy: "write the parts out with ecs/detmath"}},
}

func withNames(b ban, s string) ban {
	b.names = names(s)
	return b
}

// bansOf returns the bans on a package.
func bansOf(path string) []ban {
	if b, ok := bans[path]; ok {
		return b
	}
	for p := path; ; {
		if b, ok := bans[p+"/..."]; ok {
			return b
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return nil
		}
		p = p[:i]
	}
}

// inDetmath lists the functions of package math that ecs/detmath has under the same name.
var inDetmath = names("Acos Asin Atan Atan2 Cos Exp Hypot Log Pow Sin Tan")

// banned returns the problem of using obj, if using it is banned.
func (c *checker) banned(id *ast.Ident, obj types.Object) (problem, bool) {
	if obj == nil || obj.Pkg() == nil || obj.Pkg() == c.pass.Pkg {
		return problem{}, false
	}
	path := obj.Pkg().Path()
	for _, b := range bansOf(path) {
		if c.whole && !b.importable {
			continue // the import itself is reported
		}
		if b.names != nil && !b.names[obj.Name()] {
			continue
		}
		if fn, ok := obj.(*types.Func); ok && path == "time" && fn.Signature().Recv() != nil && fn.Name() != "Local" {
			continue // Time.After and similar methods compare values
		}
		if b.rule == "random" && b.importable && !globalRandom(obj) {
			continue
		}
		if b.rule == "maprange" && path == "maps" && c.sorted(id) {
			continue
		}
		remedy := b.remedy
		switch {
		case path != "math":
		case inDetmath[obj.Name()]:
			remedy = "use detmath." + obj.Name()
		case obj.Name() == "Sincos":
			remedy = "use detmath.SinCos"
		default:
			remedy = "compose it from ecs/detmath (Exp, Log, Pow)"
		}
		return problem{pos: id.Pos(), end: id.End(), rule: b.rule, what: nameOf(obj) + " " + b.what, remedy: remedy}, true
	}
	return problem{}, false
}

// globalRandom reports whether obj is a function of math/rand that draws from the process's own generator. A generator
// made from a seed gives the same numbers everywhere.
func globalRandom(obj types.Object) bool {
	fn, ok := obj.(*types.Func)
	return ok && fn.Signature().Recv() == nil && !strings.HasPrefix(fn.Name(), "New")
}

// sorted reports whether the call that id names is the first argument of slices.Sorted or slices.SortedStableFunc.
func (c *checker) sorted(id *ast.Ident) bool {
	n := c.parents[id]
	if _, ok := n.(*ast.SelectorExpr); ok {
		n = c.parents[n]
	}
	inner, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	outer, ok := c.parents[inner].(*ast.CallExpr)
	if !ok || len(outer.Args) == 0 || outer.Args[0] != inner {
		return false
	}
	f := callee(outer)
	if f == nil {
		return false
	}
	fn, ok := c.pass.TypesInfo.Uses[f].(*types.Func)
	return ok && fn.Pkg() != nil && fn.Pkg().Path() == "slices" && (fn.Name() == "Sorted" || fn.Name() == "SortedStableFunc")
}

// imports reports the imports that a simulation package must not have.
func (c *checker) imports(report func(problem)) {
	for _, f := range c.files {
		for _, spec := range f.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			for _, b := range bansOf(path) {
				if !b.importable {
					report(problem{pos: spec.Pos(), end: spec.End(), rule: b.rule, what: "a simulation package imports " + path + ", which " + b.what, remedy: b.remedy})
				}
			}
		}
	}
}

var standardRoots = names(`archive bufio bytes cmp compress container context crypto database debug embed encoding errors expvar
	flag fmt go hash html image index internal io iter log maps math mime net os path plugin reflect regexp runtime slices sort
	strconv strings structs sync syscall testing text time unicode unique unsafe vendor weak cmd builtin simd`)

// standard reports whether the import path belongs to Go's standard library, which windvet judges by name.
func standard(path string) bool {
	root, _, _ := strings.Cut(path, "/")
	return standardRoots[root]
}
