package netcode

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/rate"
	"github.com/ferris1/wind/netcode/udp"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Door is a node's front door: its sockets and its connections. It knows nothing
// of worlds. By its first message it hands each connection to the sessions of a
// shard or to the gateway. Its methods are safe for concurrent use.
type Door struct {
	cfg    Config
	clock  func() time.Time
	opened time.Time
	baker  *baker
	udp    *udpLoop
	tcp    net.Listener
	group  sync.WaitGroup
	stop   chan struct{}

	peers peers // who takes connections over

	// mu is held only for bookkeeping: never during a system call, nor while a peer
	// handles a message. Whoever holds it takes no other lock.
	mu        sync.Mutex
	conns     map[*Conn]struct{}
	halfOpen  [arrivals]int // conns not admitted yet, by arrival
	addresses map[netip.Addr]*account
	lanes     map[uint64]datagramLane // by session
	refusals  rate.Bucket             // of refused connections that get a Bye with the reason
	stats     Stats
	closed    bool
}

// Listen opens the sockets that c names and begins to accept connections. A client
// that wants a shard is asked to try again until Serve.
func Listen(c Config) (*Door, error) {
	if c.UDP == "" && c.TCP == "" {
		return nil, errors.New("netcode: no UDP or TCP address to listen on")
	}
	if err := allowed(c.UDP, c.Insecure); err != nil {
		return nil, err
	}
	if err := allowed(c.TCP, c.Insecure || c.TLS != nil); err != nil {
		return nil, err
	}
	if n := len(c.TicketKey); n > 0 && n < MinTicketKey {
		return nil, fmt.Errorf("netcode: the ticket key has %d bytes; it needs at least %d", n, MinTicketKey)
	}
	d := newDoor(c, time.Now)
	if c.UDP != "" {
		socket, err := udp.Listen(c.UDP)
		if err != nil {
			return nil, fmt.Errorf("netcode: %w", err)
		}
		d.udp = newUDPLoop(d, socket)
	}
	if c.TCP != "" {
		listener, err := net.Listen("tcp", c.TCP)
		if err != nil {
			if d.udp != nil {
				_ = d.udp.socket.Close()
			}
			return nil, fmt.Errorf("netcode: %w", err)
		}
		d.tcp = listener
		d.group.Go(func() { d.accept(listener) })
	}
	if d.udp != nil {
		d.group.Go(d.udp.run)
	}
	d.group.Go(d.watch)
	return d, nil
}

// newDoor returns a door without sockets.
func newDoor(c Config, clock func() time.Time) *Door {
	c = c.withDefaults()
	d := &Door{
		cfg: c, clock: clock, opened: clock(), baker: newBaker(), stop: make(chan struct{}),
		conns: map[*Conn]struct{}{}, addresses: map[netip.Addr]*account{}, lanes: map[uint64]datagramLane{},
		refusals: rate.PerSecond(refusalsRate, time.Time{}), stats: Stats{RefusedBy: map[string]uint64{}},
	}
	d.peers.init(c)
	return d
}

// allowed refuses an address that other machines could reach, unless that is allowed.
func allowed(address string, open bool) error {
	if address == "" || open {
		return nil
	}
	return Loopback(address)
}

// ErrOpen is wrapped by the error for an address that other machines can reach and that nothing encrypts.
var ErrOpen = errors.New("other machines can reach it, and nothing encrypts what clients send there")

// Loopback returns an error unless address is a loopback address. Other machines may reach a listener for players only if it encrypts.
func Loopback(address string) error {
	addr, err := net.ResolveTCPAddr("tcp", address) // resolves UDP addresses alike
	if err != nil {
		return fmt.Errorf("netcode: %w", err)
	}
	if !addr.IP.IsLoopback() {
		return fmt.Errorf("netcode: %s is not a loopback address: %w", address, ErrOpen)
	}
	return nil
}

// UDPAddr returns the address of the UDP socket, nil without one.
func (d *Door) UDPAddr() net.Addr {
	if d.udp == nil {
		return nil
	}
	return d.udp.socket.Addr()
}

// TCPAddr returns the address of the TCP listener, nil without one.
func (d *Door) TCPAddr() net.Addr {
	if d.tcp == nil {
		return nil
	}
	return d.tcp.Addr()
}

// Close sends every client a Bye (REASON_SHUTDOWN), waits up to half a second for
// it to leave, and closes the sockets. Sessions stay in their worlds: their clients
// may resume them on another node.
func (d *Door) Close() error {
	d.mu.Lock()
	was := d.closed
	d.closed = true
	all := make([]*Conn, 0, len(d.conns))
	for c := range d.conns {
		all = append(all, c)
	}
	d.mu.Unlock()
	if was {
		d.group.Wait()
		return nil
	}
	for _, c := range all {
		c.Close(wirepb.Reason_REASON_SHUTDOWN, "the node is shutting down")
	}
	if d.udp != nil {
		d.udp.close()
	}
	close(d.stop)
	if d.tcp != nil {
		d.tcp.Close()
	}
	d.group.Wait()
	return nil
}

func (d *Door) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// enters keeps Close waiting until group.Done. It returns false if the door is
// closed.
func (d *Door) enters() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.group.Add(1)
	}
	return !d.closed
}

// watch ends, until Close, what has waited too long: connections here, sessions
// with their peers.
func (d *Door) watch() {
	tick := time.NewTicker(min(250*time.Millisecond, d.cfg.HandshakeTimeout/4+time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.expire(d.clock())
			for _, s := range d.peers.all() {
				s.Expire()
			}
		case <-d.stop:
			return
		}
	}
}
