package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// orderless reports whether a loop over a map does the same in any order: its body adds to integers, deletes the
// current key, or uses neither key nor value; or it collects into a slice that is sorted right after the loop.
func (c *checker) orderless(n *ast.RangeStmt) bool {
	l := &mapLoop{c: c, loop: n}
	if isBlank(n.Key) && isBlank(n.Value) {
		return l.blind()
	}
	if !l.block(n.Body) {
		return false
	}
	for v := range l.collected {
		if !l.sortedBehind(v) {
			return false
		}
	}
	for v := range l.added { // an iteration must not read what another counts
		if l.read[v] {
			return false
		}
	}
	return true
}

func isBlank(e ast.Expr) bool {
	if e == nil {
		return true
	}
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "_"
}

// mapLoop is the loop over a map under analysis.
type mapLoop struct {
	c         *checker
	loop      *ast.RangeStmt
	added     map[types.Object]bool
	read      map[types.Object]bool
	collected map[types.Object]bool
}

// blind reports whether a loop without key and value cannot tell its iterations apart: nothing in it writes to a map or
// ranges over one.
func (l *mapLoop) blind() bool {
	info, ok := l.c.pass.TypesInfo, true
	isMap := func(e ast.Expr) bool {
		t := info.TypeOf(e)
		if t == nil {
			return false
		}
		_, is := t.Underlying().(*types.Map)
		return is
	}
	ast.Inspect(l.loop.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.RangeStmt:
			ok = ok && !isMap(n.X)
		case *ast.IndexExpr:
			ok = ok && !isMap(n.X) || ok && l.c.parents[n] != nil && !assigned(l.c.parents[n], n)
		case *ast.CallExpr:
			if id := callee(n); id != nil && info.Types[n.Fun].IsBuiltin() && (id.Name == "delete" || id.Name == "clear") {
				ok = false
			}
		}
		return ok
	})
	return ok
}

func assigned(parent ast.Node, e ast.Expr) bool {
	switch p := parent.(type) {
	case *ast.AssignStmt:
		for _, l := range p.Lhs {
			if l == e {
				return true
			}
		}
	case *ast.IncDecStmt:
		return true
	}
	return false
}

func (l *mapLoop) block(b *ast.BlockStmt) bool {
	for _, s := range b.List {
		if !l.statement(s) {
			return false
		}
	}
	return true
}

func (l *mapLoop) statement(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.IncDecStmt:
		return l.adds(s.X)
	case *ast.AssignStmt:
		return l.assignment(s)
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		return ok && l.deletes(call)
	case *ast.IfStmt:
		return s.Init == nil && l.pure(s.Cond) && l.block(s.Body) && (s.Else == nil || l.statement(s.Else))
	case *ast.BlockStmt:
		return l.block(s)
	case *ast.BranchStmt:
		return s.Tok == token.CONTINUE && s.Label == nil
	}
	return false
}

func (l *mapLoop) assignment(s *ast.AssignStmt) bool {
	if len(s.Lhs) != 1 || len(s.Rhs) != 1 {
		return false
	}
	switch s.Tok {
	case token.ADD_ASSIGN, token.SUB_ASSIGN, token.OR_ASSIGN, token.AND_ASSIGN, token.XOR_ASSIGN:
		return l.pure(s.Rhs[0]) && l.adds(s.Lhs[0])
	case token.ASSIGN:
		return l.collects(s)
	}
	return false
}

// adds records an integer variable that the loop adds to, where order does not matter.
func (l *mapLoop) adds(e ast.Expr) bool {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return false
	}
	obj := l.c.pass.TypesInfo.ObjectOf(id)
	if obj == nil {
		return false
	}
	b, ok := obj.Type().Underlying().(*types.Basic)
	if !ok || b.Info()&types.IsInteger == 0 {
		return false
	}
	l.added = with(l.added, obj)
	return true
}

// collects records x in x = append(x, …).
func (l *mapLoop) collects(s *ast.AssignStmt) bool {
	to, ok := s.Lhs[0].(*ast.Ident)
	call, isCall := s.Rhs[0].(*ast.CallExpr)
	if !ok || !isCall || len(call.Args) < 2 || callee(call) == nil || callee(call).Name != "append" || !l.c.pass.TypesInfo.Types[call.Fun].IsBuiltin() {
		return false
	}
	from, ok := call.Args[0].(*ast.Ident)
	if !ok || l.c.pass.TypesInfo.ObjectOf(from) != l.c.pass.TypesInfo.ObjectOf(to) {
		return false
	}
	for _, arg := range call.Args[1:] {
		if !l.pure(arg) {
			return false
		}
	}
	l.collected = with(l.collected, l.c.pass.TypesInfo.ObjectOf(to))
	return true
}

// deletes reports whether a call deletes the loop's current key from the map that it ranges over.
func (l *mapLoop) deletes(call *ast.CallExpr) bool {
	id := callee(call)
	if id == nil || id.Name != "delete" || !l.c.pass.TypesInfo.Types[call.Fun].IsBuiltin() || len(call.Args) != 2 {
		return false
	}
	same := func(a, b ast.Expr) bool {
		x, ok := a.(*ast.Ident)
		y, ok2 := b.(*ast.Ident)
		return ok && ok2 && l.c.pass.TypesInfo.ObjectOf(x) == l.c.pass.TypesInfo.ObjectOf(y)
	}
	return same(call.Args[0], l.loop.X) && l.loop.Key != nil && same(call.Args[1], l.loop.Key)
}

// pure reports whether an expression has no effect, and records what it reads.
func (l *mapLoop) pure(e ast.Expr) bool {
	ok := true
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			tv := l.c.pass.TypesInfo.Types[n.Fun]
			ok = ok && (tv.IsType() || tv.IsBuiltin() && callee(n) != nil && (callee(n).Name == "len" || callee(n).Name == "min" || callee(n).Name == "max"))
		case *ast.UnaryExpr:
			ok = ok && n.Op != token.ARROW && n.Op != token.AND
		case *ast.FuncLit:
			ok = false
		case *ast.Ident:
			if obj := l.c.pass.TypesInfo.ObjectOf(n); obj != nil {
				l.read = with(l.read, obj)
			}
		}
		return ok
	})
	return ok
}

// sortedBehind reports whether the statement after the loop sorts all of v.
func (l *mapLoop) sortedBehind(v types.Object) bool {
	var list []ast.Stmt
	switch p := l.c.parents[l.loop].(type) {
	case *ast.BlockStmt:
		list = p.List
	case *ast.CaseClause:
		list = p.Body
	}
	for i, s := range list {
		if s != l.loop || i+1 == len(list) {
			continue
		}
		next, ok := list[i+1].(*ast.ExprStmt)
		if !ok {
			return false
		}
		call, ok := next.X.(*ast.CallExpr)
		if !ok || callee(call) == nil || len(call.Args) == 0 {
			return false
		}
		fn, ok := l.c.pass.TypesInfo.Uses[callee(call)].(*types.Func)
		arg, isID := call.Args[0].(*ast.Ident)
		if !ok || !isID || fn.Pkg() == nil || l.c.pass.TypesInfo.ObjectOf(arg) != v {
			return false
		}
		name := fn.Name()
		return fn.Pkg().Path() == "slices" && name == "Sort" || fn.Pkg().Path() == "sort" && (name == "Strings" || name == "Ints" || strings.HasPrefix(name, "Float64s"))
	}
	return false
}

func with(m map[types.Object]bool, obj types.Object) map[types.Object]bool {
	if m == nil {
		m = map[types.Object]bool{}
	}
	m[obj] = true
	return m
}
