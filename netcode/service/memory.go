package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"go.starlark.net/starlark"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// maxMemory is how many keys memory holds.
const maxMemory = 1 << 20

// memory is what scripts remember while the process lives, across reloads. It is
// touched by whoever has the baton, so it needs no lock.
type memory struct {
	values  map[string]starlark.Value
	touched uint64 // how often it was written to, or a value that can be changed in place was handed out
}

func newMemory() *memory { return &memory{values: map[string]starlark.Value{}} }

// memoryView is memory as the scripts of one set see it: much like a dict with
// texts as keys. What is in it is not frozen. While a set is loaded, which may be
// at the same time as handlers of another one run, nobody can look into it.
type memoryView struct {
	m    *memory
	live *atomic.Bool // the set is in force, or was
}

var errLoading = errors.New("memory can be used in handlers, not while a module loads")

var memoryMethods = map[string]func(memoryView, string, starlark.Tuple, []starlark.Tuple) (starlark.Value, error){
	"get": memoryView.get, "set": memoryView.set, "setdefault": memoryView.setDefault, "pop": memoryView.pop, "add": memoryView.add, "keys": memoryView.keys,
}

func (v memoryView) String() string        { return "<memory>" }
func (v memoryView) Type() string          { return "memory" }
func (v memoryView) Freeze()               {} // by the loader, with everything else that is predeclared
func (v memoryView) Truth() starlark.Bool  { return true }
func (v memoryView) Hash() (uint32, error) { return 0, errors.New("unhashable: memory") }

// AttrNames is starlark.HasAttrs'.
func (v memoryView) AttrNames() []string {
	names := make([]string, 0, len(memoryMethods))
	for name := range memoryMethods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Attr is starlark.HasAttrs'.
func (v memoryView) Attr(name string) (starlark.Value, error) {
	method := memoryMethods[name]
	if method == nil {
		return nil, nil
	}
	return starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if !v.live.Load() {
			return nil, errLoading
		}
		return method(v, "memory."+name, args, kwargs)
	}), nil
}

// Get is memory[key], and key in memory.
func (v memoryView) Get(k starlark.Value) (starlark.Value, bool, error) {
	key, err := v.key(k)
	if err != nil {
		return nil, false, err
	}
	x, ok := v.m.get(key)
	return x, ok, nil
}

// SetKey is memory[key] = value.
func (v memoryView) SetKey(k, value starlark.Value) error {
	key, err := v.key(k)
	if err != nil {
		return err
	}
	return v.m.put(key, value)
}

func (v memoryView) key(k starlark.Value) (string, error) {
	if !v.live.Load() {
		return "", errLoading
	}
	key, ok := starlark.AsString(k)
	if !ok {
		return "", fmt.Errorf("memory: the key %s is a %s, want a text", script.Brief(k), k.Type())
	}
	return key, nil
}

// Len implements starlark.Sequence.
func (v memoryView) Len() int {
	if !v.live.Load() {
		return 0
	}
	return len(v.m.values)
}

// Iterate goes over the keys that there are now: the loop may suspend.
func (v memoryView) Iterate() starlark.Iterator {
	if !v.live.Load() {
		return starlark.NewList(nil).Iterate()
	}
	return v.m.sorted("").Iterate()
}

func (m *memory) sorted(prefix string) *starlark.List {
	var names []string
	for key := range m.values {
		if strings.HasPrefix(key, prefix) {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	list := make([]starlark.Value, len(names))
	for i, n := range names {
		list[i] = starlark.String(n)
	}
	return starlark.NewList(list)
}

func (m *memory) put(key string, value starlark.Value) error {
	switch value.(type) {
	case starlark.Callable, peer:
		return fmt.Errorf("memory keeps values: a %s would be of code that a reload replaces, or of a request that is over", value.Type())
	}
	if _, there := m.values[key]; !there && len(m.values) >= maxMemory {
		return rpc.Errorf(rpc.ResourceExhausted, "memory holds %d keys already", maxMemory)
	}
	m.values[key] = value
	m.touched++
	return nil
}

// get hands out a value; one that can be changed in place counts as changed.
func (m *memory) get(key string) (starlark.Value, bool) {
	x, ok := m.values[key]
	if ok && changeable(x) {
		m.touched++
	}
	return x, ok
}

// changeable reports whether a handler that has a value of memory can change it in place.
func changeable(v starlark.Value) bool {
	switch v := v.(type) {
	case starlark.NoneType, starlark.Bool, starlark.Int, starlark.Float, starlark.String, starlark.Bytes:
		return false
	case starlark.Tuple:
		return slices.ContainsFunc(v, changeable)
	}
	return true
}

// get is memory.get(key, default=None).
func (v memoryView) get(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var otherwise starlark.Value = starlark.None
	if err := starlark.UnpackArgs(name, args, kwargs, "key", &key, "default?", &otherwise); err != nil {
		return nil, err
	}
	if x, ok := v.m.get(key); ok {
		return x, nil
	}
	return otherwise, nil
}

// set is memory.set(key, value).
func (v memoryView) set(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var value starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "key", &key, "value", &value); err != nil {
		return nil, err
	}
	return starlark.None, v.m.put(key, value)
}

// setDefault is memory.setdefault(key, default=None): what is there, or else is now.
func (v memoryView) setDefault(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var otherwise starlark.Value = starlark.None
	if err := starlark.UnpackArgs(name, args, kwargs, "key", &key, "default?", &otherwise); err != nil {
		return nil, err
	}
	if x, ok := v.m.get(key); ok {
		return x, nil
	}
	return otherwise, v.m.put(key, otherwise)
}

// pop is memory.pop(key, default=None).
func (v memoryView) pop(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var otherwise starlark.Value = starlark.None
	if err := starlark.UnpackArgs(name, args, kwargs, "key", &key, "default?", &otherwise); err != nil {
		return nil, err
	}
	x, ok := v.m.values[key]
	if !ok {
		return otherwise, nil
	}
	delete(v.m.values, key)
	v.m.touched++
	return x, nil
}

// add is memory.add(key, n=1): the sum, of 0 when there was none.
func (v memoryView) add(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	n := starlark.MakeInt(1)
	if err := starlark.UnpackArgs(name, args, kwargs, "key", &key, "n?", &n); err != nil {
		return nil, err
	}
	was := starlark.MakeInt(0)
	if old, there := v.m.values[key]; there {
		i, ok := old.(starlark.Int)
		if !ok {
			return nil, fmt.Errorf("%s: %q is a %s", name, key, old.Type())
		}
		was = i
	}
	sum := was.Add(n)
	return sum, v.m.put(key, sum)
}

// keys is memory.keys(prefix=""), sorted.
func (v memoryView) keys(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var prefix string
	if err := starlark.UnpackArgs(name, args, kwargs, "prefix?", &prefix); err != nil {
		return nil, err
	}
	return v.m.sorted(prefix), nil
}
