package netcode

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/frame"
)

// thrice answers every frame with three of its own.
type thrice struct{ coalesce bool }

func (g thrice) Opened(c *Conn) Stream {
	c.Coalesce(g.coalesce)
	return &thriceStream{c}
}

type thriceStream struct{ c *Conn }

func (s *thriceStream) Receive(id uint32, payload []byte) {
	var b []byte
	for range 3 {
		b = frame.Append(b, id+1, payload)
	}
	s.c.Send(b)
}
func (s *thriceStream) Text([]byte) {}
func (s *thriceStream) Closed()     {}

// A pipe's Read returns what one Write wrote. ferris1/wind's Python client treats
// a read as a frame.
func TestEachFrameIsAWriteOfItsOwnUntilTheClientCoalesces(t *testing.T) {
	for _, coalesce := range []bool{false, true} {
		s, err := Listen(Config{TCP: "127.0.0.1:0", Gateway: thrice{coalesce}})
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		c := newTCPConn(s, far)
		if !c.open(netip.AddrPort{}) {
			t.Fatal("not taken in")
		}
		_ = near.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := near.Write(frame.Append(nil, 1001, []byte("ann"))); err != nil {
			t.Fatal(err)
		}
		one := len(frame.Append(nil, 1002, []byte("ann")))
		want := []int{one, one, one}
		if coalesce {
			want = []int{3 * one}
		}
		b := make([]byte, 4096)
		for i, want := range want {
			n, err := near.Read(b)
			if err != nil || n != want {
				t.Fatalf("coalesce %v: read %d has %d bytes (%v), want %d", coalesce, i, n, err, want)
			}
		}
		near.Close()
		s.Close()
	}
}
