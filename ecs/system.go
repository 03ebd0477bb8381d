package ecs

import (
	"fmt"
	"reflect"
)

// call is a function of the game with its injected parameters.
type call struct {
	name string
	what string // for Running
	seed uint64
	fn   reflect.Value
	args []reflect.Value

	calls int // since World.Measure
	spent int64
}

// param is implemented by everything that a system can ask for besides its Tick.
type param interface{ bind(w *World) }

// System appends fn to the schedule. fn is a func(*Tick, params…) without results, with parameters of the types
// *Query[V], *Spawner[B], *Comp[T], *Res[T], *Events[E], *Outbox[M], *Sessions and *Access. Systems run in the order of
// these calls. The name keys the system's random numbers. Call System only inside Setup.
func System(w *World, name string, fn any) {
	if w.sealed {
		refuse("ecs: system %q is registered after Setup", name)
	}
	if name == "" || len(name) > 64 {
		refuse("ecs: system %q: a name must have 1 to 64 bytes", name)
	}
	w.claim("system", name)
	w.systems = append(w.systems, w.prepare("system "+name, name, nameSeed(name), fn))
}

// Init registers fn, with the parameters of System, to run once: at the beginning of a world's first tick, before the
// commands. Call it only inside Setup.
func Init(w *World, fn any) {
	if w.sealed {
		refuse("ecs: an Init is registered after Setup")
	}
	seed := mum(nameSeed("init")^uint64(len(w.inits)), k1)
	w.inits = append(w.inits, w.prepare("init", "init", seed, fn))
}

func (w *World) prepare(what, name string, seed uint64, fn any) *call {
	v := reflect.ValueOf(fn)
	if v.Kind() != reflect.Func || v.IsNil() || v.Type().NumIn() == 0 || v.Type().In(0) != reflect.TypeFor[*Tick]() ||
		v.Type().NumOut() != 0 || v.Type().IsVariadic() {
		refuse("ecs: %q is a %T, want a func(*ecs.Tick, …) without results", name, fn)
	}
	return &call{name: name, what: what, seed: seed, fn: v, args: []reflect.Value{reflect.ValueOf(&w.now)}}
}

// link injects the parameters, after all types are registered.
func (w *World) link(c *call) {
	t := c.fn.Type()
	for i, a := range c.args {
		if i >= t.NumIn() || a.Type() != t.In(i) {
			refuse("ecs: %q is a %s, want parameter %d to be a %s", c.name, t, i+1, a.Type())
		}
	}
	for i := len(c.args); i < t.NumIn(); i++ {
		in := t.In(i)
		var p param
		if in.Kind() == reflect.Pointer {
			p, _ = reflect.New(in.Elem()).Interface().(param)
		}
		if p == nil {
			refuse("ecs: %q: parameter %d is a %s, want a *Query, *Spawner, *Comp, *Res, *Events, *Outbox, *Sessions or *Access", c.name, i+1, in)
		}
		p.bind(w)
		c.args = append(c.args, reflect.ValueOf(p))
	}
}

// verdict is the outcome of a call.
type verdict struct {
	failed   bool
	rejected bool // by the handler, through Reject
	reason   string
	place    string // of a panic
}

// run calls c and applies what it queued. After a rejection or a panic it drops the queue and the call's events and
// messages; writes to components stay.
func (w *World) run(c *call, seed uint64) verdict {
	if w.clock != nil {
		return w.measured(c, seed)
	}
	return w.attempt(c, seed)
}

func (w *World) attempt(c *call, seed uint64) verdict {
	w.now.seed = seed
	w.running.call.Store(c)
	w.markStreams()
	v := w.try(c)
	if !v.failed && !w.fits() {
		v = verdict{failed: true, reason: tablesReason()}
	}
	if v.failed {
		w.drop()
		w.rewindStreams()
	} else {
		w.flush()
	}
	return v
}

// try contains panics of the game's code.
func (w *World) try(c *call) (v verdict) {
	defer w.contain(c, &v)
	c.fn.Call(c.args)
	return v
}

func (w *World) contain(c *call, v *verdict) {
	r := recover()
	if r == nil {
		return
	}
	v.failed = true
	if r == any(&w.rejection) {
		v.rejected, v.reason = true, w.rejection.reason
		return
	}
	v.reason, v.place = "panic: "+clip(panicText(r), maxReason), placeOf(r, c.fn)
}

// panicText describes a panic's value in the same words on every run: no addresses.
func panicText(r any) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("a %T that panics itself", r)
		}
	}()
	switch v := r.(type) {
	case error:
		return v.Error()
	case string:
		return v
	case fmt.Stringer:
		return v.String()
	}
	switch v := reflect.ValueOf(r); v.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return fmt.Sprint(r)
	}
	return fmt.Sprintf("a %T", r)
}
