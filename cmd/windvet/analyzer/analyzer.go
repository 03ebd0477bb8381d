package analyzer

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer reports what could make a simulation differ between two runs, machines or builds.
var Analyzer = &analysis.Analyzer{
	Name: "windvet",
	Doc: `report what makes a Wind simulation differ between runs, machines or builds

Systems, command handlers and everything that they call must depend only on the world and the commands.
windvet finds wall time, randomness, map order, concurrency, I/O, package state, floats that a compiler may fuse
and functions of package math that differ by CPU. //windvet:allow with a reason excuses a line.`,
	URL:       "https://pkg.go.dev/github.com/ferris1/wind/cmd/windvet/analyzer",
	Run:       run,
	FactTypes: []analysis.Fact{new(impure), new(mutable), new(mutates)},
}

var trusted = "github.com/mlange-42/arche,go.starlark.net/starlark,go.starlark.net/syntax,go.starlark.net/resolve"

func init() {
	Analyzer.Flags.StringVar(&trusted, "trust", trusted, "comma-separated import paths, their subpackages included, whose functions windvet takes to be deterministic")
}

// A problem is a broken rule at one place.
type problem struct {
	pos, end token.Pos
	rule     string // Diagnostic.Category
	what     string // what is wrong
	remedy   string
	fixes    []analysis.SuggestedFix
}

func (p problem) message() string { return p.what + ": " + p.remedy }

// checker checks one package.
type checker struct {
	pass    *analysis.Pass
	files   []*ast.File // without tests
	whole   bool        // every function of the package is simulation
	bodies  map[*types.Func]*ast.FuncDecl
	inits   map[*types.Var]ast.Expr // initialisers of package variables
	changed map[*types.Var]bool     // package variables that change after initialisation
	parents map[ast.Node]ast.Node
	allowed *allowances

	origins  map[*types.Var][]ast.Expr // the values assigned to each local variable that holds references
	mutators map[*types.Func]uint64    // see mutatedBy
	concrete []types.Type              // see collectConcrete

	reported map[token.Pos]map[string]bool // rules by place
}

func run(pass *analysis.Pass) (any, error) {
	if standard(pass.Pkg.Path()) || strings.HasSuffix(pass.Pkg.Path(), ".test") {
		return nil, nil
	}
	c := &checker{
		pass:    pass,
		bodies:  map[*types.Func]*ast.FuncDecl{},
		inits:   map[*types.Var]ast.Expr{},
		changed: map[*types.Var]bool{},
		parents: map[ast.Node]ast.Node{},

		origins:  map[*types.Var][]ast.Expr{},
		mutators: map[*types.Func]uint64{},

		reported: map[token.Pos]map[string]bool{},
	}
	for _, f := range pass.Files {
		if !strings.HasSuffix(pass.Fset.File(f.FileStart).Name(), "_test.go") {
			c.files = append(c.files, f)
		}
	}
	c.allowed = collectAllowances(pass, c.files)
	c.whole = simulation(pass.Pkg.Path()) || c.allowed.directive
	c.index()

	c.reportReachable()
	c.allowed.report(pass, c.whole)
	c.exportFacts()
	return nil, nil
}

// simulation reports whether all functions of the package with this import path run inside a tick.
func simulation(path string) bool {
	elements := strings.Split(path, "/")
	for i, e := range elements {
		last := i == len(elements)-1
		switch {
		case e == "systems", e == "ecs" && last, e == "detmath" && last && i > 0 && elements[i-1] == "ecs":
			return true
		}
	}
	return false
}

