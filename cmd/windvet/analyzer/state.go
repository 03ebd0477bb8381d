package analyzer

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
)

const stateRemedy = "keep it in a resource or a component, where snapshot, delta and checksum see it"

// stateProblems reports what n changes outside the world that outlives the tick: package variables, variables captured
// by a system's closure, and the receiver of a system that is a method. It also reports reads of package variables that
// something changes, and writes through fields tagged read.
func (c *checker) stateProblems(n ast.Node, yield func(problem)) {
	if d, ok := n.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
		return // initialisation is not part of a tick
	}
	named := map[ast.Node]bool{}
	c.writes(n, func(v *types.Var, at ast.Node) {
		named[at] = true
		yield(problem{pos: at.Pos(), end: at.End(), rule: "state", what: "the package variable " + v.Name() + " is changed from inside the simulation", remedy: stateRemedy})
	})
	c.written(n, func(e ast.Expr, refs int) { c.outlives(e, refs, yield) })
	ast.Inspect(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok || named[id] {
			return true
		}
		v, ok := c.pass.TypesInfo.Uses[id].(*types.Var)
		if !ok || !packageLevel(v) {
			return true
		}
		if c.changed[v] || v.Pkg() != c.pass.Pkg && c.pass.ImportObjectFact(v, &mutable{}) {
			yield(problem{pos: id.Pos(), end: id.End(), rule: "state", what: "the package variable " + v.Name() + " changes at run time", remedy: stateRemedy})
		}
		return true
	})
}

// outlives reports a write to a captured variable, to a system's receiver or to a field tagged read.
func (c *checker) outlives(written ast.Expr, refs int, yield func(problem)) {
	root := c.tickFunction(written)
	scratch := false
	c.trace(written, refs, func(p place) {
		if scratch = scratch || root != nil && c.scratch(root, p.expr); scratch {
			return
		}
		at := problem{pos: written.Pos(), end: written.End(), rule: "state", remedy: stateRemedy}
		switch x := p.expr.(type) {
		case *ast.SelectorExpr:
			if name, ok := c.readOnly(x); ok && p.refs > 0 {
				at.rule, at.what, at.remedy = "read", name+` is tagged ecs:"read" and is written here`, "remove the tag, or the world will miss the change"
				yield(at)
			}
		case *ast.Ident:
			v, ok := c.pass.TypesInfo.Uses[x].(*types.Var)
			if !ok || root == nil || packageLevel(v) || v.IsField() {
				return
			}
			switch decl, _ := root.(*ast.FuncDecl); {
			case v.Pos() < root.Pos() || v.Pos() >= root.End():
				at.what = fmt.Sprintf("the variable %s outlives the tick and is changed in it", v.Name())
				yield(at)
			case decl != nil && p.refs > 0 && decl.Recv != nil && within(v.Pos(), decl.Recv):
				at.what = fmt.Sprintf("the receiver %s outlives the tick and is changed in it", v.Name())
				yield(at)
			}
		}
	})
}

func within(pos token.Pos, n ast.Node) bool { return n.Pos() <= pos && pos < n.End() }

// tickFunction returns the outermost function around n that takes an *ecs.Tick: everything that one call of it creates
// ends with the call. It returns nil outside such a function, as in Setup.
func (c *checker) tickFunction(n ast.Node) (root ast.Node) {
	for ; n != nil; n = c.parents[n] {
		var params *ast.FieldList
		switch f := n.(type) {
		case *ast.FuncLit:
			params = f.Type.Params
		case *ast.FuncDecl:
			params = f.Type.Params
		default:
			continue
		}
		for _, field := range params.List {
			if isTick(c.pass.TypesInfo.TypeOf(field.Type)) {
				root = n
			}
		}
	}
	return root
}

func isTick(t types.Type) bool {
	if t == nil {
		return false
	}
	named, ok := types.Unalias(pointee(t)).(*types.Named)
	return ok && named.Obj().Name() == "Tick" && named.Obj().Pkg() != nil && isECS(named.Obj().Pkg().Path())
}

// readOnly returns the name of the field that a selection names if the field is tagged ecs:"read".
func (c *checker) readOnly(sel *ast.SelectorExpr) (name string, ok bool) {
	s := c.pass.TypesInfo.Selections[sel]
	if s == nil || s.Kind() != types.FieldVal {
		return "", false
	}
	t := s.Recv()
	for _, i := range s.Index() {
		st, isStruct := pointee(t).Underlying().(*types.Struct)
		if !isStruct {
			return "", false
		}
		read, _, err := viewTag(reflect.StructTag(st.Tag(i)))
		if name, ok, t = st.Field(i).Name(), read && err == nil, st.Field(i).Type(); ok {
			return name, true
		}
	}
	return "", false
}

func packageLevel(v *types.Var) bool {
	return v.Pkg() != nil && !v.IsField() && v.Parent() == v.Pkg().Scope()
}

// writes yields each package variable that n may change, with the identifier that names it: by assigning to it or into
// it, by taking its address, or by calling a method with a pointer receiver on it.
func (c *checker) writes(n ast.Node, yield func(*types.Var, ast.Node)) {
	info := c.pass.TypesInfo
	target := func(e ast.Expr) {
		if id := rootOf(info, e); id != nil {
			if v, ok := info.Uses[id].(*types.Var); ok && packageLevel(v) {
				yield(v, id)
			}
		}
	}
	c.written(n, func(e ast.Expr, _ int) { target(e) })
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
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

// callWrites finds append, which may write beyond the length, and methods whose receiver is the address of a variable.
func (c *checker) callWrites(n *ast.CallExpr, target func(ast.Expr)) {
	info := c.pass.TypesInfo
	if info.Types[n.Fun].IsBuiltin() {
		if id := callee(n); id != nil && len(n.Args) > 0 && id.Name == "append" {
			target(n.Args[0])
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
				target(sel.X) // the call takes &x
			}
		}
	}
}

// rootOf returns the variable that an assignment to e changes, or that leads to what it changes: v, v.f, v[i], *v,
// pkg.v.
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
		case *ast.UnaryExpr:
			if x.Op != token.AND {
				return nil
			}
			e = x.X
		default:
			return nil
		}
	}
	return nil
}
