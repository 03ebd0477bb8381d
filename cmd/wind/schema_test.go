package main

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// as runs a verb of one of the builds to its end.
func as(t *testing.T, build string, wantExit int, v any, args ...string) *process {
	t.Helper()
	return windWith(t, "WIND_TEST_GAME="+build, args...).ends(wantExit, v)
}

// devArgs is a short dev on a data directory.
func devArgs(data, span string) []string {
	return []string{"dev", "--data", data, "--for", span, "--udp", "127.0.0.1:0", "--tcp", "", "--http", "", "--json"}
}

// dieTwiceIn20 runs the build that dies in tick 20 until two starts have died there. A life that begins earlier is not one of
// them: its last record may hold several ticks, and then the log ends before tick 19.
func dieTwiceIn20(t *testing.T, args []string) {
	t.Helper()
	deaths := 0
	for range 8 {
		if p := as(t, "dies", 42, nil, args...); regexp.MustCompile(`is owned.* tick=19\b`).MatchString(p.log()) {
			deaths++
		}
		if deaths == 2 {
			return
		}
	}
	t.Fatalf("of eight starts, %d recovered tick 19", deaths)
}

// TestOneStartOfAChangedGameHaltsNothing: a build whose schema cannot carry the shard over says which component and field
// differ and ends with 1; the old build goes on as if nothing had been.
func TestOneStartOfAChangedGameHaltsNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	var first, after struct {
		Tick, Epoch uint64
		LastSeq     uint64 `json:"last_seq"`
	}
	as(t, "first", 0, &first, devArgs(data, "2s")...)
	for build, says := range map[string]string{
		"renamed": "component mark is now spot",
		"field":   "component mark.Z (f32) was added",
		"other":   "the shard's game is marks, but this node runs others",
	} {
		p := as(t, build, 1, nil, devArgs(data, "2s")...)
		if !strings.Contains(p.log(), says) {
			t.Errorf("the build %q does not say %q:\n%s", build, says, p.log())
		}
	}
	as(t, "first", 0, &after, devArgs(data, "1s")...)
	if after.Epoch != first.Epoch+1 || after.Tick <= first.Tick {
		t.Errorf("the old build goes on in epoch %d from tick %d, it left epoch %d and tick %d", after.Epoch, after.Tick, first.Epoch, first.Tick)
	}
}

// shardLine is a shard as shard list and resume print it.
type shardLine struct {
	Shard, State, Owner, Reason string
	Epoch                       uint64
	Lifted                      bool
}

func standing(t *testing.T, args ...string) shardLine {
	t.Helper()
	var list struct{ Shards []shardLine }
	run(t, 0, &list, append([]string{"shard", "list", "--json"}, args...)...)
	if len(list.Shards) != 1 || list.Shards[0].Shard != "main" {
		t.Fatalf("shard list prints %+v", list)
	}
	return list.Shards[0]
}

// TestAHaltIsShownAndLiftedOnAStoppedDirectory: a build that dies in the same tick twice halts the shard. The list shows why
// and changes nothing, resume lifts it, and another build goes on.
func TestAHaltIsShownAndLiftedOnAStoppedDirectory(t *testing.T) {
	t.Parallel() // mostly waits
	data := filepath.Join(t.TempDir(), "data")
	run(t, 1, nil, "shard", "list", "--data", data)
	dieTwiceIn20(t, devArgs(data, "10s"))
	if p := as(t, "first", 1, nil, devArgs(data, "2s")...); !strings.Contains(p.log(), "2 starts died in tick 20") || !names(p.log(), "shard resume", "main") {
		t.Errorf("a start does not say why and what to do:\n%s", p.log())
	}
	if p := as(t, "first", 1, nil, append(devArgs(data, "1s"), "--bots", "1")...); !strings.Contains(p.log(), "at the end the shard is not served") {
		t.Errorf("a start whose bots cannot join does not say why:\n%s", p.log())
	}
	before := contents(t, data)
	if s := standing(t, "--data", data); s.State != "halted" || s.Reason != "2 starts died in tick 20" {
		t.Errorf("the list says %+v", s)
	}
	if !maps.Equal(before, contents(t, data)) {
		t.Error("the list has changed the directory")
	}
	if p := run(t, 0, nil, "shard", "list", "--data", data); !names(string(p.output()), "shard resume", "main") {
		t.Errorf("the list does not name the way out:\n%s", p.output())
	}
	run(t, 1, nil, "shard", "resume", "mian", "--data", data)
	var lifted shardLine
	run(t, 0, &lifted, "shard", "resume", "main", "--data", data, "--json")
	if !lifted.Lifted || lifted.Reason != "2 starts died in tick 20" {
		t.Errorf("resume says %+v", lifted)
	}
	if s := standing(t, "--data", data); s.State == "halted" {
		t.Errorf("after resume the list says %+v", s)
	}
	if p := run(t, 0, nil, "shard", "resume", "main", "--data", data); !strings.Contains(string(p.output()), "is not halted") {
		t.Errorf("a second resume says %s", p.output())
	}
	var after struct{ Tick uint64 }
	as(t, "first", 0, &after, devArgs(data, "1s")...)
	if after.Tick <= 20 {
		t.Errorf("the other build goes on to tick %d", after.Tick)
	}
}

