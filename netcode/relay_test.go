package netcode_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/netsim"
)

// relayTo puts a bad network before a server.
func relayTo(t testing.TB, server net.Addr, conditions string) *netsim.Relay {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", s)
	c, err := netsim.Parse(conditions)
	if err != nil {
		t.Fatal(err)
	}
	r, err := netsim.Listen(server.String(), c, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestPlayOverABadNetwork(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	p := relayTo(t, h.server.UDPAddr(), "60ms,20ms,5%,burst=2,reorder=10%,dup=2%")
	const clients, commands = 4, 12
	var group sync.WaitGroup
	for range clients {
		c := dial(t, client.Config{Addr: p.Addr().String(), Identity: "ann"})
		_ = c.SetInput(client.Do("steer", Steer{X: 0.5}))
		group.Go(func() {
			for n := range commands {
				if r := send(t, c, int64(100+n)); r.Rejected {
					t.Errorf("%+v", r)
				}
			}
			eventually(t, "the sum of all commands, each once", func() bool {
				b, _, _ := body(c)
				return b.Sum == commands*100+commands*(commands-1)/2
			})
			if s := c.Stats(); s.Rejoins > 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	group.Wait()
}

// TestASlowNetworkIsNoSilentServer: a cookie is an answer, too, so its round trip does not count towards the silence before Welcome.
func TestASlowNetworkIsNoSilentServer(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	p := relayTo(t, h.server.UDPAddr(), "1100ms")
	c := dial(t, client.Config{Addr: p.Addr().String(), Identity: "ann", NoResume: true})
	if s := c.Stats(); s.RTT < 1100*time.Millisecond || s.Drops > 0 {
		t.Errorf("%+v", s)
	}
}

func TestSessionSurvivesCutsAndRestarts(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	p := relayTo(t, h.server.UDPAddr(), "2%")
	c := dial(t, client.Config{Addr: p.Addr().String(), Identity: "ann", DropAfter: 400 * time.Millisecond})
	session := c.Session()
	var group sync.WaitGroup
	const commands = 40
	group.Go(func() {
		for n := range commands {
			if r := send(t, c, int64(100+n)); r.Rejected || r.Unknown {
				t.Errorf("%+v", r)
			}
		}
	})
	address := h.server.UDPAddr().String()
	for round := range 3 {
		p.Cut(true)
		drops := c.Stats().Drops
		eventually(t, "the client notices", func() bool { return c.Stats().Drops > drops })
		h.end()
		h = serve(t, game, netcode.Config{UDP: address}, h.log, uint64(2+round))
		p.Cut(false)
		resumes := c.Stats().Resumes
		eventually(t, "the client is back", func() bool { return c.Stats().Resumes > resumes })
	}
	group.Wait()
	if c.Session() != session || c.Stats().Rejoins != 0 {
		t.Errorf("the session changed: %+v", c.Stats())
	}
	eventually(t, "the sum of all commands, each once", func() bool {
		b, _, _ := body(c)
		return b.Sum == commands*100+commands*(commands-1)/2
	})
}
