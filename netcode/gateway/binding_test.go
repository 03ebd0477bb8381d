package gateway_test

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/rpc"
)

// record returns the store's record of a player.
func record(t testing.TB, c *cluster, player string) gateway.Record {
	t.Helper()
	value, _, _ := c.store.Get(context.Background(), gateway.RecordKey(player))
	r, err := gateway.ParseRecord(value)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bound returns the game instance that the store's record binds a player to.
func bound(t testing.TB, c *cluster, player string) string { return record(t, c, player).At["game"] }

func TestAPlayerStaysWithItsInstance(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	c.start("game", "game-2", nil)
	c.start("game", "game-3", nil)
	here, there := c.front("gateway-1", nil), c.front("gateway-2", nil)
	first := login(t, here, "ann", client.RPCConfig{})
	was := echo(t, first, "x").Instance
	must(t, "binding", bound(t, c, "ann"), was)
	first.Close()
	c.start("game", "game-0", nil) // the directory would now pick this one
	second := login(t, there, "ann", client.RPCConfig{})
	must(t, "instance after a login elsewhere", echo(t, second, "x").Instance, was)
}

func TestGatewaysThatBindAPlayerAtOnceAgree(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	c.start("game", "game-2", nil)
	// Each gateway's directory picks a different instance.
	var fronts []*front
	for i, id := range []string{"game-1", "game-2"} {
		fronts = append(fronts, c.front(fmt.Sprint("gateway-", i), func(g *gateway.Config, _ *netcode.Config) {
			g.Directory = stubborn{directory{&c.routes, c}, id}
		}))
	}
	for round := range 30 {
		player := fmt.Sprint("player", round)
		var group sync.WaitGroup
		var instances [2]string
		for i, f := range fronts {
			group.Go(func() {
				r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
				defer r.Close()
				// The other gateway's login may end this session: ask at once.
				_ = r.Send(&testpb.PlayerLoginRequest{PlayerId: player})
				var m testpb.EchoResponse
				if r.Call(soon(t), &testpb.EchoRequest{}, &m) == nil {
					instances[i] = m.Instance
				}
			})
		}
		group.Wait()
		if instances[0] != "" && instances[1] != "" && instances[0] != instances[1] {
			t.Fatalf("the gateways have bound %s to %v", player, instances)
		}
	}
}

type stubborn struct {
	directory
	id string
}

func (s stubborn) Pick(_, _, home, _ string) (string, bool) { return cmp.Or(home, s.id), true }

func TestPlayersOfADeadInstanceAreBoundAnew(t *testing.T) {
	c := newCluster(t)
	instances := map[string]*instance{}
	for _, id := range []string{"game-1", "game-2"} {
		instances[id] = c.start("game", id, nil)
	}
	f := c.front("gateway-1", nil)
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		r := login(t, f, "ann", cfg)
		was := echo(t, r, "x").Instance
		pending := make(chan error, 1)
		if err := r.Go(1201, encode(cfg.Format, &testpb.EchoRequest{Text: "silence"}), 0, func(_ uint32, _ []byte, err error) { pending <- err }); err != nil {
			t.Fatal(err)
		}
		dead := instances[was]
		eventually(t, "the request is there", func() bool { dead.mu.Lock(); defer dead.mu.Unlock(); return len(dead.pending) == 1 })
		before := len(dead.log())
		c.kill(dead)
		// The directory still lists the instance; the bus reports that it is gone.
		begun := time.Now()
		got := echo(t, r, "after")
		if got.Instance == was {
			t.Errorf("answered by %s, which is dead", was)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("the player was bound again after %v", took)
		}
		must(t, "binding", bound(t, c, "ann"), got.Instance)
		select {
		case err := <-pending:
			t.Fatalf("answered with %v before the directory knew", err)
		default:
		}
		c.notice(dead)
		e := fault(t, <-pending)
		if e.Code != rpc.Unavailable || !e.Maybe {
			t.Errorf("what the dead instance had ends with %+v", e)
		}
		must(t, "requests that reached the dead instance since", len(dead.log())-before, 0)
		r.Close()
		eventually(t, "the session is gone", func() bool { return f.Stats().Sessions == 0 })
		instances[was] = c.start("game", was, nil)
	})
	if s := f.Stats(); s.Again != 4 || s.Rebound != 4 {
		t.Errorf("%d requests were sent again, %d players bound again, want 4 and 4", s.Again, s.Rebound)
	}
}

