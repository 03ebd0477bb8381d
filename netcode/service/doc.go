// Package service runs the handlers of services: everything around a game's shards, such as login, chat, roles and
// rooms. It does no I/O: netcode/bus brings requests and takes answers, and clients connect to netcode/gateway.
// Requests, codes and errors are in netcode/rpc.
//
//	make a service              New, Config
//	handle a request            Service.Handle
//	write handlers in Go        Config.Client, Config.Server: methods named after messages
//	write handlers in Starlark  Config.Scripts: def Handler_<Message>(client, request), see SCRIPTS.md of systems/script
//	act in a handler            Ctx: Call, Command, Rooms, Tell, Push, Broadcast, Store, Sleep, Spawn, Login
//	wrap every handler          Middleware: RateLimit, Tracing; metrics by Config.Registerer
//	run periodic work           Service.Every; every(seconds, function) in a script
//	change scripts              Service.Prepare, Commit, Abort
//	test without NATS           servicetest; rpc.MemoryBus, rpc.MemoryStore, rpc.MemoryRooms
//
// # Design
//
// A service finds a handler by the short name of its message. Messages from players go to the client handlers, messages
// from services to the server handlers. A client cannot reach a server handler.
//
// XResponse answers X or XRequest. New refuses a handler in Go whose result is another message, as its signature tells; a
// script that returns one fails. Ctx.Call checks the answers of other services, which may have another schema. Only a
// message without an XResponse in the schema may be answered with whatever answers no other message.
//
// All handlers of a service run on one logical thread, so what they share needs no lock. A handler that waits (Call,
// Sleep, a Store, Rooms) is suspended: others run meanwhile, and it continues when its turn comes. What it had read may have
// changed by then; that is why a write to the store names a revision. Requests of one player run one after another, even
// while one is suspended. A handler that does not suspend costs no goroutine switch (scheduler.go).
//
// A request is executed at most once and answered once: by its handler, or at its deadline, which runs from Handle
// (task.go). The service refuses it with NotBegun when 256 requests of its player or 65,536 in all are already there,
// when its deadline passes before its turn (watch.go), when the service is closing, when nobody is logged in, when no
// handler exists, and when its payload is not the message. Only the runtime sets NotBegun, before the handler runs,
// never a handler. A gateway may send such a request to another instance.
//
// If a handler has begun and fails, Maybe says whether an effect may have left (effects.go): the handler wrote to the
// store, called, told, pushed, sent a command, asked for a room or a ticket, or spawned, touched memory, or broke off. A refusal (rpc.Code.Refusal) before any of that
// means that nothing was done. The runtime sees only what goes through Ctx: a handler in Go that writes to its own
// database before it refuses must set Maybe itself. After a request's deadline its handler continues, with its context
// ended, and the player's next request waits for it.
//
// A handler that panics or calls runtime.Goexit fails alone. So does a script that loops endlessly, puts a message into
// itself or would build too much (SCRIPTS.md, "Limits"). A handler in Go that neither returns nor suspends holds the
// thread, and nothing can take it away. After two seconds the service reports this: Stalled, the log,
// wind_rpc_stalled_seconds. cmd/node makes it a condition of /healthz, and until the thread is free the instance gets no
// new players and no requests that any instance may answer.
//
// A reload makes a new table of handlers and swaps it in between two handlers: either the old code or the new answers a
// request, never a mixture, and a suspended handler finishes on the code that it began with. A dry run may happen in
// another goroutine while handlers run: it sees no Ctx and no memory. Scripts keep state across reloads in the store or
// in memory, which is not frozen with the globals of a module.
//
// Messages in scripts are those of go.starlark.net/lib/proto. The service checks field names first, so that an error can
// suggest the nearest name. That library's JSON would never end on an enum, so starjson.go has its own, bounded in depth
// and size. A script can still crash its process with str(m) of a message that it has put into itself: scripts are the
// operator's own code.
package service
