package service_test

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/service"
)

// TestALoginThatNobodyHandlesIsRefused: at start, and when a reload would take the handler away.
func TestALoginThatNobodyHandlesIsRefused(t *testing.T) {
	c := service.Config{Type: "game", ID: "game-1", Files: files, Login: []string{"StringValue"}}
	_, err := service.New(c)
	wantError(t, err, "service game: Login names StringValue, which has no handler: write a method StringValue in Go, or Handler_StringValue in handlers_client/*.star")
	c.Server = []any{onlyText{}}
	_, err = service.New(c)
	wantError(t, err, "Login names StringValue, whose handler is for services")
	_, err = service.New(service.Config{Type: "game", ID: "game-1", Files: files, Public: []string{"StringValue"}})
	wantError(t, err, "Public names StringValue, which has no handler")

	c.Server, c.Scripts = nil, client("def Handler_StringValue(client, request): pass")
	s := start(t, c)
	_, err = s.Prepare("r", client("def Handler_Int64Value(client, request): pass"))
	wantError(t, err, "Login names StringValue, which has no handler")
}

func TestAServiceWithoutHandlersSaysSo(t *testing.T) {
	for _, with := range []bool{false, true} {
		log := &captured{}
		c := service.Config{Files: files, Logger: log.logger(), Scripts: client("X = 1")}
		if with {
			c.Scripts = client("def Handler_StringValue(client, request): pass")
		}
		start(t, c)
		if said := strings.Contains(log.String(), "it has no handlers, neither in Go nor in Starlark"); said == with {
			t.Errorf("with handlers: %v, the log: %s", with, log.String())
		}
	}
}
