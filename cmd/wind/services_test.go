package main

import (
	"context"
	"fmt"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/client"
)

// TestKilledInstancesCostTheirPlayersAMoment kills a service, then a gateway, under load: those who were not there notice
// nothing, the others go on elsewhere, and nothing is executed twice or behind its caller's back.
func TestKilledInstancesCostTheirPlayersAMoment(t *testing.T) {
	s := startServices(t, 3, "game-1", "game-2", "game-3")
	c := newCrowd(t, s.addrs(), 60*time.Millisecond, counted)
	for range long(45, 150) {
		c.add()
	}
	c.all("plays", c.players, func(p *player) bool { return p.answered(3) })

	begun := time.Now()
	var victims, others []*player
	for _, p := range c.players {
		if s.bound(p.name) == "game-1" {
			victims = append(victims, p)
		} else {
			others = append(others, p)
		}
	}
	if len(victims) < len(c.players)/6 {
		t.Fatalf("%d of %d players are bound to game-1", len(victims), len(c.players))
	}
	killed := time.Now()
	s.games["game-1"].kill()
	c.all("is bound again", victims, func(p *player) bool { _, ok := p.since(killed); return ok })
	t.Logf("%d players of a dead service were answered again after %v at most", len(victims), c.longest(victims, killed))
	for _, p := range victims {
		if at := s.bound(p.name); at == "game-1" {
			t.Errorf("%s was answered and is still bound to game-1", p.name)
		}
	}
	c.unhurt("bound to another service", others, begun.Add(-time.Hour))

	guests, rest := c.split(0)
	killed = time.Now()
	s.doors[0].kill()
	c.all("goes on at another gateway", guests, func(p *player) bool { _, ok := p.since(killed); return ok && p.sessions == 2 })
	t.Logf("%d players of a dead gateway were answered again after %v at most", len(guests), c.longest(guests, killed))
	c.all("plays on", c.players, func(p *player) bool { return p.answered(50) })
	c.stop()
	c.unhurt("at another gateway", rest, killed)
	for _, p := range rest {
		if p.sessions != 1 {
			t.Errorf("%s, at another gateway, had %d sessions", p.name, p.sessions)
		}
	}
	ok, maybe, failed := s.balance(c)
	t.Logf("%d requests answered, %d failed with maybe, %d without", ok, maybe, failed)
	if maybe == 0 {
		t.Log("no request was under way when its service died: the balance proves little")
	}
}

// TestKilledInstanceThatIsTheEmptiestGetsNobody kills an instance that has just joined. Until its lease is over the directory
// takes it for the one with the most room: neither its own players nor new ones may wait for that.
func TestKilledInstanceThatIsTheEmptiestGetsNobody(t *testing.T) {
	s := startServices(t, 1, "game-1")
	c := newCrowd(t, s.addrs(), 200*time.Millisecond, counted)
	for range 60 {
		c.add()
	}
	c.all("plays", c.players, func(p *player) bool { return p.answered(1) })
	s.game("game-2").until("is in the directory", func() bool { return s.link.Directory.Alive("game", "game-2") })
	c.until("logs in at game-2", func(p *player) bool { return s.bound(p.name) == "game-2" })
	victims, others := c.boundTo(s, "game-2"), c.boundTo(s, "game-1")

	killed := time.Now()
	s.games["game-2"].kill()
	late := c.add()
	c.all("is bound again", append(victims, late), func(p *player) bool { _, ok := p.since(killed); return ok })
	if !s.link.Directory.Alive("game", "game-2") {
		t.Log("the lease was over by then: nothing is proved")
	}
	t.Logf("%d players of a dead service and a new one were answered after %v at most", len(victims), c.longest(append(victims, late), killed))
	c.stop()
	c.unhurt("bound to another service", others, killed.Add(-time.Hour))
	c.unhurt("new while a dead service stands in the directory", []*player{late}, killed)
	for _, p := range victims {
		for i, o := range p.outcomes {
			if o.err != nil && !o.err.Maybe {
				t.Errorf("%s, request %d, nobody got it: %v", p.name, i+1, o.err)
			}
		}
	}
	s.balance(c)
}

