package script

import (
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// The interpreter counts its instructions, but not what one of them builds: [0] * 1000000000 is a single step, and no
// hook runs before an operator. So the host compiles a rewritten module: operators, comparisons, slices and methods
// whose cost depends on their operands become calls of builtins (bounds.go) under names that no script can write. The
// builtins look at the operands, charge the work as steps, and do what the operator does. Names are resolved, and load
// errors reported, against the modules as written.

// guarded is the dialect of rewritten modules: they reassign a name where the script has +=.
var guarded = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true}

// guardFile parses a module again and inserts guards.
func guardFile(m Module) (*syntax.File, error) {
	f, err := guarded.Parse(m.Name, m.Source, 0)
	if err != nil {
		return nil, err
	}
	f.Stmts = (&guard{floats: map[syntax.Expr]bool{}}).stmts(f.Stmts)
	return f, nil
}

// guard rewrites a module.
type guard struct {
	packed []string             // names of *args of the enclosing lambdas
	floats map[syntax.Expr]bool // operators whose result is a float if they succeed
}

func (g *guard) stmts(list []syntax.Stmt) (out []syntax.Stmt) {
	for _, s := range list {
		out = append(out, g.stmt(s)...)
	}
	return out
}

func (g *guard) stmt(s syntax.Stmt) []syntax.Stmt {
	switch s := s.(type) {
	case *syntax.AssignStmt:
		return g.assign(s)
	case *syntax.DefStmt:
		g.params(s.Params)
		s.Body = g.stmts(s.Body)
		if id := packedArgs(s.Params); id != nil {
			s.Body = append([]syntax.Stmt{assigned(id, callOf(id.NamePos, checkTuple, ident(id)))}, s.Body...)
		}
	case *syntax.ExprStmt:
		s.X = g.expr(s.X)
	case *syntax.ForStmt:
		s.Vars, s.X, s.Body = g.target(s.Vars), g.expr(s.X), g.stmts(s.Body)
	case *syntax.WhileStmt:
		s.Cond, s.Body = g.expr(s.Cond), g.stmts(s.Body)
	case *syntax.IfStmt:
		s.Cond, s.True, s.False = g.expr(s.Cond), g.stmts(s.True), g.stmts(s.False)
	case *syntax.ReturnStmt:
		if s.Result != nil {
			s.Result = g.expr(s.Result)
		}
	}
	return []syntax.Stmt{s}
}

// augmented maps the op of x op= y to op.
var augmented = map[syntax.Token]syntax.Token{
	syntax.PLUS_EQ: syntax.PLUS, syntax.MINUS_EQ: syntax.MINUS, syntax.STAR_EQ: syntax.STAR, syntax.PERCENT_EQ: syntax.PERCENT,
	syntax.AMP_EQ: syntax.AMP, syntax.PIPE_EQ: syntax.PIPE, syntax.CIRCUMFLEX_EQ: syntax.CIRCUMFLEX, syntax.LTLT_EQ: syntax.LTLT,
}

// assign turns x op= y into x = x op y. It evaluates the parts of x once.
func (g *guard) assign(s *syntax.AssignStmt) (out []syntax.Stmt) {
	op, ok := augmented[s.Op]
	if !ok {
		s.LHS, s.RHS = g.target(s.LHS), g.assigned(s)
		return []syntax.Stmt{s}
	}
	keep := func(name string, x syntax.Expr) *syntax.Ident {
		id := &syntax.Ident{NamePos: syntax.Start(x), Name: name}
		out = append(out, assigned(id, g.expr(x)))
		return id
	}
	name := opName(op)
	switch op {
	case syntax.PLUS, syntax.PIPE: // they change a list or a dict in place
		name += "="
	}
	var read, write syntax.Expr
	switch lhs := unparen(s.LHS).(type) {
	case *syntax.IndexExpr:
		x, y := keep("«x»", lhs.X), keep("«y»", lhs.Y)
		read = &syntax.IndexExpr{X: ident(x), Lbrack: lhs.Lbrack, Y: ident(y), Rbrack: lhs.Rbrack}
		write = &syntax.IndexExpr{X: ident(x), Lbrack: lhs.Lbrack, Y: ident(y), Rbrack: lhs.Rbrack}
	case *syntax.DotExpr:
		x := keep("«x»", lhs.X)
		read = &syntax.DotExpr{X: ident(x), Dot: lhs.Dot, NamePos: lhs.NamePos, Name: ident(lhs.Name)}
		write = &syntax.DotExpr{X: ident(x), Dot: lhs.Dot, NamePos: lhs.NamePos, Name: ident(lhs.Name)}
	case *syntax.Ident:
		read, write = ident(lhs), lhs
	default:
		return []syntax.Stmt{s} // the resolver has rejected it
	}
	cheap := (op == syntax.PLUS || op == syntax.MINUS) && plainNumber(s.RHS)
	y := g.expr(s.RHS)
	value := callOf(s.OpPos, name, read, y)
	if cheap || op != syntax.PERCENT && g.float(y) {
		value = &syntax.BinaryExpr{X: read, OpPos: s.OpPos, Op: op, Y: y}
	}
	return append(out, &syntax.AssignStmt{OpPos: s.OpPos, Op: syntax.EQ, LHS: write, RHS: value})
}

