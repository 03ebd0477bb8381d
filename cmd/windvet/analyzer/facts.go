package analyzer

import (
	"fmt"
	"go/ast"
	"go/types"
	"path/filepath"
)

// impure is the fact of a function outside the simulation packages that breaks a rule, or calls a function that does.
type impure struct{ Why string }

func (*impure) AFact()           {}
func (f *impure) String() string { return "impure: " + f.Why }

func (f *mutates) String() string { return fmt.Sprintf("mutates %d", f.Params) }

// mutable is the fact of a package variable that its package changes after initialisation.
type mutable struct{}

func (*mutable) AFact()         {}
func (*mutable) String() string { return "mutable" }

// exportFacts tells importing packages which functions are impure and which variables change. It exports no fact for a
// problem that was reported here, so that each is reported once.
func (c *checker) exportFacts() {
	for v := range c.changed {
		if v.Pkg() == c.pass.Pkg && v.Exported() {
			c.pass.ExportObjectFact(v, &mutable{})
		}
	}
	if trust(c.pass.Pkg.Path()) {
		return
	}
	why := map[*types.Func]string{}
	callers := map[*types.Func][]*types.Func{}
	var work []*types.Func
	for _, d := range c.sortedBodies() {
		fn := c.pass.TypesInfo.Defs[d.Name].(*types.Func)
		first := func(p problem) {
			if why[fn] == "" && !c.reported[p.pos][p.rule] && !c.allowed.excuses(c.pass.Fset, p.pos) {
				at := c.pass.Fset.Position(p.pos)
				why[fn] = fmt.Sprintf("%s at %s:%d", p.what, filepath.Base(at.Filename), at.Line)
			}
		}
		c.problems(d, first)
		c.calls(d, func(id *ast.Ident, callee *types.Func) {
			if p, ok := c.foreign(id, callee); ok {
				first(p)
			}
			for _, target := range c.targets(callee) {
				callers[target] = append(callers[target], fn)
			}
			if recv := receiverType(callee); recv != nil && callee.Pkg() == c.pass.Pkg && types.IsInterface(recv) {
				callers[callee] = append(callers[callee], fn)
			}
		})
		if why[fn] != "" {
			work = append(work, fn)
		}
	}
	c.interfaceMethods(func(method, implementer *types.Func) { callers[implementer] = append(callers[implementer], method) })
	for len(work) > 0 {
		fn := work[0]
		work = work[1:]
		for _, caller := range callers[fn] {
			if why[caller] == "" {
				why[caller] = "through " + localName(fn) + ": " + why[fn]
				work = append(work, caller)
			}
		}
	}
	for fn, w := range why {
		if w != "" && fn.Exported() && fn.Pkg() == c.pass.Pkg { // not another package's interface under a name of this one
			if len(w) > 200 {
				w = w[:200] + "…"
			}
			c.pass.ExportObjectFact(fn, &impure{w})
		}
	}
}

// interfaceMethods yields each method of this package's interfaces with each method here that a call of it may reach. A
// package that calls it gets the fact through the interface's method.
func (c *checker) interfaceMethods(yield func(method, implementer *types.Func)) {
	scope := c.pass.Pkg.Scope()
	for _, name := range scope.Names() {
		tn, ok := scope.Lookup(name).(*types.TypeName)
		if !ok || !types.IsInterface(tn.Type()) {
			continue
		}
		iface, ok := tn.Type().Underlying().(*types.Interface)
		if !ok {
			continue
		}
		for m := range iface.ExplicitMethods() {
			for _, target := range c.targets(m) {
				yield(m.Origin(), target)
			}
		}
	}
}
