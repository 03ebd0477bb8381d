package analyzer

import (
	"go/ast"
	"go/constant"
	"go/types"
	"strings"
)

const addressRemedy = "print an entity or an index"

// formatAt is the index of the format among the arguments of a fmt function, which prints the arguments after it, or
// all if there is no format.
var formatAt = map[string]int{"Sprintf": 0, "Errorf": 0, "Printf": 0, "Fprintf": 1, "Appendf": 1}

// printsAt is the index of the first printed argument of the other functions.
var printsAt = map[string]int{"Sprint": 0, "Sprintln": 0, "Fprint": 1, "Fprintln": 1, "Append": 1, "Appendln": 1}

// printProblems reports addresses in text: %p, and pointers that other verbs print as numbers.
func (c *checker) printProblems(n *ast.CallExpr, at func(n ast.Node, rule, what, remedy string)) {
	id := callee(n)
	if id == nil {
		return
	}
	info := c.pass.TypesInfo
	if info.Types[n.Fun].IsBuiltin() {
		if id.Name == "print" || id.Name == "println" {
			at(n, "io", id.Name+" prints to the process's output", banShell.remedy)
		}
		return
	}
	fn, ok := info.Uses[id].(*types.Func)
	if !ok || fn.Pkg() == nil || fn.Pkg().Path() != "fmt" || fn.Signature().Recv() != nil || n.Ellipsis.IsValid() {
		return
	}
	if first, ok := printsAt[fn.Name()]; ok && len(n.Args) >= first {
		for _, arg := range n.Args[first:] {
			c.printed(arg, 'v', at)
		}
	}
	first, ok := formatAt[fn.Name()]
	if !ok || len(n.Args) <= first {
		return
	}
	format := info.Types[n.Args[first]].Value
	if format == nil || format.Kind() != constant.String {
		return
	}
	args := n.Args[first+1:]
	for _, v := range verbs(constant.StringVal(format)) {
		switch {
		case v.verb == 'p':
			at(n, "address", "%p prints an address, which differs from run to run", addressRemedy)
		case v.arg < len(args):
			c.printed(args[v.arg], v.verb, at)
		}
	}
}

// printed reports an argument that a verb prints as an address.
func (c *checker) printed(arg ast.Expr, verb byte, at func(n ast.Node, rule, what, remedy string)) {
	if verb == 'T' || verb == 's' || verb == 'q' {
		return
	}
	t := c.pass.TypesInfo.TypeOf(arg)
	if t != nil && holdsAddress(t, 0, map[types.Type]bool{}) {
		at(arg, "address", "an argument of type "+types.TypeString(t, types.RelativeTo(c.pass.Pkg))+" prints as an address, which differs from run to run", addressRemedy)
	}
}

// holdsAddress reports whether fmt prints a pointer in t as a number. At the top level, fmt prints the contents of
// &struct, &slice, &array and &map.
func holdsAddress(t types.Type, depth int, seen map[types.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	if depth == 0 && printsItself(t) {
		return false
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() == types.UnsafePointer
	case *types.Chan, *types.Signature:
		return true
	case *types.Pointer:
		if depth > 0 {
			return true
		}
		switch u.Elem().Underlying().(type) {
		case *types.Struct, *types.Array, *types.Slice, *types.Map:
			return holdsAddress(u.Elem(), 1, seen)
		}
		return true
	case *types.Struct:
		for i := range u.NumFields() {
			f := u.Field(i)
			if f.Exported() && printsItself(f.Type()) {
				continue
			}
			if holdsAddress(f.Type(), 1, seen) {
				return true
			}
		}
	case *types.Array:
		return !printsItself(u.Elem()) && holdsAddress(u.Elem(), 1, seen)
	case *types.Slice:
		return !printsItself(u.Elem()) && holdsAddress(u.Elem(), 1, seen)
	case *types.Map:
		return !printsItself(u.Elem()) && holdsAddress(u.Elem(), 1, seen) || !printsItself(u.Key()) && holdsAddress(u.Key(), 1, seen)
	}
	return false
}

// printsItself reports whether fmt lets the value format itself.
func printsItself(t types.Type) bool {
	set := types.NewMethodSet(t)
	for _, name := range []string{"Error", "String", "Format", "GoString"} {
		if set.Lookup(nil, name) != nil {
			return true
		}
	}
	return false
}

// verbAt is a verb of a format, with the index of the argument that it prints.
type verbAt struct {
	verb byte
	arg  int
}

func verbs(format string) (all []verbAt) {
	arg := 0
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		for i++; i < len(format); i++ {
			switch b := format[i]; {
			case strings.IndexByte("+-# 0.123456789", b) >= 0:
				continue
			case b == '*':
				arg++
				continue
			case b == '[':
				end := strings.IndexByte(format[i:], ']')
				if end < 0 {
					return all
				}
				n := 0
				for _, d := range []byte(format[i+1 : i+end]) {
					n = min(10*n+int(d-'0'), 1<<20)
				}
				arg, i = n-1, i+end
				continue
			case b == '%':
			default:
				all = append(all, verbAt{b, max(arg, 0)})
				arg++
			}
			break
		}
	}
	return all
}
