// Package ecs is Wind's deterministic core: a world of entities and components that advances in ticks. What a
// tick does depends on the world before it and on the frame of commands that goes in, on nothing else: no clock,
// no global randomness, no goroutine, no order of a map. So a world can be computed again from its commands, on
// any machine, bit for bit. The storage is arche's (github.com/mlange-42/arche), behind it everything that makes
// a restored world live the same future.
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
//	any of them by its number        *Access, for hosts of scripts
//	telling other systems, clients   Event, *Events[E]: Emit, All
//	telling other shards, services   Outgoing, *Outbox[M]: Send
//	who plays                        *Sessions; Join, Leave; Tick.Control
//	time                             Tick.Now, Tick.Rate, Tick.Seconds
//	chance                           Tick.Rand
//	what can be set at the start     Game.Options, OptionsOf
//
// Structural changes (New, Despawn, Set, Remove, Control) are applied when the system returns, in the order of
// the calls; until then pointers and slices from queries hold. A spawned entity is alive and can be referred to
// at once. When a system or a handler panics, or a handler rejects its command, its structural changes, events
// and messages are dropped, what it has written into components stays, and Output.Failures names it, a panic with
// function, file and line (for people: no record, reply or state holds them). The next tick goes on, on every machine
// alike.
//
// A game has to keep to what can be computed again: package detmath instead of math's transcendental functions,
// float64(x*y) + z instead of x*y + z, no time, no goroutines, no map ranges, no state outside of the world.
// cmd/windvet finds what does not; ecs/ecstest tests a whole game.
//
// A world holds at most 32,768 different sets of components (tables). A system or command whose changes would need
// more fails by name, as if it had panicked. Tables without entities cost nothing and are given back once there are
// more than a thousand of them; ecstest.Limits finds a game that comes near this or another limit.
//
// # Running one
//
//	begin, continue            New, Restore
//	let commands in            World.Validate, World.Order, NewCommand
//	a tick                     World.Step
//	a tick done elsewhere      World.Apply
//	write a frame, read it     World.AppendFrame, World.DecodeFrame
//	save                       World.AppendSnapshot
//	compare                    World.Checksum, World.Recompute
//	look inside                World.Tables, Table.Column, World.Locate, Get, ResourceOf, World.EachSession
//	describe its types         World.Schema, SchemaOf, Type.Format, Type.Find, Type.PackJSON
//
// Frames, deltas and snapshots are specified byte by byte in FORMAT.md. Bytes from outside never cause a panic:
// Apply, Restore, DecodeFrame and Validate answer with an error.
//
// # Design
//
// The package keeps its own list of tables, one for each set of components, in the order of their creation, and
// iterates, saves and hashes by it, never by arche's own order, which a restored world could not repeat. It
// mirrors arche's entity pool, so that a deferred spawn knows its entity. Queries, change detection and checksum visit
// tables with rows only. When a tick leaves too many without, they are given back and the others close up. The rule
// depends on the tables alone, and the delta says when it happens: all worlds agree. arche never frees an archetype and
// searches all of them for a new one; so where it pays, its side of the world is made anew, which nobody can tell. Next to each column of live values
// stand the committed ones; after the systems have run, the columns that may have been written are compared with
// them. That is where delta and checksum come from, and game code is not asked for anything. The checksum is a
// sum of hashes over (entity, component, value) and (entity, table, row), which changes with what changes, mixed
// with the entity pool, the sessions, tick, seed and options: equal checksums, equal futures.
package ecs
