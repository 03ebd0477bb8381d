package netsim

import (
	"container/heap"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	maxPacket  = 1 << 16
	maxFlying  = 1 << 16 // packets under way; others are lost
	maxClients = 1 << 12 // addresses that a relay knows; it ignores others
	errorPause = 10 * time.Millisecond
)

// Relay carries UDP packets between clients and a server, over a path up and a path down for each client. To the server, each client
// has an address of its own, as behind a NAT. Its methods may be called concurrently.
type Relay struct {
	server *net.UDPAddr
	front  *net.UDPConn
	began  time.Time
	group  sync.WaitGroup
	wake   chan struct{} // the first packet to arrive is another one
	over   chan struct{}

	mu      sync.Mutex
	c       Conditions
	seed    uint64
	cut     bool
	closed  bool
	clients map[netip.AddrPort]*relayed
	flying  flight
	known   uint64 // clients so far
	gone    Counts // of the paths of those that it has forgotten
	scratch []time.Duration
}

// relayed is a client as the relay knows it.
type relayed struct {
	at       netip.AddrPort
	conn     *net.UDPConn // what the server sees
	up, down *Path
}

// Counts are packets that a relay has handled.
type Counts struct {
	Sent, Lost uint64
}

// Listen starts a relay to the server on a free port of this machine's loopback. The paths' randomness depends on seed alone; two
// clients have different paths.
func Listen(server string, c Conditions, seed uint64) (*Relay, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	addr, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		return nil, fmt.Errorf("netsim: %w", err)
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("netsim: %w", err)
	}
	r := &Relay{
		server: addr, front: front, began: time.Now(), wake: make(chan struct{}, 1), over: make(chan struct{}),
		c: c, seed: seed, clients: map[netip.AddrPort]*relayed{},
	}
	r.group.Go(r.receive)
	r.group.Go(r.deliver)
	return r, nil
}

// Addr returns the address that clients dial.
func (r *Relay) Addr() *net.UDPAddr { return r.front.LocalAddr().(*net.UDPAddr) }

// Set changes the conditions for what is sent from now on.
func (r *Relay) Set(c Conditions) error {
	if err := c.Check(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.c = c
	for _, x := range r.clients {
		x.up.Set(c)
		x.down.Set(c)
	}
	return nil
}

// Cut loses everything that is sent while on is true.
func (r *Relay) Cut(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = on
	for _, x := range r.clients {
		x.up.Cut(on)
		x.down.Cut(on)
	}
}

// Rebind gives each client another address, as a NAT does that has forgotten it. What the server sends to the old one is lost.
func (r *Relay) Rebind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.clients {
		r.forget(x)
	}
}

// forget ends a client's address.
func (r *Relay) forget(x *relayed) {
	_ = x.conn.Close()
	for _, p := range []*Path{x.up, x.down} {
		r.gone.Sent += p.Sent
		r.gone.Lost += p.Lost
	}
	delete(r.clients, x.at)
}

// Counts returns what has happened so far, in both directions together.
func (r *Relay) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.gone
	for _, x := range r.clients {
		n.Sent += x.up.Sent + x.down.Sent
		n.Lost += x.up.Lost + x.down.Lost
	}
	return n
}

// Close ends the relay; what is under way is lost.
func (r *Relay) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.over)
		_ = r.front.Close()
		for _, x := range r.clients {
			r.forget(x)
		}
	}
	r.mu.Unlock()
	r.group.Wait()
}

// receive takes what clients send.
func (r *Relay) receive() {
	r.listen(r.front, func(from netip.AddrPort, packet []byte) {
		if x := r.client(from); x != nil {
			r.send(x.up, packet, x.conn, netip.AddrPort{})
		}
	})
}

// answer takes what the server sends to a client.
func (r *Relay) answer(x *relayed) {
	r.listen(x.conn, func(_ netip.AddrPort, packet []byte) { r.send(x.down, packet, r.front, x.at) })
}

