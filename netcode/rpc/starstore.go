package rpc

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	starjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// storeModule is the store, as scripts see it. Values are kept as JSON.
//
//	value, revision = store.get(key)          None and 0 when there is none
//	revision = store.put(key, value, revision)  ends the handler when somebody else wrote in the meantime
//	revision = store.try_put(key, value, revision)  None instead
//	store.delete(key, revision)               True or False
//	store.keys(prefix)                        a list, sorted
//
// A write names the revision that it was made on, so a handler that was
// suspended in between cannot lose another one's.
var storeModule = &starlarkstruct.Module{Name: "store", Members: starlark.StringDict{
	"get": builtin("store.get", storeGet), "put": builtin("store.put", storePut), "try_put": builtin("store.try_put", storeTryPut),
	"delete": builtin("store.delete", storeDelete), "keys": builtin("store.keys", storeKeys),
}}

func storeGet(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	if err := starlark.UnpackArgs("store.get", args, kwargs, "key", &key); err != nil {
		return nil, err
	}
	b, revision, err := c.Store().Get(c, key)
	if err != nil {
		return nil, fmt.Errorf("store.get: %w", err)
	}
	if revision == 0 {
		return starlark.Tuple{starlark.None, starlark.MakeInt(0)}, nil
	}
	v, err := decodeJSON(b)
	if err != nil {
		return nil, fmt.Errorf("store.get: %q: %w", key, err)
	}
	return starlark.Tuple{v, starlark.MakeUint64(revision)}, nil
}

func storePut(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	key, next, ok, err := put("store.put", c, args, kwargs)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, Errorf(Aborted, "%q was changed in the meantime: ask again", key)
	}
	return starlark.MakeUint64(next), nil
}

func storeTryPut(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	_, next, ok, err := put("store.try_put", c, args, kwargs)
	if err != nil || !ok {
		return starlark.None, err
	}
	return starlark.MakeUint64(next), nil
}

func put(name string, c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (key string, next uint64, ok bool, err error) {
	var value starlark.Value
	var revision uint64
	if err = starlark.UnpackArgs(name, args, kwargs, "key", &key, "value", &value, "revision", &revision); err != nil {
		return
	}
	b, err := encodeJSON(value)
	if err != nil {
		return key, 0, false, fmt.Errorf("%s: %w", name, err)
	}
	if next, ok, err = c.Store().Put(c, key, b, revision); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return
}

func storeDelete(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var revision uint64
	if err := starlark.UnpackArgs("store.delete", args, kwargs, "key", &key, "revision", &revision); err != nil {
		return nil, err
	}
	ok, err := c.Store().Delete(c, key, revision)
	if err != nil {
		return nil, fmt.Errorf("store.delete: %w", err)
	}
	return starlark.Bool(ok), nil
}

func storeKeys(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var prefix string
	if err := starlark.UnpackArgs("store.keys", args, kwargs, "prefix", &prefix); err != nil {
		return nil, err
	}
	keys, err := c.Store().Keys(c, prefix)
	if err != nil {
		return nil, fmt.Errorf("store.keys: %w", err)
	}
	list := make([]starlark.Value, len(keys))
	for i, k := range keys {
		list[i] = starlark.String(k)
	}
	return starlark.NewList(list), nil
}

// encodeJSON and decodeJSON are those of Starlark's module json.
func encodeJSON(v starlark.Value) ([]byte, error) {
	out, err := starlark.Call(&starlark.Thread{}, starjson.Module.Members["encode"], starlark.Tuple{v}, nil)
	if err != nil {
		return nil, err
	}
	return []byte(out.(starlark.String)), nil
}

func decodeJSON(b []byte) (starlark.Value, error) {
	if !json.Valid(b) {
		return nil, fmt.Errorf("it was not written by a script: it is no JSON")
	}
	return starlark.Call(&starlark.Thread{}, starjson.Module.Members["decode"], starlark.Tuple{starlark.String(b)}, nil)
}

// maxMemory is how many keys memory holds.
const maxMemory = 1 << 20

// memory is what scripts remember while the process lives, across reloads. What
// is put in is frozen: to change it, put in another value.
type memory struct {
	mu     sync.Mutex
	values map[string]starlark.Value
}

func newMemory() *memory { return &memory{values: map[string]starlark.Value{}} }

// module is memory as scripts see it: get(key, default=None), set(key, value),
// pop(key, default=None), add(key, n), keys(prefix="").
func (m *memory) module() *starlarkstruct.Module {
	return &starlarkstruct.Module{Name: "memory", Members: starlark.StringDict{
		"get": builtin("memory.get", m.get), "set": builtin("memory.set", m.set), "pop": builtin("memory.pop", m.pop),
		"add": builtin("memory.add", m.add), "keys": builtin("memory.keys", m.keys),
	}}
}

func (m *memory) get(_ *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var otherwise starlark.Value = starlark.None
	if err := starlark.UnpackArgs("memory.get", args, kwargs, "key", &key, "default?", &otherwise); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok {
		return v, nil
	}
	return otherwise, nil
}

func (m *memory) set(_ *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var value starlark.Value
	if err := starlark.UnpackArgs("memory.set", args, kwargs, "key", &key, "value", &value); err != nil {
		return nil, err
	}
	return starlark.None, m.put(key, value)
}

func (m *memory) put(key string, value starlark.Value) error {
	value.Freeze()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.values[key]; !there && len(m.values) == maxMemory {
		return Errorf(ResourceExhausted, "memory holds %d keys already", maxMemory)
	}
	m.values[key] = value
	return nil
}

func (m *memory) pop(_ *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var otherwise starlark.Value = starlark.None
	if err := starlark.UnpackArgs("memory.pop", args, kwargs, "key", &key, "default?", &otherwise); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.values[key]; ok {
		delete(m.values, key)
		return v, nil
	}
	return otherwise, nil
}

func (m *memory) add(_ *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	n := 1
	if err := starlark.UnpackArgs("memory.add", args, kwargs, "key", &key, "n?", &n); err != nil {
		return nil, err
	}
	m.mu.Lock()
	was := 0
	old, there := m.values[key]
	m.mu.Unlock()
	if there {
		if err := starlark.AsInt(old, &was); err != nil {
			return nil, fmt.Errorf("memory.add: %q is a %s", key, old.Type())
		}
	}
	sum := starlark.MakeInt(was + n)
	return sum, m.put(key, sum) // handlers run one at a time: nobody came in between
}

func (m *memory) keys(_ *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var prefix string
	if err := starlark.UnpackArgs("memory.keys", args, kwargs, "prefix?", &prefix); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
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
	return starlark.NewList(list), nil
}
