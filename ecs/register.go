package ecs

import (
	"fmt"
	"reflect"

	arche "github.com/mlange-42/arche/ecs"
)

// maxComponents is a little below arche's 256, whose last sixteen ids it mishandles.
const maxComponents = 240

// component is a registered component.
type component struct {
	form
	arche arche.ID
}

// refusal is what a registration panics with: New, SchemaOf and Restore return it as an error.
type refusal struct{ err error }

func refuse(format string, args ...any) { panic(refusal{fmt.Errorf(format, args...)}) }

// Option changes how a component or a resource is registered.
type Option func(*form)

// Transient marks what each tick builds anew: zeroed when a tick begins, outside of delta, checksum and
// snapshot. Never read one before it was written in the same tick.
func Transient(f *form) { f.Transient = true }

// Replicated marks what clients may see. A `wind:"…"` tag on any field implies it.
func Replicated(f *form) { f.Replicated = true }

// Spatial marks the component whose fields X and Y, float64 or float32, in metres, place an entity for
// interest management.
func Spatial(f *form) { f.Spatial = true }

// Component registers T under a stable name, [a-z][a-z0-9._-]{0,63}, that appears in logs, tools and the
// client schema. T is a struct of bools, sized numbers, Entity, Text16/32/64, arrays and structs of those.
// Only inside Setup. At most 240.
func Component[T any](w *World, name string, options ...Option) {
	f := w.plan("component", name, reflect.TypeFor[T](), options)
	if w.componentOf[f.typ] != nil {
		refuse("ecs: component %q: %s is registered as %q already", name, f.typ, w.componentOf[f.typ].Name)
	}
	if len(w.components) == maxComponents {
		refuse("ecs: component %q: %d components are the most", name, maxComponents)
	}
	for i := range f.typ.NumField() {
		if f.typ.Field(i).Type == reflect.TypeFor[arche.Relation]() {
			refuse("ecs: component %q: relations are Entity values, not arche's", name)
		}
	}
	c := &component{form: *f, arche: arche.TypeID(&w.arche, f.typ)}
	c.id = len(w.components)
	w.components, w.componentOf[f.typ] = append(w.components, c), c
}

// Resource registers the singleton T, which every world has once: in snapshot, delta and checksum like
// any component, zero until something writes it. Only inside Setup.
func Resource[T any](w *World, name string, options ...Option) {
	f := w.plan("resource", name, reflect.TypeFor[T](), options)
	if w.resourceOf[f.typ] != nil {
		refuse("ecs: resource %q: %s is registered as %q already", name, f.typ, w.resourceOf[f.typ].form.Name)
	}
	f.id = len(w.resources)
	r := &resource{form: f, live: reflect.New(f.typ).UnsafePointer(), old: reflect.New(f.typ).UnsafePointer()}
	w.resources, w.resourceOf[f.typ] = append(w.resources, r), r
}

// Event registers the event E. Only inside Setup.
func Event[E any](w *World, name string) {
	f := w.plan("event", name, reflect.TypeFor[E](), nil)
	if w.eventOf[f.typ] != nil {
		refuse("ecs: event %q: %s is registered as %q already", name, f.typ, w.eventOf[f.typ].f.Name)
	}
	f.id = len(w.events)
	s := &stream{f: f}
	w.events, w.eventOf[f.typ] = append(w.events, s), s
}

// Outgoing registers the message M, which systems send to other shards and services through an Outbox.
// Only inside Setup.
func Outgoing[M any](w *World, name string) {
	f := w.plan("message", name, reflect.TypeFor[M](), nil)
	if w.outgoingOf[f.typ] != nil {
		refuse("ecs: message %q: %s is registered as %q already", name, f.typ, w.outgoingOf[f.typ].Name)
	}
	f.id = len(w.outgoing)
	w.outgoing, w.outgoingOf[f.typ] = append(w.outgoing, f), f
}

// plan makes the form of a registration, or refuses it.
func (w *World) plan(what, name string, t reflect.Type, options []Option) *form {
	if w.sealed {
		refuse("ecs: %s %q is registered after Setup", what, name)
	}
	if !typeNameOK(name) {
		refuse("ecs: %s %q: a name is [a-z][a-z0-9._-]{0,63}", what, name)
	}
	if w.named(what, name) {
		refuse("ecs: %s %q is registered twice", what, name)
	}
	f, err := formOf(what, name, t)
	if err != nil {
		panic(refusal{err})
	}
	for _, o := range options {
		o(f)
	}
	if f.Spatial && (!f.coordinate("X") || !f.coordinate("Y")) {
		refuse("ecs: %s %q is spatial but has no fields X and Y of type float64 or float32", what, name)
	}
	return f
}

func (f *form) coordinate(path string) bool {
	for i := range f.Fields {
		if d := &f.Fields[i]; d.Path == path && d.Count == 1 && (d.Kind == KindF64 || d.Kind == KindF32) {
			return true
		}
	}
	return false
}

// named reports whether a type of this sort has the name.
func (w *World) named(what, name string) bool {
	switch what {
	case "component":
		for _, c := range w.components {
			if c.Name == name {
				return true
			}
		}
	case "resource":
		for _, r := range w.resources {
			if r.form.Name == name {
				return true
			}
		}
	case "event":
		for _, s := range w.events {
			if s.f.Name == name {
				return true
			}
		}
	case "command":
		for _, h := range w.handlers {
			if h.f.Name == name {
				return true
			}
		}
	case "message":
		for _, f := range w.outgoing {
			if f.Name == name {
				return true
			}
		}
	}
	return false
}

// setup runs the game's Setup and seals the world.
func (w *World) setup() (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case refusal:
			err = r.err
		default:
			panic(r)
		}
	}()
	registerBuiltins(w)
	w.game.Setup(w)
	w.sealed = true
	for _, list := range [...][]*call{w.inits, w.systems} {
		for _, c := range list {
			w.link(c)
		}
	}
	for _, h := range w.handlers {
		if h.fn.IsValid() {
			w.link(&h.call)
		}
		if h.f.Sampled {
			h.ordinal = len(w.sampled)
			w.sampled = append(w.sampled, h)
		}
	}
	for _, r := range w.resources {
		if !r.form.Transient {
			w.valueSum += r.form.hash(Entity{}, r.old)
		}
	}
	w.changes.columns = make([]columnChanges, len(w.components))
	for _, c := range w.components {
		w.schema.Components = append(w.schema.Components, c.Type)
	}
	for _, r := range w.resources {
		w.schema.Resources = append(w.schema.Resources, r.form.Type)
	}
	for _, s := range w.events {
		w.schema.Events = append(w.schema.Events, s.f.Type)
	}
	for _, h := range w.handlers {
		w.schema.Commands = append(w.schema.Commands, h.f.Type)
	}
	for _, f := range w.outgoing {
		w.schema.Outgoing = append(w.schema.Outgoing, f.Type)
	}
	return nil
}
