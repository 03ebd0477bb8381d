package analyzer

import (
	"go/ast"
	"go/types"
	"strings"
)

// reachable returns the function declarations, literals and initialisers that a tick may run, in a stable order.
func (c *checker) reachable() []ast.Node {
	r := &reach{c: c, seen: map[ast.Node]bool{}}
	if c.whole {
		for _, d := range c.sortedBodies() {
			r.add(d)
		}
		for _, f := range c.files {
			for _, d := range f.Decls {
				if g, ok := d.(*ast.GenDecl); ok {
					r.add(g)
				}
			}
		}
	} else {
		for _, f := range c.files {
			ast.Inspect(f, r.root)
		}
	}
	for i := 0; i < len(r.order); i++ {
		r.follow(r.order[i])
	}
	return r.order
}

type reach struct {
	c     *checker
	seen  map[ast.Node]bool
	order []ast.Node
}

func (r *reach) add(n ast.Node) {
	if n != nil && !r.seen[n] {
		r.seen[n] = true
		r.order = append(r.order, n)
	}
}

func (r *reach) addFunc(fn *types.Func) {
	for _, target := range r.c.targets(fn) {
		r.add(r.c.bodies[target])
	}
}

// follow adds the functions that n calls or refers to.
func (r *reach) follow(n ast.Node) {
	r.c.calls(n, func(_ *ast.Ident, fn *types.Func) { r.addFunc(fn) })
	r.c.conversions(n, func(_ ast.Expr, from types.Type, to *types.Interface) {
		for _, m := range r.c.methodsFor(from, to) {
			r.addFunc(m)
		}
	})
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			if v, ok := r.c.pass.TypesInfo.Uses[id].(*types.Var); ok && r.c.inits[v] != nil {
				r.add(r.c.inits[v]) // a variable is as clean as its initialiser
			}
		}
		return true
	})
}

// root finds the functions passed to ecs: System, Handle and Init, a Game's Setup, and the Validate method of each
// command.
func (r *reach) root(n ast.Node) bool {
	info := r.c.pass.TypesInfo
	switch n := n.(type) {
	case *ast.FuncDecl:
		if directive(n.Doc) {
			r.add(n)
		}
	case *ast.CallExpr:
		id := callee(n)
		if id == nil {
			break
		}
		fn, ok := info.Uses[id].(*types.Func)
		if !ok || fn.Pkg() == nil || !isECS(fn.Pkg().Path()) || fn.Signature().Recv() != nil {
			break
		}
		at := map[string]int{"System": 2, "Handle": 2, "Init": 1}[fn.Name()]
		if at == 0 || len(n.Args) <= at {
			break
		}
		r.function(n.Args[at], map[types.Object]bool{})
		if args := info.Instances[id].TypeArgs; fn.Name() == "Handle" && args.Len() > 0 {
			if m, _, _ := types.LookupFieldOrMethod(args.At(0), true, r.c.pass.Pkg, "Validate"); m != nil {
				if v, ok := m.(*types.Func); ok {
					r.addFunc(v)
				}
			}
		}
	case *ast.CompositeLit:
		if named, ok := types.Unalias(info.TypeOf(n)).(*types.Named); ok && named.Obj().Name() == "Game" && named.Obj().Pkg() != nil && isECS(named.Obj().Pkg().Path()) {
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Setup" {
						r.function(kv.Value, map[types.Object]bool{})
					}
				}
			}
		}
	}
	return true
}

// function adds the functions that the expression may be: a literal, a name, or the result of a call that makes one.
func (r *reach) function(e ast.Expr, seen map[types.Object]bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			r.add(n)
			return false
		case *ast.Ident:
			switch obj := r.c.pass.TypesInfo.Uses[n].(type) {
			case *types.Func:
				if obj.Pkg() == r.c.pass.Pkg {
					r.addFunc(obj)
				} else {
					r.add(n) // its fact decides
				}
			case *types.Var:
				if !seen[obj] {
					seen[obj] = true
					r.values(obj, seen)
				}
			}
		}
		return true
	})
}

// values adds the functions assigned to v anywhere in the package.
func (r *reach) values(v *types.Var, seen map[types.Object]bool) {
	info := r.c.pass.TypesInfo
	for _, f := range r.c.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for i, l := range n.Lhs {
					if id, ok := l.(*ast.Ident); ok && (info.Defs[id] == v || info.Uses[id] == v) {
						r.function(n.Rhs[min(i, len(n.Rhs)-1)], seen)
					}
				}
			case *ast.ValueSpec:
				for i, id := range n.Names {
					if info.Defs[id] == v && len(n.Values) > 0 {
						r.function(n.Values[min(i, len(n.Values)-1)], seen)
					}
				}
			}
			return true
		})
	}
}

// calls yields every function that n names, called or not: something calls a function that is passed on.
func (c *checker) calls(n ast.Node, yield func(*ast.Ident, *types.Func)) {
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			if fn, ok := c.pass.TypesInfo.Uses[id].(*types.Func); ok {
				yield(id, fn.Origin())
			}
		}
		return true
	})
}

// targets returns the functions of this package that a call of fn may reach: fn itself, or for an interface method the
// methods of the package's types that implement it.
func (c *checker) targets(fn *types.Func) []*types.Func {
	fn = fn.Origin()
	recv := fn.Signature().Recv()
	if recv == nil || !types.IsInterface(recv.Type()) {
		if c.bodies[fn] != nil {
			return []*types.Func{fn}
		}
		return nil
	}
	var out []*types.Func
	for _, m := range c.implementers(fn) {
		if c.bodies[m] != nil {
			out = append(out, m)
		}
	}
	return out
}

// callee returns the identifier of the called function, or nil.
func callee(call *ast.CallExpr) *ast.Ident {
	e := ast.Unparen(call.Fun)
	switch x := e.(type) {
	case *ast.IndexExpr:
		e = x.X
	case *ast.IndexListExpr:
		e = x.X
	}
	switch x := ast.Unparen(e).(type) {
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		return x.Sel
	}
	return nil
}

func isECS(path string) bool { return path == "ecs" || strings.HasSuffix(path, "/ecs") }
