// Package waittest helps to test packages that call servers. It provides a proxy that can fall silent and a search of the
// source for unbounded calls.
package waittest

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Methods returns the names of the types' methods whose first argument is a context: those that wait for a server.
func Methods(of ...reflect.Type) (names []string) {
	ctx := reflect.TypeFor[context.Context]()
	for _, t := range of {
		for i := range t.NumMethod() {
			m := t.Method(i)
			first := 1 // after the receiver
			if t.Kind() == reflect.Interface {
				first = 0
			}
			if m.Type.NumIn() > first && m.Type.In(first) == ctx && !slices.Contains(names, m.Name) {
				names = append(names, m.Name)
			}
		}
	}
	return names
}

// Bounded reads the package in the current directory and fails for each function that calls one of the methods but none of
// the functions named in bounds, which begin a bound of package wait. excused maps the names of functions ("Shard.raise",
// "Dial") to the reason why they are bounded anyway. Bounded also fails for an excuse that is not needed.
func Bounded(t *testing.T, methods, bounds []string, excused map[string]string) {
	t.Helper()
	set := token.NewFileSet()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	needed, found := map[string]bool{}, 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			call, bounded := look(f.Body, methods, bounds)
			if call == nil {
				continue
			}
			if found++; bounded {
				continue
			}
			name := nameOf(f)
			if needed[name] = true; excused[name] == "" {
				t.Errorf("%s: %s calls %s without a bound: begin with wait.For", set.Position(call.Pos()), name, call.Sel.Name)
			}
		}
	}
	for name := range excused {
		if !needed[name] {
			t.Errorf("%s is excused but calls nothing, or is bounded: remove the excuse", name)
		}
	}
	if found == 0 {
		t.Error("no call to a server was found: the test looks for the wrong names")
	}
}

// look returns the first call of one of the methods with a context, and whether the body begins a bound.
func look(body *ast.BlockStmt, methods, bounds []string) (call *ast.SelectorExpr, bounded bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch f := c.Fun.(type) {
		case *ast.Ident:
			bounded = bounded || slices.Contains(bounds, f.Name)
		case *ast.SelectorExpr:
			bounded = bounded || slices.Contains(bounds, f.Sel.Name)
			if slices.Contains(methods, f.Sel.Name) && call == nil && waits(c) {
				call = f
			}
		}
		return true
	})
	return call, bounded
}

// waits reports whether a call's first argument looks like a context.
func waits(c *ast.CallExpr) bool {
	if len(c.Args) == 0 {
		return false
	}
	switch a := c.Args[0].(type) {
	case *ast.Ident:
		return slices.Contains([]string{"ctx", "bounded", "asked", "granted"}, a.Name)
	case *ast.CallExpr: // context.Background()
		f, ok := a.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, ok := f.X.(*ast.Ident)
		return ok && x.Name == "context"
	case *ast.SelectorExpr:
		return a.Sel.Name == "ctx" || a.Sel.Name == "values"
	}
	return false
}

func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if x, ok := t.(*ast.IndexExpr); ok {
		t = x.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + f.Name.Name
	}
	return f.Name.Name
}
