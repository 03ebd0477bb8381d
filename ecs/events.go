package ecs

import (
	"reflect"
	"unsafe"
)

// stream holds the events of one kind and tick.
type stream struct {
	f      *form
	values []byte // in memory layout
	count  int
	mark   int // count before the running call
	packed []byte
}

// Events of type E live for one tick: emitted by systems, seen by later ones and in Output.
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

// All is what was emitted in this tick so far. It is valid until the next Emit, and not to be written to.
func (v *Events[E]) All() []E {
	if v.s.count == 0 {
		return nil
	}
	if v.s.f.Size == 0 {
		return make([]E, v.s.count)
	}
	return unsafe.Slice((*E)(unsafe.Pointer(&v.s.values[0])), v.s.count)
}

// batch is the stream as Output shows it.
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
		if mutant == eventsKept {
			break
		}
		s.count = s.mark
		s.values = s.values[:s.mark*s.f.Size]
	}
	w.messages, w.messageBytes = w.messages[:w.messageMark], w.messageBytes[:w.messageByteMark]
	w.messageWeight = 0
	for i := range w.messages {
		w.messageWeight += w.messages[i].weight()
	}
}
