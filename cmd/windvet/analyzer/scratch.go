package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
)

// scratch reports whether e, which outlives the tick, is emptied by a statement of the tick's function before anything
// else in the function names e. Then nothing that one tick leaves in it reaches the next. A statement empties e by e =
// e[:0], e = nil or another new value, clear(e) or e.Reset().
func (c *checker) scratch(root ast.Node, e ast.Expr) bool {
	var body *ast.BlockStmt
	switch f := root.(type) {
	case *ast.FuncLit:
		body = f.Body
	case *ast.FuncDecl:
		body = f.Body
	}
	if body == nil {
		return false
	}
	name := types.ExprString(e)
	for _, s := range body.List {
		if empties(s, name) {
			return true
		}
		if mentions(s, name) {
			return false
		}
	}
	return false
}

func mentions(n ast.Node, name string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok && types.ExprString(e) == name {
			found = true
		}
		return !found
	})
	return found
}

func empties(s ast.Stmt, name string) bool {
	switch s := s.(type) {
	case *ast.AssignStmt:
		if s.Tok != token.ASSIGN || len(s.Lhs) != len(s.Rhs) {
			return false
		}
		for i, l := range s.Lhs {
			if types.ExprString(l) == name && isWhole(l) {
				return isEmpty(s.Rhs[i], name)
			}
		}
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		if id, ok := call.Fun.(*ast.Ident); ok {
			return id.Name == "clear" && len(call.Args) == 1 && types.ExprString(call.Args[0]) == name
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "Reset" && len(call.Args) == 0 && types.ExprString(sel.X) == name
	}
	return false
}

// isEmpty reports whether e is name[:0], nil, or a new slice, map or struct that does not come from name.
func isEmpty(e ast.Expr, name string) bool {
	if cut, ok := e.(*ast.SliceExpr); ok && types.ExprString(cut.X) == name {
		high, ok := cut.High.(*ast.BasicLit)
		return ok && high.Value == "0"
	}
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name == "nil"
	case *ast.CompositeLit:
		return !mentions(x, name)
	case *ast.CallExpr:
		id, ok := x.Fun.(*ast.Ident)
		return ok && id.Name == "make" && !mentions(x, name)
	}
	return false
}

// isWhole reports whether e is a variable or a field of one, not an element.
func isWhole(e ast.Expr) bool {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return true
		case *ast.SelectorExpr:
			e = x.X
		default:
			return false
		}
	}
}
