package bus

import (
	"fmt"
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
)

// BenchmarkLink sends requests from a gateway's bus over loopback to a NATS server, to an echo service, and back, with a
// fixed number of them in flight.
func BenchmarkLink(b *testing.B) {
	for _, window := range []int{64, 256} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) { benchmarkLink(b, window) })
	}
}

func benchmarkLink(b *testing.B, window int) {
	s := startNATS(b)
	serve(b, openBus(b, s), "game", "game-1", echo)
	link := openBus(b, s)
	r := &rpc.Request{Message: "PlayerMoveRequest", Payload: make([]byte, 32), Player: "player-12345", Session: "gateway-1/812", From: "gateway/gateway-1"}
	places := make(chan struct{}, window)
	failures := make(chan error, 1)
	done := func(a rpc.Response) {
		if a.Err != nil {
			select {
			case failures <- a.Err:
			default:
			}
		}
		<-places
	}
	b.ReportAllocs()
	for b.Loop() {
		places <- struct{}{}
		link.Send("game", "game-1", r, done)
	}
	for range window {
		places <- struct{}{}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	select {
	case err := <-failures:
		b.Fatal(err)
	default:
	}
}
