// Package gateway is the entrance to services: it connects the sessions of clients with the services behind a bus.
// PROTOCOL.md, one folder up, specifies what clients see (RPC).
//
//	g, err := gateway.New(gateway.Config{ID: "gateway-1", Directory: …, Link: bus, Bindings: store, Authenticator: …})
//	bus.Players(g.Push)
//	door.SetGateway(g)             // a netcode.Door: TCP, KCP and, with WebSocket(), HTTP
//	…
//	door.Close(); g.Close()        // in this order, so that services hear that the sessions ended
//
// The Directory routes messages; Routes implements half of it. The Authenticator decides who logs in: TrustField for
// development, SignedLogin, or the game's own. Stats and the metrics wind_gateway_* count what the gateway does.
//
// # A session
//
// Before a login, a session may send only messages that are Public or Login. A login message goes to the Authenticator
// and then, with the player's name, to its service. An error from the service undoes the login. Without an
// Authenticator, the service's answer names the player (rpc.Response.Player), as any other answer may. A player's newest
// login wins: older sessions, on this gateway and on others, end with REASON_REPLACED.
//
// # A player's record
//
// The store Bindings has a Record for each player. It names the player's session and, for each type of service, the
// instance that works for the player. Gateways change it only by compare-and-set, so its revisions order all logins. The
// newest login is the one that the record names, whatever the clocks say. A push named wind.replaced, which carries the
// revision, tells the older session at once. Because pushes can be lost, every session also checks its record when the
// connection to the other gateways comes back, and three times per Limits.RecordLife. The check also keeps the record
// alive.
//
// While the instance that the record names lives, it works for the player. Otherwise the directory picks another. An
// instance that drains keeps its players; a new login goes to another instance, if one exists. The record of a player
// that has left lasts for Limits.Return. If the player comes back within it, the directory knows which instances it had
// and prefers them, unless another has clearly fewer players: so reconnects change nothing, and logins after a scale-out
// spread. After that the directory picks as for a new player. A session that is not logged in has an instance to itself.
//
// # Formats
//
// A session speaks Protobuf or JSON, as its Open message says. WebSockets with text messages speak JSON. A request goes
// to its service in the session's format, or in the other one if the instance does not accept it (Speaker). The gateway
// converts answers and pushes to the session's format. To convert a message the gateway must know it: it is compiled in,
// or in Config.Files.
//
// # How often a request is executed
//
// If no handler began a request (Unavailable and NotBegun, from its receiver, or from NATS if no receiver is
// subscribed), the gateway sends it again, once, to another instance if one exists, in its old place in the order. It
// repeats nothing else: the client learns how its request failed, with maybe: true if an effect may have left. When an
// instance has left the directory, the gateway gives up (Link.Fail) what the instance has not answered within the grace.
// Until then, and for at most the grace, a player's next requests wait, so that two instances do not work for the
// player at once.
//
// # The end of a session
//
// When a session ends, the gateway tells each instance in the player's record, unless another session has taken over. It
// sends a request without an answer and without Session: Message "PlayerDisconnected", Player set, payload
// wirepb.PlayerDisconnected in Protobuf. A service may handle it among its server handlers (def
// Handler_PlayerDisconnected). It is only a hint: it may be lost, or come twice.
//
// # Design
//
// A session is a state machine, machine, in three parts: login.go (who the player is), claim.go (the player's record)
// and binding.go (the connection to one type of service). It takes an event and returns actions, without a clock, a
// goroutine or I/O; event.go lists the events and actions. session is the shell: the goroutine that steps a machine also
// performs its actions, in order, including those of goroutines that step it meanwhile. The tests run several gateways,
// services, a store and a network that cuts, loses and delays, all from a seed, and plant bugs that they must find.
//
// Sessions have no goroutines of their own. The goroutine that read a frame forwards it; the one that delivers an answer
// writes it. Only logins, reads and writes of the store, and tickets start goroutines. MaxInFlight bounds a session's
// requests, including queued ones; the gateway refuses further ones. The server bounds what waits for a client that does not
// read. A payload is copied once on its way in and once on its way out. A stalled link stalls the readers. Over UDP one
// goroutine reads for everyone, so a Link must not block.
package gateway
