package analyzer

import "go/types"

// nameOf returns the name of obj as source code writes it: pkg.Func, pkg.Type.Method, pkg.Var.
func nameOf(obj types.Object) string {
	name := localName(obj)
	if obj.Pkg() != nil {
		name = obj.Pkg().Name() + "." + name
	}
	return name
}

// localName is nameOf within obj's package.
func localName(obj types.Object) string {
	if fn, ok := obj.(*types.Func); ok {
		if recv := receiverType(fn); recv != nil {
			return recv.Obj().Name() + "." + fn.Name()
		}
	}
	return obj.Name()
}

// receiverType returns the named type that a method belongs to, which may be an interface; nil for a function.
func receiverType(fn *types.Func) *types.Named {
	recv := fn.Signature().Recv()
	if recv == nil {
		return nil
	}
	named, _ := types.Unalias(pointee(recv.Type())).(*types.Named)
	return named
}

// pointee returns the type that t points to, or t.
func pointee(t types.Type) types.Type {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}
