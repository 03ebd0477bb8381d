// Package ecs is Wind's deterministic core: a world of entities and components that advances in ticks. A tick depends
// only on the previous world and on the frame of commands: no clock, no global randomness, no goroutines, no map order.
// A world can therefore be recomputed from its commands, on any machine, bit for bit. Storage is arche
// (github.com/mlange-42/arche); this package adds what gives a restored world the same future.
//
// # Writing a game
//
//	a component, a singleton         Component, Resource; their options Replicated, Spatial, Transient
//	how clients see a field          its tag `wind:"q=0.01,range=-1000..1000"`: FieldTag
//	a reference to an entity         Entity, a field like any other
//	a text in a component            Text16, Text32, Text64
//	what runs each tick              System, a func(*Tick, params…)
//	what runs once, at the beginning Init
//	what players and others send     Handle, a func(*Tick, *Cmd[C], params…); Sampled; Cmd.Reject
//	visiting entities                *Query[V]: for v := range q.Each; Get, Count
//	making an entity                 *Spawner[B]: New
//	ending one                       Tick.Despawn, Tick.Alive
//	one entity's component           *Comp[T]: Get, Has, Set, Remove
//	a singleton                      *Res[T]: Get
//	a component by its number        *Access, for script hosts
//	telling other systems, clients   Event, *Events[E]: Emit, All
//	telling other shards, services   Outgoing, *Outbox[M]: Send
//	who plays                        *Sessions; Join, Leave; Tick.Control
//	how often a player may be here   Game.Identity
//	time                             Tick.Now, Tick.Rate, Tick.Seconds
//	what clients run ahead           Predict
//	random numbers                   Tick.Rand
//	what can be set at the start     Game.Options, OptionsOf
//
// Structural changes (New, Despawn, Set, Remove, Control) are applied when the system returns, in call order; until
// then pointers and slices from queries stay valid. A spawned entity is alive and can be referred to at once. When a
// system or a handler panics, or a handler rejects its command, the world drops its structural changes, events and
// messages, but keeps what it has written into components. Output.Failures names it; for a panic it adds function, file
// and line (for people: they enter no record, reply or state). The next tick runs as usual, and identically on every machine.
//
// A game must use only operations that can be recomputed: package detmath instead of math's transcendental functions,
// float64(x*y) + z instead of x*y + z, no time, no goroutines, no map ranges, no state outside the world. cmd/windvet
// finds violations; ecs/ecstest tests a whole game.
//
// A world holds at most 32,768 different sets of components (tables). A system or command whose changes would need more
// fails as if it had panicked. The world gives empty tables back once it has more than a thousand of them.
// ecstest.Limits finds a game that comes near this limit or another.
//
// # Running one
//
//	begin, continue            New, Restore
//	accept commands            World.Validate, World.Order, NewCommand
//	run a tick                 World.Step
//	apply another node's tick  World.Apply
//	write a frame, read it     World.AppendFrame, World.DecodeFrame
//	save                       World.AppendSnapshot
//	compare                    World.Checksum, World.Recompute
//	run ahead on a client      Prediction: Place, Step, Agrees
//	look inside                World.Tables, Table.Column, World.Locate, Get, ResourceOf, World.EachSession
//	describe its types         World.Schema, SchemaOf, Type.Format, Type.Find, Type.PackJSON
//
// FORMAT.md specifies frames, deltas and snapshots byte by byte. Bytes from outside never cause a panic: Apply,
// Restore, DecodeFrame and Validate return an error.
//
// # Design
//
// The package keeps its own list of tables, one per set of components, in creation order. It iterates, saves and hashes
// in that order, never in arche's, which a restored world could not repeat. It mirrors arche's entity pool, so that a
// deferred spawn knows its entity. Queries, change detection and checksum visit only tables with rows. When a tick
// leaves too many empty tables, the world gives them back and the others close up. The rule depends on the tables
// alone, and the delta records it, so all worlds agree. arche never frees an archetype and searches all of them for a
// new one; where it pays, the world therefore rebuilds its arche side, with no visible effect. Each column of
// live values has a parallel column of committed ones. After the systems have run, the world compares the columns that may have
// been written with their committed copies and derives delta and checksum from the differences; game code
// does nothing for it. The checksum is an incremental sum of hashes over (entity, component, value) and (entity, table, row), mixed
// with the entity pool, the sessions, tick, seed and options: equal checksums, equal futures.
package ecs
