// Package rpc runs the handlers of services: what surrounds a game's shards, such as login, chat, roles and rooms. It does
// no I/O: netcode/bus brings requests and takes answers, netcode/gateway is where clients come in.
//
//	make a service              New, Config
//	let it answer               Service.Handle
//	handlers in Go              Config.Client, Config.Server: methods named after messages
//	handlers in Starlark        Config.Scripts: def Handler_<Message>(client, request), see SCRIPTS.md of systems/script
//	what a handler can do       Ctx
//	how a request fails         Error, Code, Errorf
//	around every handler        Middleware: RateLimit, Tracing; metrics by Config.Registerer
//	periodic work               Service.Every; every(seconds, function) in a script
//	change scripts              Service.Prepare, Commit, Abort
//	hold a game's ids fixed     Numbers
//	test without NATS           MemoryBus, MemoryStore
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
// A request is executed at most once. It is refused without having been executed when too many wait, when its time is over
// before its turn, when nobody is logged in, or when there is no handler; an error with Maybe says that the handler ran.
//
// A reload makes a whole new table of handlers and swaps it between two of them: a request is answered by the old code or
// by the new, never by a mixture, and what is suspended finishes on the code that it began with. What scripts remember
// across reloads is in the store, or in memory.
package rpc
