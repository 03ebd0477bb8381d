package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/examples/arena/scripts"
	"github.com/ferris1/wind/cmd/node/nodetest"
)

// ratings is what the lobby says of all ratings.
type ratings struct {
	Players                       int
	Sum, Matches, Counted, Places int `json:",string"`
}

// check compares the ratings with each other: what some win the others lose, and each match counts once for each of its
// players.
func (r ratings) check(t *testing.T, players int) {
	t.Helper()
	if r.Players != players || r.Sum != 1000*players || r.Matches != r.Places {
		t.Errorf("the ratings of %d players: %+v", players, r)
	}
}

// lobbyBots is what bots --lobby prints, and dev --lobby of its bots.
type lobbyBots struct {
	Players, Waiting, Playing, Finished int
	Entered, Returns, Lost              int
	LongestWait                         float64 `json:"longest_wait_s"`
}

// quickRules returns the lobby's scripts with other rules.
func quickRules(t *testing.T, rules map[string]string) (folder string) {
	t.Helper()
	folder = copyScripts(t, "../examples/arena/scripts")
	file := filepath.Join(folder, scripts.Lobby, "lib", "rules.star")
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(source), "\n")
	for name, value := range rules {
		found := false
		for i, line := range lines {
			if strings.HasPrefix(line, name+" = ") {
				lines[i], found = name+" = "+value, true
			}
		}
		if !found {
			t.Fatalf("there is no rule %s", name)
		}
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// running returns the rooms that run.
func running(t *testing.T, server ...string) (all []listed) {
	t.Helper()
	var list struct{ Rooms []listed }
	run(t, 0, &list, append([]string{"room", "list", "--state", "running", "--json"}, server...)...)
	return list.Rooms
}

// TestTheLobbyPlaysMatches: bots queue, play, finish and queue again. The ratings are conserved, and when nobody plays, no
// room stays.
func TestTheLobbyPlaysMatches(t *testing.T) {
	data, addr := t.TempDir(), nodetest.Addr(t)
	scripts := quickRules(t, map[string]string{"MATCH": "2", "IDLE": `"2s"`})
	dev := wind(t, "dev", "--lobby", "--bots", "4", "--scripts", scripts, "--data", data, "--udp", addr, "--tcp", addr, "--http", "", "--json")
	dev.says("instance lobby-")
	var bots lobbyBots
	run(t, 0, &bots, "bots", "--lobby", "--addr", addr, "--count", "8", "--name", "guest", "--for", fmt.Sprint(8*slowdown, "s"), "--json")
	if bots.Players != 8 || bots.Finished < 2 || bots.Entered < 2*8 || bots.LongestWait > 15 {
		t.Errorf("the guests: %+v", bots)
	}
	call := func(v any, args ...string) { run(t, 0, v, append(args, "--data", data)...) }
	dev.until("finishes the guests' matches", func() bool {
		var r ratings
		call(&r, "call", "lobby", "RatingsRequest")
		return r.Players == 12 && r.Counted >= 4 && r.Matches == r.Places
	})
	var r ratings
	dev.until("counts while nothing is being counted", func() bool {
		call(&r, "call", "lobby", "RatingsRequest")
		return r.Matches == r.Places
	})
	r.check(t, 12)
	var all struct{ Rooms []listed }
	call(&all, "room", "list", "--json")
	if len(all.Rooms) < r.Counted {
		t.Errorf("%d matches in %d rooms", r.Counted, len(all.Rooms))
	}
	dev.until("ends the guests' rooms", func() bool { return len(running(t, "--data", data)) <= 1 }) // 4 bots still play
	dev.stop()
	var result struct{ Lobby lobbyBots }
	dev.result(&result)
	if l := result.Lobby; l.Players != 4 || l.Finished < 2 {
		t.Errorf("the bots of dev: %+v", l)
	}
}

// TestDevWithoutTheLobbyHasNoServices: the arena's shard does without them.
func TestDevWithoutTheLobbyHasNoServices(t *testing.T) {
	var result struct{ Ticks int }
	dev := run(t, 0, &result, "dev", "--for", "1s", "--data", t.TempDir(), "--udp", "127.0.0.1:0", "--tcp", "", "--http", "", "--json")
	for _, word := range []string{"service ", "scripts", "lobby"} {
		if strings.Contains(dev.log(), word) {
			t.Errorf("dev mentions %q:\n%s", word, dev.log())
		}
	}
}

// TestTheLobbyOutlivesKills is the long proof: services, gateways and nodes are killed and come back while 200 bots play.
// It runs with WIND_LONG; .ci/run lobby.
func TestTheLobbyOutlivesKills(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		t.Skip("two minutes: WIND_LONG=1, or .ci/run lobby")
	}
	const bots, span, kills = 200, 2 * time.Minute, 20
	c := startCluster(t)
	server := []string{"--nats", c.nats, "--etcd", c.etcd}
	roomy := []string{"--limit", "connections-per-address=-1", "--limit", "sessions-per-address=-1", "--limit", "joins-per-address=-1"}
	gateways := []string{nodetest.Addr(t), nodetest.Addr(t)}
	start := map[string]func(i int) *process{
		"node": func(i int) *process {
			return wind(t, append(append([]string{
				"serve", "--node", fmt.Sprint("node-", i), "--shard", fmt.Sprint("main-", i), "--lease", "5s", "--monsters", "0",
				"--udp", c.udp[i], "--tcp", "", "--http", "",
			}, server...), roomy...)...)
		},
		"service": func(i int) *process {
			return wind(t, append([]string{"service", "lobby", "--node", fmt.Sprint("host-", i), "--id", fmt.Sprint("lobby-", i)}, server...)...)
		},
		"gateway": func(i int) *process {
			return wind(t, append(append([]string{"gateway", "--node", fmt.Sprint("door-", i), "--id", fmt.Sprint("gateway-", i), "--tcp", gateways[i]}, server...), roomy...)...)
		},
	}
	kinds := []string{"node", "service", "gateway"}
	live := map[string][]*process{}
	for _, kind := range kinds {
		for i := range 2 {
			live[kind] = append(live[kind], start[kind](i))
		}
	}
	for _, g := range live["gateway"] {
		g.listens(`TCP\s+(\S+)`)
	}
	players := wind(t, "bots", "--lobby", "--transport", "tcp", "--addr", strings.Join(gateways, ","), "--count", fmt.Sprint(bots), "--for", span.String(), "--json")
	began := time.Now()
	for k := range kills {
		time.Sleep(time.Until(began.Add(time.Duration(k+1) * span / (kills + 2))))
		kind, i := kinds[k%len(kinds)], k/len(kinds)%2
		live[kind][i].kill()
		live[kind][i] = start[kind](i)
	}
	var seen lobbyBots
	if code := players.exit(); code != 0 {
		t.Fatalf("the bots end with %d:\n%s", code, players.log())
	}
	players.result(&seen)

	watch := live["service"][0]
	watch.within(2*patience, "ends every room", func() bool { return len(running(t, server...)) == 0 })
	var r ratings
	watch.until("counts every match", func() bool {
		run(t, 0, &r, append([]string{"call", "lobby", "RatingsRequest"}, server...)...)
		return r.Matches == r.Places
	})
	time.Sleep(time.Second)
	run(t, 0, &r, append([]string{"call", "lobby", "RatingsRequest"}, server...)...)
	var all struct {
		Rooms []struct {
			State string
			End   *struct{ Reason string }
		}
	}
	run(t, 0, &all, append([]string{"room", "list", "--json"}, server...)...)
	results := 0
	for _, room := range all.Rooms {
		if room.End != nil && room.End.Reason == "result" {
			results++
		}
	}
	t.Logf("%d kills; %d rooms, %d with a result, %d counted; the ratings of %d players add up to %d; %d places, %d counted; longest wait %.1f s; %d rooms left; the bots: %+v",
		kills, len(all.Rooms), results, r.Counted, r.Players, r.Sum, r.Places, r.Matches, seen.LongestWait, len(running(t, server...)), seen)
	r.check(t, bots)
	if r.Counted != results {
		t.Errorf("%d rooms have a result, %d matches count", results, r.Counted)
	}
	if seen.LongestWait > 20 {
		t.Errorf("somebody waited for %.1f s", seen.LongestWait)
	}
}
