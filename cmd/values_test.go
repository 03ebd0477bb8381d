package cmd

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestVariablesAreCheckedLikeFlags: the error names the variable, so that nobody searches the call for a flag.
func TestVariablesAreCheckedLikeFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct{ verb, name, value, says string }{
		{"serve", "WIND_LEASE", "999999h", "longer than 1h"},
		{"serve", "WIND_NODE", "a b/c", "is not a node's name"},
		{"gateway", "WIND_CLIENT_RATE", "0", "or -1 for no limit"},
		{"gateway", "WIND_ROUTE", "A=game,A=chat", "A has a route already"},
		{"gateway", "WIND_ORIGIN", "http://a b", "is not a host"},
		{"dev", "WIND_DELTAS", "24h,24h", "two ages"},
		{"dev", "WIND_DATA", " ", "has blanks around it"},
		{"ps", "WIND_NATS", "a b", "is not the URL of a server"},
		{"ps", "WIND_ETCD", "nats://a", "is not the URL of a server"},
	} {
		t.Setenv(c.name, c.value)
		var out, log strings.Builder
		if code := mygame(&out, &log).run([]string{c.verb}); code != exitUsage || !strings.Contains(log.String(), c.name) || !strings.Contains(log.String(), c.says) || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%s=%s %s ends with %d, want %d and %q: %s", c.name, c.value, c.verb, code, exitUsage, c.says, log.String())
		}
		if err := os.Unsetenv(c.name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAURLThatIsRefusedKeepsItsPassword: errors get into logs.
func TestAURLThatIsRefusedKeepsItsPassword(t *testing.T) {
	var out, log strings.Builder
	code := mygame(&out, &log).run([]string{"ps", "--nats", "nats://node:secret@h:99999", "--etcd", "http://h:1"})
	if code != exitUsage || strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "nats://node:PASSWORD@h:99999") {
		t.Errorf("ends with %d: %s", code, log.String())
	}
}

// TestVariablesThatNoFlagReadsAreTold: a misspelled variable once changed nothing in silence.
func TestVariablesThatNoFlagReadsAreTold(t *testing.T) {
	var out, log strings.Builder
	a := mygame(&out, &log)
	got := strayVariables([]string{
		"WIND_BOGUS=1", "WIND_LEASES=5s", "WIND_CLIENT-RATE=5", "WIND_NATSPORT=1",
		"WIND_LEASE=5s", "WIND_NATS_PORT=4222", "WIND_MONSTERS=7", "WIND_GAME=speak", "WIND_EMPTY=", "PATH=/bin", "WINDY=1", // a flag's, a game's, unset, or not ours
		"WIND_SERVICE_HOST=10.0.0.1", "WIND_GATEWAY_SERVICE_PORT_HTTP=80", "WIND_PORT=tcp://10.0.0.1:80", "WIND_PORT_80_TCP_ADDR=10.0.0.1", // Kubernetes' of a service called wind
	}, a.flagNames(a.root()))
	want := []string{
		"the environment variable WIND_BOGUS has no effect: no flag is called --bogus",
		"the environment variable WIND_CLIENT-RATE has no effect: no flag is called --client-rate: did you mean WIND_CLIENT_RATE?",
		"the environment variable WIND_LEASES has no effect: no flag is called --leases: did you mean WIND_LEASE?",
		"the environment variable WIND_NATSPORT has no effect: no flag is called --natsport: did you mean WIND_NATS_PORT",
	}
	for i, g := range got {
		if i >= len(want) || !strings.HasPrefix(g, want[i]) {
			t.Errorf("told: %s", g)
		}
	}
	if len(got) != len(want) {
		t.Errorf("told %d of %d: %q", len(got), len(want), got)
	}
	t.Setenv("WIND_BOGUS", "1")
	if code := mygame(&out, &log).run([]string{"version"}); code != exitDone || strings.Count(log.String(), "WIND_BOGUS") != 1 {
		t.Errorf("version ends with %d: %s", code, log.String())
	}
	if slices.Contains(a.flagNames(a.root()), "bogus") {
		t.Error("bogus is a flag")
	}
}
