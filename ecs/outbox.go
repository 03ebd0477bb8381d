package ecs

import (
	"fmt"
	"reflect"
	"unsafe"
)

// message is one entry of the outbox. World.messageBytes holds its payload.
type message struct {
	to        string
	f         *form
	from, end int // in World.messageBytes
}

const (
	// maxAddress is the longest address of a message, in bytes.
	maxAddress = 128
	// maxOutbox is the largest total weight of a tick's messages, in bytes. It ensures that a record always fits into
	// the log.
	maxOutbox = 64 << 10
)

// weight returns roughly what a message adds to a record, in bytes.
func (m *message) weight() int { return len(m.to) + len(m.f.Name) + m.end - m.from + 16 }

// Outbox sends messages of type M to other shards and services. They leave the node when the tick is committed, in the
// order of the calls. A receiver recognises a duplicate by shard, tick and number.
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

// Send queues m for an address of 1 to 128 bytes, not EndAddress. It panics on any other address, and if the tick's
// messages exceed 64 KiB: the running system or handler then fails, and the world drops its messages.
func (o *Outbox[M]) Send(to string, m M) {
	if to == "" || len(to) > maxAddress {
		panic(fmt.Sprintf("ecs: the address of a message has %d bytes, want 1 to %d", len(to), maxAddress))
	}
	if to == EndAddress {
		panic("ecs: only Tick.End sends to " + EndAddress)
	}
	o.w.post(to, o.f, unsafe.Pointer(&m))
}

// post queues the message at p.
func (w *World) post(to string, f *form, p unsafe.Pointer) {
	from := len(w.messageBytes)
	f.canonical(p)
	w.messageBytes = f.pack(w.messageBytes, p, 1)
	x := message{to, f, from, from + f.Packed}
	if w.messageWeight += x.weight(); w.messageWeight > maxOutbox {
		panic(fmt.Sprintf("ecs: the messages of a tick come to more than %d bytes", maxOutbox))
	}
	w.messages = append(w.messages, x)
}

// EndAddress is the address of the message with which a game ends its room. It leaves the room like any other message:
// a log without the game's code shows it.
const EndAddress = "wind.end"

// End ends the room after the tick in progress, which is its last: the tick's other systems still run. The result is a
// value, not a pointer, of a type registered with Outgoing; the log keeps it. The first End of a tick counts: a later one
// panics, and so does one with a value of another type, or whose message exceeds what Send allows for a tick. A system or
// handler that panics or rejects after End has not ended the room.
func (t *Tick) End(result any) {
	f := t.w.outgoingOf[reflect.TypeOf(result)]
	if f == nil {
		panic(fmt.Sprintf("ecs: the result %T is not registered with Outgoing", result))
	}
	for i := range t.w.messages {
		if t.w.messages[i].to == EndAddress {
			panic("ecs: the room has already been ended in this tick")
		}
	}
	v := reflect.New(f.typ)
	v.Elem().Set(reflect.ValueOf(result))
	t.w.post(EndAddress, f, v.UnsafePointer())
}

// Result returns the message with which the game ended its room in a tick that sent these messages. It returns false if
// the room goes on.
func Result(outbox []Message) (Message, bool) {
	for _, m := range outbox {
		if m.To == EndAddress {
			return m, true
		}
	}
	return Message{}, false
}
