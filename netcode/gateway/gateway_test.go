package gateway_test

import (
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

func TestAPlayerLogsInAndIsAnswered(t *testing.T) {
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	ends := 0
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		rpcClient := login(t, f, "ann", cfg)
		got := echo(t, rpcClient, "hello")
		if got.Text != "hello" || got.Instance != "game-1" || got.Player != "ann" {
			t.Errorf("the answer is %v", got)
		}
		must(t, "gateway", rpcClient.Gateway(), "gateway-1")
		rpcClient.Close()
		// The next login waits for it: one that comes before the record is released takes the player over instead.
		ends++
		eventually(t, "the service hears of the end", func() bool { return game.count("PlayerDisconnected ann") == ends })
	})
	eventually(t, "the sessions are gone", func() bool { return f.Stats().Sessions == 0 })
	if s := f.Stats(); s.Requests != 8 || s.Faults != 0 || s.InFlight != 0 || s.Players != 0 {
		t.Errorf("%+v", s)
	}
	must(t, "ends that the service heard of", ends, 4)
}

func TestRequestsBeforeALoginAreRefused(t *testing.T) {
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		r := dial(t, cfg)
		e := fault(t, call(r, t, &testpb.EchoRequest{Text: "x"}))
		must(t, "code", e.Code, rpc.Unauthenticated)
		must(t, "maybe", e.Maybe, false)
		var news testpb.NewsResponse
		if err := r.Call(soon(t), &testpb.NewsRequest{}, &news); err != nil || news.Text != "all is well" {
			t.Errorf("a public message is answered with %v, %v", &news, err)
		}
	})
	must(t, "echoes that came through", game.count("EchoRequest "), 0)
}

func TestAMessageThatNobodyTakesIsNamed(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		r := login(t, f, "ann", cfg)
		_, _, err := r.CallRaw(soon(t), 77777, []byte("{}"))
		e := fault(t, err)
		must(t, "code", e.Code, rpc.Unimplemented)
		must(t, "text", e.Text, "no service handles message 77777")
	})
}

func TestAHandlersErrorReachesTheClient(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		r := login(t, f, "ann", cfg)
		e := fault(t, call(r, t, &testpb.EchoRequest{Text: "broken"}))
		if e.Code != rpc.NotFound || e.Text != "there is no broken" || e.Maybe {
			t.Errorf("the fault is %+v", e)
		}
	})
}

func TestALoginThatTheServiceRefusesIsNone(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	older := login(t, f, "ann", client.RPCConfig{})
	r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
	e := fault(t, call(r, t, &testpb.PlayerLoginRequest{PlayerId: "ann", Password: "wrong"}))
	must(t, "code", e.Code, rpc.PermissionDenied)
	must(t, "the next request", fault(t, call(r, t, &testpb.EchoRequest{})).Code, rpc.Unauthenticated)
	must(t, "the session that was there before", echo(t, older, "x").Player, "ann")
	must(t, "players", f.Stats().Players, 1)
}

func TestTooManyFailedLoginsEndTheConnection(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Limits.MaxLoginFailures = 3 })
	r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
	for range 3 {
		must(t, "code", fault(t, call(r, t, &testpb.PlayerLoginRequest{})).Code, rpc.InvalidArgument)
	}
	select {
	case <-r.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the connection is still there")
	}
}

func TestRequestsSentBehindALoginWaitForIt(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		var mu sync.Mutex
		var ids []uint32
		cfg.OnPush = func(id uint32, _ []byte) {
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, id)
		}
		cfg.OnFault = func(message uint32, e *rpc.Error) { t.Errorf("message %d: %v", message, e) }
		r := dial(t, cfg)
		for _, err := range []error{
			r.Send(&testpb.PlayerLoginRequest{PlayerId: "bob"}),
			r.Send(&testpb.CreateRoleRequest{RoleId: 7}),
			r.Send(&testpb.SpeakOnWorldRequest{Content: "hi"}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "three answers", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(ids) == 3 && ids[0] == 1002
		})
	})
}

func TestTheHandlerMayLogASessionIn(t *testing.T) {
	c := newCluster(t)
	var game *instance
	game = c.start("game", "game-1", func(r *rpc.Request, done func(rpc.Response)) {
		if r.Message != "PlayerLoginRequest" {
			game.serve(r, done)
			return
		}
		a := write(r, &testpb.PlayerLoginResponse{Result: true})
		a.Player = "carol"
		done(a)
	})
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Authenticator = nil })
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		r := login(t, f, "whoever", cfg)
		must(t, "player", echo(t, r, "x").Player, "carol")
	})
	must(t, "binding", bound(t, c, "carol"), "game-1")
}