// TestAHaltIsLiftedWhileTheServersRun: the verbs ask the servers of a running infra, and the node that waits owns the shard.
func TestAHaltIsLiftedWhileTheServersRun(t *testing.T) {
	t.Parallel() // mostly waits
	c := startCluster(t)
	serve := func(build string) []string {
		return []string{"serve", "--nats", c.nats, "--etcd", c.etcd, "--node", build, "--lease", "2s", "--udp", c.udp[0], "--tcp", "", "--http", c.http[0], "--for", "4s", "--json"}
	}
	dieTwiceIn20(t, serve("dies"))
	as(t, "first", 1, nil, serve("first")...) // its time is over, and it could not serve
	first := windWith(t, "WIND_TEST_GAME=first", serve("first")[:len(serve("first"))-3]...)
	first.until("waits while the shard is halted", func() bool { h := healthOf(c.http[0]); return !h.Healthy && h.has("halted") })
	for _, where := range [][]string{{"--data", c.dir}, {"--etcd", c.etcd}} {
		if s := standing(t, where...); s.State != "halted" || s.Reason != "2 starts died in tick 20" {
			t.Errorf("the list of %v says %+v", where, s)
		}
	}
	run(t, 0, nil, "shard", "resume", "main", "--data", c.dir)
	first.owns(c.http[0], 21)
	if s := standing(t, "--etcd", c.etcd); s.State != "owned" || s.Owner != "first" {
		t.Errorf("the list says %+v", s)
	}
	if code := first.stop(); code != 0 {
		t.Errorf("the node ends with %d", code)
	}
}

// TestAnotherSchemaIsNoDamage: of a log that another build, or another game, recorded, each verb says which components and
// fields differ and what can be done, and none speaks of damage. What needs no game is still proven.
func TestAnotherSchemaIsNoDamage(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	as(t, "first", 0, nil, devArgs(data, "2s")...)
	own := as(t, "first", 0, nil, "log", "check", "--data", data)
	if !strings.Contains(string(own.output()), "\nin order\n") {
		t.Fatalf("the log's own build says:\n%s", own.output())
	}
	all := []string{"replay --verify", "replay --from-deltas", "log check", "log stat", "log tail --commands"}
	done := map[string]string{"log stat": "", "log tail --commands": ""} // they say it and go on
	for build, want := range map[string]struct {
		says string
		done map[string]string // verbs that end with 0
	}{
		"field": {"component mark.Z (f32) was added", done},
		"other": {"the log belongs to game marks, this is others", done},
		"front": {"component extra (in front of mark) was added", map[string]string{"log stat": "quiet", "log tail --commands": "quiet", "replay --verify": ""}},
	} {
		for _, verb := range all {
			quiet, ok := want.done[verb]
			code := 1
			if ok {
				code = 0
			}
			p := as(t, build, code, nil, append(strings.Fields(verb), "--data", data)...)
			said := string(p.output()) + p.log()
			if quiet == "" && !strings.Contains(said, want.says) {
				t.Errorf("%s by the build %q does not say %q:\n%s", verb, build, want.says, said)
			}
			for _, word := range []string{"corrupt", "BROKEN", "diverges at", "damage"} {
				if strings.Contains(said, word) && code == 0 || strings.Contains(said, "BROKEN") || strings.Contains(said, "corrupt") {
					t.Errorf("%s by the build %q speaks of %q:\n%s", verb, build, word, said)
				}
			}
			if code == 1 && build != "other" && !strings.Contains(said, "run the build that wrote the log") {
				t.Errorf("%s by the build %q does not name the way out:\n%s", verb, build, said)
			}
		}
		var report struct {
			OK                     bool
			Unproven               string
			Ticks, Records, Deltas uint64
			Findings               []any
		}
		as(t, build, 1, &report, "log", "check", "--data", data, "--json")
		if !report.OK || report.Unproven == "" || report.Ticks < 30 || report.Deltas < 30 || len(report.Findings) > 0 {
			t.Errorf("log check by the build %q: %+v", build, report)
		}
		as(t, build, 0, nil, "log", "check", "--data", data, "--form-only")
		file := filepath.Join(t.TempDir(), build+".wind")
		as(t, build, 0, nil, "log", "export", file, "--data", data)
	}
}

