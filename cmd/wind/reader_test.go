package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// TestReadOnlyURLServesTheVerbsThatRead: what dev names for reading needs no credentials, and the shard that lives on
// meanwhile has lost nothing.
func TestReadOnlyURLServesTheVerbsThatRead(t *testing.T) {
	http := nodetest.Addr(t)
	node := wind(t, "dev", "--data", filepath.Join(t.TempDir(), "data"), "--udp", "127.0.0.1:0", "--tcp", "", "--http", http, "--monsters", "10", "--bots", "2", "--json")
	node.owns(http, 60)
	url := announced(t, node, "log")

	var tail struct {
		Records []struct{ Seq uint64 }
	}
	run(t, 0, &tail, "log", "tail", "--nats", url, "-n", "4", "--json")
	if len(tail.Records) != 4 {
		t.Errorf("log tail: %+v", tail)
	}
	follow := wind(t, "log", "tail", "--nats", url, "--follow", "-n", "1")
	follow.until("follows the log", func() bool { return strings.Count(string(follow.output()), "checksum") > 5 })
	if code := follow.stop(); code != 0 {
		t.Errorf("log tail --follow ends with %d", code)
	}
	var check struct {
		OK          bool
		Deltas      int
		Resimulated uint64
	}
	run(t, 0, &check, "log", "check", "--nats", url, "--json")
	if !check.OK || check.Deltas < 50 || check.Resimulated < 60 {
		t.Errorf("log check: %+v", check)
	}
	var replayed struct{ Ticks uint64 }
	for _, how := range [][]string{{"--verify"}, {"--verify", "--from-deltas"}} {
		run(t, 0, &replayed, append([]string{"replay", "--nats", url, "--json"}, how...)...)
		if replayed.Ticks < 50 {
			t.Errorf("replay %v: %+v", how, replayed)
		}
	}
	if dump := run(t, 0, nil, "replay", "--nats", url, "--dump"); !strings.Contains(string(dump.output()), "position") {
		t.Errorf("replay --dump: %s", dump.output())
	}
	var stat struct{ Ticks uint64 }
	if run(t, 0, &stat, "log", "stat", "--nats", url, "--json"); stat.Ticks < 60 {
		t.Errorf("log stat: %+v", stat)
	}
	var ps struct{ Nodes []struct{ ID string } }
	if run(t, 0, &ps, "ps", "--nats", url, "--etcd", announced(t, node, "leases"), "--json"); len(ps.Nodes) != 1 {
		t.Errorf("ps: %+v", ps)
	}
	file := filepath.Join(t.TempDir(), "match.wind")
	run(t, 0, nil, "log", "export", file, "--nats", url)
	run(t, 0, nil, "log", "check", "--file", file)
}
