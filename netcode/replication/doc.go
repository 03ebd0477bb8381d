// Package replication turns a world into what each client may see of it, and back. It is pure:
// no I/O, no clock, no goroutine; package netcode carries the packets.
//
// The serving side is an [Encoder]. After a tick is released, [Encoder.Begin] places every entity
// that has a replicated component in an interest cell (the square of the plane that its spatial
// component lies in; what has no place, and every replicated resource, is in the global cell).
// [Encoder.Update] then writes one client's packets: the cells around its view entity, each as a
// block against the newest state of that cell which the client acknowledged, or whole if it has
// none. A block depends on the cell, its two states and nothing else, so it is encoded once and
// its bytes are copied to every client that stands at the same baseline.
//
// Nothing is ever sent again because it was lost: a packet that does not arrive is not
// acknowledged, so the next one is written against the older baseline. An entity that a client
// may not see is absent from its packets, never masked.
//
// The receiving side is a [Mirror]. [Mirror.Apply] takes packets in any order, twice or never;
// [Mirror.AppendAck] says what arrived. It trusts no byte: a damaged packet is an error and
// changes nothing that a good one would not.
//
// The components and fields that travel follow from the schema: a component registered as
// replicated is sent with all its fields. A field's tag says how ([ecs.FieldTag]):
//
//	type Position struct {
//		X, Y float64 `wind:"q=0.01,range=-1000..1000"` // metres, sent in steps of a centimetre
//		Home ecs.Entity                               // no tag: sent as it is
//		Mood float64 `wind:"-"`                       // never sent
//	}
//
// Values outside the range are clamped to it. FORMAT.md describes the bytes.
package replication
