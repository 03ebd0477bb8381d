package script

import (
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/ferris1/wind/ecs"
)

// entityValue is an entity. Scripts can compare it, keep it in a dictionary and write it into fields.
type entityValue ecs.Entity

var entityMethods = newMethods(map[string]method{"get": entityGet, "set": entitySet, "has": entityHas, "put": entityPut, "remove": entityRemove, "despawn": entityDespawn, "alive": entityAlive})

var (
	_ starlark.Comparable = entityValue{}
	_ starlark.Unpacker   = (*entityValue)(nil)
)

func (e entityValue) String() string       { return "entity " + ecs.Entity(e).String() }
func (e entityValue) Type() string         { return "entity" }
func (e entityValue) Freeze()              {}
func (e entityValue) Truth() starlark.Bool { return true }
func (e entityValue) Hash() (uint32, error) {
	return ecs.Entity(e).ID()*2654435761 ^ ecs.Entity(e).Generation(), nil
}

// CompareSameType compares by number, then by generation.
func (e entityValue) CompareSameType(op syntax.Token, other starlark.Value, _ int) (bool, error) {
	key := func(e entityValue) uint64 {
		return uint64(ecs.Entity(e).ID())<<32 | uint64(ecs.Entity(e).Generation())
	}
	x, y := key(e), key(other.(entityValue))
	switch op {
	case syntax.EQL:
		return x == y, nil
	case syntax.NEQ:
		return x != y, nil
	case syntax.LT:
		return x < y, nil
	case syntax.LE:
		return x <= y, nil
	case syntax.GT:
		return x > y, nil
	}
	return x >= y, nil
}

// Unpack takes an entity, or None for no entity.
func (e *entityValue) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case entityValue:
		*e = v
	case starlark.NoneType:
		*e = entityValue{}
	default:
		return fmt.Errorf("got %s, want entity", v.Type())
	}
	return nil
}

func (e entityValue) AttrNames() []string { return entityMethods.names("id") }

func (e entityValue) Attr(name string) (starlark.Value, error) {
	if name == "id" {
		return starlark.MakeInt64(int64(ecs.Entity(e).ID())), nil
	}
	return entityMethods.attr(e, name), nil
}

func self(b *starlark.Builtin) ecs.Entity { return ecs.Entity(b.Receiver().(entityValue)) }

// field returns the memory of a field of an entity's component. ok is false if the entity is dead or lacks the
// component.
func (r *run) field(e ecs.Entity, p place, write bool) (memory []byte, ok bool) {
	t, row, ok := r.a.Locate(e)
	if !ok || !t.Has(p.component) {
		return nil, false
	}
	c, _ := t.Column(p.component)
	if write {
		c, _ = r.a.Write(t, p.component)
	}
	return c.Data[row*c.Stride : (row+1)*c.Stride], true
}

// entityGet implements e.get("health.HP"), and e.get("health") for a record of all fields. It returns None if e lacks
// the component or is dead.
func entityGet(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var path string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &path); err != nil {
		return nil, err
	}
	if id, ok := r.a.Schema().Component(path); ok && !ecs.OwnName(path) {
		memory, ok := r.field(self(b), place{component: id}, false)
		if !ok {
			return starlark.None, nil
		}
		r.charge(len(memory))
		return &record{typ: &r.a.Schema().Components[id], b: append([]byte(nil), memory...)}, nil
	}
	p, err := r.place(path)
	if err != nil {
		return nil, err
	}
	if memory, ok := r.field(self(b), p, false); ok {
		return get(&p.field, memory), nil
	}
	return starlark.None, nil
}

// entitySet implements e.set("health.HP", 10).
func entitySet(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var path string
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 2, &path, &v); err != nil {
		return nil, err
	}
	p, err := r.place(path)
	if err != nil {
		return nil, err
	}
	memory, ok := r.field(self(b), p, true)
	if !ok {
		return nil, fmt.Errorf("set: %s has no %s, or is dead", b.Receiver(), r.a.Schema().Components[p.component].Name)
	}
	return starlark.None, put(&p.field, memory, v)
}

// oneComponent reads (component).
func oneComponent(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (int, error) {
	var name starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &name); err != nil {
		return 0, err
	}
	return component(r.a.Schema(), name)
}

// entityHas implements e.has("dead").
func entityHas(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	id, err := oneComponent(r, b, args, named)
	if err != nil {
		return nil, err
	}
	t, _, ok := r.a.Locate(self(b))
	return starlark.Bool(ok && t.Has(id)), nil
}

// entityPut implements e.put("burning", {"Left": 30}): the entity has the component once the system has returned.
func entityPut(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var name starlark.Value
	var fields starlark.Value = starlark.None
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &name, &fields); err != nil {
		return nil, err
	}
	id, err := component(r.a.Schema(), name)
	if err != nil {
		return nil, err
	}
	value, err := fill(&r.a.Schema().Components[id], fields)
	if err != nil {
		return nil, err
	}
	if err := r.change(); err != nil {
		return nil, err
	}
	r.charge(len(value))
	r.a.Set(self(b), id, value)
	return starlark.None, nil
}

// entityRemove implements e.remove("burning").
func entityRemove(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	id, err := oneComponent(r, b, args, named)
	if err != nil {
		return nil, err
	}
	if err := r.change(); err != nil {
		return nil, err
	}
	r.a.Remove(self(b), id)
	return starlark.None, nil
}

func entityDespawn(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	r.t.Despawn(self(b))
	return starlark.None, starlark.UnpackPositionalArgs(b.Name(), args, named, 0)
}

func entityAlive(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	return starlark.Bool(r.t.Alive(self(b))), starlark.UnpackPositionalArgs(b.Name(), args, named, 0)
}
