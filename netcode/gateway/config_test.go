package gateway_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/ferris1/wind/netcode/gateway"
)

// An id appears in subjects and keys, where other characters would mean something.
func TestAGatewaysIDIsAName(t *testing.T) {
	for id, valid := range map[string]bool{
		"gateway-1": true, strings.Repeat("a", 60): true,
		"": false, strings.Repeat("a", 61): false, "a.b": false, "a b": false, "A": false, "a/b": false, "é": false,
	} {
		cluster := newCluster(t)
		g, err := gateway.New(gateway.Config{
			ID: id, Directory: directory{&cluster.routes, cluster}, Link: &bus{c: cluster, players: map[string]int{}}, Bindings: cluster.store, Logger: slog.New(slog.DiscardHandler),
		})
		if g != nil {
			g.Close()
		}
		if (err == nil) != valid {
			t.Errorf("id %q: %v", id, err)
		}
	}
}
