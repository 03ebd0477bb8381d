// Package netcode is the clients' side of a node: transports, sessions, the
// wire protocol and what a shard's tick loop needs of them.
//
// A Server listens on one UDP socket (KCP for what must arrive, datagrams for
// updates) and on TCP, with the same frames on all of them; PROTOCOL.md says
// everything that a client in another language needs. The tick loop drives it:
//
//	Own(w, epoch)                      this node serves w now
//	Latch(w, tick, dst, budget) dst    what the clients want in tick
//	Release(w, seq, epoch, outputs)    the log holds these ticks: tell the clients
//	Disown(reason)                     this node does not serve w any more
//
// Nothing of a tick leaves before Release, so no client sees what a crash can
// take back. Sessions live in the world (ecs.Session); a Server only knows how
// to reach their clients, and a successor with the same world takes them up
// again.
//
// A connection whose first frame is no shard's speaks RPC: it belongs to the
// Gateway, if the server has one. A server that never owns a world is a gateway
// alone. WebSocket takes both over HTTP.
//
//   - RPC: netcode/gateway, netcode/rpc, netcode/bus
//   - frames and datagram headers: netcode/frame; messages: netcode/wirepb
//   - KCP without goroutines: netcode/lane; the socket: netcode/udp
//   - what a client may see of a tick: netcode/replication
//   - the client in Go, and bots: netcode/client
//
// Design. The sessions are a state machine without goroutines, sockets or
// clocks (hub.go); the Server serialises its calls with one lock, which is
// never held during a system call, while updates are encoded, or while a gateway
// handles a frame. One goroutine
// reads and writes the UDP socket and drives every KCP core; TCP has two per
// connection. Every queue is bounded: updates are dropped when they cannot
// leave (the next one stands on what the client acknowledged), a connection
// that does not take what must arrive ends (REASON_SLOW), commands beyond a
// session's queue are answered with a refusal, inputs beyond it are forgotten.
//
// What one address and one identity may take is bounded too (limits.go), so that
// nobody takes what others need; what a client holds down is let go when it
// falls silent (input.go, ecs.Game.HoldTicks), and what was used is what is logged.
//
// Events go to every client, whatever it sees: an event that is to stay secret
// must not be one. Replication alone decides what is in sight.
//
// A Ticket says who a player is: a gateway seals it, the shard's node opens it.
// It authenticates and keeps nothing secret. The secure handshake is a later
// layer: datagram types 16-31 are kept for it, and Listen refuses other
// addresses than loopback until it exists, unless Insecure.
package netcode
