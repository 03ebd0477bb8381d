// Package replication encodes what each client may see of a world, and decodes it on the client. It is pure:
// no I/O, no clock, no goroutine; package netcode carries the packets.
//
// The server uses an [Encoder]. After a tick is released, [Encoder.Begin] assigns every entity with a
// replicated component to an interest cell: the square of the plane that contains its spatial component.
// Entities without a position and all replicated resources belong to the global cell. [Encoder.Update] then
// writes one client's packets: the cells within the interest radius of its view entity ([Config].RadiusMetres, which a
// game sets as ecs.Game.SightMetres), each as a block against the newest state of
// the cell that the client has acknowledged, or whole if it has acknowledged none. A block depends only on the
// cell and its two states, so the encoder encodes it once and copies its bytes to every client at that baseline.
//
// The encoder never resends a lost packet: since the client does not acknowledge it, the next packet is written
// against the older baseline. An entity that a client may not see is absent from its packets, never masked.
//
// The client uses a [Mirror]. [Mirror.Apply] accepts packets in any order, repeated or lost;
// [Mirror.AppendAck] reports which arrived. The mirror trusts no byte: for a damaged packet it returns an error and
// changes nothing that a valid packet could not change.
//
// The schema determines which components and fields travel: a component registered as replicated is sent
// with all its fields. A field's tag says how ([ecs.FieldTag]):
//
//	type Position struct {
//		X, Y float64 `wind:"q=0.01,range=-1000..1000"` // metres, sent in steps of a centimetre
//		Home ecs.Entity                               // no tag: sent unchanged
//		Mood float64 `wind:"-"`                       // never sent
//	}
//
// The encoder clamps values outside the range. FORMAT.md describes the bytes.
package replication