// TestADivergenceShowsTheWorld: the first tick that another build computes otherwise is shown with the values, recorded and
// computed, by a replay and by the node that starts on the data.
func TestADivergenceShowsTheWorld(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	as(t, "first", 0, nil, devArgs(data, "2s")...)
	const differs = "component mark of entity 1, Y: 0 recorded, -0.25 computed"
	var replay struct {
		FirstDivergent uint64 `json:"first_divergent"`
		Differences    []string
		Notes          []string
	}
	as(t, "drifts", 3, &replay, "replay", "--data", data, "--verify", "--json")
	if replay.FirstDivergent != 20 || len(replay.Differences) != 5 || replay.Differences[0] != differs {
		t.Errorf("replay --json prints %+v", replay)
	}
	p := as(t, "drifts", 3, nil, "replay", "--data", data, "--verify", "--dump")
	if said := string(p.output()); !strings.Contains(said, "  "+differs) || !strings.Contains(said, "mark{x:10 y:0}") || !strings.Contains(said, "this is build ") {
		t.Errorf("replay --dump prints:\n%s", said)
	}
	p = as(t, "drifts", 0, nil, devArgs(data, "1s")...)
	if !strings.Contains(p.log(), differs) {
		t.Errorf("the node's log does not say %q:\n%s", differs, p.log())
	}
}

// TestDoctorSaysWhetherThisBuildCarriesTheShardOver on a stopped directory, as a start would.
func TestDoctorSaysWhetherThisBuildCarriesTheShardOver(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	as(t, "first", 0, nil, devArgs(data, "1s")...)
	doctor := func(build string, exit int) string {
		return string(as(t, build, exit, nil, "doctor", "--data", data, "--udp", "127.0.0.1:0", "--tcp", "", "--http", "").output())
	}
	doctor("first", 0)
	doctor("front", 0)
	for build, says := range map[string]string{"renamed": "component mark is now spot", "other": "the log belongs to game marks"} {
		if said := doctor(build, 1); !strings.Contains(said, says) {
			t.Errorf("doctor of the build %q does not say %q:\n%s", build, says, said)
		}
	}
}

