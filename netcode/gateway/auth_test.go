package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/rpc"
)

func TestTrustFieldFindsThePlayer(t *testing.T) {
	d := testpb.File_gateway_internal_testpb_test_proto.Messages().ByName("PlayerLoginRequest")
	protobuf := encode(rpc.Protobuf, &testpb.PlayerLoginRequest{PlayerId: "ann", Password: "secret"})
	for name, c := range map[string]struct {
		field string
		login gateway.Login
		want  string
	}{
		"by its name":              {"password", gateway.Login{Payload: protobuf, Descriptor: d}, "secret"},
		"field 1 when not known":   {"whatever", gateway.Login{Payload: protobuf}, "ann"},
		"in JSON":                  {"player_id", gateway.Login{Format: rpc.JSON, Payload: []byte(`{"player_id":"ann"}`)}, "ann"},
		"in protojson's spelling":  {"player_id", gateway.Login{Format: rpc.JSON, Payload: []byte(`{"playerId":"ann"}`)}, "ann"},
		"not one that is not text": {"player_id", gateway.Login{Format: rpc.JSON, Payload: []byte(`{"player_id":7}`)}, ""},
		"not one that is not here": {"nickname", gateway.Login{Payload: protobuf, Descriptor: d}, ""},
		"not in garbage":           {"player_id", gateway.Login{Payload: []byte{0x0A, 200}, Descriptor: d}, ""},
		"not in nothing":           {"player_id", gateway.Login{Format: rpc.JSON}, ""},
	} {
		got, err := gateway.TrustField(c.field).Authenticate(context.Background(), c.login)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestASignedLoginNeedsTheRightCredential(t *testing.T) {
	key := []byte("0123456789abcdef")
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Authenticator = gateway.SignedLogin{Key: key} })
	good := gateway.SignLogin(key, "ann", time.Now().Add(time.Minute))
	other := "B" // than the first letter
	if good[:1] == other {
		other = "C"
	}
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		for name, k := range map[string]struct {
			player, credential string
			want               rpc.Code
		}{
			"right":              {"ann", good, rpc.OK},
			"of another player":  {"bob", good, rpc.Unauthenticated},
			"expired":            {"ann", gateway.SignLogin(key, "ann", time.Now().Add(-time.Minute)), rpc.Unauthenticated},
			"of another key":     {"ann", gateway.SignLogin([]byte("fedcba9876543210"), "ann", time.Now().Add(time.Minute)), rpc.Unauthenticated},
			"with another first": {"ann", other + good[1:], rpc.Unauthenticated},
			"cut":                {"ann", good[:20], rpc.Unauthenticated},
			"none":               {"ann", "", rpc.Unauthenticated},
		} {
			r := dial(t, cfg)
			err := call(r, t, &testpb.PlayerLoginRequest{PlayerId: k.player, Password: k.credential})
			switch {
			case k.want == rpc.OK && err != nil:
				t.Errorf("a credential that is %s: %v", name, err)
			case k.want != rpc.OK:
				must(t, name, fault(t, err).Code, k.want)
				must(t, "the next request", fault(t, call(r, t, &testpb.EchoRequest{})).Code, rpc.Unauthenticated)
			}
		}
	})
}

// asked is an authenticator with a given result.
type asked func(ctx context.Context, l gateway.Login) (string, error)

func (a asked) Authenticate(ctx context.Context, l gateway.Login) (string, error) { return a(ctx, l) }

func TestWhatAnAuthenticatorSaysIsTold(t *testing.T) {
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	answers := map[string]struct {
		player string
		err    error
		code   rpc.Code
		text   string
	}{
		"an error of its own": {"", errors.New("the database is at 10.1.2.3"), rpc.Unauthenticated, "the login is refused"},
		"an error with code":  {"", rpc.Errorf(rpc.FailedPrecondition, "confirm your address first"), rpc.FailedPrecondition, "confirm your address first"},
		"nobody":              {"", nil, rpc.InvalidArgument, ""},
		"a bad name":          {"an\nn", nil, rpc.InvalidArgument, ""},
		"a long name":         {strings.Repeat("x", 129), nil, rpc.InvalidArgument, ""},
		"a name with a space": {" ann", nil, rpc.InvalidArgument, ""},
		"an invalid name":     {"\xff", nil, rpc.InvalidArgument, ""},
	}
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Limits.MaxLoginFailures = 100
		g.Authenticator = asked(func(_ context.Context, l gateway.Login) (string, error) {
			var m testpb.PlayerLoginRequest
			unmarshal(l.Format, l.Payload, &m)
			if l.Session == "" || !l.Addr.IsValid() || l.Message != "PlayerLoginRequest" || l.Descriptor == nil {
				t.Errorf("the login is %+v", l)
			}
			return answers[m.PlayerId].player, answers[m.PlayerId].err
		})
	})
	r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
	for name, want := range answers {
		e := fault(t, call(r, t, &testpb.PlayerLoginRequest{PlayerId: name}))
		if e.Code != want.code || want.text != "" && e.Text != want.text {
			t.Errorf("%s: %v", name, e)
		}
	}
	must(t, "messages that reached the service", len(game.log()), 0)
}

// TestAnAuthenticatorThatPanicsRefusesTheLogin: the next login is judged as ever.
func TestAnAuthenticatorThatPanicsRefusesTheLogin(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Authenticator = asked(func(_ context.Context, l gateway.Login) (string, error) {
			var m testpb.PlayerLoginRequest
			unmarshal(l.Format, l.Payload, &m)
			return m.PlayerId[:3], nil
		})
	})
	r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
	must(t, "code", fault(t, call(r, t, &testpb.PlayerLoginRequest{PlayerId: "x"})).Code, rpc.Internal)
	login(t, f, "ann", client.RPCConfig{})
}

func TestALoginThatTakesTooLongEnds(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Limits.AuthTimeout = 50 * time.Millisecond
		g.Authenticator = asked(func(ctx context.Context, _ gateway.Login) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
	})
	r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
	must(t, "code", fault(t, call(r, t, &testpb.PlayerLoginRequest{PlayerId: "ann"})).Code, rpc.DeadlineExceeded)
}

func TestASessionThatDoesNotLogInEnds(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Limits.LoginTimeout = 200 * time.Millisecond })
	in := login(t, f, "ann", client.RPCConfig{})
	out := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
	select {
	case <-out.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("it is still there")
	}
	must(t, "player", echo(t, in, "x").Player, "ann")
}
