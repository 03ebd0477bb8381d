package netcode_test

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
)

// proxy is a bad network between clients and a UDP server: it loses, delays,
// reorders and duplicates packets, and can be cut.
type proxy struct {
	server *net.UDPAddr
	front  *net.UDPConn
	group  sync.WaitGroup

	mu     sync.Mutex
	rng    *rand.Rand
	loss   float64
	delay  time.Duration
	jitter time.Duration // packets overtake each other
	double float64
	cut    bool
	closed bool
	backs  map[string]*net.UDPConn
}

func newProxy(t testing.TB, server net.Addr) *proxy {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", s)
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: server.(*net.UDPAddr), front: front, rng: rand.New(rand.NewPCG(s, 3)), backs: map[string]*net.UDPConn{}}
	p.group.Go(p.run)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.front.LocalAddr().String() }

func (p *proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *proxy) close() {
	p.set(func() {
		p.closed = true
		p.front.Close()
		for _, b := range p.backs {
			b.Close()
		}
	})
	p.group.Wait()
}

func (p *proxy) run() {
	b := make([]byte, 2048)
	for {
		n, from, err := p.front.ReadFromUDP(b)
		if err != nil {
			if p.isClosed() {
				return
			}
			continue
		}
		if back := p.back(from); back != nil {
			p.pass(b[:n], func(b []byte) { _, _ = back.Write(b) })
		}
	}
}

func (p *proxy) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// back returns the socket that represents a client to the server.
func (p *proxy) back(from *net.UDPAddr) *net.UDPConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.backs[from.String()]; c != nil || p.closed {
		return c
	}
	c, err := net.DialUDP("udp", nil, p.server)
	if err != nil {
		return nil
	}
	p.backs[from.String()] = c
	p.group.Go(func() {
		b := make([]byte, 2048)
		for {
			n, err := c.Read(b)
			if err != nil {
				if p.isClosed() {
					return
				}
				time.Sleep(time.Millisecond) // the server is restarting
				continue
			}
			p.pass(b[:n], func(b []byte) { _, _ = p.front.WriteToUDP(b, from) })
		}
	})
	return c
}

// pass sends one packet through the bad network.
func (p *proxy) pass(packet []byte, send func([]byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	copies := 1
	if p.rng.Float64() < p.double {
		copies = 2
	}
	for range copies {
		if p.cut || p.rng.Float64() < p.loss {
			continue
		}
		b := append([]byte(nil), packet...)
		wait := p.delay + time.Duration(p.rng.Float64()*float64(p.jitter))
		if wait <= 0 {
			send(b)
			continue
		}
		p.group.Add(1)
		time.AfterFunc(wait, func() {
			defer p.group.Done()
			send(b)
		})
	}
}

func TestPlayOverABadNetwork(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	p := newProxy(t, h.server.UDPAddr())
	p.set(func() { p.loss, p.delay, p.jitter, p.double = 0.05, 20*time.Millisecond, 20*time.Millisecond, 0.02 })
	const clients, commands = 4, 12
	var group sync.WaitGroup
	for range clients {
		c := dial(t, client.Config{Addr: p.addr(), Identity: "ann"})
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

func TestSessionSurvivesCutsAndRestarts(t *testing.T) {
	h := serve(t, game, netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	p := newProxy(t, h.server.UDPAddr())
	p.set(func() { p.loss = 0.02 })
	c := dial(t, client.Config{Addr: p.addr(), Identity: "ann", DropAfter: 400 * time.Millisecond})
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
		p.set(func() { p.cut = true })
		drops := c.Stats().Drops
		eventually(t, "the client notices", func() bool { return c.Stats().Drops > drops })
		h.end()
		h = serve(t, game, netcode.Config{UDP: address}, h.log, uint64(2+round))
		p.set(func() { p.cut = false })
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