// longest is how long after a moment the last of some players had a good answer to a request sent after it.
func (c *crowd) longest(players []*player, from time.Time) (most time.Duration) {
	for _, p := range players {
		p.mu.Lock()
		if told, ok := p.since(from); ok {
			most = max(most, told.Sub(from))
		}
		p.mu.Unlock()
	}
	if most > 10*time.Second {
		c.t.Errorf("that took %v", most)
	}
	return most.Round(time.Millisecond)
}

// split are the players that began at a gateway, and the others.
func (c *crowd) split(door int) (there, elsewhere []*player) {
	for _, p := range c.players {
		if p.door1 == door {
			there = append(there, p)
		} else {
			elsewhere = append(elsewhere, p)
		}
	}
	return there, elsewhere
}

// TestInstancesJoinAndLeaveUnderLoad starts an instance while others play, drains it, and stops another one: new players
// go where they should, and no request fails.
func TestInstancesJoinAndLeaveUnderLoad(t *testing.T) {
	s := startServices(t, 2, "game-1", "game-2")
	c := newCrowd(t, s.addrs(), 100*time.Millisecond, counted)
	c.flying = 1 // two of a player at once, on a machine that stalls, would write the same key
	for range long(30, 100) {
		c.add()
	}
	c.all("plays", c.players, func(p *player) bool { return p.answered(3) })
	begun := time.Now().Add(-time.Hour) // no request at all may fail

	started := time.Now()
	s.game("game-3")
	s.games["game-3"].until("is in the directory", func() bool { return s.link.Directory.Alive("game", "game-3") })
	seen := time.Now()
	joined := c.until("logs in at game-3", func(p *player) bool { return s.bound(p.name) == "game-3" })
	t.Logf("a new instance was in the directory %v after its start, and had its first player %v after that",
		seen.Sub(started).Round(time.Millisecond), joined.Sub(seen).Round(time.Millisecond))
	if joined.Sub(seen) > 10*time.Second {
		t.Errorf("a new instance had nobody for %v", joined.Sub(seen))
	}

	run(t, 0, nil, "drain", "game", "game-3", "--nats", s.nats, "--etcd", s.etcd)
	for range s.doors { // each has heard of it when it lets somebody in elsewhere: game-3 has the fewest players
		c.until("logs in elsewhere", func(p *player) bool { return s.bound(p.name) != "game-3" })
	}
	for range 5 * len(s.doors) {
		p := c.add()
		c.all("logs in", []*player{p}, func(p *player) bool { return p.answered(1) })
		if s.bound(p.name) == "game-3" {
			t.Errorf("%s was bound to game-3 while that was draining", p.name)
		}
	}
	there := c.boundTo(s, "game-3")
	if len(there) == 0 {
		t.Error("a draining instance has lost its players")
	}
	drained := time.Now()
	c.all("is still answered by a draining instance", there, func(p *player) bool { _, ok := p.since(drained); return ok })

	slow := s.slow("game-1")
	stopped := time.Now()
	s.games["game-1"].signal(syscall.SIGTERM)
	if code := s.games["game-1"].exit(); code != 0 {
		t.Errorf("the stopped instance ends with %d", code)
	}
	c.all("plays on", c.players, func(p *player) bool { _, ok := p.since(stopped); return ok })
	if err := <-slow; err != nil {
		t.Errorf("a request that was running when its instance was stopped: %v", err)
	}
	c.stop()
	c.unhurt("while instances came and went", c.players, begun)
	ok, _, _ := s.balance(c)
	t.Logf("%d requests answered", ok)
}

// boundTo are the players that are bound to an instance.
func (c *crowd) boundTo(s *services, instance string) (there []*player) {
	for _, p := range c.players {
		if s.bound(p.name) == instance {
			there = append(there, p)
		}
	}
	return there
}

