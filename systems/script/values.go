package script

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/ferris1/wind/ecs"
)

// opaque is embedded in the values that only the host makes: they are true, cannot be keys, and live no longer than the
// run, since a script has no place to keep them.
type opaque struct{}

func (opaque) Freeze()               {}
func (opaque) Truth() starlark.Bool  { return true }
func (opaque) Hash() (uint32, error) { return 0, fmt.Errorf("this value cannot be a key") }

type method = func(*run, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)

// methods maps names to a type's methods, without a receiver.
type methods map[string]*starlark.Builtin

func newMethods(of map[string]method) methods {
	m := methods{}
	for name, f := range of { //windvet:allow into a map
		m[name] = starlark.NewBuiltin(name, inRun(f))
	}
	return m
}

func (m methods) names(more ...string) []string {
	names := append(sortedKeys(m), more...)
	slices.Sort(names)
	return names
}

// attr returns the method bound to a receiver, or nil if the type has no such method.
func (m methods) attr(receiver starlark.Value, name string) starlark.Value {
	if f := m[name]; f != nil {
		return f.BindReceiver(receiver)
	}
	return nil
}

// tickValue is tick.
type tickValue struct {
	opaque
	r *run
}

func (t *tickValue) String() string { return fmt.Sprintf("tick %d", t.r.t.Now()) }
func (t *tickValue) Type() string   { return "tick" }

func (t *tickValue) AttrNames() []string {
	return []string{"control", "now", "rand", "rate", "seconds"}
}

func (t *tickValue) Attr(name string) (starlark.Value, error) {
	switch name {
	case "now":
		return starlark.MakeUint64(t.r.t.Now()), nil
	case "rate":
		return starlark.MakeInt(t.r.t.Rate()), nil
	case "seconds":
		return starlark.Float(t.r.t.Seconds()), nil
	case "rand":
		return starlark.NewBuiltin(name, inRun(tickRand)), nil
	case "control":
		return starlark.NewBuiltin(name, inRun(tickControl)), nil
	}
	return nil, nil
}

// tickRand implements tick.rand(entity), which returns a generator.
func tickRand(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var e entityValue
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 0, &e); err != nil {
		return nil, err
	}
	return &randValue{rand: r.t.Rand(ecs.Entity(e))}, nil
}

// tickControl implements tick.control(session, entity).
func tickControl(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var session uint64
	var e entityValue
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &session, &e); err != nil {
		return nil, err
	}
	if err := r.change(); err != nil {
		return nil, err
	}
	r.t.Control(session, ecs.Entity(e))
	return starlark.None, nil
}

// randValue is a generator of random numbers.
type randValue struct {
	opaque
	rand ecs.Rand
}

func (r *randValue) String() string      { return "rand" }
func (r *randValue) Type() string        { return "rand" }
func (r *randValue) AttrNames() []string { return []string{"bool", "float", "int", "range"} }

func (r *randValue) Attr(name string) (starlark.Value, error) {
	if !slices.Contains(r.AttrNames(), name) {
		return nil, nil
	}
	return starlark.NewBuiltin(name, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
		switch name {
		case "int": // [0, n)
			var n int
			if err := starlark.UnpackPositionalArgs(name, args, named, 1, &n); err != nil {
				return nil, err
			}
			if n < 1 {
				return nil, fmt.Errorf("rand.int: %d is not positive", n)
			}
			return starlark.MakeInt(r.rand.IntN(n)), nil
		case "range": // [lo, hi)
			var lo, hi starlark.Value
			if err := starlark.UnpackPositionalArgs(name, args, named, 2, &lo, &hi); err != nil {
				return nil, err
			}
			from, ok1 := starlark.AsFloat(lo)
			to, ok2 := starlark.AsFloat(hi)
			if !ok1 || !ok2 {
				return nil, fmt.Errorf("rand.range: want two numbers")
			}
			return starlark.Float(r.rand.Range(from, to)), nil
		case "bool":
			return starlark.Bool(r.rand.Bool()), starlark.UnpackPositionalArgs(name, args, named, 0)
		}
		return starlark.Float(r.rand.Float64()), starlark.UnpackPositionalArgs(name, args, named, 0)
	}), nil
}

// cmdValue is cmd, the command that a handler handles.
type cmdValue struct {
	opaque
	r        *run
	value    *record
	source   ecs.Source
	from     uint64
	seq      uint64
	repeated bool
	neutral  bool
}

func (c *cmdValue) String() string { return "command " + c.value.typ.Name }
func (c *cmdValue) Type() string   { return "command" }

func (c *cmdValue) AttrNames() []string {
	return []string{"entity", "identity", "neutral", "reject", "repeated", "seq", "session", "source", "value"}
}

