package node

import (
	"log/slog"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/systems/script"
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

// config returns the configuration of an instance with these scripts, without what connects it to a cluster.
func (s Service) config(id string, modules []script.Module, logger *slog.Logger) (service.Config, error) {
	c := service.Config{Type: s.Type, ID: id, Scripts: modules, Files: s.Files, Public: s.Public, Login: s.Login, Middleware: s.Middleware}
	if s.Handlers == nil {
		return c, nil
	}
	err := contained(logger, "its Handlers panics", s.Handlers, func() error {
		c.Client, c.Server = s.Handlers()
		return nil
	})
	return c, err
}

// newService creates a service. A panic of the game's code becomes an error.
func newService(c service.Config) (s *service.Service, err error) {
	var ofGame any = service.New
	if len(c.Middleware) > 0 {
		ofGame = c.Middleware[0]
	}
	err = contained(c.Logger, "its registration panics", ofGame, func() (err error) {
		s, err = service.New(c)
		return err
	})
	return s, err
}