// index fills the maps of the package's declarations.
func (c *checker) index() {
	for _, f := range c.files {
		var stack []ast.Node
		ast.Inspect(f, func(n ast.Node) bool {
			if n == nil {
				stack = stack[:len(stack)-1]
				return true
			}
			if len(stack) > 0 {
				c.parents[n] = stack[len(stack)-1]
			}
			stack = append(stack, n)
			return true
		})
		c.collectOrigins(f)
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if fn, ok := c.pass.TypesInfo.Defs[d.Name].(*types.Func); ok {
					c.bodies[fn] = d
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					c.indexVars(s)
				}
			}
		}
	}
	c.collectConcrete()
	c.collectMutators()
	for _, d := range c.sortedBodies() {
		if d.Recv == nil && d.Name.Name == "init" {
			continue
		}
		c.writes(d, func(v *types.Var, _ ast.Node) { c.changed[v] = true })
	}
	// A function literal in a package variable's initialiser is a function too.
	for _, init := range c.inits {
		ast.Inspect(init, func(n ast.Node) bool {
			if lit, ok := n.(*ast.FuncLit); ok {
				c.writes(lit, func(v *types.Var, _ ast.Node) { c.changed[v] = true })
				return false
			}
			return true
		})
	}
}

func (c *checker) indexVars(s ast.Spec) {
	spec, ok := s.(*ast.ValueSpec)
	if !ok {
		return
	}
	for i, name := range spec.Names {
		v, ok := c.pass.TypesInfo.Defs[name].(*types.Var)
		if !ok || len(spec.Values) == 0 {
			continue
		}
		c.inits[v] = spec.Values[min(i, len(spec.Values)-1)]
	}
}

// sortedBodies returns the functions in source order, so that every run reports and exports the same.
func (c *checker) sortedBodies() []*ast.FuncDecl {
	var out []*ast.FuncDecl
	for _, f := range c.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				out = append(out, fn)
			}
		}
	}
	return out
}

// reportReachable reports the problems of everything that systems reach, each once.
func (c *checker) reportReachable() {
	report := func(p problem) {
		if c.allowed.excuses(c.pass.Fset, p.pos) || c.reported[p.pos][p.rule] {
			return
		}
		if c.reported[p.pos] == nil {
			c.reported[p.pos] = map[string]bool{}
		}
		c.reported[p.pos][p.rule] = true
		c.pass.Report(analysis.Diagnostic{Pos: p.pos, End: p.end, Category: p.rule, Message: p.message(), SuggestedFixes: p.fixes})
	}
	if c.whole {
		c.imports(report)
	}
	c.tagProblems(report)
	for _, n := range c.reachable() {
		c.problems(n, report)
		c.calls(n, func(id *ast.Ident, fn *types.Func) {
			if p, ok := c.foreign(id, fn); ok {
				report(p)
			}
		})
		c.conversions(n, func(at ast.Expr, from types.Type, to *types.Interface) {
			for _, m := range c.methodsFor(from, to) {
				if p, ok := c.foreign(at, m); ok {
					report(p)
				}
			}
		})
	}
}

// foreign returns the problem of a call into another package whose fact marks the function as impure.
func (c *checker) foreign(at ast.Expr, fn *types.Func) (problem, bool) {
	called, fact := fn, impure{}
	if !c.impureElsewhere(fn, &fact) {
		if called = nil; fn.Signature().Recv() != nil && types.IsInterface(fn.Signature().Recv().Type()) {
			for _, m := range c.implementers(fn) {
				if called == nil && c.impureElsewhere(m, &fact) {
					called = m
				}
			}
		}
	}
	if called == nil {
		return problem{}, false
	}
	return problem{
		pos: at.Pos(), end: at.End(), rule: "call",
		what:   fmt.Sprintf("%s is not deterministic (%s)", nameOf(called), fact.Why),
		remedy: "call it outside the simulation and bring its result in as a command",
	}, true
}

// impureElsewhere reports whether fn is in another package and its fact marks it as impure.
func (c *checker) impureElsewhere(fn *types.Func, fact *impure) bool {
	return fn.Pkg() != nil && fn.Pkg() != c.pass.Pkg && !trust(fn.Pkg().Path()) && c.pass.ImportObjectFact(fn, fact)
}

func trust(path string) bool {
	for t := range strings.SplitSeq(trusted, ",") {
		if t != "" && (path == t || strings.HasPrefix(path, t+"/")) {
			return true
		}
	}
	return false
}
