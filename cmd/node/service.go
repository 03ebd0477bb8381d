package node

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/service"
)

// Service is a type of service that a game brings: its handlers in Go and what it says of itself. Its handlers in
// Starlark are in the game's scripts, in the folder named after the type.
type Service struct {
	Type string // [a-z0-9-]{1,40}
	// Handlers makes the values whose methods handle messages in Go, once for each instance; nil: none.
	Handlers func() (client, server []any)
	Files    []protoreflect.FileDescriptor // the messages that it knows
	Public   []string                      // messages that sessions without a login may send, by short name
	Login    []string                      // messages that log a session in
	Selector string                        // how players are spread over the instances, as discovery.ParseSelector takes it; "": least
	Capacity int                           // players that one instance takes; 0: no limit
	// Middleware is around every handler, the first one outermost.
	Middleware []service.Middleware
}
