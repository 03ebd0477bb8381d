package node

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/service"
)

// Service is a type of service that a game defines: its handlers in Go and its settings. Its handlers in Starlark are
// in the game's scripts, in the folder named after the type.
type Service struct {
	Type string // [a-z0-9-]{1,40}
	// Handlers creates the values whose methods handle messages in Go. It is called once per instance; nil: none.
	Handlers func() (client, server []any)
	Files    []protoreflect.FileDescriptor // the messages that it knows
	Public   []string                      // messages that sessions without a login may send, by short name
	Login    []string                      // messages that log a session in
	Selector string                        // how players are assigned to instances: see discovery.ParseSelector; "": least
	Capacity int                           // maximum number of players of one instance, which several gateways may exceed for some seconds; 0: no limit
	// Middleware wraps every handler, the first one outermost.
	Middleware []service.Middleware
}