func TestAnIdlePlayerIsBoundAnewWithItsNextRequest(t *testing.T) {
	c := newCluster(t)
	instances := map[string]*instance{"game-1": c.start("game", "game-1", nil), "game-2": c.start("game", "game-2", nil)}
	f := c.front("gateway-1", nil)
	r := login(t, f, "ann", client.RPCConfig{})
	was := echo(t, r, "x").Instance
	c.kill(instances[was])
	c.notice(instances[was])
	if now := echo(t, r, "x").Instance; now == was || now != bound(t, c, "ann") {
		t.Errorf("answered by %s, was %s, bound to %s", now, was, bound(t, c, "ann"))
	}
	must(t, "sent again", f.Stats().Again, 0) // the gateway knew
}

func TestARequestIsSentAgainOnceAtMost(t *testing.T) {
	c := newCluster(t)
	var mu sync.Mutex
	tries := map[string]int{}
	refuse := func(id string) func(*rpc.Request, func(rpc.Response)) {
		return func(r *rpc.Request, done func(rpc.Response)) {
			if r.Message == "EchoRequest" {
				mu.Lock()
				tries[id]++
				mu.Unlock()
				done(unanswered)
				return
			}
			done(write(r, &testpb.PlayerLoginResponse{}))
		}
	}
	c.start("game", "game-1", refuse("game-1"))
	c.start("game", "game-2", refuse("game-2"))
	f := c.front("gateway-1", nil)
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		mu.Lock()
		clear(tries)
		mu.Unlock()
		r := login(t, f, "ann", cfg)
		e := fault(t, call(r, t, &testpb.EchoRequest{}))
		if e.Code != rpc.Unavailable || e.Maybe {
			t.Errorf("the fault is %+v", e)
		}
		mu.Lock()
		defer mu.Unlock()
		if tries["game-1"] != 1 || tries["game-2"] != 1 {
			t.Errorf("sent %v, want once to each", tries)
		}
	})
}

func TestARequestThatMayHaveBeenExecutedIsNotSentAgain(t *testing.T) {
	c := newCluster(t)
	var failure rpc.Error
	handle := func(r *rpc.Request, done func(rpc.Response)) {
		if r.Message == "EchoRequest" {
			e := failure
			done(rpc.Response{Err: &e})
			return
		}
		done(write(r, &testpb.PlayerLoginResponse{}))
	}
	one, two := c.start("game", "game-1", handle), c.start("game", "game-2", handle)
	f := c.front("gateway-1", nil)
	r := login(t, f, "ann", client.RPCConfig{})
	for n, e := range []rpc.Error{
		{Code: rpc.Unavailable, Text: "lost on the way", Maybe: true},
		{Code: rpc.Unavailable, Text: "a service that says nothing of how far it came"},
		{Code: rpc.ResourceExhausted, Text: "too many", NotBegun: true},
		{Code: rpc.DeadlineExceeded, Text: "waited too long", NotBegun: true},
	} {
		failure = e
		must(t, "maybe", fault(t, call(r, t, &testpb.EchoRequest{})).Maybe, e.Maybe)
		must(t, "times it was sent", one.count("EchoRequest ann")+two.count("EchoRequest ann"), n+1)
	}
}

