package ecs

import (
	"reflect"
	"unsafe"
)

// stream holds one tick's events of one kind.
type stream struct {
	f      *form
	values []byte // in memory layout
	count  int
	mark   int // count before the running call
	packed []byte
}

// Events of type E live for one tick: systems emit them, later systems see them, and Output contains them.
type Events[E any] struct{ s *stream }

func (v *Events[E]) bind(w *World) {
	t := reflect.TypeFor[E]()
	if v.s = w.eventOf[t]; v.s == nil {
		refuse("ecs: event %s is not registered", t)
	}
}

// Emit appends e.
func (v *Events[E]) Emit(e E) {
	v.s.f.canonical(unsafe.Pointer(&e))
	v.s.values = append(v.s.values, bytesAt(unsafe.Pointer(&e), v.s.f.Size)...)
	v.s.count++
}

// All returns this tick's events so far. The slice is valid until the next Emit; the caller must not modify it.
func (v *Events[E]) All() []E {
	if v.s.count == 0 {
		return nil
	}
	if v.s.f.Size == 0 {
		return make([]E, v.s.count)
	}
	return unsafe.Slice((*E)(unsafe.Pointer(&v.s.values[0])), v.s.count)
}

// batch returns the stream in the form of Output.
func (s *stream) batch() EventBatch {
	s.packed = s.packed[:0]
	if s.f.Size > 0 {
		s.packed = s.f.pack(s.packed, unsafe.Pointer(&s.values[0]), s.count)
	}
	return EventBatch{Name: s.f.Name, Kind: uint16(s.f.id), Count: s.count, Values: s.packed}
}

func (w *World) markStreams() {
	for _, s := range w.events {
		s.mark = s.count
	}
	w.messageMark, w.messageByteMark = len(w.messages), len(w.messageBytes)
}

func (w *World) rewindStreams() {
	for _, s := range w.events {
		s.count = s.mark
		s.values = s.values[:s.mark*s.f.Size]
	}
	w.messages, w.messageBytes = w.messages[:w.messageMark], w.messageBytes[:w.messageByteMark]
	w.messageWeight = 0
	for i := range w.messages {
		w.messageWeight += w.messages[i].weight()
	}
}