func (c *cmdValue) Attr(name string) (starlark.Value, error) {
	s, ok := c.r.sessions.Get(c.from)
	switch name {
	case "value":
		return c.value, nil
	case "source":
		return starlark.String(c.source.Kind.String()), nil
	case "session":
		return starlark.MakeUint64(c.from), nil
	case "seq":
		return starlark.MakeUint64(c.seq), nil
	case "repeated":
		return starlark.Bool(c.repeated), nil
	case "neutral": // the zero value, for a client that is silent
		return starlark.Bool(c.neutral), nil
	case "identity":
		return starlark.String(s.Identity), nil
	case "entity": // the entity that the sender's session controls
		if !ok || s.View.IsZero() {
			return starlark.None, nil
		}
		return entityValue(s.View), nil
	case "reject":
		return starlark.NewBuiltin(name, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
			var why string
			if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &why); err != nil {
				return nil, err
			}
			return nil, rejection(why)
		}), nil
	}
	return nil, nil
}

// record is a read-only value of a registered type, or a part of one: its fields are attributes, with the first letter
// in either case.
type record struct {
	opaque
	typ  *ecs.Type
	b    []byte // memory
	path string // of the part, "" for the whole
}

func (r *record) String() string {
	if r.path == "" {
		return r.typ.Name + r.typ.Format(packed(r.typ, r.b))
	}
	return r.typ.Name + "." + r.path
}
func (r *record) Type() string { return "record" }

func (r *record) AttrNames() []string {
	var names []string
	for i := range r.typ.Fields {
		rest, ok := strings.CutPrefix(r.typ.Fields[i].Path, r.path)
		if r.path != "" && ok {
			rest, ok = strings.CutPrefix(rest, ".")
		}
		if end := strings.IndexAny(rest, ".["); end >= 0 {
			rest = rest[:end]
		}
		if ok && rest != "" && !slices.Contains(names, rest) {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return names
}

func (r *record) Attr(name string) (starlark.Value, error) {
	for _, own := range r.AttrNames() {
		if own != name && strings.ToLower(own[:1])+own[1:] != name {
			continue
		}
		path := own
		if r.path != "" {
			path = r.path + "." + own
		}
		if f, err := r.typ.Find(path); err == nil {
			return get(&f, r.b), nil
		}
		if !r.typ.Inside(path + "[0]") {
			return &record{typ: r.typ, b: r.b, path: path}, nil
		}
		var list starlark.Tuple
		for r.typ.Inside(fmt.Sprintf("%s[%d]", path, len(list))) {
			list = append(list, &record{typ: r.typ, b: r.b, path: fmt.Sprintf("%s[%d]", path, len(list))})
		}
		return list, nil
	}
	return nil, nil
}

// resourceValue is resource("score").
type resourceValue struct {
	opaque
	typ *ecs.Type
	b   []byte // the world's memory
}

var resourceMethods = newMethods(map[string]method{"get": resourceGet, "set": resourceSet, "add": resourceAdd})

func (v *resourceValue) String() string      { return "resource " + v.typ.Name }
func (v *resourceValue) Type() string        { return "resource" }
func (v *resourceValue) AttrNames() []string { return resourceMethods.names() }

func (v *resourceValue) Attr(name string) (starlark.Value, error) {
	return resourceMethods.attr(v, name), nil
}

// resource implements resource("name").
func resource(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var name string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &name); err != nil {
		return nil, err
	}
	id, err := find(r.a.Schema().Resources, "resource", name)
	if err != nil {
		return nil, err
	}
	return &resourceValue{typ: &r.a.Schema().Resources[id], b: r.a.Resource(id)}, nil
}

func resourceGet(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var path string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &path); err != nil {
		return nil, err
	}
	v := b.Receiver().(*resourceValue)
	f, err := v.typ.Find(path)
	if err != nil {
		return nil, err
	}
	return get(&f, v.b), nil
}

func resourceSet(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var path string
	var x starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 2, &path, &x); err != nil {
		return nil, err
	}
	v := b.Receiver().(*resourceValue)
	f, err := writable(v, path)
	if err == nil {
		err = put(&f, v.b, x)
	}
	return starlark.None, err
}

func resourceAdd(_ *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var path string
	a := arithmetic{}
	if err := a.unpack(b, args, named, &path); err != nil {
		return nil, err
	}
	v := b.Receiver().(*resourceValue)
	f, err := writable(v, path)
	if err != nil {
		return nil, err
	}
	return starlark.None, a.apply(opAdd, &f, lane{p: pointer(v.b, f.Offset), n: 1})
}

// writable returns a field of a resource, or an error for the host's own resource.
func writable(v *resourceValue, path string) (ecs.Field, error) {
	if ecs.OwnName(v.typ.Name) {
		return ecs.Field{}, fmt.Errorf("%s belongs to the host", v.typ.Name)
	}
	return v.typ.Find(path)
}
