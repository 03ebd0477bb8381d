package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence/jetstream"
)

// long is a number for everyday tests, or a larger one for those with WIND_LONG.
func long(everyday, patient int) int {
	if os.Getenv("WIND_LONG") != "" {
		return patient
	}
	return everyday
}

// testScripts are handlers that tell on themselves.
const testScripts = "testdata/scripts"

// services are gateways and instances of the service game, all in processes of their own, on NATS and etcd in another.
type services struct {
	*cluster
	scripts string
	link    *node.Cluster // the test's own connection
	games   map[string]*process
	doors   []*door
}

// door is a gateway.
type door struct {
	*process
	addr string
}

func startServices(t *testing.T, gateways int, games ...string) *services {
	t.Helper()
	return startServicesOn(t, startCluster(t), gateways, games...)
}

// startServicesOn is startServices on NATS and etcd that run already.
func startServicesOn(t *testing.T, c *cluster, gateways int, games ...string) *services {
	t.Helper()
	s := &services{cluster: c, scripts: testScripts, games: map[string]*process{}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	if s.link, err = node.Connect(ctx, "dev", s.nats, s.etcd, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.link.Close(); err != nil {
			t.Log(err)
		}
	})
	for _, id := range games {
		s.game(id)
	}
	// A gateway that starts now knows them all.
	s.infra.until("has the services in its directory", func() bool { return len(s.link.Directory.Instances("game")) == len(games) })
	for i := range gateways {
		id := fmt.Sprintf("gateway-%d", i+1)
		s.doors = append(s.doors, s.begin(id, "127.0.0.1:0"))
	}
	for _, d := range s.doors {
		d.open()
	}
	return s
}

// begin starts a gateway, which may not listen yet.
func (s *services) begin(id, addr string, more ...string) *door {
	args := append([]string{"gateway", "--id", id, "--tcp", addr}, s.flags(id)...)
	return &door{process: wind(s.t, append(args, more...)...)}
}

// open waits until the gateway listens.
func (d *door) open() *door {
	d.addr = d.listens(`TCP\s+(\S+)`)
	return d
}

// flags are what each member of the cluster is started with.
func (s *services) flags(node string) []string {
	return []string{"--game", "speak", "--nats", s.nats, "--etcd", s.etcd, "--node", node, "--lease", s.lease}
}

// game starts an instance of the service game. It is up when it says so.
func (s *services) game(id string, more ...string) *process {
	s.t.Helper()
	args := append([]string{"service", "game", "--id", id, "--scripts", s.scripts, "--json"}, s.flags(id)...)
	s.games[id] = wind(s.t, append(args, more...)...)
	return s.games[id]
}

// listens waits until the process says where it listens.
func (p *process) listens(pattern string) (addr string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	p.until("says where it listens", func() bool {
		if m := re.FindStringSubmatch(p.log()); m != nil {
			addr = m[1]
		}
		return addr != ""
	})
	return addr
}

// addrs are where clients connect.
func (s *services) addrs() (all []string) {
	for _, d := range s.doors {
		all = append(all, d.addr)
	}
	return all
}

// bound is the instance that a player is bound to.
func (s *services) bound(player string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	id, err := s.link.Bound(ctx, "game", player)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// kept reads what the scripts keep under a key; v stays as it is when there is nothing.
func (s *services) kept(key string, v any) (revision uint64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	kv, err := jetstream.OpenKV(ctx, s.link.NATS, "dev", "store-game", jetstream.KVOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	b, revision, err := kv.Get(ctx, key)
	if err == nil && revision > 0 {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		s.t.Fatalf("the store's %q: %v", key, err)
	}
	return revision
}

// ask sends a message to one instance as the client of a player would, past the gateways.
func (s *services) ask(instance, message string) (answer []byte, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	r := rpc.Request{Message: message, Format: rpc.JSON, Payload: []byte("{}"), Player: "asker", Session: "test/1", Timeout: 10 * time.Second}
	a, err := s.link.Bus.Call(ctx, rpc.Address{Type: "game", ID: instance}, r)
	return a.Payload, err
}

// copyScripts copies a folder of scripts, so that a test may save into it.
func copyScripts(t *testing.T, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "scripts")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
