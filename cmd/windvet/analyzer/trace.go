package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// A place is an expression on the path to the written memory. refs is how many pointers, slices and maps lie between
// its value and that memory: at 0 the expression's own memory is written.
type place struct {
	expr ast.Expr
	refs int
}

// trace yields the places of a written expression, from the expression to the variable that leads to it. If that
// variable holds a reference, trace continues through the values assigned to it.
func (c *checker) trace(e ast.Expr, refs int, yield func(place)) {
	c.follow(e, refs, map[*types.Var]bool{}, yield)
}

// follow is trace, except for variables that it has already followed.
func (c *checker) follow(e ast.Expr, refs int, seen map[*types.Var]bool, yield func(place)) {
	info := c.pass.TypesInfo
	for e != nil {
		e = ast.Unparen(e)
		yield(place{e, refs})
		switch x := e.(type) {
		case *ast.Ident:
			v, ok := info.ObjectOf(x).(*types.Var)
			if !ok || refs <= 0 || seen[v] || packageLevel(v) {
				return
			}
			seen[v] = true
			for _, origin := range c.origins[v] {
				c.follow(origin, refs, seen, yield)
			}
			return
		case *ast.SelectorExpr:
			s := info.Selections[x]
			if s == nil { // a qualified name
				yield(place{x.Sel, refs})
				return
			}
			if s.Kind() != types.FieldVal {
				return
			}
			if s.Indirect() {
				refs++
			}
			e = x.X
		case *ast.IndexExpr:
			t := info.TypeOf(x.X)
			if t == nil {
				return
			}
			if _, array := t.Underlying().(*types.Array); !array {
				refs++
			}
			e = x.X
		case *ast.SliceExpr: // shares memory with the sliced value
			if t := info.TypeOf(x.X); t != nil {
				if _, array := t.Underlying().(*types.Array); array {
					refs--
				}
			}
			e = x.X
		case *ast.StarExpr:
			refs++
			e = x.X
		case *ast.UnaryExpr:
			if x.Op != token.AND {
				return
			}
			refs--
			e = x.X
		case *ast.TypeAssertExpr:
			e = x.X
		case *ast.CallExpr:
			tv := info.Types[x.Fun]
			switch {
			case tv.IsType() && len(x.Args) == 1:
				e = x.Args[0]
			case tv.IsBuiltin() && len(x.Args) > 0 && callee(x) != nil && callee(x).Name == "append":
				e = x.Args[0]
			default:
				return
			}
		default:
			return
		}
	}
}

// collectOrigins records the values assigned to each local variable that can hold a reference.
func (c *checker) collectOrigins(f *ast.File) {
	info := c.pass.TypesInfo
	note := func(l, r ast.Expr) {
		id, ok := l.(*ast.Ident)
		if !ok {
			return
		}
		if v, ok := info.ObjectOf(id).(*types.Var); ok && !packageLevel(v) && refers(v.Type()) {
			c.origins[v] = append(c.origins[v], r)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if len(n.Lhs) == len(n.Rhs) {
				for i := range n.Lhs {
					note(n.Lhs[i], n.Rhs[i])
				}
			}
		case *ast.ValueSpec:
			if len(n.Names) == len(n.Values) {
				for i := range n.Names {
					note(n.Names[i], n.Values[i])
				}
			}
		case *ast.RangeStmt: // an element refers to what the whole refers to
			if n.Value != nil {
				note(n.Value, &ast.IndexExpr{X: n.X, Index: n.Value})
			}
		}
		return true
	})
}

// refers reports whether a copy of a value of type t can share memory with it.
func refers(t types.Type) bool {
	switch t.Underlying().(type) {
	case *types.Pointer, *types.Slice, *types.Map, *types.Interface:
		return true
	}
	return false
}

// written yields each expression whose memory n writes, with the number of references between its value and that
// memory. n writes by assignments, deletes, copies, and calls that change what an argument or the receiver refers to.
func (c *checker) written(n ast.Node, yield func(e ast.Expr, refs int)) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, l := range n.Lhs {
					yield(l, 0)
				}
			}
		case *ast.IncDecStmt:
			yield(n.X, 0)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				for _, e := range []ast.Expr{n.Key, n.Value} {
					if e != nil {
						yield(e, 0)
					}
				}
			}
		case *ast.CallExpr:
			c.callWritten(n, yield)
		}
		return true
	})
}

