// Package bus carries messages between services over core NATS: the envelope stands in headers, the payload is the message.
//
//	what you do                          how
//	ask any instance, one, or tell all   Bus.Call, Bus.Tell (rpc.Bus)
//	ask without waiting                  Bus.Send, Bus.Fail: the gateways' link
//	answer requests                      Bus.Serve, then Served.Drain (and Undrain), Served.Close
//	push to players                      Bus.Push; Bus.Players and Bus.Subscribe on a gateway
//	look after instances                 Bus.Admin; netcode/reload reloads scripts by it
//	stop a process from afar             Bus.StopNode; Bus.ServeNode in that process
//	send commands into a shard           Bus.Shard; Port and Bus.ServeShard on its node
//
// # Subjects
//
//	windrpc.<cluster>.<type>.any              one of the instances (queue group "any")
//	windrpc.<cluster>.<type>.id.<instance>    that one
//	windrpc.<cluster>.<type>.all              all of them; nobody answers
//	windrpc.<cluster>.<type>.admin.<instance> JSON {"op": …}, answered with JSON {"ok": …, "instance": …}
//	windrpc.<cluster>.node.admin.<node>       JSON {"op": "stop", "node": id}; the node's id in small letters, what is no letter
//	                                          or digit as a dash
//	windrpc.<cluster>.player.<player>         push to one player, its name in base64url without padding
//	windrpc.<cluster>.players                 push to all of them
//	windrpc.<cluster>.shard.id.<shard>        commands into a shard, JSON; its owner (queue group "owner": of two nodes that
//	                                          both believe to own it, one gets a request, so that its answer is true)
//
// # Headers
//
// Of a request: Wind-Message (short name), Wind-Format ("json", absent: Protobuf), Wind-Player, Wind-Session, Wind-From,
// Wind-Timeout (the milliseconds that its sender waits; absent: 5000), traceparent. Of a push: Wind-Message, Wind-Id (of its frame), Wind-Format. Of an answer:
// Wind-Message, Wind-Format, Wind-Player (a login), or Nats-Service-Error-Code (the number of an rpc.Code), Nats-Service-Error
// (its text) and one of Wind-Maybe: 1 and Wind-Not-Begun: 1, or neither. Header values are UTF-8 without control characters; NATS trims spaces at their ends, so a
// player's name has none there.
//
// # What is promised
//
// At most once: nothing is ever sent twice by this package, and nothing is sent late, since the connection buffers nothing
// while it is down (persistence/jetstream opens it so). Of a request that failed, rpc.Error.Maybe says whether an effect of
// it may have left, and NotBegun that no handler has begun it: only then may it be sent to another instance, and only its receiver
// says so, before the handler, or NATS, where there is no receiver. A receiver has rpc.AnswerWithin of what the sender waits, 0.2 s
// less of 5 s: what waits in it for longer is not begun, and its sender hears so in time. No receiver at all is an answer at once, never a time-out. Messages from one connection to one subject
// arrive in order; there is no order between the subjects any and id. Pushes are lost when nobody is subscribed.
//
// # What is bounded
//
//	requests in flight of a bus     MaxPending     the next one is ResourceExhausted
//	requests waiting for a handler  64 Ki, 64 MiB  NATS drops the newest: its sender times out, with Maybe
//	pushes waiting for the handler  4096           NATS drops the newest; Stats counts them
//	admin operations of an instance 16             the next one is refused
//	commands waiting for a shard    1024           the next one is ResourceExhausted, and was not executed
//
// # Why nats.go/micro, and what of it
//
// Discovery, information and statistics come from nats.go/micro, so that `nats micro ls`, `info` and `stats` know every
// service. Answers do not go through micro.Request: it may only be used until its handler returns, and handlers here answer
// later. Its count of errors is therefore always 0, and its processing time that of taking a request on; the endpoints' data
// has the true figures. An instance is one micro service, which `nats micro info` shows with its
// endpoints id, all and admin. The subject any is a subscription beside it, named in the metadata: Drain leaves it, and
// micro can stop a service only as a whole.
package bus
