package gateway_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/wirepb"
)

// attacks holds what clients may do to a gateway, each on its own connection.
var attacks = map[string]func(r *raw){
	"a frame that is too long": func(r *raw) {
		b := binary.LittleEndian.AppendUint32(nil, 1201)
		r.write(binary.LittleEndian.AppendUint32(b, 1<<31))
		must(r.t, "reason", r.bye(), wirepb.Reason_REASON_FRAME_TOO_LARGE)
	},
	"a shard's message": func(r *raw) {
		r.send(1203, &testpb.NewsRequest{})
		r.send(wirepb.IDInput, &wirepb.Input{})
		must(r.t, "reason", r.bye(), wirepb.Reason_REASON_PROTOCOL)
	},
	"a flood of frames": func(r *raw) {
		var b []byte
		for range 30_000 { // 240 KB: too many frames, but not too many bytes
			b = frame.Append(b, 1203, nil)
		}
		go func() { _, _ = r.conn.Write(b) }()
		must(r.t, "reason", r.bye(), wirepb.Reason_REASON_TOO_MUCH)
	},
	"a flood that is not read": func(r *raw) {
		r.send(1001, &testpb.PlayerLoginRequest{PlayerId: "mallory"})
		b := frame.AppendMessage(nil, 1201, &testpb.EchoRequest{Text: strings.Repeat("x", 3000)})
		for range 3000 {
			if _, err := r.conn.Write(b); err != nil {
				return
			}
		}
	},
	"garbage": func(r *raw) {
		rng := rand.New(rand.NewPCG(1, 3))
		for range 20 {
			b := frame.Append(nil, rng.Uint32(), make([]byte, rng.IntN(100)))
			for i := 8; i < len(b); i++ {
				b[i] = byte(rng.Uint32())
			}
			if _, err := r.conn.Write(b); err != nil {
				return
			}
		}
		r.write([]byte(strings.Repeat("\xff", 100)))
		r.bye()
	},
	"damaged payloads": func(r *raw) {
		for _, id := range []uint32{1001, 1003, 1201 | wirepb.IDCall, wirepb.IDTicketRequest, wirepb.IDFault, wirepb.IDReplaced, 2199} {
			if _, err := r.conn.Write(frame.Append(nil, id, []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))); err != nil {
				return
			}
		}
		for range 7 {
			id, _ := r.next()
			must(r.t, "answer", id&^wirepb.IDCall, wirepb.IDFault)
		}
	},
	"a connection that ends in the middle": func(r *raw) {
		r.write([]byte{0xE9, 3, 0, 0, 200, 0, 0, 0, 1, 2, 3})
		r.conn.Close()
	},
	"a connection that says nothing": func(*raw) {},
}

func TestHostileClientsHarmNobodyElse(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(_ *gateway.Config, n *netcode.Config) { n.MaxHalfOpen, n.GatewayFramesPerSecond = 64, 300 })
	honest := login(t, f, "ann", client.RPCConfig{})
	kcp := login(t, f, "bob", ways[1].cfg(t, f))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond): // slow enough not to be a flood
			}
			for player, r := range map[string]*client.RPC{"ann": honest, "bob": kcp} {
				var m testpb.EchoResponse
				if err := r.Call(soon(t), &testpb.EchoRequest{Text: "x"}, &m); err != nil || m.Player != player {
					t.Errorf("%s: %v, %v", player, &m, err)
					return
				}
			}
		}
	}()
	var group sync.WaitGroup
	for name, attack := range attacks {
		for range 4 {
			conn, err := net.Dial("tcp", f.server.TCPAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			group.Go(func() { attack(&raw{named{t, name}, conn, frame.NewReader(frame.MaxFromServer)}) })
		}
	}
	group.Wait()
	close(stop)
	<-done
	must(t, "player", echo(t, honest, "x").Player, "ann")
	must(t, "player", echo(t, kcp, "x").Player, "bob")
}

// named adds the attack's name to a failure, and does not call FailNow, because it runs outside the test's goroutine.
type named struct {
	testing.TB
	name string
}

func (n named) Fatal(args ...any) {
	n.Error(append([]any{n.name}, args...)...)
	runtime.Goexit()
}

func (n named) Fatalf(format string, args ...any) {
	n.Errorf(n.name+": "+format, args...)
	runtime.Goexit()
}

func TestTheMetricsAreTheStatistics(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	registry := prometheus.NewPedanticRegistry()
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Registerer = registry })
	r := login(t, f, "ann", client.RPCConfig{})
	echo(t, r, "x")
	_ = fault(t, call(r, t, &testpb.EchoRequest{Text: "broken"})) // checks that it is a fault
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += "{" + l.GetName() + "=" + l.GetValue() + "}"
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"wind_gateway_faults_total{code=5}": 1, "wind_gateway_players": 1, "wind_gateway_sessions": 1, "wind_gateway_requests_total": 3,
		"wind_gateway_in_flight": 0, "wind_gateway_logins_total": 1,
	} {
		if have, ok := got[name]; !ok || have != want {
			t.Errorf("%s is %v, want %v", name, have, want)
		}
	}
	if got["wind_gateway_bytes_total{direction=in}"] == 0 || got["wind_gateway_bytes_total{direction=out}"] == 0 {
		t.Errorf("no bytes: %v", got)
	}
	if _, err := gateway.New(gateway.Config{ID: "x"}); err == nil {
		t.Error("a gateway without a directory")
	}
}
