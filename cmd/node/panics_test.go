package node

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ferris1/wind/netcode/service"
)

// TestARegistrationThatPanicsIsAnError: a node whose service cannot be made ends with a sentence that names the service, the
// panic and its line, and starts nothing.
func TestARegistrationThatPanicsIsAnError(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	for want, breaks := range map[string]func(*Service){
		"service game: its Handlers panics: no table of prices, in node.": func(x *Service) {
			x.Handlers = func() (client, server []any) { panic("no table of prices") }
		},
		"service game: its registration panics: no limit, in node.": func(x *Service) {
			x.Middleware = []service.Middleware{func(service.Handler) service.Handler { panic("no limit") }}
		},
	} {
		c := s.config("game-1", fstest.MapFS{})
		breaks(&c.Services[0])
		n, err := Start(t.Context(), c)
		if err == nil {
			t.Fatal("the node runs", n.Stop())
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "(node/panics_test.go:") || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("the error is %q, want %q", err, want)
		}
	}
}