// assigned guards the right side of an assignment. A tuple that the left side takes apart is not checked: it ends there.
func (g *guard) assigned(s *syntax.AssignStmt) syntax.Expr {
	if t, ok := unparen(s.RHS).(*syntax.TupleExpr); ok {
		switch unparen(s.LHS).(type) {
		case *syntax.TupleExpr, *syntax.ListExpr:
			g.exprs(t.List)
			return t
		}
	}
	return g.expr(s.RHS)
}

// target guards the target of an assignment: its parts are evaluated, the target itself is not.
func (g *guard) target(e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case *syntax.IndexExpr:
		e.X, e.Y = g.expr(e.X), g.expr(e.Y)
	case *syntax.DotExpr:
		e.X = g.expr(e.X)
	case *syntax.ParenExpr:
		e.X = g.target(e.X)
	case *syntax.TupleExpr:
		for i := range e.List {
			e.List[i] = g.target(e.List[i])
		}
	case *syntax.ListExpr:
		for i := range e.List {
			e.List[i] = g.target(e.List[i])
		}
	}
	return e
}

// params guards the default values of parameters.
func (g *guard) params(list []syntax.Expr) {
	for _, p := range list {
		if b, ok := p.(*syntax.BinaryExpr); ok {
			b.Y = g.expr(b.Y)
		}
	}
}

// packedArgs returns the name of the *args among parameters, or nil.
func packedArgs(params []syntax.Expr) *syntax.Ident {
	for _, p := range params {
		if u, ok := p.(*syntax.UnaryExpr); ok && u.Op == syntax.STAR && u.X != nil {
			return u.X.(*syntax.Ident)
		}
	}
	return nil
}

func (g *guard) exprs(list []syntax.Expr) {
	for i := range list {
		list[i] = g.expr(list[i])
	}
}

// expr guards an expression.
func (g *guard) expr(e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case nil:
		return nil
	case *syntax.Ident:
		for _, name := range g.packed {
			if name == e.Name {
				return callOf(e.NamePos, checkTuple, e)
			}
		}
	case *syntax.BinaryExpr:
		return g.binary(e)
	case *syntax.UnaryExpr:
		e.X = g.expr(e.X)
	case *syntax.ParenExpr:
		e.X = g.expr(e.X)
	case *syntax.CallExpr:
		e.Fn = g.expr(e.Fn)
		for i, a := range e.Args {
			e.Args[i] = g.argument(a)
		}
	case *syntax.DotExpr:
		e.X = g.expr(e.X)
		if costly[e.Name.Name] {
			e.X = callOf(e.Dot, guardReceiver, e.X, &syntax.Literal{Token: syntax.STRING, TokenPos: e.NamePos, Raw: `"` + e.Name.Name + `"`, Value: e.Name.Name})
		}
	case *syntax.SliceExpr:
		e.X = callOf(syntax.Start(e.X), guardWhole, g.expr(e.X))
		e.Lo, e.Hi, e.Step = g.expr(e.Lo), g.expr(e.Hi), g.expr(e.Step)
	default:
		g.compound(e)
	}
	if t, ok := e.(*syntax.TupleExpr); ok && slices.ContainsFunc(t.List, func(x syntax.Expr) bool { return !scalar(x) && !g.float(x) }) {
		return callOf(syntax.Start(t), checkTuple, t)
	}
	return e
}

// compound guards the parts of a display, a comprehension, a condition or a lambda.
func (g *guard) compound(e syntax.Expr) {
	switch e := e.(type) {
	case *syntax.IndexExpr:
		e.X, e.Y = g.expr(e.X), g.expr(e.Y)
	case *syntax.ListExpr:
		g.exprs(e.List)
	case *syntax.TupleExpr:
		g.exprs(e.List)
	case *syntax.DictExpr:
		for _, x := range e.List {
			entry := x.(*syntax.DictEntry)
			entry.Key, entry.Value = g.expr(entry.Key), g.expr(entry.Value)
		}
	case *syntax.Comprehension:
		for _, c := range e.Clauses {
			switch c := c.(type) {
			case *syntax.ForClause:
				c.Vars, c.X = g.target(c.Vars), g.expr(c.X)
			case *syntax.IfClause:
				c.Cond = g.expr(c.Cond)
			}
		}
		if entry, ok := e.Body.(*syntax.DictEntry); ok {
			entry.Key, entry.Value = g.expr(entry.Key), g.expr(entry.Value)
		} else {
			e.Body = g.expr(e.Body)
		}
	case *syntax.CondExpr:
		e.Cond, e.True, e.False = g.expr(e.Cond), g.expr(e.True), g.expr(e.False)
	case *syntax.LambdaExpr:
		g.params(e.Params)
		outer := g.packed
		if id := packedArgs(e.Params); id != nil {
			g.packed = append(g.packed[:len(g.packed):len(g.packed)], id.Name)
		}
		e.Body = g.expr(e.Body)
		g.packed = outer
	}
}

