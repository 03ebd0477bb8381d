// Package netcode is a node's front door: its transports, and the life of each
// connection until somebody takes it over.
//
// A Door listens on one UDP socket (KCP for what must arrive, datagrams for
// updates) and on TCP, with the same frames on both; WebSocket carries them over
// HTTP. A frame is one message on the wire; what goes into an ecs.Frame is called a
// tick's commands here. PROTOCOL.md specifies everything that a client in another
// language needs. A door knows nothing of worlds. The first message of a connection
// says who takes it over:
//
//	Hello                   the sessions of the shard that it names (Shard, netcode/session)
//	any message of a game   the gateway (Gateway, netcode/gateway)
//
// From then on the Stream that the peer returned handles the connection's messages,
// and the peer answers through the Conn. Many shards share one door: each has its
// own lock, the door waits for none of them, and none waits for another.
//
//   - the clients of one shard: netcode/session
//   - RPC: netcode/gateway, netcode/rpc, netcode/bus
//   - frames and datagram headers: netcode/frame; messages: netcode/wirepb
//   - KCP without goroutines: netcode/lane; the socket: netcode/udp
//   - what a client may see of a tick, and how far: netcode/replication
//   - services that answer requests: netcode/service; reloads of scripts: netcode/reload
//   - the Go client, and bots: netcode/client
//
// Design. One goroutine reads and writes the UDP socket and drives every KCP core; a
// TCP connection has two. Locks are small and nest in one order: a peer's, then a
// connection's, then the door's or the UDP loop's. No lock is held during a system
// call or while a Stream handles a message. Every queue is bounded: the door ends a
// connection that does not read what must arrive (REASON_SLOW), drops datagrams
// that cannot leave, and bounds the connections of one address (Limits), so that one
// client cannot use up what others need.
//
// A Ticket says who a player is: a gateway seals it, the shard's node opens it.
// It authenticates but encrypts nothing. TCP and WebSocket speak TLS if Config.TLS
// is set; package netcode/cert keeps the certificate. UDP's secure handshake will be
// a later layer: datagram types 16-31 are reserved for it. Listen refuses addresses
// that other machines can reach and that nothing encrypts, unless Insecure is set.
package netcode
