package service

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/ferris1/wind/netcode/rpc"
)

// storeModule is the store as scripts see it. It stores values as JSON.
//
//	value, revision = store.get(key)          None and 0 if the key does not exist
//	message, revision = store.get(key, message = Type)  for a message that was put
//	revision = store.put(key, value, revision)  ends the handler if another writer came first
//	revision = store.try_put(key, value, revision)  None in that case
//	store.delete(key, revision)               True or False
//	store.keys(prefix)                        a sorted list
//
// A write names the revision that it is based on, so a handler that was suspended in between cannot undo another
// handler's write.
var storeModule = &starlarkstruct.Module{Name: "store", Members: starlark.StringDict{
	"get": builtin("store.get", storeGet), "put": builtin("store.put", storePut), "try_put": builtin("store.try_put", storeTryPut),
	"delete": builtin("store.delete", storeDelete), "keys": builtin("store.keys", storeKeys),
}}

func storeGet(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var as messageType
	if err := starlark.UnpackArgs("store.get", args, kwargs, "key", &key, "message?", &as); err != nil {
		return nil, err
	}
	b, revision, err := c.Store().Get(c, key)
	if err != nil {
		return nil, fmt.Errorf("store.get: %w", err)
	}
	if revision == 0 {
		return starlark.Tuple{starlark.None, starlark.MakeInt(0)}, nil
	}
	v, err := decodeValue(as, b)
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
		return nil, rpc.Errorf(rpc.Aborted, "%q was changed in the meantime: ask again", key)
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
