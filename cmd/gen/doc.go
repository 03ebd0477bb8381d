// Package gen writes what belongs to the messages of a game in the languages that its handlers are written in: Go
// interfaces and callers, Starlark handlers, Python handlers and tables of message ids. `wind gen` is its verb.
//
//	schema, err := gen.Load(ctx, gen.Source{Protos: []string{"api/speak.proto"}})
//	outputs, err := schema.Generate("scripts/game", gen.Star)
//	err = gen.Write("scripts/game", outputs) // or gen.Stale(…), which writes nothing
//
// The Go structs of the messages come from protoc-gen-go, as ever.
//
// # What is a handler
//
// A message XRequest is handled, and answered with XResponse if there is such a message. A message S_X, as ferris1/wind has
// them between servers, is handled unless its name ends in Response or Ack, and answered with S_XResponse. The message with
// id 101, the heartbeat, is the gateway's.
//
// # Whose it is
//
// A message is the server's, sent by services and never by players, if its name begins with S_, if the path of its
// file below the import folder has "server" in it, or if the caller of Load says so. All others are the client's.
//
// # What is refused
//
// Each with file, line and column: what protoc refuses, too; an id that two messages share, that is Wind's own
// (2001 to 2199) or is 2^31 or more; a client's Request or Response without an id; two messages of one short name.
//
// # What is overwritten
//
// Files that begin with the line of generated code are replaced as a whole, and never one that does not. Skeletons belong
// to who fills them in: they get functions that neither they nor their neighbours define, at their end, and lose nothing.
package gen
