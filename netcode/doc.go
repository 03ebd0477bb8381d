// Package netcode is the client-facing side of a node: transports, sessions, the
// wire protocol, and the calls through which a shard's tick loop uses them.
//
// A Server listens on one UDP socket (KCP for what must arrive, datagrams for
// updates) and on TCP, with the same frames on both. A frame is one message on the
// wire; what goes into an ecs.Frame is called a tick's commands here. PROTOCOL.md
// specifies everything that a client in another language needs. The tick loop
// drives the server:
//
//	Own(w, epoch)                      this node serves w from now on
//	Latch(w, tick, dst, budget) dst    collect what the clients want in tick
//	Release(w, seq, epoch, outputs)    the log holds these ticks: tell the clients
//	Disown(reason)                     this node no longer serves w
//
// No effect of a tick leaves before Release, so no client sees what a crash can
// take back. Sessions live in the world (ecs.Session). A Server only knows how to
// reach their clients; a successor with the same world takes the sessions over.
//
// A connection whose first frame does not belong to the shard protocol speaks
// RPC, and the server hands it to its Gateway, if it has one. A server that never
// owns a world is only a gateway. WebSocket accepts both kinds over HTTP.
//
//   - RPC: netcode/gateway, netcode/rpc, netcode/bus
//   - frames and datagram headers: netcode/frame; messages: netcode/wirepb
//   - KCP without goroutines: netcode/lane; the socket: netcode/udp
//   - what a client may see of a tick, and how far: netcode/replication
//   - services that answer requests: netcode/service; reloads of scripts: netcode/reload
//   - the Go client, and bots: netcode/client
//
// Design. The sessions form a state machine without goroutines, sockets or clocks
// (hub.go). The Server serialises calls into it with one lock, which it never
// holds during a system call, while it encodes updates, or while a gateway handles
// a frame. One goroutine reads and writes the UDP socket and drives every KCP core;
// a TCP connection has two. Every queue is bounded. The server drops an update that
// cannot leave (the next one builds on what the client acknowledged), ends a
// connection that does not read what must arrive (REASON_SLOW), refuses commands
// that do not fit into a session's queue, and forgets inputs that do not.
//
// Limits per address and per identity (limits.go) keep one client from using up
// what others need. When a client falls silent, its held inputs are released
// (input.go, ecs.Game.HoldTicks). The log records the inputs as they were used.
//
// Events go to every client, whatever it sees, so a secret must not be an event.
// Replication alone decides what a client sees.
//
// A Ticket says who a player is: a gateway seals it, the shard's node opens it.
// It authenticates but encrypts nothing. The secure handshake will be a later
// layer: datagram types 16-31 are reserved for it. Until it exists, Listen refuses
// all addresses but loopback, unless Insecure is set.
package netcode
