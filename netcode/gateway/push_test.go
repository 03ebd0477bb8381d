package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/rpc"
)

func speech(format rpc.Format, text string) rpc.Push {
	a := write(&rpc.Request{Format: format}, &testpb.SpeakOnWorldResponse{Content: text})
	return rpc.Push{Message: a.Message, ID: 1006, Format: format, Payload: a.Payload}
}

func TestPushesReachPlayersInTheirFormat(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	here, there := c.front("gateway-1", nil), c.front("gateway-2", nil)
	var ann, bob, carol, nobody pushes
	login(t, here, "ann", client.RPCConfig{OnPush: ann.on})
	login(t, there, "bob", client.RPCConfig{OnPush: bob.on, Format: rpc.JSON, Addr: there.server.TCPAddr().String(), Transport: client.TCP})
	cfg := ways[1].cfg(t, there)
	cfg.OnPush = carol.on
	login(t, there, "carol", cfg)
	dial(t, client.RPCConfig{Addr: here.server.TCPAddr().String(), Transport: client.TCP, OnPush: nobody.on})
	c.push("ann", speech(rpc.JSON, "to ann"))
	c.push("bob", speech(rpc.Protobuf, "to bob"))
	c.push("", speech(rpc.Protobuf, "to all"))
	content := func(f rpc.Format, payloads []string) string {
		var all []string
		for _, p := range payloads {
			var m testpb.SpeakOnWorldResponse
			unmarshal(f, []byte(p), &m)
			all = append(all, m.Content)
		}
		return strings.Join(all, ", ")
	}
	eventually(t, "all have theirs", func() bool { return len(ann.list()) == 2 && len(bob.list()) == 2 && len(carol.list()) == 1 })
	must(t, "ann's", content(rpc.Protobuf, ann.list()), "to ann, to all")
	must(t, "bob's", content(rpc.JSON, bob.list()), "to bob, to all")
	must(t, "carol's", content(rpc.Protobuf, carol.list()), "to all")
	must(t, "those of a session without a login", len(nobody.list()), 0)
}

func TestAPushThatCannotBeTranscodedIsCounted(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	var protobuf, text pushes
	login(t, f, "ann", client.RPCConfig{OnPush: protobuf.on})
	login(t, f, "bob", client.RPCConfig{OnPush: text.on, Format: rpc.JSON, Addr: f.server.TCPAddr().String(), Transport: client.TCP})
	c.push("", rpc.Push{Message: "Unheard", ID: 4000, Payload: []byte("\x0a\x01x")})
	c.push("", speech(rpc.Protobuf, "heard"))
	eventually(t, "they came", func() bool { return len(protobuf.list()) == 2 && len(text.list()) == 1 })
	if s := f.Stats(); s.PushesDropped != 1 || s.Pushes != 3 {
		t.Errorf("%d pushes sent, %d dropped, want 3 and 1", s.Pushes, s.PushesDropped)
	}
}

func TestPushesOfALoginComeBehindNothing(t *testing.T) {
	c := newCluster(t)
	var game *instance
	game = c.start("game", "game-1", func(r *rpc.Request, done func(rpc.Response)) {
		if r.Message == "PlayerLoginRequest" {
			c.push(r.Player, speech(rpc.Protobuf, "welcome "+r.Player))
		}
		game.serve(r, done)
	})
	f := c.front("gateway-1", nil)
	for i := range 20 {
		var got pushes
		r := login(t, f, fmt.Sprint("p", i), client.RPCConfig{OnPush: got.on})
		eventually(t, "the push of the login", func() bool { return len(got.list()) == 1 })
		var m testpb.SpeakOnWorldResponse
		if err := proto.Unmarshal([]byte(got.list()[0]), &m); err != nil || m.Content != fmt.Sprint("welcome p", i) {
			t.Errorf("pushed %v, %v", &m, err)
		}
		r.Close()
	}
}

func TestASubscriptionEndsWithItsSession(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	subscribed := func() int { f.bus.mu.Lock(); defer f.bus.mu.Unlock(); return len(f.bus.players) }
	for range 5 {
		r := login(t, f, "ann", client.RPCConfig{})
		must(t, "subscriptions", subscribed(), 1)
		if err := call(r, t, &testpb.PlayerLoginRequest{PlayerId: "bob"}); err != nil { // the same connection, another player
			t.Fatal(err)
		}
		must(t, "player", echo(t, r, "x").Player, "bob")
		must(t, "subscriptions", subscribed(), 1)
		r.Close()
		eventually(t, "no subscription is left", func() bool { return subscribed() == 0 })
	}
}

func TestABroadcastIsForThoseWhoseLoginIsConfirmed(t *testing.T) {
	c := newCluster(t)
	logins := make(chan func(rpc.Response), 1)
	var game *instance
	game = c.start("game", "game-1", func(r *rpc.Request, done func(rpc.Response)) {
		if r.Message == "PlayerLoginRequest" && r.Player == "bob" {
			logins <- done
			return
		}
		game.serve(r, done)
	})
	f := c.front("gateway-1", nil)
	var ann, bob pushes
	login(t, f, "ann", client.RPCConfig{OnPush: ann.on})
	r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP, OnPush: bob.on})
	refused := make(chan error, 1)
	go func() { refused <- r.Call(soon(t), &testpb.PlayerLoginRequest{PlayerId: "bob"}, nil) }()
	decide := <-logins
	c.push("", speech(rpc.Protobuf, "to all"))
	c.push("bob", speech(rpc.Protobuf, "to bob")) // his service may greet him before it answers
	eventually(t, "both have theirs", func() bool { return len(ann.list()) == 1 && len(bob.list()) == 1 })
	decide(rpc.Response{Err: rpc.Errorf(rpc.PermissionDenied, "banned")})
	must(t, "code", fault(t, <-refused).Code, rpc.PermissionDenied)
	c.push("bob", speech(rpc.Protobuf, "to bob"))
	c.push("", speech(rpc.Protobuf, "to all"))
	eventually(t, "ann has hers", func() bool { return len(ann.list()) == 2 })
	must(t, "pushes to one whose login was refused", len(bob.list()), 1)
}
