package ecs

import (
	"errors"
	"fmt"
	"reflect"
)

// Validate returns an error if a command must not enter the next frame. It requires a known kind, a possible source, a
// joined session (except for Join), a payload of the right length with valid bools and texts and finite floats, and
// success of the command's own Validate. It accepts any bytes; only one goroutine may call it at a time.
func (w *World) Validate(c *Command) error {
	if int(c.Kind) >= len(w.handlers) {
		return fmt.Errorf("ecs: no command of kind %d", c.Kind)
	}
	h := w.handlers[c.Kind]
	if err := w.validSource(h, c); err != nil {
		return fmt.Errorf("ecs: command %q from %s: %w", h.f.Name, c.Source, err)
	}
	if len(c.Payload) != h.f.Packed {
		return fmt.Errorf("ecs: command %q has %d bytes, want %d", h.f.Name, len(c.Payload), h.f.Packed)
	}
	h.f.unpack(h.scratch, c.Payload, 1)
	if !h.f.proper(h.scratch) {
		return fmt.Errorf("ecs: command %q holds an invalid bool or text", h.f.Name)
	}
	if !h.f.finite(h.scratch) {
		return fmt.Errorf("ecs: command %q holds a number that is not finite", h.f.Name)
	}
	if h.check != nil {
		if err := h.own(); err != nil {
			return fmt.Errorf("ecs: command %q: %w", h.f.Name, err)
		}
	}
	return nil
}

var (
	errSource    = errors.New("unknown kind of source")
	errSession0  = errors.New("a session's id must not be 0")
	errNoSession = errors.New("no such session")
	errClient    = errors.New("only a client can send it")
	errFlags     = errors.New("unknown flags")
	errRepeated  = errors.New("only a sampled command can repeat")
	errNeutral   = errors.New("a neutral input must be repeated and all zero")
)

func (w *World) validSource(h *handler, c *Command) error {
	switch {
	case c.Source.Kind >= sourceKinds:
		return errSource
	case c.Flags&^knownFlags != 0:
		return errFlags
	case c.Flags == FlagNeutral || c.Flags&FlagNeutral != 0 && !allZero(c.Payload):
		return errNeutral
	case c.Flags&FlagRepeated != 0 && !h.f.Sampled:
		return errRepeated
	case c.Source.Kind != SourceClient:
		if h.f.id <= KindLeave || h.f.Sampled {
			return errClient
		}
	case c.Source.ID == 0:
		return errSession0
	case h.f.id != KindJoin && w.sessions.find(c.Source.ID) == nil:
		return errNoSession
	}
	return nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// checkPanic is the error for a command whose own Validate panicked.
type checkPanic struct{ reason, place string }

func (e *checkPanic) Error() string { return e.reason }

// own calls the value's Validate and turns a panic in it into an error.
func (h *handler) own() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &checkPanic{"Validate panics: " + clip(panicText(r), maxReason), placeOf(r, reflect.ValueOf(h.check))}
		}
	}()
	return h.check()
}
