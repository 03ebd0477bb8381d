package udp

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/frame"
)

func listen(t *testing.T, address string) *Socket {
	t.Helper()
	s, err := Listen(address)
	if err != nil {
		t.Skipf("%s: %v", address, err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestEveryPacketOfALongBatchArrives(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			a, b := listen(t, address), listen(t, address)
			const n = 3*batchSize + 5
			for i := range n {
				a.Queue(b.Addr(), fmt.Appendf(nil, "packet %d", i))
			}
			a.Flush()
			seen := map[string]bool{}
			b.SetDeadline(time.Now().Add(10 * time.Second))
			for len(seen) < n {
				err := b.Read(func(from *net.UDPAddr, packet []byte) {
					if from.Port != a.Addr().Port {
						t.Errorf("from %v, want %v", from, a.Addr())
					}
					seen[string(packet)] = true
				})
				if err != nil {
					t.Fatalf("%v after %d of %d", err, len(seen), n)
				}
			}
		})
	}
}

func TestOversizedPacketsAreDroppedBothWays(t *testing.T) {
	a, b := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	a.Queue(b.Addr(), make([]byte, frame.MaxPacket+1))
	a.Flush()
	if a.Dropped() != 1 {
		t.Errorf("%d dropped by the sender", a.Dropped())
	}
	conn, err := net.DialUDP("udp", nil, b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write(make([]byte, 4000))
	_, _ = conn.Write([]byte("after"))
	b.SetDeadline(time.Now().Add(10 * time.Second))
	for got := ""; got != "after"; {
		if err := b.Read(func(_ *net.UDPAddr, packet []byte) { got = string(packet) }); err != nil {
			t.Fatal(err)
		}
		if len(got) > frame.MaxPacket {
			t.Fatalf("a packet of %d bytes came through", len(got))
		}
	}
}

func TestCloseAndDeadlineEndARead(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	s.SetDeadline(time.Now())
	if err := s.Read(nil); err == nil {
		t.Error("a passed deadline did not end Read")
	}
	s.SetDeadline(time.Time{})
	done := make(chan error)
	go func() { done <- s.Read(nil) }()
	s.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
