package waittest

import (
	"net"
	"sync"
	"testing"
)

// Proxy forwards between clients and a server and can hold back either direction,
// like a slow network or a paused machine. It loses nothing.
type Proxy struct {
	l    net.Listener
	mu   sync.Mutex
	cond *sync.Cond
	held [2]bool // to the server, to the client
	done bool
	all  []net.Conn
	wg   sync.WaitGroup
}

// The directions of a Proxy.
const (
	ToServer = 0
	ToClient = 1
)

// NewProxy returns a proxy in front of a server's address that runs until the test ends.
func NewProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{l: l}
	p.cond = sync.NewCond(&p.mu)
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.all = append(p.all, client, behind)
			p.mu.Unlock()
			p.wg.Add(2)
			go p.pass(client, behind, ToServer)
			go p.pass(behind, client, ToClient)
		}
	}()
	t.Cleanup(p.close)
	return p
}

func (p *Proxy) pass(from, to net.Conn, way int) {
	defer p.wg.Done()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			to.Close()
			return
		}
		p.mu.Lock()
		for p.held[way] && !p.done {
			p.cond.Wait()
		}
		p.mu.Unlock()
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Addr returns the address that clients connect to.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Hold stops a direction, or releases it.
func (p *Proxy) Hold(way int, held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[way] = held
	p.cond.Broadcast()
}

func (p *Proxy) close() {
	p.l.Close()
	p.mu.Lock()
	p.done = true
	p.cond.Broadcast()
	for _, c := range p.all {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}
