// Package service runs the handlers of services: what surrounds a game's shards, such as login, chat, roles and rooms. It does
// no I/O: netcode/bus brings requests and takes answers, netcode/gateway is where clients come in. Requests, codes and errors
// are in netcode/rpc.
//
//	make a service              New, Config
//	let it answer               Service.Handle
//	handlers in Go              Config.Client, Config.Server: methods named after messages
//	handlers in Starlark        Config.Scripts: def Handler_<Message>(client, request), see SCRIPTS.md of systems/script
//	what a handler can do       Ctx: Call, Tell, Push, Broadcast, Store, Sleep, Spawn, Login
//	around every handler        Middleware: RateLimit, Tracing; metrics by Config.Registerer
//	periodic work               Service.Every; every(seconds, function) in a script
//	change scripts              Service.Prepare, Commit, Abort
//	test without NATS           servicetest; rpc.MemoryBus, rpc.MemoryStore
//
// # Design
//
// A handler is found by the short name of its message. Messages that players sent go to the client handlers, those that
// services sent to the server handlers; a client reaches no server handler.
//
// All handlers of a service run on one logical thread, so none needs a lock for what handlers share. A handler that waits
// (Call, Sleep, a Store) is suspended: others run meanwhile, and it goes on in its turn. In between, what it had looked at
// may have changed; that is why a write to the store names a revision. Requests of one player run one after another, a
// suspended one included. A handler that does not suspend costs no switch of goroutines (scheduler.go).
//
// A request is executed at most once, and answered once: by its handler, or when its time is over, which runs from Handle
// (task.go). It is refused with NotBegun when 256 of its player or 65,536 in all are there already, when its time is over before
// its turn (watch.go), when the service closes, when nobody is logged in, when there is no handler, and when its payload is not
// the message. NotBegun is said by the runtime before the handler, never by a handler: a gateway sends such a request elsewhere.
//
// Of a handler that has begun and fails, Maybe says whether an effect may have left (effects.go): it wrote to the store, called,
// told, pushed or spawned, touched memory, or broke off. A refusal (rpc.Code.Refusal) that comes before any of that says that
// nothing was done. The runtime sees what goes through Ctx: a handler in Go that writes to a database of its own before it
// refuses sets Maybe itself. The handler of a request whose time is over goes on, with its context ended; its player's next
// request waits for it.
//
// Panics of handlers, runtime.Goexit in them, endless loops and messages that a script put into themselves end the handler
// alone; so does a script that would build too much (SCRIPTS.md, "Limits"). A handler in Go that neither returns nor suspends
// holds the thread, and nobody can take it away. After two seconds that is told: Stalled, the log, wind_rpc_stalled_seconds;
// cmd/node makes it a condition of /healthz and takes the instance out of the balance until it is over.
//
// A reload makes a whole new table of handlers and swaps it between two of them: a request is answered by the old code or
// by the new, never by a mixture, and what is suspended finishes on the code that it began with. A dry run may happen while
// handlers run, in another goroutine: it sees no Ctx and no memory. What scripts remember across reloads is in the store, or in
// memory, which are not frozen with the globals of a module.
//
// Messages in scripts are those of go.starlark.net/lib/proto; names of fields are checked before, so that a misspelled one is
// told with the nearest. Its own JSON would go round in circles in an enum, so starjson.go has another one, bounded in depth and
// size. A script can still crash its process with str(m) of a message that it has put into itself: scripts are the
// operator's own code.
package service