// until adds players until something holds for the newest one, and says when.
func (c *crowd) until(what string, ok func(*player) bool) time.Time {
	c.t.Helper()
	for end := time.Now().Add(patience); ; {
		p := c.add()
		c.all("logs in", []*player{p}, func(p *player) bool { return p.answered(1) })
		if ok(p) {
			return time.Now()
		}
		if time.Now().After(end) {
			c.t.Fatalf("nobody %s", what)
		}
	}
}

// slow logs a player in that is bound to an instance, and has it send a request that takes two seconds. It returns when
// the handler has begun; what becomes of the request comes over the channel.
func (s *services) slow(instance string) <-chan error {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	for n := 0; ; n++ {
		name := fmt.Sprintf("slow-%d", n)
		c, err := client.DialRPC(ctx, client.RPCConfig{Addr: s.doors[0].addr, Transport: client.TCP})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { c.Close() })
		if err := c.Call(ctx, &speakpb.PlayerLoginRequest{PlayerId: name}, nil); err != nil {
			s.t.Fatal(err)
		}
		if s.bound(name) != instance {
			continue
		}
		result := make(chan error, 1)
		go func() { result <- c.Call(ctx, &speakpb.PlayerJoinRoomRequest{}, &speakpb.PlayerJoinRoomResponse{}) }()
		s.infra.until("keeps that the slow request has begun", func() bool { return s.kept("began/"+name, new(bool)) > 0 })
		return result
	}
}

// TestPsShowsWhoIsWhere lists a cluster whose gateway and service have players.
func TestPsShowsWhoIsWhere(t *testing.T) {
	s := startServices(t, 1, "game-1")
	for _, name := range []string{"ann", "bob"} {
		c, err := client.DialRPC(t.Context(), client.RPCConfig{Addr: s.doors[0].addr, Transport: client.TCP})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Call(t.Context(), &speakpb.PlayerLoginRequest{PlayerId: name}, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.infra.until("says who is where", func() bool {
		var r struct {
			Services []struct {
				Type, ID, State string
				Players         int
				Fullness        float64
			}
		}
		run(t, 0, &r, "ps", "--nats", s.nats, "--etcd", s.etcd, "--json")
		seen := ""
		for _, i := range r.Services {
			seen += fmt.Sprintln(i.Type, i.ID, i.State, i.Players, i.Fullness)
		}
		return seen == "game game-1 up 2 0.002\ngateway gateway-1 up 2 0.002\n"
	})
}

// TestVerbsNameTheWayOut: what cannot be done says why, and what can be done instead.
func TestVerbsNameTheWayOut(t *testing.T) {
	s := startServices(t, 0, "game-1")
	refused := func(want string, args ...string) {
		t.Helper()
		p := run(t, 1, nil, append(args, "--nats", s.nats, "--etcd", s.etcd)...)
		if !regexp.MustCompile(want).MatchString(p.log()) {
			t.Errorf("%v does not say %q:\n%s", args, want, p.log())
		}
	}
	refused("handles SpeakOnWorldRequest for players only.*--player NAME", "call", "game", "SpeakOnWorldRequest")
	refused("no handler for SpeekOnWorldRequest$", "call", "game", "SpeekOnWorldRequest")
	refused(`no instance of "gamex" runs in cluster dev, which has game$`, "call", "gamex", "SpeakOnWorldRequest")
	refused(`no instance of "gamex" runs in cluster dev, which has game, and no node runs a shard of that name`, "reload", "gamex")
	refused(`no instance of "Game X" runs.*and no node runs a shard of that name`, "reload", "Game X")
	refused(`drain: no instance of "nope" runs in cluster dev, which has game$|: no instance of "nope" runs in cluster dev, which has game$`, "drain", "nope", "x")
	refused("no node runs shard gamex", "reload", "shard:gamex", "--game", "speak")
	refused("no handler for NothingRequest$", "call", "game", "NothingRequest")
}
