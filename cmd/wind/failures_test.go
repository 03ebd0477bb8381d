package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// TestFailingScriptOfAShardIsSeen: a bug in a system stops nothing, so the log, /metrics and /healthz have to say it.
func TestFailingScriptOfAShardIsSeen(t *testing.T) {
	scripts, addr := copyScripts(t, speakScripts), nodetest.Addr(t)
	module := filepath.Join(scripts, "shard", "fireflies.star")
	source := strings.Replace(string(must(os.ReadFile(module))), "def system_wander(tick):\n", "def system_wander(tick):\n    boom = 1 // 0\n", 1)
	if err := os.WriteFile(module, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	dev := wind(t, "dev", "--game", "speak", "--data", filepath.Join(t.TempDir(), "data"), "--scripts", scripts, "--udp", "", "--tcp", "127.0.0.1:0", "--http", addr, "--json")
	dev.owns(addr, 30)
	dev.says(`msg="a system failed"`)
	line := regexp.MustCompile(`(?m)^.*a system failed.*$`).FindString(dev.log())
	for _, w := range []string{"level=WARN", "wander", "tick=", "division by zero", "times=1"} {
		if !strings.Contains(line, w) {
			t.Errorf("%q does not say %s", line, w)
		}
	}
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return string(must(io.ReadAll(resp.Body)))
	}
	if metrics := get("/metrics"); !regexp.MustCompile(`wind_failures_total\{[^}]*name="[^"]*wander"[^}]*\} \d+`).MatchString(metrics) {
		t.Errorf("no failures in /metrics:\n%s", metrics)
	}
	var healthy struct{ Failures, Tick uint64 }
	if err := json.Unmarshal([]byte(get("/healthz")), &healthy); err != nil || healthy.Failures == 0 || healthy.Failures > healthy.Tick {
		t.Errorf("/healthz: %+v, %v", healthy, err)
	}
}
