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

// maxMemory is the largest number of keys in memory.
const maxMemory = 1 << 20

// memory is what scripts remember across reloads, as long as the process lives. Only the holder of the baton touches it,
// so it needs no lock.
type memory struct {
	values  map[string]starlark.Value
	touched uint64 // how often a key was written or a mutable value handed out
}

func newMemory() *memory { return &memory{values: map[string]starlark.Value{}} }

// memoryView is memory as the scripts of one set see it: like a dict with strings as keys. Its values are not frozen.
// While a set is loading, perhaps as handlers of another set run, its view gives no access to memory.
type memoryView struct {
	m    *memory
	live *atomic.Bool // the set is or was in force
}

var errLoading = errors.New("memory can be used in handlers, not while a module loads")

var memoryMethods = map[string]func(memoryView, string, starlark.Tuple, []starlark.Tuple) (starlark.Value, error){
	"get": memoryView.get, "set": memoryView.set, "setdefault": memoryView.setDefault, "pop": memoryView.pop, "add": memoryView.add, "keys": memoryView.keys,
}

func (v memoryView) String() string        { return "<memory>" }
func (v memoryView) Type() string          { return "memory" }
func (v memoryView) Freeze()               {} // called by the loader, as for everything predeclared
func (v memoryView) Truth() starlark.Bool  { return true }
func (v memoryView) Hash() (uint32, error) { return 0, errors.New("unhashable: memory") }

// AttrNames implements starlark.HasAttrs.
func (v memoryView) AttrNames() []string {
	names := make([]string, 0, len(memoryMethods))
	for name := range memoryMethods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Attr implements starlark.HasAttrs.
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

// Get implements memory[key], and key in memory.
func (v memoryView) Get(k starlark.Value) (starlark.Value, bool, error) {
	key, err := v.key(k)
	if err != nil {
		return nil, false, err
	}
	x, ok := v.m.get(key)
	return x, ok, nil
}

// SetKey implements memory[key] = value.
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
		return "", fmt.Errorf("memory: the key %s is a %s, want a string", script.Brief(k), k.Type())
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

// Iterate iterates over a copy of the keys, because the loop may suspend.
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
		return fmt.Errorf("memory keeps values: a %s would belong to code that a reload replaces, or to a request that is over", value.Type())
	}
	if _, there := m.values[key]; !there && len(m.values) >= maxMemory {
		return rpc.Errorf(rpc.ResourceExhausted, "memory already holds %d keys", maxMemory)
	}
	m.values[key] = value
	m.touched++
	return nil
}

// get returns a value. A mutable value counts as changed.
func (m *memory) get(key string) (starlark.Value, bool) {
	x, ok := m.values[key]
	if ok && changeable(x) {
		m.touched++
	}
	return x, ok
}

// changeable reports whether a handler can change a value of memory in place.
func changeable(v starlark.Value) bool {
	switch v := v.(type) {
	case starlark.NoneType, starlark.Bool, starlark.Int, starlark.Float, starlark.String, starlark.Bytes:
		return false
	case starlark.Tuple:
		return slices.ContainsFunc(v, changeable)
	}
	return true
}

// get implements memory.get(key, default=None).
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

// set implements memory.set(key, value).
func (v memoryView) set(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var value starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "key", &key, "value", &value); err != nil {
		return nil, err
	}
	return starlark.None, v.m.put(key, value)
}

// setDefault implements memory.setdefault(key, default=None): it returns the value, after storing the default if the key
// is new.
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

// pop implements memory.pop(key, default=None).
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

// add implements memory.add(key, n=1): it adds n and returns the sum. A new key starts at 0.
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

// keys implements memory.keys(prefix=""), which returns them sorted.
func (v memoryView) keys(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var prefix string
	if err := starlark.UnpackArgs(name, args, kwargs, "prefix?", &prefix); err != nil {
		return nil, err
	}
	return v.m.sorted(prefix), nil
}
