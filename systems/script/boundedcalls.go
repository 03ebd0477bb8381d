package script

import (
	"fmt"
	"math"
	"strings"

	"go.starlark.net/starlark"
)

// costly lists the methods of Starlark's built-in types whose work depends on the value or on the arguments.
var costly = map[string]bool{
	"capitalize": true, "clear": true, "codepoint_ords": true, "count": true, "difference": true, "elem_ords": true, "elems": true, "extend": true, "find": true,
	"format": true, "index": true, "insert": true, "intersection": true, "isalnum": true, "isalpha": true, "isdigit": true, "islower": true, "isspace": true,
	"issubset": true, "issuperset": true, "istitle": true, "isupper": true, "items": true, "join": true, "keys": true, "lower": true, "lstrip": true,
	"partition": true, "pop": true, "popitem": true, "remove": true, "replace": true, "rfind": true, "rindex": true, "rpartition": true, "rsplit": true, "rstrip": true,
	"split": true, "splitlines": true, "strip": true, "symmetric_difference": true, "title": true, "union": true, "update": true, "upper": true, "values": true,
}

// receiving returns x as the receiver of a method, with costly methods of Starlark's built-in types guarded.
func receiving(x starlark.Value, name string) starlark.Value {
	switch x := x.(type) {
	case starlark.String, starlark.Bytes, *starlark.List, *starlark.Dict, *starlark.Set:
		if v, err := x.(starlark.HasAttrs).Attr(name); err == nil && v != nil {
			return guardedMethod{v.(*starlark.Builtin)}
		}
	}
	return x
}

// guardedMethod wraps a value and exposes a single method of it.
type guardedMethod struct{ *starlark.Builtin }

// Attr returns the method, guarded.
func (m guardedMethod) Attr(name string) (starlark.Value, error) {
	if name != m.Name() {
		return nil, nil
	}
	return starlark.NewBuiltin(name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
		x := m.Receiver()
		if err := methodCost(t, x, name, args, named); err != nil {
			return nil, err
		}
		v, err := m.CallInternal(t, args, named)
		if err != nil {
			return nil, err
		}
		return v, tuplesIn(v, name)
	}).BindReceiver(m.Receiver()), nil
}

// AttrNames lists the method.
func (m guardedMethod) AttrNames() []string { return []string{m.Name()} }

// tuplesIn checks tuples that a method built from its arguments.
func tuplesIn(v starlark.Value, name string) error {
	list, ok := v.(*starlark.List)
	if !ok || name != "items" {
		return tuples(v)
	}
	for i := range list.Len() {
		if err := tuples(list.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// methodCost charges for what a method does to x, and returns an error if the result would be too large.
func methodCost(t *starlark.Thread, x starlark.Value, name string, args starlark.Tuple, named []starlark.Tuple) error {
	given := 0
	for _, a := range args {
		given += wholeCost(a)
	}
	size := length(x)
	switch name {
	case "join":
		if len(args) == 1 {
			n, err := joined(size, args[0])
			if err != nil {
				return err
			}
			given += n / 16
		}
	case "replace":
		if len(args) >= 2 {
			n := 0
			old, _ := starlark.AsString(args[0])
			if times := strings.Count(string(asText(x)), old); times > 0 {
				n = size + times*length(args[1])
			}
			if err := room(name, n, 16); err != nil {
				return err
			}
			given += n / 16
		}
	case "format":
		n := 0
		for _, a := range args {
			p, err := parts(a)
			if err != nil {
				return err
			}
			n += p
		}
		for _, kv := range named {
			p, err := parts(kv[1])
			if err != nil {
				return err
			}
			n += p
		}
		n = size + n*(1+strings.Count(string(asText(x)), "{"))
		if err := room(name, n, 16); err != nil {
			return err
		}
		given += n / 16
	case "extend", "update", "union":
		for _, a := range args {
			if err := room(name, size+length(a), 1); err != nil {
				return err
			}
		}
	case "index", "remove", "count":
		if len(args) > 0 {
			if err := sought(t, args[0], x); err != nil {
				return err
			}
		}
		return spend(t, given)
	case "insert", "pop": // they shift the elements that follow
		if _, ok := x.(*starlark.List); ok {
			return spend(t, size/16)
		}
		return nil
	}
	return spend(t, given+wholeCost(x))
}

func asText(x starlark.Value) starlark.String {
	s, _ := x.(starlark.String)
	return s
}

// joined returns the length of the text that join makes.
func joined(between int, of starlark.Value) (n int, err error) {
	list, ok := of.(starlark.Iterable)
	if !ok {
		return 0, nil
	}
	for v := range starlark.Elements(list) {
		if n += between + length(v); n > maxBytes {
			return n, room("join", n, 16)
		}
	}
	return n, nil
}

// guardedBuiltin wraps one of Starlark's builtins so that it charges for its work.
func guardedBuiltin(f *starlark.Builtin) *starlark.Builtin {
	name := f.Name()
	return starlark.NewBuiltin(name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
		if name == "getattr" && len(args) >= 2 {
			if of, ok := starlark.AsString(args[1]); ok && costly[of] {
				args = append(starlark.Tuple{receiving(args[0], of)}, args[1:]...)
			}
			return f.CallInternal(t, args, named)
		}
		if err := builtinCost(t, name, args); err != nil {
			return nil, err
		}
		v, err := f.CallInternal(t, args, named)
		if err != nil {
			return nil, err
		}
		if name == "zip" || name == "enumerate" {
			return v, tuplesIn(v, "items")
		}
		return v, tuples(v)
	})
}

// builtinCost charges for what one of Starlark's builtins does with its arguments.
func builtinCost(t *starlark.Thread, name string, args starlark.Tuple) error {
	cost := 0
	switch name {
	case "fail", "print", "repr", "str":
		for _, a := range args {
			n, err := parts(a)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			cost += n / 16
		}
	case "int":
		if len(args) > 0 {
			if s, ok := starlark.AsString(args[0]); ok && len(s) > maxBits {
				return fmt.Errorf("int: a text of %d bytes makes an integer of more than %d bits", len(s), maxBits)
			}
		}
	case "max", "min", "sorted", "hash", "set", "dict":
		for _, a := range args {
			n, err := elementParts(a)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			cost += n / 16
		}
		fallthrough
	default:
		for _, a := range args {
			n := wholeCost(a)
			if name != "all" && name != "any" && name != "max" && name != "min" {
				if err := room(name, n, 1); err != nil {
					return err
				}
			}
			if name == "sorted" || name == "zip" || name == "enumerate" {
				n *= 4
			}
			cost += n
		}
	}
	return spend(t, min(cost, math.MaxInt32))
}

// elementParts returns the total size of the elements of a list or tuple, without the simple ones.
func elementParts(v starlark.Value) (n int, err error) {
	switch v.(type) {
	case *starlark.List, starlark.Tuple:
	default:
		return 0, nil
	}
	list := v.(starlark.Indexable)
	for i := range list.Len() {
		if x := list.Index(i); !simple(x) {
			p, err := parts(x)
			if err != nil {
				return n, err
			}
			if n += p; n > maxBytes {
				return n, fmt.Errorf("a %s is too large to compare", v.Type())
			}
		}
	}
	return n, nil
}