func TestADrainingInstanceKeepsItsPlayersUntilTheyLeave(t *testing.T) {
	c := newCluster(t)
	instances := map[string]*instance{"game-1": c.start("game", "game-1", nil), "game-2": c.start("game", "game-2", nil)}
	f := c.front("gateway-1", nil)
	r := login(t, f, "ann", client.RPCConfig{})
	was := echo(t, r, "x").Instance
	c.drain(instances[was])
	must(t, "instance while it drains", echo(t, r, "x").Instance, was)
	r.Close()
	eventually(t, "the player has left", func() bool { return record(t, c, "ann").Left })
	r = login(t, f, "ann", client.RPCConfig{})
	now := echo(t, r, "x").Instance
	if now == was {
		t.Errorf("a login went to %s, which drains", now)
	}
	// When all instances drain, a player stays where it is.
	c.drain(instances[now])
	second := login(t, f, "ann", client.RPCConfig{})
	must(t, "instance when all drain", echo(t, second, "x").Instance, now)
}

func TestRequestsWaitForAnInstanceAndAreToldWhenNoneComes(t *testing.T) {
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Limits.FindTimeout = 400 * time.Millisecond })
	r := login(t, f, "ann", client.RPCConfig{})
	c.kill(game)
	c.notice(game)
	e := fault(t, call(r, t, &testpb.EchoRequest{}))
	if e.Code != rpc.Unavailable || e.Maybe || e.Text != "no instance of game accepts new players" {
		t.Errorf("the fault is %+v", e)
	}
	must(t, "in flight", f.Stats().InFlight, 0)
	c.start("game", "game-2", nil)
	must(t, "instance", echo(t, r, "x").Instance, "game-2")
}

func TestStaticRoutesSayWhoTakesAMessage(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	c.start("chat", "chat-1", nil) // handles the same messages, and comes first by name
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Routes = map[string]string{"PlayerLoginRequest": "game", "EchoRequest": "game", "SpeakOnWorldRequest": "chat"}
	})
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		r := login(t, f, "ann", cfg)
		must(t, "instance", echo(t, r, "x").Instance, "game-1")
		if err := call(r, t, &testpb.SpeakOnWorldRequest{}); err != nil {
			t.Error(err)
		}
		must(t, "binding of the other type", record(t, c, "ann").At["chat"], "chat-1")
	})
}

func TestTwoInstancesDoNotWorkForAPlayerAtOnce(t *testing.T) {
	c := newCluster(t)
	release := make(chan struct{})
	instances := map[string]*instance{}
	for _, id := range []string{"game-1", "game-2"} {
		var i *instance
		i = c.start("game", id, func(r *rpc.Request, done func(rpc.Response)) {
			if r.Message == "SpeakOnWorldRequest" {
				<-release
			}
			i.serve(r, done)
		})
		instances[id] = i
	}
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Limits.Grace = 15 * time.Second })
	r := login(t, f, "ann", client.RPCConfig{})
	was := echo(t, r, "x").Instance
	other := instances[map[string]string{"game-1": "game-2", "game-2": "game-1"}[was]]
	first, second := make(chan error, 1), make(chan error, 1)
	answer := func(to chan error) func(uint32, []byte, error) {
		return func(_ uint32, _ []byte, err error) { to <- err }
	}
	if err := r.Go(1005, encode(rpc.Protobuf, &testpb.SpeakOnWorldRequest{}), time.Minute, answer(first)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first request is there", func() bool { return instances[was].count("SpeakOnWorldRequest ann") == 1 })
	c.kill(instances[was]) // it takes nothing new, but continues what it has
	if err := r.Go(1201, encode(rpc.Protobuf, &testpb.EchoRequest{}), time.Minute, answer(second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the player is bound again", func() bool { return bound(t, c, "ann") == other.id })
	for range 20 {
		must(t, "requests that overtook the first", other.count("EchoRequest ann"), 0)
		time.Sleep(5 * time.Millisecond) // time to go wrong; the right behaviour needs none
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	must(t, "requests at the other instance", other.count("EchoRequest ann"), 1)
}
