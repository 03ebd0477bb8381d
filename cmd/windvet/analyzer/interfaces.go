package analyzer

import (
	"go/ast"
	"go/types"
	"slices"
)

// conversions yields each place in n where a value of a concrete type becomes a value of an interface type: whoever
// receives it can call the interface's methods.
func (c *checker) conversions(n ast.Node, yield func(at ast.Expr, from types.Type, to *types.Interface)) {
	info := c.pass.TypesInfo
	into := func(e ast.Expr, to types.Type) {
		from := info.TypeOf(e)
		if to == nil || from == nil || types.IsInterface(from) {
			return
		}
		if _, param := types.Unalias(to).(*types.TypeParam); param {
			return
		}
		if iface, ok := to.Underlying().(*types.Interface); ok && iface.NumMethods() > 0 {
			yield(e, from, iface)
		}
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			c.argumentConversions(n, into)
		case *ast.AssignStmt:
			if len(n.Lhs) == len(n.Rhs) {
				for i := range n.Lhs {
					into(n.Rhs[i], info.TypeOf(n.Lhs[i]))
				}
			}
		case *ast.ValueSpec:
			for i := range n.Values {
				if len(n.Values) == len(n.Names) {
					into(n.Values[i], info.TypeOf(n.Names[i]))
				}
			}
		case *ast.ReturnStmt:
			if results := c.resultsAt(n); results != nil && results.Len() == len(n.Results) {
				for i, e := range n.Results {
					into(e, results.At(i).Type())
				}
			}
		case *ast.CompositeLit:
			c.literalConversions(n, into)
		}
		return true
	})
}

func (c *checker) argumentConversions(n *ast.CallExpr, into func(ast.Expr, types.Type)) {
	tv := c.pass.TypesInfo.Types[n.Fun]
	if tv.IsType() && len(n.Args) == 1 {
		into(n.Args[0], tv.Type)
		return
	}
	if tv.Type == nil {
		return
	}
	sig, ok := tv.Type.Underlying().(*types.Signature)
	if !ok {
		return
	}
	params := sig.Params()
	for i, arg := range n.Args {
		switch {
		case sig.Variadic() && i >= params.Len()-1 && !n.Ellipsis.IsValid():
			if s, ok := params.At(params.Len() - 1).Type().(*types.Slice); ok {
				into(arg, s.Elem())
			}
		case i < params.Len():
			into(arg, params.At(i).Type())
		}
	}
}

func (c *checker) literalConversions(n *ast.CompositeLit, into func(ast.Expr, types.Type)) {
	t := c.pass.TypesInfo.TypeOf(n)
	if t == nil {
		return
	}
	for i, e := range n.Elts {
		kv, keyed := e.(*ast.KeyValueExpr)
		switch u := pointee(t).Underlying().(type) {
		case *types.Struct:
			if !keyed {
				if i < u.NumFields() {
					into(e, u.Field(i).Type())
				}
				continue
			}
			if key, ok := kv.Key.(*ast.Ident); ok {
				if f := c.pass.TypesInfo.Uses[key]; f != nil {
					into(kv.Value, f.Type())
				}
			}
		case interface{ Elem() types.Type }: // a slice, an array, a map
			if keyed {
				e = kv.Value
			}
			into(e, u.Elem())
		}
	}
}

// resultsAt returns the results of the function that a return statement ends.
func (c *checker) resultsAt(n ast.Node) *types.Tuple {
	for ; n != nil; n = c.parents[n] {
		switch f := n.(type) {
		case *ast.FuncLit:
			if sig, ok := c.pass.TypesInfo.TypeOf(f).(*types.Signature); ok {
				return sig.Results()
			}
			return nil
		case *ast.FuncDecl:
			if fn, ok := c.pass.TypesInfo.Defs[f.Name].(*types.Func); ok {
				return fn.Signature().Results()
			}
			return nil
		}
	}
	return nil
}

// methodsFor returns the methods of a concrete type that an interface can call.
func (c *checker) methodsFor(from types.Type, to *types.Interface) (methods []*types.Func) {
	for m := range to.Methods() {
		if obj, _, _ := types.LookupFieldOrMethod(from, true, c.pass.Pkg, m.Name()); obj != nil {
			if fn, ok := obj.(*types.Func); ok {
				methods = append(methods, fn.Origin())
			}
		}
	}
	return methods
}

// implementers returns the methods that a call of an interface's method may reach: those of this package's types, and
// those of other packages' types that occur as values in this one.
func (c *checker) implementers(fn *types.Func) (methods []*types.Func) {
	iface, ok := fn.Signature().Recv().Type().Underlying().(*types.Interface)
	if !ok || fn.Pkg() == nil || standard(fn.Pkg().Path()) {
		return nil
	}
	for _, t := range c.concrete {
		if !types.Implements(t, iface) && !types.Implements(types.NewPointer(t), iface) {
			continue
		}
		if m, _, _ := types.LookupFieldOrMethod(t, true, c.pass.Pkg, fn.Name()); m != nil {
			if m, ok := m.(*types.Func); ok && !slices.Contains(methods, m.Origin()) {
				methods = append(methods, m.Origin())
			}
		}
	}
	return methods
}

// collectConcrete lists the named types that are not interfaces: those that this package declares, in functions too, and
// those of other packages that are the type of an expression here. windvet judges the standard library by name.
func (c *checker) collectConcrete() {
	seen := map[*types.TypeName]bool{}
	add := func(t types.Type) {
		named, ok := types.Unalias(pointee(t)).(*types.Named)
		if !ok || seen[named.Obj()] || types.IsInterface(named) || named.TypeParams().Len() > named.TypeArgs().Len() {
			return
		}
		if pkg := named.Obj().Pkg(); pkg == nil || pkg != c.pass.Pkg && standard(pkg.Path()) {
			return
		}
		seen[named.Obj()] = true
		c.concrete = append(c.concrete, named)
	}
	for _, f := range c.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if obj := c.pass.TypesInfo.Defs[n.Name]; obj != nil {
					add(obj.Type())
				}
			case *ast.CompositeLit, *ast.CallExpr, *ast.Ident:
				if t := c.pass.TypesInfo.TypeOf(n.(ast.Expr)); t != nil {
					add(t)
				}
			}
			return true
		})
	}
}