// TestAHandlerCannotNameAnotherPlayerThanTheAuthenticator: neither at a login nor later. Where nothing is proved, it decides.
func TestAHandlerCannotNameAnotherPlayerThanTheAuthenticator(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", func(r *rpc.Request, done func(rpc.Response)) {
		a := write(r, &testpb.PlayerLoginResponse{Result: true})
		a.Player = "carol"
		done(a)
	})
	proves := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Authenticator = asked(func(_ context.Context, l gateway.Login) (string, error) {
			var m testpb.PlayerLoginRequest
			unmarshal(l.Format, l.Payload, &m)
			return m.PlayerId, nil
		})
	})
	trusts := c.front("gateway-2", func(g *gateway.Config, _ *netcode.Config) { g.Authenticator = gateway.TrustField("player_id") })
	everyWay(t, proves, func(t *testing.T, cfg client.RPCConfig) {
		r := dial(t, cfg)
		e := fault(t, call(r, t, &testpb.PlayerLoginRequest{PlayerId: "ann"}))
		must(t, "code", e.Code, rpc.PermissionDenied)
		must(t, "maybe", e.Maybe, true) // its handler has run
		must(t, "the next request", fault(t, call(r, t, &testpb.EchoRequest{})).Code, rpc.Unauthenticated)
		if err := call(r, t, &testpb.PlayerLoginRequest{PlayerId: "carol"}); err != nil {
			t.Errorf("the same player: %v", err)
		}
	})
	r := login(t, trusts, "ann", client.RPCConfig{})
	defer r.Close()
	must(t, "binding", bound(t, c, "carol"), "game-1")
}

func TestASecondLoginEndsTheOlderSession(t *testing.T) {
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	here, there := c.front("gateway-1", nil), c.front("gateway-2", nil)
	for _, second := range []*front{here, there} {
		older := login(t, here, "ann", client.RPCConfig{})
		newer := login(t, second, "ann", client.RPCConfig{})
		select {
		case <-older.Done():
		case <-time.After(20 * time.Second):
			t.Fatal("the older session is still there")
		}
		if got := older.Err().Error(); got != "client: the server ended the connection: the player has logged in on another connection (REASON_REPLACED)" {
			t.Errorf("the older session ends with %q", got)
		}
		must(t, "player", echo(t, newer, "x").Player, "ann")
		must(t, "notices of a disconnection", game.count("PlayerDisconnected ann"), 0)
		newer.Close()
		eventually(t, "the notice of the disconnection", func() bool { return game.count("PlayerDisconnected ann") == 1 })
		game.mu.Lock()
		game.got = nil
		game.mu.Unlock()
	}
}

func TestOfTwoLoginsAtOnceOneStays(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	fronts := []*front{c.front("gateway-1", nil), c.front("gateway-2", nil)}
	for round := range 20 {
		player := fmt.Sprint("p", round)
		clients := make([]*client.RPC, 4)
		for i := range clients {
			clients[i] = dial(t, client.RPCConfig{Addr: fronts[i%2].server.TCPAddr().String(), Transport: client.TCP})
		}
		var group sync.WaitGroup
		for _, r := range clients {
			group.Go(func() { _ = call(r, t, &testpb.PlayerLoginRequest{PlayerId: player}) })
		}
		group.Wait()
		open := func() (n int) {
			for _, r := range clients {
				select {
				case <-r.Done():
				default:
					n++
				}
			}
			return n
		}
		eventually(t, "one session is left", func() bool { return open() == 1 })
		for _, r := range clients {
			r.Close()
		}
	}
}

func TestRequestsOfASessionArriveInOrder(t *testing.T) {
	c := newCluster(t)
	var mu sync.Mutex
	var got []string
	order := make(chan *rpc.Request, 1000)
	done := make(chan struct{})
	c.start("game", "game-1", func(r *rpc.Request, answer func(rpc.Response)) { answer(write(r, &testpb.PlayerLoginResponse{})) })
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Link = ordered{g.Link, order} })
	go func() {
		defer close(done)
		for r := range order {
			var m testpb.EchoRequest
			read(r, &m)
			mu.Lock()
			got = append(got, m.Text)
			mu.Unlock()
		}
	}()
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		mu.Lock()
		got = nil
		mu.Unlock()
		r := dial(t, cfg)
		_ = r.Send(&testpb.PlayerLoginRequest{PlayerId: "ann"})
		for i := range 200 {
			_ = r.Send(&testpb.EchoRequest{Text: fmt.Sprint(i)})
		}
		eventually(t, "all came", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 200 })
		for i, text := range got {
			must(t, "request", text, fmt.Sprint(i))
		}
	})
	close(order)
	<-done
}

