package cmd

import (
	"os"
	"strings"
	"testing"

	"github.com/ferris1/wind/cmd/examples/arena"
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
	faster.TickRate = 60
	if code, said := call(faster, "doctor"); code != exitFailed || !strings.Contains(said, "the shard makes 30 ticks per second, this build of arena makes 60") {
		t.Errorf("a build with another rate: the doctor ends with %d: %s", code, said)
	}
}