// TestALossIsAcceptedWhileTheServersRun: a log that ends before what is known of it halts its shard; once an operator gives
// the rest up, the next node goes on from the log's end.
func TestALossIsAcceptedWhileTheServersRun(t *testing.T) {
	t.Parallel() // mostly waits
	c := startCluster(t)
	serve := []string{"serve", "--nats", c.nats, "--etcd", c.etcd, "--lease", "2s", "--udp", c.udp[0], "--tcp", "", "--http", c.http[0], "--for", "2s", "--json"}
	var first, after struct {
		Tick    uint64
		LastSeq uint64 `json:"last_seq"`
		Epoch   uint64
	}
	as(t, "first", 0, &first, serve...)
	run(t, 0, nil, "shard", "accept-loss", "main", "--data", c.dir) // nothing is lost
	if s := standing(t, "--etcd", c.etcd); s.State != "free" {
		t.Fatalf("after a loss that did not happen the list says %+v", s)
	}
	client, err := etcd.Dial(t.Context(), c.etcd)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s, err := etcd.Look(client, "dev", "main")
	if err != nil {
		t.Fatal(err)
	}
	// What an owner noted of records that the log has no more.
	if err := s.Note(t.Context(), shard.Note{High: persistence.Mark{Seq: persistence.Seq(first.LastSeq + 50), Epoch: persistence.Epoch(first.Epoch)}}); err != nil {
		t.Fatal(err)
	}
	if p := as(t, "first", 1, nil, serve...); !names(p.log(), "shard accept-loss", "main") {
		t.Errorf("the start does not name the way out:\n%s", p.log())
	}
	if s := standing(t, "--etcd", c.etcd); s.State != "halted" || !strings.Contains(s.Reason, "history lost") {
		t.Errorf("the list says %+v", s)
	}
	var lifted shardLine
	run(t, 0, &lifted, "shard", "accept-loss", "main", "--data", c.dir, "--json")
	if !lifted.Lifted {
		t.Errorf("accept-loss prints %+v", lifted)
	}
	if said := string(as(t, "first", 0, nil, "log", "check", "--nats", c.nats).output()); !strings.Contains(said, "a loss of history was accepted") {
		t.Errorf("log check says nothing of the accepted loss:\n%s", said)
	}
	as(t, "first", 0, &after, serve...)
	if after.Tick <= first.Tick {
		t.Errorf("the next node goes on to tick %d, the log was at %d", after.Tick, first.Tick)
	}
}

// TestALossOnAStoppedDirectoryNamesTheWayOut: resume would be undone at once, so list names accept-loss, which says that it
// needs a node that waits, and then does what it says.
func TestALossOnAStoppedDirectoryNamesTheWayOut(t *testing.T) {
	t.Parallel() // mostly waits
	data, http := filepath.Join(t.TempDir(), "data"), nodetest.Addr(t)
	serve := func(args ...string) []string {
		return append([]string{"serve", "--data", data, "--lease", "2s", "--udp", "127.0.0.1:0", "--tcp", "", "--http", http, "--json"}, args...)
	}
	var first struct {
		Tick, Epoch uint64
		LastSeq     uint64 `json:"last_seq"`
	}
	run(t, 0, &first, serve("--for", "1s")...)
	leases, err := node.OpenLeases(t.Context(), data, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s, err := etcd.Look(leases.Etcd, "dev", "main")
	if err == nil { // what an owner noted of records that the log has no more
		err = s.Note(t.Context(), shard.Note{High: persistence.Mark{Seq: persistence.Seq(first.LastSeq + 50), Epoch: persistence.Epoch(first.Epoch)}})
	}
	if err := errors.Join(err, leases.Close()); err != nil {
		t.Fatal(err)
	}
	run(t, 1, nil, serve("--for", "1s")...)
	list := string(run(t, 0, nil, "shard", "list", "--data", data).output())
	if !names(list, "shard accept-loss", "main") || strings.Contains(list, "shard resume") || strings.Contains(list, "tick 0") {
		t.Errorf("the list says:\n%s", list)
	}
	if p := run(t, 1, nil, "shard", "accept-loss", "main", "--data", data); !strings.Contains(p.log(), "start a node on it with "+os.Args[0]+" serve --data "+data+", which waits") {
		t.Errorf("accept-loss says:\n%s", p.log())
	}
	if out := string(run(t, 0, nil, "shard", "resume", "main", "--data", data).output()); !names(out, "shard accept-loss", "main") {
		t.Errorf("resume says:\n%s", out)
	}
	p := wind(t, serve()...)
	p.until("waits because history is lost", func() bool { h := healthOf(http); return h.has("history-lost") })
	run(t, 0, nil, "shard", "accept-loss", "main", "--data", data)
	p.owns(http, first.Tick+1)
	if code := p.stop(); code != 0 {
		t.Errorf("the node ends with %d", code)
	}
}
