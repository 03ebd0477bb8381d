package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
)

// TestAFullLogThatNobodyClaimsIsPurged: a node that keeps all does not claim a shard whose log is full, and only an owner
// answers a purge. The verb makes room itself then, and the waiting node goes on: on its own data, and on servers.
func TestAFullLogThatNobodyClaimsIsPurged(t *testing.T) {
	t.Parallel() // mostly waits
	data, web := filepath.Join(t.TempDir(), "data"), nodetest.Addr(t)
	last := filledLog(t, data)
	copied := filepath.Join(t.TempDir(), "copied")
	if err := os.CopyFS(copied, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	server := keepsAll(t, web, "--data", data)
	server.unclaimed(web, "--data", data)
	as(t, "first", 0, nil, "log", "purge", "main", "--data", data)
	server.owns(web, last+1)
	server.stop()
	as(t, "first", 0, nil, "log", "check", "--data", data)
	t.Run("on servers", func(t *testing.T) { purgedOnServers(t, copied, last) })
}

// purgedOnServers has servers hold a full log that nobody claims. Nothing goes while an operator is to look first.
func purgedOnServers(t *testing.T, data string, last uint64) {
	infra := wind(t, "infra", "--data", data, "--json")
	var urls struct{ NATS, Etcd string }
	infra.until("prints its URLs", func() bool { return json.Unmarshal(infra.output(), &urls) == nil })
	c, web, servers := &cluster{t: t, etcd: urls.Etcd}, nodetest.Addr(t), []string{"--nats", urls.NATS, "--etcd", urls.Etcd}
	server := keepsAll(t, web, servers...)
	server.unclaimed(web, servers...)

	purge := append([]string{"log", "purge", "main", "--json"}, servers...)
	c.note(func(shard.Standing) shard.Note { return shard.Note{Halted: "an operator looks at something"} })
	if said := as(t, "first", 1, nil, purge...).log(); !strings.Contains(said, "an operator looks at something") || !names(said, "shard resume", "main") {
		t.Errorf("of a halted shard it says %s", said)
	}
	run(t, 0, nil, "shard", "resume", "main", "--etcd", urls.Etcd)
	type purged struct{ Below, Records uint64 }
	var dry, done purged
	as(t, "first", 0, &dry, append(purge, "--dry-run")...)
	as(t, "first", 0, &done, purge...)
	if dry.Records == 0 || done != dry {
		t.Errorf("the dry run says %+v, the purge %+v", dry, done)
	}
	server.owns(web, last+1)
	server.stop()

	c.note(func(s shard.Standing) shard.Note {
		return shard.Note{High: persistence.Mark{Seq: 1 << 30, Epoch: s.Epoch}}
	})
	if said := as(t, "first", 3, nil, purge...).log(); !strings.Contains(said, "1073741824") || !names(said, "shard accept-loss", "main") {
		t.Errorf("of a log that lost history it says %s", said)
	}
	if code := infra.stop(); code != 0 {
		t.Errorf("infra ends with %d", code)
	}
	as(t, "first", 0, nil, "log", "check", "--data", data)
}

// keepsAll starts a node that never purges.
func keepsAll(t *testing.T, web string, where ...string) *process {
	t.Helper()
	return windWith(t, "WIND_TEST_GAME=first", append([]string{"serve", "--udp", nodetest.Addr(t), "--tcp", "", "--http", web, "--purge=never", "--json"}, where...)...)
}

// filledLog runs a shard in a data directory until its log, which is never purged, is full. It returns the last tick.
func filledLog(t *testing.T, dir string) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	data, err := node.OpenData(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	quiet := slog.New(slog.DiscardHandler)
	server, err := jetstream.StartServer(jetstream.ServerConfig{Dir: data.NATS(), Port: -1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := server.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const lineage = "0197e1a0-0000-7000-8000-000000000001"
	s, err := jetstream.Create(ctx, conn, "dev", "main", lineage, jetstream.Options{LogBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	member, game := shard.NewCoordinator().Member("a", time.Minute), ecs.Game{Name: builds["first"].name, TickRate: 30, Setup: builds["first"].setup}
	h, err := shard.New(shard.HostConfig{
		Game: game, Cluster: "dev", Shard: "main", Node: "a", Lineage: lineage, Build: node.ThisBuild(game),
		Log: s.Log(), Deltas: s.Deltas(), Snapshots: s.Snapshots(), Ownership: member, Lease: member,
		SnapshotEvery: 15, KeepLog: true, StopTimeout: 100 * time.Millisecond, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- h.Run(running) }()
	full := func(c shard.Condition) bool { return c.Kind == shard.LogFull && c.Stops }
	for !slices.ContainsFunc(h.Stats().Conditions, full) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	saidOnce(t, h.Stats().Conditions)
	stop()
	if err := <-ended; err != nil {
		t.Logf("what a full log did not take: %v", err)
	}
	return h.Stats().Tick
}

// unclaimed waits until a node says that it does not claim its shard, and what to do about that.
func (p *process) unclaimed(web string, doctor ...string) {
	p.t.Helper()
	p.tells(web, shard.LogFull, http.StatusServiceUnavailable, 1, doctor, "start it without --purge=never")
	h, _ := state(web)
	saidOnce(p.t, h.Conditions)
}

// saidOnce looks that the ways out of a full log are named, each once.
func saidOnce(t *testing.T, conditions []shard.Condition) {
	t.Helper()
	for _, c := range conditions {
		if c.Kind != shard.LogFull {
			continue
		}
		for _, way := range []string{"raise", "log purge"} {
			if strings.Count(c.Text, way) != 1 {
				t.Errorf("not once %q in %q", way, c.Text)
			}
		}
	}
}
