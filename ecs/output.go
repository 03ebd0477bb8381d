package ecs

import "slices"

// Output is the result of a Step. It refers to the world's own memory and is valid until the next Step or Apply.
type Output struct {
	Tick     uint64
	Checksum uint64 // of the world after the tick
	Delta    Delta  // what changed
	Events   []EventBatch
	Replies  []Reply   // to every client command that is not sampled, in frame order
	Outbox   []Message // for other shards and services, in order of sending
	Failures []Failure // every rejection, and the first MaxFaults others
}

// EventBatch holds the events of one kind, in order of emission.
type EventBatch struct {
	Name   string
	Kind   uint16 // index in Schema.Events
	Count  int
	Values []byte // packed, one after another
}

// Message is for another shard or service. Receivers recognise a duplicate by shard, tick and N.
type Message struct {
	To      string
	Name    string // of the type, in Schema.Outgoing
	N       uint32 // its index in the tick, from 0
	Payload []byte // the packed value
}

// Failure names a command or a system that failed.
type Failure struct {
	System   string // the system's or the command's name
	Command  int    // its index in the frame, -1 for a system
	Rejected bool   // by the handler, as opposed to a panic or an invalid command
	Reason   string // at most 135 bytes
	// Place is where a panic was raised: function, file and line of the game, or the script's position. It is empty for
	// other failures. It is for people: it differs between builds, so it enters no record, reply or checksum.
	Place string
}

// Clone returns a copy of the output that outlives the next Step.
func (o Output) Clone() Output {
	o.Delta = o.Delta.Clone()
	o.Events = slices.Clone(o.Events)
	for i := range o.Events {
		o.Events[i].Values = slices.Clone(o.Events[i].Values)
	}
	o.Replies = slices.Clone(o.Replies)
	o.Outbox = slices.Clone(o.Outbox)
	for i := range o.Outbox {
		o.Outbox[i].Payload = slices.Clone(o.Outbox[i].Payload)
	}
	o.Failures = slices.Clone(o.Failures)
	return o
}
