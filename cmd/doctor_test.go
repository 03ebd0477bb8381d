package cmd

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/shard"
)

// TestEveryConditionIsExplained: the README lists each kind of condition, with what to do about it.
func TestEveryConditionIsExplained(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range shard.ConditionKinds {
		if !strings.Contains(string(readme), "`"+string(kind)+"`") {
			t.Errorf("the README does not say what to do about %s", kind)
		}
		if shard.WayOut(kind, "main") == "" {
			t.Errorf("%s has no way out", kind)
		}
	}
}

// TestDoctorComparesWhatRunningServersHold with the game and with --replicas, as it does when they are stopped.
func TestDoctorComparesWhatRunningServersHold(t *testing.T) {
	t.Chdir(t.TempDir())
	call := func(game ecs.Game, args ...string) (int, string) {
		var out, log strings.Builder
		code := newApp(&self{program: "./mygame", name: "mygame"}, game, &out, &log, nil).run(append([]string{"doctor", "--udp", "127.0.0.1:0", "--tcp", "", "--http", ""}, args...))
		return code, out.String() + log.String()
	}
	n, err := node.Start(t.Context(), node.Config{Game: arena.Game, Data: "wind-data", UDP: "127.0.0.1:0", Fast: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop() })
	for begun := time.Now(); n.Stats().Host.Committed == 0; time.Sleep(time.Millisecond) { // before, there is nothing to compare
		if time.Since(begun) > time.Minute {
			t.Fatal("the node commits nothing")
		}
	}
	urls, err := node.Running("wind-data")
	if err != nil {
		t.Fatal(err)
	}
	faster := arena.Game
	faster.TickRate, faster.Rate = 60, nil
	live := []string{"--nats", urls.NATS, "--etcd", urls.Etcd}
	for name, c := range map[string]struct {
		game ecs.Game
		args []string
		code int
		want string
	}{
		"the same build":      {arena.Game, nil, exitDone, "of its"},
		"another rate":        {faster, nil, exitFailed, "the shard makes 30 ticks per second, but this build of arena makes 60"},
		"another rate, URLs":  {faster, live, exitFailed, "the shard makes 30 ticks per second, but this build of arena makes 60"},
		"the copies":          {arena.Game, append(live, "--replicas", "1"), exitDone, "copies of the log: 1\n"},
		"too few copies":      {arena.Game, append(live, "--replicas", "3"), exitDone, "copies of the log: 1, --replicas says 3"},
		"too few, other ways": {arena.Game, append(live, "--replicas", "3"), exitDone, "copies of the snapshots: 1, --replicas says 3"},
		"one copy":            {arena.Game, live, exitDone, "the log has one copy"},
	} {
		if code, said := call(c.game, c.args...); code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("%s: the doctor ends with %d, want %d and %q:\n%s", name, code, c.code, c.want, said)
		}
	}
}

// TestDoctorComparesTheTickRate: a build with another tick rate cannot run the shard, and the doctor says so before a start
// fails.
func TestDoctorComparesTheTickRate(t *testing.T) {
	t.Chdir(t.TempDir())
	call := func(game ecs.Game, args ...string) (int, string) {
		var out, log strings.Builder
		code := newApp(&self{program: "./mygame", name: "mygame"}, game, &out, &log, nil).run(append(args, "--udp", "127.0.0.1:0", "--tcp", "", "--http", ""))
		return code, out.String() + log.String()
	}
	if code, said := call(arena.Game, "dev", "--for", "1s", "--nats-port", "0", "--etcd-port", "0"); code != exitDone {
		t.Fatalf("dev ends with %d: %s", code, said)
	}
	if code, said := call(arena.Game, "doctor"); code != exitDone {
		t.Errorf("the same build: the doctor ends with %d: %s", code, said)
	}
	faster := arena.Game
	faster.TickRate, faster.Rate = 60, nil
	if code, said := call(faster, "doctor"); code != exitFailed || !strings.Contains(said, "the shard makes 30 ticks per second, but this build of arena makes 60") {
		t.Errorf("a build with another rate: the doctor ends with %d: %s", code, said)
	}
}

// TestDoctorExaminesANodeForRoomsAlone: its /healthz tells of no shard, and no shard's log is missing.
func TestDoctorExaminesANodeForRoomsAlone(t *testing.T) {
	t.Chdir(t.TempDir())
	n, err := node.Start(t.Context(), node.Config{
		Game: arena.Game, Data: "wind-data", NoShard: true, Capacity: 1000, UDP: "127.0.0.1:0", HTTP: "127.0.0.1:0", Fast: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop() })
	var out, log strings.Builder
	code := newApp(&self{program: "./mygame", name: "mygame"}, arena.Game, &out, &log, nil).run([]string{"doctor", "--shard", ""})
	if code != exitDone || !strings.Contains(out.String(), "node "+n.ID()) || !strings.Contains(out.String(), "hosts 0 rooms\n") || strings.Contains(out.String(), "fail ") {
		t.Errorf("the doctor ends with %d: %s%s", code, out.String(), log.String())
	}
}
