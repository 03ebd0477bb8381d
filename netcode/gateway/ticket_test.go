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
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

type places map[string][2]string

func (p places) Locate(_ context.Context, shard string) (udp, tcp string, err error) {
	at, ok := p[shard]
	if !ok {
		return "", "", errors.New("nobody serves it")
	}
	return at[0], at[1], nil
}

func TestAPlayerGetsATicketForAShard(t *testing.T) {
	key := []byte("0123456789abcdef")
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Tickets = gateway.Tickets{Key: key, Shards: places{"main": {"10.0.0.1:7777", "10.0.0.1:7778"}}}
	})
	everyWay(t, f, func(t *testing.T, cfg client.RPCConfig) {
		stranger := dial(t, cfg)
		must(t, "without a login", fault(t, call(stranger, t, &wirepb.TicketRequest{Shard: "main"})).Code, rpc.Unauthenticated)
		r := login(t, f, "ann", cfg)
		var m wirepb.TicketResponse
		if err := r.Call(soon(t), &wirepb.TicketRequest{Shard: "main"}, &m); err != nil {
			t.Fatal(err)
		}
		k, err := netcode.OpenTicket(key, m.Ticket, time.Now())
		if err != nil || k.Identity != "ann" || k.Shard != "main" || k.UDP != "10.0.0.1:7777" || k.TCP != "10.0.0.1:7778" {
			t.Errorf("the ticket is %+v, %v", k, err)
		}
		if m.Udp != k.UDP || m.Tcp != k.TCP || m.Seconds != 30 || m.Shard != "main" {
			t.Errorf("the answer is %v", &m)
		}
		if left := time.Until(k.Expires); left < 10*time.Second || left > 30*time.Second {
			t.Errorf("it is good for %v", left)
		}
		e := fault(t, call(r, t, &wirepb.TicketRequest{Shard: "nowhere"}))
		if e.Code != rpc.Unavailable || e.Text != `shard "nowhere": nobody serves it` || e.Maybe {
			t.Errorf("the fault is %v", e)
		}
		_, _, err = r.CallRaw(soon(t), wirepb.IDTicketRequest, []byte{0xFF})
		must(t, "a malformed one", fault(t, err).Code, rpc.InvalidArgument)
		long := login(t, f, strings.Repeat("x", 65), cfg)
		must(t, "a name that no shard takes", fault(t, call(long, t, &wirepb.TicketRequest{Shard: "main"})).Code, rpc.FailedPrecondition)
	})
}
