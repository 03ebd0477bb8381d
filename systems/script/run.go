package script

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/ecs/detmath"
)

// Limits on what one run of a function may build.
const (
	maxChanges  = 16_384 // spawns, put and remove together
	maxEvents   = 4_096
	maxEntities = 10_000 // of Query.entities
	maxNames    = 32     // of components in one query
)

// run is one call of a script function by a system or a handler.
type run struct {
	h        *world
	t        *ecs.Tick
	a        *ecs.Access
	sessions *ecs.Sessions
	thread   *starlark.Thread
	changes  int
	events   int
}

const runKey = "wind.run"

// call calls f.
func (r *run) call(f *starlark.Function, budget uint64, args ...starlark.Value) error {
	r.thread = &starlark.Thread{Name: f.Name(), Print: func(t *starlark.Thread, text string) {
		if r.h.config.Print == nil {
			return
		}
		if text, ok := r.h.lines(r.t).Next(text); ok {
			r.h.config.Print(t.CallFrame(1).Pos.Filename(), text)
		}
	}}
	r.thread.SetLocal(runKey, r)
	_, err := Call(r.thread, f, budget, args...)
	return err
}

// running returns the run that called a builtin, or an error while a module loads.
func running(t *starlark.Thread, what string) (*run, error) {
	r, ok := t.Local(runKey).(*run)
	if !ok {
		return nil, fmt.Errorf("%s: no world exists while a module loads", what)
	}
	return r, nil
}

// charge counts the work of a builtin's own loop as steps: one for sixteen rows, or for sixteen bytes kept.
func (r *run) charge(n int) { r.thread.Steps += uint64(n)/16 + 1 }

// change counts a structural change.
func (r *run) change() error {
	if r.changes++; r.changes > maxChanges {
		return fmt.Errorf("more than %d changes in one run", maxChanges)
	}
	return nil
}

// rejection is the error that carries cmd.reject out of a script.
type rejection string

func (r rejection) Error() string { return string(r) }

func rejectionOf(err error) (why string, ok bool) {
	var r rejection
	ok = errors.As(err, &r)
	return string(r), ok
}

// builtins returns what scripts in a shard can use besides Starlark's own builtins.
func builtins() starlark.StringDict {
	d := starlark.StringDict{"math": detmathModule()}
	for name, f := range map[string]func(*run, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error){ //windvet:allow into a map
		"query": query, "spawn": spawn, "despawn": despawn, "resource": resource, "emit": emit,
	} {
		d[name] = starlark.NewBuiltin(name, inRun(f))
	}
	return d
}

// inRun turns a function that works in a run into a builtin.
func inRun(f func(*run, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (v starlark.Value, err error) {
		defer func() { // here, where the interpreter still knows the place in the script
			if p := recover(); p != nil {
				v, err = nil, fmt.Errorf("%s panics: %v", b.Name(), p)
			}
		}()
		r, err := running(t, b.Name())
		if err != nil {
			return nil, err
		}
		return f(r, b, args, named)
	}
}

// spawn implements spawn({"health": {"HP": 10}, "dead": {}}). The entity lives at once; queries see it once the system
// has returned.
func spawn(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var parts *starlark.Dict
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &parts); err != nil {
		return nil, err
	}
	if err := r.change(); err != nil {
		return nil, err
	}
	var ids []int
	var values [][]byte
	for _, item := range parts.Items() {
		id, err := component(r.a.Schema(), item[0])
		if err != nil {
			return nil, err
		}
		value, err := fill(&r.a.Schema().Components[id], item[1])
		if err != nil {
			return nil, err
		}
		r.charge(len(value))
		ids, values = append(ids, id), append(values, value)
	}
	e, err := r.a.Spawn(ids, values)
	return entityValue(e), err
}

// despawn implements despawn(entity).
func despawn(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var e entityValue
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &e); err != nil {
		return nil, err
	}
	r.charge(1)
	r.t.Despawn(ecs.Entity(e))
	return starlark.None, nil
}

// emit implements emit("event", {"field": value}).
func emit(r *run, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	var name string
	var fields starlark.Value = starlark.NewDict(0)
	if err := starlark.UnpackPositionalArgs(b.Name(), args, named, 1, &name, &fields); err != nil {
		return nil, err
	}
	id, err := find(r.a.Schema().Events, "event", name)
	if err != nil {
		return nil, err
	}
	if r.events++; r.events > maxEvents {
		return nil, fmt.Errorf("more than %d events in one run", maxEvents)
	}
	value, err := fill(&r.a.Schema().Events[id], fields)
	if err != nil {
		return nil, err
	}
	r.charge(len(value))
	r.a.Emit(id, value)
	return starlark.None, nil
}

// find returns the index of the type with a name.
func find(types []ecs.Type, what, name string) (int, error) {
	for i := range types {
		if types[i].Name == name {
			return i, nil
		}
	}
	names := make([]string, len(types))
	for i := range types {
		names[i] = types[i].Name
	}
	return 0, fmt.Errorf("no %s %q%s", what, name, meant(name, names))
}

// component returns the index of the component that a value names.
func component(s *ecs.Schema, name starlark.Value) (int, error) {
	text, ok := starlark.AsString(name)
	if !ok {
		return 0, fmt.Errorf("a component's name must be a string, not a %s", name.Type())
	}
	return ownComponent(s, text)
}

// ownComponent finds a component of the game. The host's own components are not for scripts.
func ownComponent(s *ecs.Schema, name string) (int, error) {
	if ecs.OwnName(name) {
		return 0, fmt.Errorf("component %q belongs to the host", name)
	}
	return find(s.Components, "component", name)
}

// detmathModule returns package detmath under the names of Python's math.
func detmathModule() *starlarkstruct.Module {
	m := &starlarkstruct.Module{Name: "math", Members: starlark.StringDict{"pi": starlark.Float(3.141592653589793)}}
	add := func(name string, n int, f func(x []float64) float64) {
		m.Members[name] = starlark.NewBuiltin("math."+name, func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
			if len(args) != n || len(named) > 0 {
				return nil, fmt.Errorf("%s takes %d numbers", b.Name(), n)
			}
			var x [3]float64
			for i, a := range args {
				var ok bool
				if x[i], ok = starlark.AsFloat(a); !ok {
					return nil, fmt.Errorf("%s: %s is not a number", b.Name(), a.Type())
				}
			}
			return starlark.Float(f(x[:n])), nil
		})
	}
	one := func(name string, f func(float64) float64) {
		add(name, 1, func(x []float64) float64 { return f(x[0]) })
	}
	two := func(name string, f func(x, y float64) float64) {
		add(name, 2, func(x []float64) float64 { return f(x[0], x[1]) })
	}
	one("sqrt", detmath.Sqrt)
	one("sin", detmath.Sin)
	one("cos", detmath.Cos)
	one("tan", detmath.Tan)
	one("asin", detmath.Asin)
	one("acos", detmath.Acos)
	one("atan", detmath.Atan)
	one("exp", detmath.Exp)
	one("log", detmath.Log)
	one("floor", detmath.Floor)
	one("ceil", detmath.Ceil)
	one("round", detmath.Round)
	one("trunc", detmath.Trunc)
	one("wrap_angle", detmath.WrapAngle)
	two("atan2", detmath.Atan2)
	two("pow", detmath.Pow)
	two("hypot", detmath.Hypot)
	two("mod", detmath.Mod)
	add("clamp", 3, func(x []float64) float64 { return detmath.Clamp(x[0], x[1], x[2]) })
	add("lerp", 3, func(x []float64) float64 { return detmath.Lerp(x[0], x[1], x[2]) })
	return m
}
