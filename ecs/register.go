package ecs

import (
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
	w.claim(what, name)
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

// claim takes a name, once for each sort of thing.
func (w *World) claim(what, name string) {
	if w.names[what+" "+name] {
		refuse("ecs: %s %q is registered twice", what, name)
	}
	w.names[what+" "+name] = true
}