// argument guards an argument of a call: x, name = x, *x and **x.
func (g *guard) argument(a syntax.Expr) syntax.Expr {
	switch a := a.(type) {
	case *syntax.BinaryExpr:
		if a.Op == syntax.EQ {
			a.Y = g.expr(a.Y)
			return a
		}
	case *syntax.UnaryExpr:
		if a.Op == syntax.STAR || a.Op == syntax.STARSTAR {
			a.X = callOf(a.OpPos, guardWhole, g.expr(a.X))
			return a
		}
	}
	return g.expr(a)
}

// binary guards an operator, unless one side is a literal that makes it cheap.
func (g *guard) binary(e *syntax.BinaryExpr) syntax.Expr {
	x, y := scalar(e.X), scalar(e.Y)
	cheap := false
	switch e.Op {
	case syntax.AND, syntax.OR, syntax.SLASH, syntax.SLASHSLASH, syntax.GTGT:
		cheap = true
	case syntax.PLUS, syntax.MINUS:
		cheap = plainNumber(e.X) || plainNumber(e.Y) || x && y
	case syntax.EQL, syntax.NEQ, syntax.LT, syntax.LE, syntax.GT, syntax.GE:
		cheap = x || y
	case syntax.IN, syntax.NOT_IN:
		cheap = y
	default:
		cheap = x && y && e.Op != syntax.STAR && e.Op != syntax.LTLT
	}
	if t, ok := e.Y.(*syntax.ParenExpr); ok && e.Op == syntax.PERCENT {
		if t, ok := t.X.(*syntax.TupleExpr); ok { // the tuple does not outlive the text
			g.exprs(t.List)
			return callOf(e.OpPos, opName(e.Op), g.expr(e.X), t)
		}
	}
	e.X, e.Y = g.expr(e.X), g.expr(e.Y)
	if g.withFloat(e) || cheap {
		return e
	}
	return callOf(e.OpPos, opName(e.Op), e.X, e.Y)
}

// withFloat reports whether an operator has an operand that is certainly a float, which makes every operator cheap but a
// text's %: no text, list or tuple accepts a float. It notes the operator if its result is a float, too.
func (g *guard) withFloat(e *syntax.BinaryExpr) bool {
	x, y := g.float(e.X), g.float(e.Y)
	switch e.Op {
	case syntax.PLUS, syntax.MINUS, syntax.STAR, syntax.SLASHSLASH:
		g.floats[e] = x || y
	case syntax.PERCENT:
		g.floats[e] = x
		return x
	case syntax.SLASH:
		g.floats[e] = true
	case syntax.IN, syntax.NOT_IN:
		return false
	}
	return x || y
}

// float reports whether a guarded expression is certainly a float, if its evaluation succeeds.
func (g *guard) float(e syntax.Expr) bool {
	switch e := e.(type) {
	case *syntax.Literal:
		return e.Token == syntax.FLOAT
	case *syntax.ParenExpr:
		return g.float(e.X)
	case *syntax.UnaryExpr:
		return (e.Op == syntax.MINUS || e.Op == syntax.PLUS) && g.float(e.X)
	}
	return g.floats[e]
}

// scalar reports whether an expression is a number, a text, None, True or False.
func scalar(e syntax.Expr) bool {
	switch e := e.(type) {
	case *syntax.Literal:
		return true
	case *syntax.Ident:
		return e.Name == "None" || e.Name == "True" || e.Name == "False"
	}
	return false
}

// plainNumber reports whether an expression is a number of ordinary size.
func plainNumber(e syntax.Expr) bool {
	l, ok := e.(*syntax.Literal)
	return ok && (l.Token == syntax.FLOAT || l.Token == syntax.INT && len(l.Raw) < 20)
}

// unparen returns an expression without its outer parentheses.
func unparen(e syntax.Expr) syntax.Expr {
	for {
		p, ok := e.(*syntax.ParenExpr)
		if !ok {
			return e
		}
		e = p.X
	}
}

func opName(op syntax.Token) string { return "«" + op.String() + "»" }

func ident(of *syntax.Ident) *syntax.Ident { return &syntax.Ident{NamePos: of.NamePos, Name: of.Name} }

func assigned(id *syntax.Ident, to syntax.Expr) syntax.Stmt {
	return &syntax.AssignStmt{OpPos: id.NamePos, Op: syntax.EQ, LHS: ident(id), RHS: to}
}

func callOf(at syntax.Position, name string, args ...syntax.Expr) syntax.Expr {
	return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: at, Name: name}, Lparen: at, Args: args, Rparen: at}
}

// predeclaredWith returns the names a module may use, including the guards that replace some of Starlark's builtins.
func predeclaredWith(host starlark.StringDict) starlark.StringDict {
	all := make(starlark.StringDict, len(guards)+len(host))
	for name, v := range guards { //windvet:allow into a map
		all[name] = v
	}
	for name, v := range host { //windvet:allow into a map
		all[name] = v
	}
	return all
}
