package ecs

import (
	"reflect"
	"strings"

	arche "github.com/mlange-42/arche/ecs"
)

// maxComponents is a little below arche's limit of 256: arche mishandles the last sixteen ids.
const maxComponents = 240

// component is a registered component.
type component struct {
	form
	arche arche.ID
}

// Option changes how a component or a resource is registered.
type Option func(*form)

// Transient marks a component or resource that each tick builds afresh: it is zeroed when a tick begins and is absent
// from delta, checksum and snapshot. Never read it before writing it in the same tick.
func Transient(f *form) { f.Transient = true }

// Replicated marks a component or a resource that clients may see, with all its fields. A `wind:"…"` tag on any field,
// which says how that field travels, implies it: see FieldTag.
func Replicated(f *form) { f.Replicated = true }

// Spatial marks the component whose fields X and Y (both float64 or both float32, in metres) place an entity: clients
// see what is near the entity that they control. While X or Y is NaN or infinite, no client sees the entity, and a client that
// controls it keeps its last view; the node logs entity and component. A game has at most one such component.
func Spatial(f *form) { f.Spatial = true }

// Component registers T under a stable name, [a-z][a-z0-9._-]{0,63}, that appears in logs, tools and the client schema.
// T is a struct of bools, sized numbers, Entity, Text16/32/64, and arrays and structs of those. The wind tags of its
// fields say how clients see them: FieldTag. Call it only inside Setup. A game has at most 240 components, 64 of them
// replicated.
func Component[T any](w *World, name string, options ...Option) {
	f := w.plan("component", name, reflect.TypeFor[T](), options)
	if w.componentOf[f.typ] != nil {
		refuse("ecs: component %q: %s is already registered as %q", name, f.typ, w.componentOf[f.typ].Name)
	}
	if len(w.components) == maxComponents {
		refuse("ecs: component %q: a game has at most %d components", name, maxComponents)
	}
	for i := range f.typ.NumField() {
		if f.typ.Field(i).Type == reflect.TypeFor[arche.Relation]() {
			refuse("ecs: component %q: use an Entity field instead of an arche relation", name)
		}
	}
	if f.Spatial {
		w.spatialOnce(f)
	}
	c := &component{form: *f, arche: arche.TypeID(&w.arche, f.typ)}
	c.id = len(w.components)
	w.components, w.componentOf[f.typ] = append(w.components, c), c
}

// Resource registers the singleton T: part of snapshot, delta and checksum like any component, zero until something
// writes it. Call it only inside Setup.
func Resource[T any](w *World, name string, options ...Option) {
	f := w.plan("resource", name, reflect.TypeFor[T](), options)
	if w.resourceOf[f.typ] != nil {
		refuse("ecs: resource %q: %s is already registered as %q", name, f.typ, w.resourceOf[f.typ].form.Name)
	}
	if f.Spatial {
		refuse("ecs: resource %q cannot be spatial: a resource has no position", name)
	}
	f.id = len(w.resources)
	r := &resource{form: f, live: reflect.New(f.typ).UnsafePointer(), old: reflect.New(f.typ).UnsafePointer()}
	w.resources, w.resourceOf[f.typ] = append(w.resources, r), r
}

// Event registers the event E. Call it only inside Setup.
func Event[E any](w *World, name string) {
	f := w.plan("event", name, reflect.TypeFor[E](), nil)
	if w.eventOf[f.typ] != nil {
		refuse("ecs: event %q: %s is already registered as %q", name, f.typ, w.eventOf[f.typ].f.Name)
	}
	f.id = len(w.events)
	s := &stream{f: f}
	w.events, w.eventOf[f.typ] = append(w.events, s), s
}

// Outgoing registers the message M, which systems send to other shards and services through an Outbox. Call it only
// inside Setup.
func Outgoing[M any](w *World, name string) {
	f := w.plan("message", name, reflect.TypeFor[M](), nil)
	if w.outgoingOf[f.typ] != nil {
		refuse("ecs: message %q: %s is already registered as %q", name, f.typ, w.outgoingOf[f.typ].Name)
	}
	f.id = len(w.outgoing)
	w.outgoing, w.outgoingOf[f.typ] = append(w.outgoing, f), f
}

// plan builds the form of a registration, or refuses it.
func (w *World) plan(what, name string, t reflect.Type, options []Option) *form {
	if w.sealed {
		refuse("ecs: %s %q is registered after Setup", what, name)
	}
	if !typeNameOK(name) {
		refuse("ecs: %s %q: a name must match [a-z][a-z0-9._-]{0,63}", what, name)
	}
	if OwnName(name) && !isOwn(t) {
		refuse("ecs: %s %q: names that begin with %q are Wind's own; to act when players come and go, handle ecs.Join and ecs.Leave", what, name, ownPrefix)
	}
	w.claim(what, name)
	f, err := w.form(what, name, t)
	if err != nil {
		panic(refusal{err})
	}
	for _, o := range options {
		o(f)
	}
	if _, _, err := f.Place(); f.Spatial && err != nil {
		refuse("ecs: %s %q %w", what, name, err)
	}
	return f
}

// spatialOnce refuses a second spatial component.
func (w *World) spatialOnce(f *form) {
	for _, c := range w.components {
		if c.Spatial {
			refuse("ecs: component %q is spatial, and so is %q: only one component can place the entities of a game", f.Name, c.Name)
		}
	}
}

// isOwn reports whether t comes from one of Wind's own packages, which alone may register an OwnName.
func isOwn(t reflect.Type) bool {
	module, ok := strings.CutSuffix(reflect.TypeFor[World]().PkgPath(), "/ecs")
	return ok && (t.PkgPath() == module+"/ecs" || strings.HasPrefix(t.PkgPath(), module+"/systems/"))
}

// claim takes a name, once per kind of registration.
func (w *World) claim(what, name string) {
	if w.names[what+" "+name] {
		refuse("ecs: %s %q is registered twice", what, name)
	}
	w.names[what+" "+name] = true
}
