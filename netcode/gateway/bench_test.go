package gateway_test

import (
	"testing"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/rpc"
)

// atOnce answers without a goroutine, to measure only the gateway, its server and the client.
type atOnce struct {
	gateway.Link
	answer rpc.Response
}

func (a atOnce) Send(kind, id string, r *rpc.Request, done func(rpc.Response)) {
	if r.Message == "EchoRequest" {
		done(a.answer)
		return
	}
	a.Link.Send(kind, id, r, done)
}

// One op is one call over loopback TCP, 64 of them in flight on one connection.
func BenchmarkCall(b *testing.B) {
	c := newCluster(b)
	c.start("game", "game-1", nil)
	answer := write(&rpc.Request{}, &testpb.EchoResponse{Text: "hello", Instance: "game-1", Player: "ann"})
	f := c.front("gateway-1", func(g *gateway.Config, n *netcode.Config) {
		g.Link = atOnce{g.Link, answer}
		n.GatewayFramesPerSecond, n.GatewayBytesPerSecond = -1, -1
	})
	r := login(b, f, "ann", client.RPCConfig{})
	payload := encode(rpc.Protobuf, &testpb.EchoRequest{Text: "hello"})
	room := make(chan struct{}, 64)
	b.ReportAllocs()
	for b.Loop() {
		room <- struct{}{}
		if err := r.Go(1201, payload, 0, func(_ uint32, _ []byte, err error) {
			if err != nil {
				b.Error(err)
			}
			<-room
		}); err != nil {
			b.Fatal(err)
		}
	}
	for range cap(room) {
		room <- struct{}{}
	}
}
