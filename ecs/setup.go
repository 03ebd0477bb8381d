package ecs

import (
	"fmt"
	"reflect"
)

// refusal is the value that a failed registration panics with. New, SchemaOf and Restore return it as an error.
type refusal struct{ err error }

func refuse(format string, args ...any) { panic(refusal{fmt.Errorf(format, args...)}) }

// A SetupPanic is the error of New, SchemaOf and Restore when the game's Setup panics.
type SetupPanic struct {
	Game  string
	Value string // what it panicked with
	Place string // as in Failure
	Stack string // of the goroutine, as in a Go trace
}

func (p *SetupPanic) Error() string {
	text := fmt.Sprintf("ecs: the Setup of game %s panics: %s", p.Game, p.Value)
	if p.Place != "" {
		text += ", in " + p.Place
	}
	return text
}

// setup runs the game's Setup, links the registered functions and seals the world.
func (w *World) setup() (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case refusal:
			err = r.err
		default:
			err = &SetupPanic{w.game.Name, panicText(r), placeOf(r, reflect.ValueOf(w.game.Setup)), stackText()}
		}
	}()
	registerBuiltins(w)
	w.game.Setup(w)
	w.sealed, w.names = true, nil
	if w.like != nil {
		w.forms, w.like = w.like, nil
	}
	w.linkAll()
	w.describe()
	if err := w.schema.Servable(); err != nil {
		return err
	}
	w.changes.columns = make([]columnChanges, len(w.components))
	for _, r := range w.resources {
		r.zero = r.form.hash(Entity{}, r.old)
	}
	return nil
}

// linkAll injects every function's parameters and numbers the sampled commands.
func (w *World) linkAll() {
	for _, c := range w.inits {
		w.link(c)
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
	for _, c := range w.systems {
		w.link(c)
	}
	w.linkAhead()
}

// describe fills in the schema.
func (w *World) describe() {
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
}
