// Package session is the clients of one shard on one node: who has joined, what
// they want from the world, and what they are told of it.
//
// The front door (netcode.Door) hands Sessions the connections that want the shard.
// The shard's tick loop drives them:
//
//	Own(w, epoch)                      this node serves w from now on
//	Latch(w, tick, dst, budget) dst    collect what the clients want in tick
//	Release(w, seq, epoch, outputs)    the log holds these ticks: tell the clients
//	Disown(reason)                     this node no longer serves w
//
// No effect of a tick leaves before Release, so no client sees what a crash can
// take back. What must survive the node is in the world (ecs.Session): a Sessions
// only knows how to reach the clients, and a successor with the same world takes
// them over.
//
// Design. The sessions form a state machine without goroutines, sockets or clocks
// (hub.go). One goroutine at a time uses it (turn.go), and nobody while updates are
// encoded. The door serves many shards, so it never waits for its turn: it leaves what
// has arrived to whoever has it. An update that cannot leave is dropped, as the next
// one builds on what the client acknowledged; a command that does not fit into a
// session's queue is refused; an input that does not fit is forgotten.
//
// Limits per address and per identity (accounts.go) keep one client from using up
// what others need; the shards of a node share them. A game may let each player have
// one session (identity.go, ecs.Game.Identity). When a client falls silent, its
// held inputs are released (input.go, ecs.Game.HoldTicks). The log records the
// inputs as they were used.
//
// Events go to every client, whatever it sees, so a secret must not be an event.
// Replication alone decides what a client sees.
package session
