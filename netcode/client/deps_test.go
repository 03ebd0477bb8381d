package client_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestAClientCarriesNoServer asks go list for everything that a game's client links. That must not include the runtime of
// services or its dependencies.
func TestAClientCarriesNoServer(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	list := strings.Fields(string(out))
	if len(list) < 50 {
		t.Fatalf("go list names %d packages, too few to be all", len(list))
	}
	for _, pkg := range list {
		for _, server := range []string{
			"go.starlark.net", "github.com/prometheus", "go.opentelemetry.io", "github.com/nats-io", "go.etcd.io",
			"github.com/ferris1/wind/systems/script", "github.com/ferris1/wind/netcode/service", "github.com/ferris1/wind/netcode/bus",
			"github.com/ferris1/wind/netcode/gateway", "github.com/ferris1/wind/shard", "github.com/ferris1/wind/cmd",
		} {
			if pkg == server || strings.HasPrefix(pkg, server+"/") {
				t.Errorf("netcode/client depends on %s", pkg)
			}
		}
	}
}
