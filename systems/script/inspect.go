package script

import (
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/syntax"

	"github.com/ferris1/wind/ecs"
)

// inspector checks, before a module runs, the names of the world's types that it contains as literals. Names that a
// script computes fail when they are used.
type inspector struct {
	schema    *ecs.Schema
	functions []string // that the world calls, sorted
}

func (i *inspector) file(f *syntax.File) (err error) {
	for _, s := range f.Stmts {
		if d, ok := s.(*syntax.DefStmt); ok && err == nil {
			err = i.function(d.Name)
		}
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.CallExpr); ok && err == nil {
			err = i.call(c)
		}
		return err == nil
	})
	return err
}

// function rejects a system or handler that nothing calls.
func (i *inspector) function(id *syntax.Ident) error {
	what := "no system calls"
	if strings.HasPrefix(id.Name, "handle_") {
		what = "no command is handled by"
	} else if !strings.HasPrefix(id.Name, "system_") {
		return nil
	}
	for _, name := range i.functions {
		if name == id.Name {
			return nil
		}
	}
	return errorAt(id.NamePos, "%s %s%s", what, id.Name, meant(id.Name, i.functions))
}

// call checks the literals in one call.
func (i *inspector) call(c *syntax.CallExpr) error {
	switch fn := c.Fn.(type) {
	case *syntax.Ident:
		if b, ok := fn.Binding.(*resolve.Binding); ok && b.Scope == resolve.Predeclared {
			return i.builtin(fn.Name, c.Args)
		}
	case *syntax.DotExpr:
		return i.method(fn.Name.Name, c.Args)
	}
	return nil
}

func (i *inspector) builtin(name string, args []syntax.Expr) error {
	switch name {
	case "query":
		for _, a := range args {
			if err := i.queryArgument(a); err != nil {
				return err
			}
		}
	case "spawn":
		if d, ok := first(args).(*syntax.DictExpr); ok {
			for _, e := range d.List {
				if err := i.bundle(e.(*syntax.DictEntry)); err != nil {
					return err
				}
			}
		}
	case "resource":
		return i.name(i.schema.Resources, "resource", first(args))
	case "emit":
		if err := i.name(i.schema.Events, "event", first(args)); err != nil || len(args) < 2 {
			return err
		}
		return i.fields(i.schema.Events, args[0], args[1])
	}
	return nil
}

func first(args []syntax.Expr) syntax.Expr {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}

// queryArgument checks a name, without=[names] or where=conditions.
func (i *inspector) queryArgument(a syntax.Expr) error {
	named, ok := a.(*syntax.BinaryExpr)
	if !ok || named.Op != syntax.EQ {
		return i.name(i.schema.Components, "component", a)
	}
	switch id, _ := named.X.(*syntax.Ident); {
	case id == nil:
	case id.Name == "without":
		for _, e := range elements(named.Y) {
			if err := i.name(i.schema.Components, "component", e); err != nil {
				return err
			}
		}
	case id.Name == "where":
		conditions := []syntax.Expr{named.Y}
		if list, ok := named.Y.(*syntax.ListExpr); ok {
			conditions = list.List
		}
		for _, c := range conditions {
			if err := i.path(first(elements(c))); err != nil {
				return err
			}
		}
	}
	return nil
}

// elements returns the elements of a literal list or tuple.
func elements(e syntax.Expr) []syntax.Expr {
	switch e := e.(type) {
	case *syntax.ParenExpr:
		return elements(e.X)
	case *syntax.ListExpr:
		return e.List
	case *syntax.TupleExpr:
		return e.List
	}
	return nil
}

// bundle checks "component": {fields}.
func (i *inspector) bundle(e *syntax.DictEntry) error {
	if err := i.name(i.schema.Components, "component", e.Key); err != nil {
		return err
	}
	return i.fields(i.schema.Components, e.Key, e.Value)
}

// fields checks the keys of a literal dictionary of a type's fields.
func (i *inspector) fields(types []ecs.Type, name, value syntax.Expr) error {
	text, _, ok := literal(name)
	d, isDict := value.(*syntax.DictExpr)
	if !ok || !isDict {
		return nil
	}
	id, err := find(types, "", text)
	if err != nil {
		return nil
	}
	for _, e := range d.List {
		key, pos, ok := literal(e.(*syntax.DictEntry).Key)
		if !ok || types[id].Inside(key) {
			continue
		}
		if _, err := types[id].Find(key); err != nil {
			return errorAt(pos, "%s", err)
		}
	}
	return nil
}

// method checks the paths that methods of queries and entities take. Where other values have a method of the same name,
// the form of the argument decides.
func (i *inspector) method(name string, args []syntax.Expr) error {
	switch name {
	case "sum", "min", "max", "mul", "where":
		return i.path(first(args))
	case "add", "set":
		if len(args) > 1 {
			return i.dotted(args[0])
		}
	case "copy", "integrate":
		if len(args) > 1 {
			if err := i.path(args[0]); err != nil {
				return err
			}
			return i.path(args[1])
		}
	case "has", "remove", "put":
		if text, _, ok := literal(first(args)); ok && name == "put" && text != "" {
			return i.name(i.schema.Components, "component", args[0])
		}
	}
	return nil
}

// dotted is path for a literal that contains a dot: resources have methods of the same names, with undotted fields.
func (i *inspector) dotted(e syntax.Expr) error {
	text, _, ok := literal(e)
	name, _, dot := strings.Cut(text, ".")
	if !ok || !dot || !i.component(text) && ecs.Nearest(name, i.names()) == "" {
		return nil // a field in a part of a resource
	}
	return i.path(e)
}

func (i *inspector) component(path string) bool {
	for k := range i.schema.Components {
		if strings.HasPrefix(path, i.schema.Components[k].Name+".") {
			return true
		}
	}
	return false
}

func (i *inspector) names() (names []string) {
	for k := range i.schema.Components {
		names = append(names, i.schema.Components[k].Name)
	}
	return names
}

// path checks a literal component.field.
func (i *inspector) path(e syntax.Expr) error {
	text, pos, ok := literal(e)
	if !ok {
		return nil
	}
	if _, err := findPlace(i.schema, text); err != nil {
		return errorAt(pos, "%s", err)
	}
	return nil
}

// name checks a literal name of a type.
func (i *inspector) name(types []ecs.Type, what string, e syntax.Expr) error {
	text, pos, ok := literal(e)
	if !ok {
		return nil
	}
	if _, err := find(types, what, text); err != nil {
		return errorAt(pos, "%s", err)
	}
	return nil
}

// literal returns the text of a literal string.
func literal(e syntax.Expr) (text string, pos syntax.Position, ok bool) {
	l, ok := e.(*syntax.Literal)
	if !ok {
		return "", pos, false
	}
	text, ok = l.Value.(string)
	return text, l.TokenPos, ok && l.Token == syntax.STRING
}