// ordered is a Link that passes each echo to order as the gateway sends it.
type ordered struct {
	gateway.Link
	order chan *rpc.Request
}

func (o ordered) Send(kind, id string, r *rpc.Request, done func(rpc.Response)) {
	if r.Message == "EchoRequest" {
		c := *r
		o.order <- &c
		done(rpc.Response{})
		return
	}
	o.Link.Send(kind, id, r, done)
}

func TestMoreRequestsThanMayBeInFlightAreRefused(t *testing.T) {
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Limits.MaxInFlight = 5 })
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		r := login(t, f, "ann", cfg)
		answers := make(chan error, 10)
		for range 6 {
			id, payload := uint32(1201), encode(cfg.Format, &testpb.EchoRequest{Text: "silence"})
			if err := r.Go(id, payload, 0, func(_ uint32, _ []byte, err error) { answers <- err }); err != nil {
				t.Fatal(err)
			}
		}
		e := fault(t, <-answers)
		must(t, "code", e.Code, rpc.ResourceExhausted)
		must(t, "in flight", f.Stats().InFlight, 5)
		eventually(t, "they came", func() bool { game.mu.Lock(); defer game.mu.Unlock(); return len(game.pending) == 5 })
		game.failAll()
		for range 5 {
			must(t, "maybe", fault(t, <-answers).Maybe, true)
		}
		must(t, "in flight", f.Stats().InFlight, 0)
		r.Close()
		eventually(t, "the session is gone", func() bool { return f.Stats().Sessions == 0 })
	})
}

func TestTheTimeoutOfACallReachesTheService(t *testing.T) {
	c := newCluster(t)
	timeouts := make(chan time.Duration, 10)
	c.start("game", "game-1", func(r *rpc.Request, done func(rpc.Response)) {
		timeouts <- r.Timeout
		done(write(r, &testpb.PlayerLoginResponse{}))
	})
	f := c.front("gateway-1", nil)
	r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
	for _, want := range []time.Duration{0, 700 * time.Millisecond, time.Hour} {
		errs := make(chan error, 1)
		_ = r.Go(1203, nil, want, func(_ uint32, _ []byte, err error) { errs <- err })
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		if want == 0 {
			want = rpc.DefaultTimeout
		}
		want = min(want, time.Minute)
		if got := <-timeouts; got > want || got < want/2 {
			t.Errorf("the service has %v, want %v", got, want)
		}
	}
}

func TestAMessageWithoutAnAnswerIsAnsweredOnlyAsACall(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", nil)
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		var p pushes
		cfg.OnPush = p.on
		r := login(t, f, "ann", cfg)
		if err := r.Send(&testpb.Shout{Text: "x"}); err != nil {
			t.Fatal(err)
		}
		id, payload, err := r.CallRaw(soon(t), 1205, encode(cfg.Format, &testpb.Shout{Text: "x"}))
		if id != 0 || len(payload) != 0 || err != nil {
			t.Errorf("answered with %d, %q, %v", id, payload, err)
		}
		if got := p.list(); len(got) > 0 {
			t.Errorf("pushed %q", got)
		}
	})
}

// A gateway that is cut off never hears a kick announced meanwhile.
func TestAnOlderSessionEndsThatDidNotHearOfTheNewer(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	here, there := c.front("gateway-1", nil), c.front("gateway-2", nil)
	older := login(t, here, "ann", client.RPCConfig{})
	here.bus.cut(true)
	newer := login(t, there, "ann", client.RPCConfig{})
	here.bus.cut(false)
	select {
	case <-older.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("both sessions live on")
	}
	must(t, "player", echo(t, newer, "x").Player, "ann")
	eventually(t, "the older gateway has no player", func() bool { return here.Stats().Players == 0 }) // its client hears of the end first
}

// TestAnAnswerThatNobodyKnowsIsAFault: its bytes never come under the id of the answer that the client expects.
func TestAnAnswerThatNobodyKnowsIsAFault(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", func(r *rpc.Request, done func(rpc.Response)) {
		if r.Message == "NewsRequest" {
			done(rpc.Response{Message: "SecretResponse", Payload: []byte("\x0a\x06secret")})
		}
	})
	f := c.front("gateway-1", nil)
	r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
	var news testpb.NewsResponse
	e := fault(t, r.Call(soon(t), &testpb.NewsRequest{}, &news))
	must(t, "code", e.Code, rpc.Internal)
	must(t, "maybe", e.Maybe, true)
	must(t, "text", e.Text, "SecretResponse is no answer of NewsRequest that the gateway knows, and has no frame id")
	must(t, "news", news.Text, "")
}
