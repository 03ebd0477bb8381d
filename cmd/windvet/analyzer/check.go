package analyzer

import (
	"go/ast"
	"go/token"
	"go/types"
)

// problems yields the problems in n, except calls into other packages.
func (c *checker) problems(n ast.Node, yield func(problem)) {
	info := c.pass.TypesInfo
	at := func(n ast.Node, rule, what, remedy string) {
		yield(problem{pos: n.Pos(), end: n.End(), rule: rule, what: what, remedy: remedy})
	}
	const oneGoroutine = "do the work in this tick, or spread it over ticks in components"
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			at(n, "concurrency", "a goroutine ends whenever the scheduler decides", oneGoroutine)
		case *ast.SelectStmt:
			at(n, "concurrency", "select takes a random ready case", oneGoroutine)
		case *ast.SendStmt:
			at(n, "concurrency", "a channel delivers whenever the scheduler decides", oneGoroutine)
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				at(n, "concurrency", "a channel delivers whenever the scheduler decides", oneGoroutine)
			}
		case *ast.RangeStmt:
			c.rangeProblem(n, at)
		case *ast.CallExpr:
			c.callProblem(n, at)
			c.printProblems(n, at)
		case *ast.Ident:
			if p, ok := c.banned(n, info.Uses[n]); ok {
				yield(p)
			}
		}
		return true
	})
	c.stateProblems(n, yield)
	c.floatProblems(n, yield)
}

func (c *checker) rangeProblem(n *ast.RangeStmt, at func(n ast.Node, rule, what, remedy string)) {
	head := &span{n.Pos(), n.X.End()}
	for t := range terms(c.pass.TypesInfo.TypeOf(n.X)) {
		switch t.Underlying().(type) {
		case *types.Map:
			if c.orderless(n) {
				return
			}
			at(head, "maprange", "ranging over a map has a random order", banOrder.remedy)
			return
		case *types.Chan:
			at(head, "concurrency", "a channel delivers whenever the scheduler decides", "range over a slice")
			return
		}
	}
}

// callProblem reports conversions and calls of built-in functions.
func (c *checker) callProblem(n *ast.CallExpr, at func(n ast.Node, rule, what, remedy string)) {
	info := c.pass.TypesInfo
	tv := info.Types[n.Fun]
	switch {
	case tv.IsType() && len(n.Args) == 1:
		c.conversionProblem(n, tv.Type, at)
	case tv.IsBuiltin() && len(n.Args) > 0:
		if id := callee(n); id != nil && (id.Name == "make" || id.Name == "close") {
			if t := info.TypeOf(n.Args[0]); t != nil {
				if _, ok := t.Underlying().(*types.Chan); ok {
					at(n, "concurrency", "a channel delivers whenever the scheduler decides", "use a slice")
				}
			}
		}
	}
}

var saturating = map[types.BasicKind]string{
	types.Int8: "ToInt8", types.Int16: "ToInt16", types.Int32: "ToInt32", types.Int64: "ToInt64", types.Int: "ToInt",
	types.Uint8: "ToUint8", types.Uint16: "ToUint16", types.Uint32: "ToUint32", types.Uint64: "ToUint64", types.Uint: "ToUint64",
	types.Uintptr: "ToUint64",
}

func (c *checker) conversionProblem(n *ast.CallExpr, to types.Type, at func(n ast.Node, rule, what, remedy string)) {
	arg := c.pass.TypesInfo.Types[n.Args[0]]
	if arg.Type == nil {
		return
	}
	if isPointer(arg.Type) && isUintptr(to) && !c.addressArithmetic(n) {
		at(n, "address", "an address differs from run to run", "name things by an entity or an index")
		return
	}
	if arg.Value != nil || !isFloat(arg.Type) {
		return
	}
	for t := range terms(to) {
		if b, ok := t.Underlying().(*types.Basic); ok && b.Info()&types.IsInteger != 0 {
			at(n, "floatint", "a float outside the range of "+types.TypeString(to, types.RelativeTo(c.pass.Pkg))+" converts differently on other CPUs", "use detmath."+saturating[b.Kind()])
			return
		}
	}
}

// addressArithmetic reports whether the same expression converts the uintptr back to a pointer.
func (c *checker) addressArithmetic(n ast.Node) bool {
	for p := c.parents[n]; p != nil; p = c.parents[p] {
		switch p := p.(type) {
		case *ast.BinaryExpr, *ast.ParenExpr:
		case *ast.CallExpr:
			tv := c.pass.TypesInfo.Types[p.Fun]
			return tv.IsType() && isPointer(tv.Type)
		default:
			return false
		}
	}
	return false
}

func isPointer(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Kind() == types.UnsafePointer
}

func isUintptr(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Kind() == types.Uintptr
}

// isFloat reports whether t is a float type, or a type parameter that may be one.
func isFloat(t types.Type) bool {
	for u := range terms(t) {
		if b, ok := u.Underlying().(*types.Basic); ok && b.Info()&types.IsFloat != 0 {
			return true
		}
	}
	return false
}

func isComplex(t types.Type) bool {
	for u := range terms(t) {
		if b, ok := u.Underlying().(*types.Basic); ok && b.Info()&types.IsComplex != 0 {
			return true
		}
	}
	return false
}

// terms yields the types that t may be: itself, or the type set of a type parameter.
func terms(t types.Type) func(yield func(types.Type) bool) {
	return func(yield func(types.Type) bool) {
		if t == nil {
			return
		}
		p, ok := types.Unalias(t).(*types.TypeParam)
		if !ok {
			yield(t)
			return
		}
		iface, ok := p.Constraint().Underlying().(*types.Interface)
		if !ok {
			return
		}
		termsOf(iface, yield)
	}
}

func termsOf(iface *types.Interface, yield func(types.Type) bool) bool {
	for e := range iface.EmbeddedTypes() {
		switch e := types.Unalias(e).(type) {
		case *types.Union:
			for t := range e.Terms() {
				if inner, ok := t.Type().Underlying().(*types.Interface); ok {
					if !termsOf(inner, yield) {
						return false
					}
				} else if !yield(t.Type()) {
					return false
				}
			}
		default:
			if inner, ok := e.Underlying().(*types.Interface); ok {
				if !termsOf(inner, yield) {
					return false
				}
			} else if !yield(e) {
				return false
			}
		}
	}
	return true
}

// span is a range of source.
type span struct{ pos, end token.Pos }

func (s *span) Pos() token.Pos { return s.pos }
func (s *span) End() token.Pos { return s.end }
