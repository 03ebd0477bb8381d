package node

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
)

type counted struct{ N int64 }

// counting is a game with a single number.
var counting = ecs.Game{Name: "counting", TickRate: 60, Setup: func(w *ecs.World) {
	ecs.Resource[counted](w, "counted")
	ecs.System(w, "count", func(_ *ecs.Tick, n *ecs.Res[counted]) { n.Get().N++ })
}}

// played returns a data directory in which the game ran until it had so many snapshots.
func played(t *testing.T, snapshots uint64) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	data, err := OpenData(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	server, err := jetstream.StartServer(jetstream.ServerConfig{Dir: data.NATS(), Port: -1, Logger: slog.New(slog.DiscardHandler)})
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
	s, err := jetstream.Create(ctx, conn, "dev", "main", lineage, jetstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	member := shard.NewCoordinator().Member("a", time.Minute)
	h, err := shard.New(shard.HostConfig{
		Game: counting, Cluster: "dev", Shard: "main", Node: "a", Lineage: lineage, Build: ThisBuild(counting),
		Log: s.Log(), Deltas: s.Deltas(), Snapshots: s.Snapshots(), Ownership: member, Lease: member, SnapshotEvery: 15,
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- h.Run(running) }()
	for h.Stats().Snapshots < snapshots && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return data.Dir
}

// TestAStoppedLogIsPurgedBehindTwoProvenSnapshots: a dry run changes nothing, and the remaining log is intact and can
// be opened.
func TestAStoppedLogIsPurgedBehindTwoProvenSnapshots(t *testing.T) {
	t.Parallel() // mostly waits
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	dir := played(t, 3)
	dry, err := PurgeStopped(ctx, dir, counting, "dev", "main", true, log)
	if err != nil || dry.First != 1 || dry.Records == 0 || len(dry.Snapshots) != 2 || dry.Below != dry.Snapshots[1].Seq {
		t.Fatalf("%+v, %v", dry, err)
	}
	p, err := PurgeStopped(ctx, dir, counting, "dev", "main", false, log)
	if err != nil || p.Records != dry.Records || p.First != 1 {
		t.Fatalf("a dry run would have removed %d records, the purge %+v, %v", dry.Records, p, err)
	}
	again, err := PurgeStopped(ctx, dir, counting, "dev", "main", false, log)
	if err != nil || again.First != p.Below || again.Records != 0 {
		t.Fatalf("the log begins at %d, want %d; %v", again.First, p.Below, err)
	}
	held, err := jetstream.OpenCopy(ctx, StoreDir(dir), jetstream.CopyOptions{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	s, _, err := held.Open(ctx, "dev", "main")
	if err != nil {
		t.Fatal(err)
	}
	game := counting
	if r, err := persistence.Check(ctx, s.Source(), persistence.CheckOptions{Game: &game}); err != nil || r.Broken() || r.First != p.Below {
		t.Errorf("log check: %+v, %v", r, err)
	}
	if _, err := PurgeStopped(ctx, dir, counting, "dev", "other", false, log); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("a missing shard: %v", err)
	}
}

// TestNothingIsPurgedWithoutTwoProvenSnapshots: the error says how many snapshots there are.
func TestNothingIsPurgedWithoutTwoProvenSnapshots(t *testing.T) {
	t.Parallel() // mostly waits
	log := slog.New(slog.DiscardHandler)
	dir := played(t, 1)
	for _, dry := range []bool{true, false} {
		p, err := PurgeStopped(t.Context(), dir, counting, "dev", "main", dry, log)
		if len(p.Snapshots) > 1 {
			t.Skip("the machine was slow: there are two snapshots")
		}
		if !errors.Is(err, shard.ErrNotProven) || !strings.Contains(err.Error(), "1 of 1 stored can be used: ") {
			t.Errorf("dry %v: %+v, %v", dry, p, err)
		}
	}
}
