package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
)

const stateRemedy = "keep it in a resource or a component, where snapshot, delta and checksum see it"

// stateProblems finds package variables that n changes, or reads while something changes them.
func (c *checker) stateProblems(n ast.Node, yield func(problem)) {
	if d, ok := n.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
		return // initialisation is not part of a tick
	}
	written := map[ast.Node]bool{}
	c.writes(n, func(v *types.Var, at ast.Node) {
		written[at] = true
		yield(problem{pos: at.Pos(), end: at.End(), rule: "state", what: "the package variable " + v.Name() + " is changed from inside of the simulation", remedy: stateRemedy})
	})
	ast.Inspect(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok || written[id] {
			return true
		}
		v, ok := c.pass.TypesInfo.Uses[id].(*types.Var)
		if !ok || !packageLevel(v) {
			return true
		}
		if c.written[v] || v.Pkg() != c.pass.Pkg && c.pass.ImportObjectFact(v, &mutable{}) {
			yield(problem{pos: id.Pos(), end: id.End(), rule: "state", what: "the package variable " + v.Name() + " changes at run time", remedy: stateRemedy})
		}
		return true
	})
}

func packageLevel(v *types.Var) bool {
	return v.Pkg() != nil && !v.IsField() && v.Parent() == v.Pkg().Scope()
}

// writes yields each package variable that n may change and the identifier that names it: by assignment to it or into it,
// by taking its address, or by calling a method with a pointer receiver on it.
func (c *checker) writes(n ast.Node, yield func(*types.Var, ast.Node)) {
	info := c.pass.TypesInfo
	target := func(e ast.Expr) {
		if id := rootOf(info, e); id != nil {
			if v, ok := info.Uses[id].(*types.Var); ok && packageLevel(v) {
				yield(v, id)
			}
		}
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, l := range n.Lhs {
					target(l)
				}
			}
		case *ast.IncDecStmt:
			target(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				target(n.Key)
				target(n.Value)
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				target(n.X)
			}
		case *ast.CallExpr:
			c.callWrites(n, target)
		}
		return true
	})
}

// callWrites finds delete, clear and copy, and methods whose receiver is the address of a variable.
func (c *checker) callWrites(n *ast.CallExpr, target func(ast.Expr)) {
	info := c.pass.TypesInfo
	if info.Types[n.Fun].IsBuiltin() {
		if id := callee(n); id != nil && len(n.Args) > 0 {
			switch id.Name {
			case "delete", "clear", "copy", "append": // append may write behind the length
				target(n.Args[0])
			}
		}
		return
	}
	sel, ok := ast.Unparen(n.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	s := info.Selections[sel]
	if s == nil || s.Kind() != types.MethodVal {
		return
	}
	fn, ok := s.Obj().(*types.Func)
	if !ok || fn.Signature().Recv() == nil {
		return
	}
	if _, pointer := types.Unalias(fn.Signature().Recv().Type()).(*types.Pointer); pointer {
		if t := info.TypeOf(sel.X); t != nil {
			if _, already := t.Underlying().(*types.Pointer); !already {
				target(sel.X) // &x is taken
			}
		}
	}
}

// rootOf is the variable that an assignment to e changes, or one that leads to what it changes: v, v.f, v[i], *v, pkg.v.
func rootOf(info *types.Info, e ast.Expr) *ast.Ident {
	for e != nil {
		switch x := ast.Unparen(e).(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			if info.Selections[x] == nil { // a qualified name
				return x.Sel
			}
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return nil
		}
	}
	return nil
}
