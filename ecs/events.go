package ecs

import (
	"fmt"
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

// message is one entry of the outbox; its payload is in World.messageBytes.
type message struct {
	to        string
	f         *form
	from, end int // in World.messageBytes
}

const (
	// maxAddress is the longest address of a message, in bytes.
	maxAddress = 128
	// maxOutbox is what the messages of a tick may weigh together, in bytes, so that a record always fits
	// into the log.
	maxOutbox = 64 << 10
)

// weight is what a message adds to a record, roughly.
func (m *message) weight() int { return len(m.to) + len(m.f.Name) + m.end - m.from + 16 }

// Outbox sends messages of type M to other shards and services. They leave the node when the tick is
// committed, in the order of the calls; a receiver knows one again by shard, tick and number.
type Outbox[M any] struct {
	w *World
	f *form
}

func (o *Outbox[M]) bind(w *World) {
	t := reflect.TypeFor[M]()
	o.w = w
	if o.f = w.outgoingOf[t]; o.f == nil {
		refuse("ecs: message %s is not registered with Outgoing", t)
	}
}

// Send queues m for an address, 1 to 128 bytes. It panics on another one, and when the messages of a tick come
// to more than 64 KiB: the running system or handler fails, and what it has sent is dropped.
func (o *Outbox[M]) Send(to string, m M) {
	if to == "" || len(to) > maxAddress {
		panic(fmt.Sprintf("ecs: the address of a message has %d bytes, want 1 to %d", len(to), maxAddress))
	}
	from := len(o.w.messageBytes)
	o.f.canonical(unsafe.Pointer(&m))
	o.w.messageBytes = o.f.pack(o.w.messageBytes, unsafe.Pointer(&m), 1)
	x := message{to, o.f, from, from + o.f.Packed}
	if o.w.messageWeight += x.weight(); o.w.messageWeight > maxOutbox {
		panic(fmt.Sprintf("ecs: the messages of a tick come to more than %d bytes", maxOutbox))
	}
	o.w.messages = append(o.w.messages, x)
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
