package analyzer

import (
	"bytes"
	"go/ast"
	"go/constant"
	"go/printer"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// floatProblems reports products that the compiler may fuse with an addition.
//
// The Go specification allows fusing "possibly across statements", and the compiler does it: through local variables,
// through fields (a store and a load of the same place), and through calls that it inlines. Only an explicit conversion
// rounds. So the value of a product may go only where it cannot fuse: a conversion, another multiplication or division,
// a comparison, an argument of the standard library or of detmath, or a local variable that goes only into these.
func (c *checker) floatProblems(n ast.Node, yield func(problem)) {
	info := c.pass.TypesInfo
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			tv := info.Types[n]
			if tv.Value != nil || tv.Type == nil || !c.product(n.Op, n.Y) {
				break
			}
			if isComplex(tv.Type) {
				yield(problem{pos: n.Pos(), end: n.End(), rule: "fma", what: "a complex product may be fused inside", remedy: "write its parts out, each product converted"})
				break
			}
			if !isFloat(tv.Type) {
				break
			}
			if why := c.fuses(n, map[types.Object]bool{}); why != "" {
				yield(c.fused(n, n.Op, tv.Type, why))
			}
		case *ast.AssignStmt:
			op := map[token.Token]token.Token{token.MUL_ASSIGN: token.MUL, token.QUO_ASSIGN: token.QUO}[n.Tok]
			if op == 0 || !c.product(op, n.Rhs[0]) || !isFloat(info.TypeOf(n.Lhs[0])) {
				break
			}
			if why := c.stored(n.Lhs[0], map[types.Object]bool{}); why != "" {
				yield(c.fusedAssign(n, op, why))
			}
		}
		return true
	})
}

// product reports whether the operation is a multiplication, or a division that the compiler turns into one: by a
// constant power of two.
func (c *checker) product(op token.Token, divisor ast.Expr) bool {
	if op != token.QUO {
		return op == token.MUL
	}
	v := c.pass.TypesInfo.Types[divisor].Value
	if v == nil {
		return false
	}
	v = constant.ToFloat(v)
	if v.Kind() != constant.Float || constant.Sign(v) == 0 {
		return false
	}
	num, den := constant.Num(v), constant.Denom(v)
	return powerOfTwo(num) && powerOfTwo(den)
}

func powerOfTwo(v constant.Value) bool {
	if v.Kind() != constant.Int {
		return false
	}
	b := constant.Bytes(v) // of the absolute value, little-endian
	b = bytes.TrimRight(b, "\x00")
	ones := 0
	for _, x := range b {
		for ; x != 0; x &= x - 1 {
			ones++
		}
	}
	return ones == 1
}

const (
	byAddition = "may be fused with an addition, with one rounding instead of two on some CPUs"
	byInlining = "may be fused with an addition that it meets later, across statements and inlined calls"
)

// fuses says why the value of e may become part of a fused operation, or returns "" if it cannot.
func (c *checker) fuses(e ast.Expr, seen map[types.Object]bool) string {
	switch p := c.parents[e].(type) {
	case *ast.ParenExpr:
		return c.fuses(p, seen)
	case *ast.UnaryExpr:
		if p.Op == token.SUB || p.Op == token.ADD {
			return c.fuses(p, seen)
		}
		if p.Op == token.AND {
			return byInlining
		}
	case *ast.BinaryExpr:
		if p.Op == token.ADD || p.Op == token.SUB {
			return byAddition
		}
	case *ast.IncDecStmt:
		return byAddition
	case *ast.CallExpr:
		return c.passed(p, e, seen)
	case *ast.AssignStmt:
		return c.assigned(p, e, seen)
	case *ast.ValueSpec:
		for i, v := range p.Values {
			if v == e && i < len(p.Names) {
				return c.stored(p.Names[i], seen)
			}
		}
	case *ast.ReturnStmt, *ast.CompositeLit:
		return byInlining
	case *ast.KeyValueExpr:
		if p.Value == e {
			return byInlining
		}
	}
	return ""
}

// passed does what fuses does, for an argument.
func (c *checker) passed(call *ast.CallExpr, arg ast.Expr, seen map[types.Object]bool) string {
	tv := c.pass.TypesInfo.Types[call.Fun]
	switch {
	case call.Fun == arg, tv.IsType(): // a conversion rounds
		return ""
	case tv.IsBuiltin():
		if id := callee(call); id != nil {
			switch id.Name {
			case "min", "max":
				return c.fuses(call, seen)
			case "append":
				return byInlining
			}
		}
		return ""
	}
	if id := callee(call); id != nil {
		if fn, ok := c.pass.TypesInfo.Uses[id].(*types.Func); ok && fn.Pkg() != nil {
			if path := fn.Pkg().Path(); standard(path) || path == "detmath" || strings.HasSuffix(path, "/detmath") {
				return ""
			}
		}
	}
	return byInlining
}

