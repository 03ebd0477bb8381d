package main

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/cmd/node/nodetest"
)

// TestAnInstanceThatHangsIsSeenByEveryVerb: ps and the doctor, which finds it with and without an address for /healthz; and
// its process, when it stops, names the handler.
func TestAnInstanceThatHangsIsSeenByEveryVerb(t *testing.T) {
	t.Parallel() // mostly waits
	s := startCluster(t)
	at := []string{"--nats", s.nats, "--etcd", s.etcd}
	begin := func(id string, more ...string) *process {
		args := append([]string{"service", "game", "--id", id, "--node", id}, at...)
		p := windWith(t, "WIND_TEST_GAME=hangs", append(args, more...)...)
		p.says("instance " + id)
		return p
	}
	doctor := func(exit int) string { return string(run(t, exit, nil, append([]string{"doctor"}, at...)...).output()) }
	states := func() string {
		var r struct {
			Services []struct{ ID, State, Hung string }
		}
		run(t, 0, &r, append([]string{"ps", "--json"}, at...)...)
		text := ""
		for _, i := range r.Services {
			text += i.ID + " " + i.Hung + "\n"
		}
		return text
	}
	web := nodetest.Addr(t)
	a, b := begin("game-1"), begin("game-2", "--http", web)
	if out := doctor(0); !strings.Contains(out, "game game-1") || !strings.Contains(out, "game game-2") || strings.Contains(out, "7777") {
		t.Errorf("the doctor does not see the services, or checks ports that they do not use:\n%s", out)
	}
	for _, id := range []string{"game-1", "game-2"} {
		windWith(t, "WIND_TEST_GAME=hangs", append([]string{"call", "game", "SpeakOnWorldRequest", "--id", id}, at...)...)
	}
	const why = "the handler of SpeakOnWorldRequest has held the thread"
	a.until("hangs", func() bool { return strings.Count(states(), why) == 2 })
	b.until("says so", func() bool { return healthOf(web).has("hung") })
	out := string(run(t, 0, nil, append([]string{"ps"}, at...)...).output())
	if strings.Count(out, " hung ") != 2 {
		t.Errorf("ps:\n%s", out)
	}
	if out := doctor(1); strings.Count(out, "hung: ") != 2 || strings.Count(out, why) != 2 {
		t.Errorf("the doctor names each instance that hangs once:\n%s", out)
	}
	if code := b.stop(); code != 1 || !strings.Contains(b.log(), "service game/game-2 does not end: "+why) {
		t.Errorf("a stop of an instance that hangs ends with %d:\n%s", code, b.log())
	}
}
