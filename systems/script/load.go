package script

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/ferris1/wind/ecs"
)

// dialect is Starlark without recursion, with while loops, sets, and control flow at top level.
var dialect = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true}

// unit is one module while it is loading.
type unit struct {
	Module
	file    *syntax.File
	loads   []*syntax.LoadStmt
	globals starlark.StringDict
	state   int // of the walk that orders the modules
}

// loader loads one set.
type loader struct {
	o     Options
	units map[string]*unit
	names []string
	order []*unit // each module comes after those that it loads
	lines Lines
}

// Load compiles and runs all modules in the order of their names, but each after those that it loads. An error names
// file, line and column, and discards everything. Panics of the interpreter become errors too.
func Load(modules []Module, o Options) (s *Set, err error) {
	modules, err = sorted(modules)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("script: loading panics: %v", r)
		}
	}()
	if o.StepBudget == 0 {
		o.StepBudget = DefaultLoadBudget
	}
	l := &loader{o: o, units: map[string]*unit{}}
	for _, m := range modules {
		l.units[m.Name], l.names = &unit{Module: m}, append(l.names, m.Name)
	}
	if err := l.load(); err != nil {
		return nil, err
	}
	s = &Set{modules: modules, loaded: l.units, prints: l.prints()}
	for _, r := range o.Rules {
		if err := r.check(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (l *loader) load() error {
	for _, name := range l.names {
		if err := l.parse(l.units[name]); err != nil {
			return err
		}
	}
	for _, name := range l.names {
		if err := l.visit(l.units[name], nil); err != nil {
			return err
		}
	}
	l.o.Predeclared.Freeze()
	var used uint64
	for _, u := range l.order {
		n, err := l.run(u, l.o.StepBudget-used)
		if err != nil {
			return err
		}
		used += n
	}
	return nil
}

func (l *loader) parse(u *unit) error {
	f, err := dialect.Parse(u.Name, u.Source, 0)
	if bad := (syntax.Error{}); errors.As(err, &bad) {
		return syntaxError(bad, u.Source)
	} else if err != nil {
		return errorOf(err, nil)
	}
	u.file = f
	for _, s := range f.Stmts {
		if load, ok := s.(*syntax.LoadStmt); ok {
			u.loads = append(u.loads, load)
		}
	}
	return nil
}

// visit orders u after the modules that it loads. path is how the walk got here.
func (l *loader) visit(u *unit, path []string) error {
	const begun, done = 1, 2
	if u.state == done {
		return nil
	}
	u.state = begun
	path = append(path, u.Name)
	for _, s := range u.loads {
		of := l.units[s.ModuleName()]
		switch {
		case of == nil:
			return errorAt(s.Module.TokenPos, "no module %q%s", s.ModuleName(), meant(s.ModuleName(), l.names))
		case of.state == begun:
			at := slices.Index(path, of.Name)
			return errorAt(s.Module.TokenPos, "modules load each other: %s", strings.Join(append(path[at:], of.Name), ", "))
		}
		if err := l.visit(of, path); err != nil {
			return err
		}
	}
	u.state = done
	l.order = append(l.order, u)
	return nil
}

// run compiles a module, runs its top level, and returns the steps that this took.
func (l *loader) run(u *unit, budget uint64) (steps uint64, err error) {
	known := func() []string { return l.known(u) }
	if err := resolve.File(u.file, l.o.Predeclared.Has, starlark.Universe.Has); err != nil {
		return 0, errorOf(err, known)
	}
	if l.o.inspect != nil {
		if err := l.o.inspect(u.file); err != nil {
			return 0, err
		}
	}
	names := predeclaredWith(l.o.Predeclared)
	compiled, err := guardFile(u.Module)
	if err != nil {
		return 0, errorOf(err, known)
	}
	program, err := starlark.FileProgram(compiled, names.Has)
	if err != nil {
		return 0, errorOf(err, known)
	}
	thread := &starlark.Thread{
		Name: u.Name,
		Load: func(_ *starlark.Thread, name string) (starlark.StringDict, error) { return l.units[name].globals, nil },
		Print: func(_ *starlark.Thread, text string) {
			if l.o.Print == nil {
				return
			}
			if text, ok := l.lines.Next(text); ok {
				l.o.Print(u.Name, text)
			}
		},
	}
	spent := limit(thread, budget)
	u.globals, err = program.Init(thread, names)
	u.globals.Freeze()
	if spent.spent {
		e := evalErrorOf(err)
		e.In, e.Budget = "", true
		e.Text = fmt.Sprintf("loading used more than %d steps", l.o.StepBudget)
		return 0, e
	}
	if err != nil {
		return 0, errorOf(err, known)
	}
	return thread.ExecutionSteps(), nil
}

// known returns the names that a module can use, sorted.
func (l *loader) known(u *unit) []string {
	set := map[string]bool{}
	for _, d := range []starlark.StringDict{starlark.Universe, l.o.Predeclared} {
		for _, name := range d.Keys() {
			set[name] = true
		}
	}
	for name := range bound(u.file) { //windvet:allow into a map
		set[name] = true
	}
	return sortedKeys(set)
}

// bound returns the names that a file binds anywhere: by def, load, =, for, and as parameters.
func bound(f *syntax.File) map[string]bool {
	names := map[string]bool{}
	add := func(e syntax.Expr) {
		syntax.Walk(e, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.Ident:
				names[n.Name] = true
			case *syntax.DotExpr, *syntax.IndexExpr, *syntax.SliceExpr:
				return false
			case *syntax.BinaryExpr: // default value of a parameter
				if id, ok := n.X.(*syntax.Ident); ok {
					names[id.Name] = true
				}
				return false
			}
			return true
		})
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			names[n.Name.Name] = true
			for _, p := range n.Params {
				add(p)
			}
		case *syntax.LambdaExpr:
			for _, p := range n.Params {
				add(p)
			}
		case *syntax.LoadStmt:
			for _, id := range n.To {
				names[id.Name] = true
			}
		case *syntax.AssignStmt:
			add(n.LHS)
		case *syntax.ForStmt:
			add(n.Vars)
		case *syntax.ForClause:
			add(n.Vars)
		}
		return true
	})
	return names
}

func meant(name string, names []string) string {
	if n := ecs.Nearest(name, names); n != "" {
		return fmt.Sprintf(" (did you mean %s?)", n)
	}
	return ""
}
