// Package gateway is the services' front door: sessions of clients on one side,
// services behind a bus on the other. PROTOCOL.md one folder up says what the
// clients see (RPC).
//
//	g, err := gateway.New(gateway.Config{ID: "gateway-1", Directory: …, Link: bus, Bindings: store, Authenticator: …})
//	bus.Players(g.Push)
//	server.SetGateway(g)           // a netcode.Server: TCP, KCP and, with WebSocket(), HTTP
//	…
//	server.Close(); g.Close()      // in this order: the services hear of the sessions' end
//
// Where a message goes is the Directory's business, of which Routes is half. Who
// logs in says the Authenticator: TrustField for development, SignedLogin, or
// one of the game's. Stats and the metrics wind_gateway_* tell what was done.
//
// # A session
//
// Without a login a session may send messages that are Public or Login. A login
// message goes to the Authenticator, then, with the player's name, to its
// service; a fault from there undoes it. Without an Authenticator the service's
// answer says who it was (rpc.Response.Player), and any other answer may do the
// same. The newest login of a player wins: older sessions, on this gateway and,
// by a push named wind.replaced, on others, end with REASON_REPLACED. Of two
// logins within two seconds on two gateways, whose clocks may differ, the one
// with the later stamp stays; exactly one does.
//
// # Bindings
//
// A player's requests to a type of service go to one instance. Which one stands
// in the store Bindings, for all gateways, and is changed by compare-and-set
// alone: the instance that is there while it lives, else one that the directory
// picks. A session that is not logged in has an instance to itself. An instance
// that drains keeps its players; a new login goes elsewhere, if there is
// another.
//
// # Formats
//
// A session speaks Protobuf or JSON, which Open says; WebSockets with text
// messages speak JSON. A request goes to its service in the session's format, or
// in the other one where the instance does not take that (Speaker); answers and
// pushes are brought into the session's. For that the gateway has to know the
// message: it is compiled in, or in Config.Files.
//
// # What is executed how often
//
// A request that no handler began (Unavailable and NotBegun: the receiver says
// so, or NATS that there is none) is sent once more, to another instance if there
// is one, in its old place in the order. Nothing else is: the client hears how it
// failed, with maybe: true where an effect may have left. When an instance has left the directory, what it has not answered
// within the grace is given up (Link.Fail); a player's next requests wait for
// that, the grace at most, so that two instances do not work for it at once.
//
// # The end of a session
//
// Each instance that the player was bound to is told: a request without an
// answer and without Session, Message "PlayerDisconnected", Player set, payload
// wirepb.PlayerDisconnected in Protobuf. A service handles it among its server
// handlers (def Handler_PlayerDisconnected), or not at all. It may be lost, with
// the gateway for one: it is a hint.
//
// # Design
//
// No goroutine per session: a frame is sent on by the goroutine that read it,
// its answer is written by the one that brought it. Goroutines run for logins,
// for searches of an instance and for tickets, one of each per session at most,
// but for tickets (MaxInFlight). A session's requests are bounded by
// MaxInFlight, queued ones included, and refused beyond it; what waits for a
// client that does not read is bounded by the server. A payload is copied once
// on its way in and once on its way out. A stalled link stalls the readers; over
// UDP that is one goroutine for everybody, so a Link must not block.
package gateway
