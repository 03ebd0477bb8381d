// Package gen generates code for a game's messages in the languages of its handlers: Go interfaces and callers,
// Starlark handlers, Python handlers, and tables of message ids. Its verb is `wind gen`.
//
//	schema, err := gen.Load(ctx, gen.Source{Protos: []string{"api/speak.proto"}})
//	outputs, err := schema.Generate("scripts/game", gen.Star)
//	err = gen.Write("scripts/game", outputs) // or gen.Stale(…), which writes nothing
//
// The Go structs of the messages come from protoc-gen-go, as usual.
//
// # Which messages have handlers
//
// A message XRequest has a handler, answered with XResponse if that message exists. A message S_X, which ferris1/wind
// uses between servers, has a handler unless its name ends in Response or Ack, answered with S_XResponse. The gateway
// handles the message with id 101, the heartbeat.
//
// # Who sends them
//
// A message is the server's, sent by services and never by players, if its name begins with S_, if the path of its file
// below the import folder contains "server", or if the caller of Load says so. All others are the client's.
//
// # What is an error
//
// Each error names file, line and column. Errors are everything that protoc rejects; an id that two messages share,
// that is Wind's own (2001 to 2199), or that is 2^31 or more; a client's Request or Response without an id; and two
// messages with the same short name.
//
// # What is overwritten
//
// Files that begin with the line of generated code are replaced as a whole; other files never are. Skeletons belong to
// whoever fills them in: gen only appends functions that neither they nor their neighbours define.
package gen
