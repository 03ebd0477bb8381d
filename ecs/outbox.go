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

// Send queues m for an address of 1 to 128 bytes. It panics on any other length, and if the tick's messages exceed 64
// KiB: the running system or handler then fails, and the world drops its messages.
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