// listen calls take, with the lock, for each packet that arrives at a socket, until that is closed.
func (r *Relay) listen(at *net.UDPConn, take func(from netip.AddrPort, packet []byte)) {
	b := make([]byte, maxPacket)
	for {
		n, from, err := at.ReadFromUDPAddrPort(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if !r.pause() {
				return
			}
		default:
			r.mu.Lock()
			take(from, b[:n])
			r.mu.Unlock()
		}
	}
}

// pause waits after an error of a socket, such as one that says that no server is there now. It returns false if the relay has ended.
func (r *Relay) pause() bool {
	select {
	case <-r.over:
		return false
	case <-time.After(errorPause):
		return true
	}
}

// client returns the client at an address, or nil if it cannot be had.
func (r *Relay) client(at netip.AddrPort) *relayed {
	x := r.clients[at]
	if x != nil || r.closed || len(r.clients) == maxClients {
		return x
	}
	conn, err := net.DialUDP("udp", nil, r.server)
	if err != nil {
		return nil
	}
	r.known++
	x = &relayed{at: at, conn: conn, up: NewPath(r.c, r.seed+2*r.known), down: NewPath(r.c, r.seed+2*r.known+1)}
	x.up.Cut(r.cut)
	x.down.Cut(r.cut)
	r.clients[at] = x
	r.group.Go(func() { r.answer(x) })
	return x
}

// send puts a packet on a path, for a socket to deliver; to is empty if the socket knows.
func (r *Relay) send(p *Path, packet []byte, by *net.UDPConn, to netip.AddrPort) {
	r.scratch = p.Send(r.scratch[:0], time.Since(r.began), len(packet))
	for _, at := range r.scratch {
		if len(r.flying.packets) == maxFlying {
			p.Lost++
			continue
		}
		r.flying.number++
		heap.Push(&r.flying, flying{at: at, number: r.flying.number, packet: append([]byte(nil), packet...), by: by, to: to})
		if r.flying.packets[0].number == r.flying.number {
			select {
			case r.wake <- struct{}{}:
			default:
			}
		}
	}
}

// deliver hands packets over when they arrive.
func (r *Relay) deliver() {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-r.over:
			return
		case <-r.wake:
		case <-next.C:
		}
		for {
			f, wait, any := r.due()
			if !any {
				if wait > 0 {
					next.Reset(wait)
				}
				break
			}
			if f.to.IsValid() {
				_, _ = f.by.WriteToUDPAddrPort(f.packet, f.to)
			} else {
				_, _ = f.by.Write(f.packet)
			}
		}
	}
}

// due takes the first packet if it has arrived. Otherwise it returns how long that takes, 0 if nothing is under way.
func (r *Relay) due() (f flying, wait time.Duration, any bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.flying.packets) == 0 {
		return f, 0, false
	}
	if wait = r.flying.packets[0].at - time.Since(r.began); wait > 0 {
		return f, wait, false
	}
	return heap.Pop(&r.flying).(flying), 0, true
}

// flying is a packet under way.
type flying struct {
	at     time.Duration // since the relay began
	number uint64        // of those that arrive at once, the first sent is first
	packet []byte
	by     *net.UDPConn
	to     netip.AddrPort
}

// flight implements heap.Interface: the first packet to arrive is the first.
type flight struct {
	packets []flying
	number  uint64
}

func (f *flight) Len() int { return len(f.packets) }
func (f *flight) Less(i, j int) bool {
	a, b := &f.packets[i], &f.packets[j]
	return a.at < b.at || a.at == b.at && a.number < b.number
}
func (f *flight) Swap(i, j int) { f.packets[i], f.packets[j] = f.packets[j], f.packets[i] }
func (f *flight) Push(x any)    { f.packets = append(f.packets, x.(flying)) }
func (f *flight) Pop() any {
	last := f.packets[len(f.packets)-1]
	f.packets[len(f.packets)-1] = flying{}
	f.packets = f.packets[:len(f.packets)-1]
	return last
}
