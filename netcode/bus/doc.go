// Package bus carries messages between services over core NATS. The envelope is in the headers; the payload is the
// message.
//
//	task                                    how
//	ask any instance or one, or tell all    Bus.Call, Bus.Tell (rpc.Bus)
//	ask without waiting                     Bus.Send, Bus.Fail: the gateways' link
//	say that an instance has left           Bus.Gone
//	answer requests                         Bus.Serve, then Served.Drain (and Undrain), Served.Close
//	push to players                         Bus.Push; Bus.Players and Bus.Subscribe on a gateway
//	operate instances                       Bus.Admin; netcode/reload reloads scripts with it
//	stop a process remotely                 Bus.StopNode; Bus.ServeNode in that process
//	send commands into a shard              Bus.Command (Bus.Shard: other operations); intake.Port and Bus.ServeShard on its node
//
// # Subjects
//
//	windrpc.<cluster>.<type>.any              any one instance (queue group "any")
//	windrpc.<cluster>.<type>.id.<instance>    that instance
//	windrpc.<cluster>.<type>.all              all instances; none of them answers
//	windrpc.<cluster>.<type>.admin.<instance> JSON {"op": …}, answered with JSON {"ok": …, "instance": …}
//	windrpc.<cluster>.node.admin.<node>       JSON {"op": "stop", "node": id}; the subject has the node's id in lower case,
//	                                          with a dash for each character that is not a letter or digit
//	windrpc.<cluster>.player.<player>         push to one player, its name in base64url without padding
//	windrpc.<cluster>.players                 push to all players
//	windrpc.<cluster>.shard.id.<shard>        commands into a shard, JSON, for its owner (queue group "owner": if two nodes
//	                                          both believe they own it, only one gets a request, so its answer is true)
//
// # Headers
//
// A request has Wind-Message (short name), Wind-Format ("json"; absent: Protobuf), Wind-Player, Wind-Session,
// Wind-From, Wind-Timeout (how long its sender waits, in milliseconds; absent: 5000) and traceparent. A push has
// Wind-Message, Wind-Id (its frame's id) and Wind-Format. An answer has Wind-Message, Wind-Format and, for a login,
// Wind-Player; or, on failure, Nats-Service-Error-Code (the number of an rpc.Code), Nats-Service-Error (its text) and
// at most one of Wind-Maybe: 1 and Wind-Not-Begun: 1. Header values are UTF-8 without control characters. NATS trims
// spaces at their ends, so a player's name must not begin or end with one.
//
// # Guarantees
//
// Delivery is at most once. This package never sends anything late, nor twice, except for a Call to any instance whose
// receiver has not begun it: the connection does not buffer
// while it is down (persistence/jetstream opens it that way). When a request fails, rpc.Error.Maybe means that one of
// its effects may have left, and NotBegun that no handler has begun it. Only a request with NotBegun may be sent to
// another instance. A call to any instance goes to one that Config.Any chooses; without a choice it goes to the subject
// any, where NATS chooses, even an instance whose process stands still. The bus cannot tell which one has it, so such a call fails when any
// instance of the type leaves the directory. The receiver sets NotBegun, before the handler runs; or the bus, when NATS reports that no receiver
// is subscribed. A receiver has rpc.AnswerWithin of the sender's timeout, which is 0.2 s less for 5 s. It does not
// begin a request that has waited longer, and the sender learns so in time. If there is no receiver, the sender gets an
// answer at once, never a timeout. Messages from one connection to one subject arrive in order; the subjects any and id
// have no order between them. A push is lost if nobody is subscribed.
//
// # Limits
//
//	requests in flight of a bus     MaxPending     the next one fails with ResourceExhausted
//	requests waiting for a handler  64 Ki, 64 MiB  NATS drops the newest: its sender times out, with Maybe
//	pushes waiting for the handler  4096           NATS drops the newest; Stats counts them
//	admin operations of an instance 16             the next one is refused
//	commands waiting for a shard    1024           the next one fails with ResourceExhausted and is not executed
//
// # Why nats.go/micro, and which parts of it
//
// nats.go/micro provides discovery, information and statistics, so that `nats micro ls`, `info` and `stats` know
// every service. Answers do not go through micro.Request: it may be used only until its handler returns, and handlers
// here answer later. So its error count is always 0, and its processing time is the time to accept a request. The
// endpoints' data has the true figures. An instance is one micro service, which `nats micro info` shows with its
// endpoints id, all and admin. The subject any is a separate subscription, named in the metadata: Drain leaves it,
// whereas micro can stop a service only as a whole.
package bus