func (c *checker) callWritten(n *ast.CallExpr, yield func(e ast.Expr, refs int)) {
	info := c.pass.TypesInfo
	id := callee(n)
	if id == nil {
		return
	}
	if info.Types[n.Fun].IsBuiltin() {
		if len(n.Args) > 0 && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") {
			yield(n.Args[0], 1)
		}
		return
	}
	fn, ok := info.Uses[id].(*types.Func)
	if !ok {
		return
	}
	mutated := c.mutatedBy(fn)
	if mutated == 0 {
		return
	}
	if sel, ok := ast.Unparen(n.Fun).(*ast.SelectorExpr); ok && mutated&1 != 0 && info.Selections[sel] != nil {
		refs := 1
		if t := info.TypeOf(sel.X); t != nil && !refers(t) {
			refs = 0 // the call takes its address
		}
		if s := info.Selections[sel]; len(s.Index()) > 1 && s.Indirect() {
			refs = 1 // a method of an embedded field
		}
		yield(sel.X, refs)
	}
	for i, arg := range n.Args {
		if mutated&(2<<min(i, 61)) != 0 {
			yield(arg, 1)
		}
	}
}

// mutates is the fact of a function that changes what its receiver (bit 0) or its k-th parameter (bit k+1) refers to.
type mutates struct{ Params uint64 }

func (*mutates) AFact() {}

// mutatedBy returns which of fn's parameters refer to what it changes, encoded as in mutates.
func (c *checker) mutatedBy(fn *types.Func) uint64 {
	fn = fn.Origin()
	if fn.Pkg() == nil {
		return 0
	}
	if fn.Pkg() == c.pass.Pkg {
		return c.mutators[fn]
	}
	if standard(fn.Pkg().Path()) {
		return standardMutates(fn)
	}
	var fact mutates
	c.pass.ImportObjectFact(fn, &fact)
	return fact.Params
}

// standardMutates returns the same for the standard library, by name: functions that sort a slice in place, and methods
// of types that hold state.
func standardMutates(fn *types.Func) uint64 {
	recv := receiverType(fn)
	switch path := fn.Pkg().Path(); {
	case recv == nil && (path == "slices" && (strings.HasPrefix(fn.Name(), "Sort") && fn.Name() != "Sorted" && !strings.HasPrefix(fn.Name(), "Sorted") || fn.Name() == "Reverse") ||
		path == "sort" && fn.Signature().Params().Len() > 0 && fn.Signature().Results().Len() == 0):
		return 2
	case recv == nil || recv.Obj() == nil:
		return 0
	case path == "math/rand" || path == "math/rand/v2":
		return 1
	case path == "bytes" || path == "strings" || path == "bufio" || path == "container/list" || path == "container/ring" || path == "math/big" || path == "encoding/json":
		switch fn.Name() {
		case "Len", "Cap", "String", "Bytes", "Available", "Size", "Front", "Back", "Next", "Prev", "Cmp", "CmpAbs", "Sign", "Int64", "Uint64", "IsInt64", "BitLen", "Bit", "Text":
			return 0
		}
		if _, pointer := types.Unalias(fn.Signature().Recv().Type()).(*types.Pointer); pointer {
			return 1
		}
	}
	return 0
}

// collectMutators computes mutatedBy for the package's functions: first what they write themselves, then what they
// write through calls, until nothing changes.
func (c *checker) collectMutators() {
	params := map[*types.Var]uint64{}
	bodies := c.sortedBodies()
	for _, d := range bodies {
		sig := c.pass.TypesInfo.Defs[d.Name].(*types.Func).Signature()
		if r := sig.Recv(); r != nil {
			params[r] = 1
		}
		for i := range sig.Params().Len() {
			params[sig.Params().At(i)] = 2 << min(i, 61)
		}
	}
	for again := true; again; {
		again = false
		for _, d := range bodies {
			fn := c.pass.TypesInfo.Defs[d.Name].(*types.Func)
			bits := c.mutators[fn]
			c.written(d, func(e ast.Expr, refs int) {
				if c.allowed.excuses(c.pass.Fset, e.Pos()) {
					return // the callers do not change it either
				}
				c.trace(e, refs, func(p place) {
					if id, ok := p.expr.(*ast.Ident); ok && p.refs > 0 {
						if v, ok := c.pass.TypesInfo.Uses[id].(*types.Var); ok && v.Pos() >= d.Pos() && v.Pos() < d.End() {
							bits |= params[v]
						}
					}
				})
			})
			if bits != c.mutators[fn] {
				c.mutators[fn], again = bits, true
			}
		}
	}
	for fn, bits := range c.mutators {
		if fn.Exported() && bits != 0 {
			c.pass.ExportObjectFact(fn, &mutates{bits})
		}
	}
}