// assigned does what fuses does, for the right side of an assignment.
func (c *checker) assigned(s *ast.AssignStmt, e ast.Expr, seen map[types.Object]bool) string {
	for i, l := range s.Lhs {
		if l != e {
			continue
		}
		// e is an assigned variable.
		if i == 0 && (s.Tok == token.ADD_ASSIGN || s.Tok == token.SUB_ASSIGN) {
			return byAddition
		}
		return ""
	}
	switch s.Tok {
	case token.ADD_ASSIGN, token.SUB_ASSIGN:
		return byAddition
	case token.ASSIGN, token.DEFINE:
		for i, r := range s.Rhs {
			if r == e && i < len(s.Lhs) {
				return c.stored(s.Lhs[i], seen)
			}
		}
	}
	return ""
}

// stored does what fuses does, for a product stored in l: safe in a local variable if every use of it is.
func (c *checker) stored(l ast.Expr, seen map[types.Object]bool) string {
	id, ok := ast.Unparen(l).(*ast.Ident)
	if !ok {
		return byInlining
	}
	if id.Name == "_" {
		return ""
	}
	info := c.pass.TypesInfo
	obj := info.Defs[id]
	if obj == nil {
		obj = info.Uses[id]
	}
	v, ok := obj.(*types.Var)
	if !ok || packageLevel(v) || c.result(v) {
		return byInlining
	}
	if seen[v] {
		return ""
	}
	seen[v] = true
	why := ""
	ast.Inspect(c.enclosing(v), func(n ast.Node) bool {
		if use, ok := n.(*ast.Ident); ok && why == "" && info.Uses[use] == v {
			why = c.fuses(use, seen)
		}
		return why == ""
	})
	return why
}

// result reports whether v is a named result.
func (c *checker) result(v *types.Var) bool {
	return v.Kind() == types.ResultVar
}

// enclosing returns the file that declares v, which contains all its uses.
func (c *checker) enclosing(v *types.Var) ast.Node {
	for _, f := range c.files {
		if f.FileStart <= v.Pos() && v.Pos() < f.FileEnd {
			return f
		}
	}
	return &ast.BadStmt{}
}

func (c *checker) fused(n *ast.BinaryExpr, op token.Token, t types.Type, why string) problem {
	name := c.typeName(t)
	p := problem{pos: n.Pos(), end: n.End(), rule: "fma", what: "this " + operation(op) + " " + why, remedy: "round it with " + name + "(…)"}
	p.fixes = []analysis.SuggestedFix{{
		Message: "convert with " + name,
		TextEdits: []analysis.TextEdit{
			{Pos: n.Pos(), End: n.Pos(), NewText: []byte(name + "(")},
			{Pos: n.End(), End: n.End(), NewText: []byte(")")},
		},
	}}
	if _, ok := c.parents[n].(*ast.ParenExpr); ok { // the parentheses are already there
		p.fixes[0].TextEdits = []analysis.TextEdit{{Pos: c.parents[n].Pos(), End: c.parents[n].Pos(), NewText: []byte(name)}}
	}
	return p
}

func (c *checker) fusedAssign(n *ast.AssignStmt, op token.Token, why string) problem {
	left, right := c.source(n.Lhs[0]), c.source(n.Rhs[0])
	if _, ok := n.Rhs[0].(*ast.BinaryExpr); ok {
		right = "(" + right + ")"
	}
	name := c.typeName(c.pass.TypesInfo.TypeOf(n.Lhs[0]))
	text := left + " = " + name + "(" + left + " " + op.String() + " " + right + ")"
	p := problem{pos: n.Pos(), end: n.End(), rule: "fma", what: "this " + operation(op) + " " + why, remedy: "write " + text}
	if !strings.Contains(left, "(") { // a call on the left would run twice
		p.fixes = []analysis.SuggestedFix{{Message: "convert with " + name, TextEdits: []analysis.TextEdit{{Pos: n.Pos(), End: n.End(), NewText: []byte(text)}}}}
	}
	return p
}

func operation(op token.Token) string {
	if op == token.QUO {
		return "division by a power of two, which the compiler turns into a multiplication,"
	}
	return "product"
}

func (c *checker) typeName(t types.Type) string {
	if b, ok := t.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
		return "float64"
	}
	return types.TypeString(t, func(p *types.Package) string {
		if p == c.pass.Pkg {
			return ""
		}
		return p.Name()
	})
}

func (c *checker) source(n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, c.pass.Fset, n); err != nil {
		return "…"
	}
	return b.String()
}
