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
// same. The newest login of a player wins: older sessions, on this gateway and
// on others, end with REASON_REPLACED.
//
// # A player's record
//
// The store Bindings has a Record for each player, which names the player's
// session and the instance of each type of service that works for the player.
// Gateways change it by compare-and-set alone, so its revisions order all
// logins: the newest is the one that the record names, and no clock has a say.
// A push named wind.replaced, which carries the revision, tells the older
// session at once; as pushes are lost, every session looks at its record again
// when the way to the other gateways was cut and is back, and thrice in
// Limits.RecordLife, which also keeps the record alive.
//
// The instance that the record names works for the player while it lives; else
// the directory picks one. An instance that drains keeps its players; a new
// login goes elsewhere, if there is another. The record of a player that has
// left lives for Limits.Return: who comes back by then finds its instances, who
// comes later is balanced anew. A session that is not logged in has an instance
// to itself.
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
// Each instance in the player's record is told, unless another session has taken
// over: a request without an answer and without Session, Message
// "PlayerDisconnected", Player set, payload wirepb.PlayerDisconnected in
// Protobuf. A service handles it among its server handlers
// (def Handler_PlayerDisconnected), or not at all. It is a hint: it may be lost,
// or come twice.
//
// # Design
//
// A session is a state machine, machine, in three parts: login.go (who is the
// player), claim.go (the player's record) and binding.go (the way to one type of
// service). It takes an event and returns what is to be done, without a clock, a
// goroutine or I/O; step.go lists events and actions. session is the shell: whoever steps
// a machine does its actions in their order, for those too who step meanwhile.
// The tests play several gateways, services, a store and a network that cuts,
// loses and delays against each other, by seed, and plant bugs that must be
// found.
//
// No goroutine per session: a frame is sent on by the goroutine that read it,
// its answer is written by the one that brought it. Goroutines run for logins,
// for reads and writes of the store and for tickets. A session's requests are
// bounded by MaxInFlight, queued ones included, and refused beyond it; what
// waits for a client that does not read is bounded by the server. A payload is
// copied once on its way in and once on its way out. A stalled link stalls the
// readers; over UDP that is one goroutine for everybody, so a Link must not
// block.
package gateway
