package netcode

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/ferris1/wind/netcode/rate"
	"github.com/ferris1/wind/netcode/wirepb"
)

// account counts the connections of one address.
type account struct {
	conns    int
	halfOpen [arrivals]int // those that are not admitted yet
}

// AddressKey returns what counts as one address: an IPv4 address, or an IPv6 /64.
func AddressKey(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap(); addr.Is6() {
		p, _ := addr.WithZone("").Prefix(64) // fails only beyond 128 bits
		return p.Addr()
	}
	return addr
}

// refusalsRate is how many refused connections per second get a Bye with the
// reason; the others end without one.
const refusalsRate = 100

// open registers a new connection. When it has no room for one, it returns nil or
// a connection that is already closed with a Bye.
func (d *Door) open(addr netip.AddrPort, came arrival, datagrams *net.UDPAddr, wake func(closed bool)) *Conn {
	now := d.clock()
	d.mu.Lock()
	reason, why := wirepb.Reason_REASON_ADDRESS_FULL, d.crowded(addr, came)
	if d.halfOpen[came] >= d.cfg.MaxHalfOpen && came != cameProven || len(d.conns) >= d.cfg.MaxConnections {
		reason, why = wirepb.Reason_REASON_FULL, "the node has reached its limit of connections"
	}
	if d.closed || why != "" && (came == cameUnproven || !d.refusals.Take(1, now)) {
		d.refused(reason)
		d.mu.Unlock()
		return nil
	}
	c := &Conn{door: d, addr: addr, udp: datagrams, came: came, since: now, wake: wake, loose: rate.PerSecond(d.cfg.FramesPerSecond, now)}
	c.proven.Store(came != cameUnproven)
	c.heard(now)
	d.conns[c] = struct{}{}
	d.halfOpen[came]++
	if came != cameUnproven {
		d.enlist(c)
	}
	d.mu.Unlock()
	if why != "" {
		c.Close(reason, why)
	}
	return c
}

// prove records that a connection's address is proven. It closes the connection
// and returns false when the address has too many.
func (d *Door) prove(c *Conn) bool {
	d.mu.Lock()
	c.proven.Store(true)
	if _, open := d.conns[c]; !open || c.account != nil {
		d.mu.Unlock()
		return open
	}
	why := d.crowded(c.addr, cameProven)
	d.enlist(c)
	if c.came == cameUnproven {
		d.letIn(c)
	}
	d.mu.Unlock()
	if why != "" {
		c.Close(wirepb.Reason_REASON_ADDRESS_FULL, why)
	}
	return why == ""
}

// letIn admits a connection: it no longer counts as half open. The caller holds
// the lock.
func (d *Door) letIn(c *Conn) {
	if c.came != cameIn {
		d.halfOpen[c.came]--
		if c.account != nil {
			c.account.halfOpen[c.came]--
		}
		c.came = cameIn
	}
}

// detach forgets a connection that has ended.
func (d *Door) detach(c *Conn, reason wirepb.Reason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, open := d.conns[c]; !open {
		return
	}
	if !c.admitted && reason != wirepb.Reason_REASON_LEFT {
		d.refused(reason)
	}
	d.letIn(c)
	d.tally(c)
	if a := c.account; a != nil {
		if a.conns--; a.conns == 0 {
			delete(d.addresses, AddressKey(c.addr.Addr()))
		}
		c.account = nil
	}
	if d.lanes[c.lane].conn == c {
		delete(d.lanes, c.lane)
	}
	delete(d.conns, c)
}

// tally moves a connection's counts into the statistics. Packets may still come
// after the connection has ended, so its transport calls tally again. The caller
// holds the lock.
func (d *Door) tally(c *Conn) {
	d.stats.BytesIn += c.bytesIn.Swap(0)
	d.stats.BytesOut += c.bytesOut.Swap(0)
}

// refused counts a connection that was not admitted. The caller holds the lock.
func (d *Door) refused(reason wirepb.Reason) {
	d.stats.Refused++
	d.stats.RefusedBy[reason.String()]++
}

// enlist counts a connection against its address, which is proven. The caller holds
// the lock.
func (d *Door) enlist(c *Conn) {
	key := AddressKey(c.addr.Addr())
	a := d.addresses[key]
	if a == nil {
		a = new(account)
		d.addresses[key] = a
	}
	a.conns++
	a.halfOpen[c.came]++
	c.account = a
}

// crowded returns why the address of a new connection may not have another one, or
// "" if it may. The caller holds the lock.
func (d *Door) crowded(addr netip.AddrPort, came arrival) string {
	a := d.addresses[AddressKey(addr.Addr())]
	switch limits := &d.cfg.Limits; {
	case a == nil || came == cameUnproven:
		return ""
	case Reaches(a.conns, limits.ConnectionsPerAddress):
		return fmt.Sprintf("your address already has %d connections (limit connections-per-address)", a.conns)
	case Reaches(a.halfOpen[came], limits.HalfOpenPerAddress):
		return fmt.Sprintf("your address has %d connections that have not said who they are (limit half-open-per-address)", a.halfOpen[came])
	}
	return ""
}

// expire ends connections that have waited too long.
func (d *Door) expire(now time.Time) {
	var late, idle []*Conn
	d.mu.Lock()
	for c := range d.conns {
		switch {
		case !c.admitted && now.Sub(c.since) > d.cfg.HandshakeTimeout:
			late = append(late, c)
		case now.Sub(c.Seen()) > d.cfg.IdleTimeout:
			idle = append(idle, c)
		}
	}
	d.mu.Unlock()
	for _, c := range late {
		c.Close(wirepb.Reason_REASON_HANDSHAKE_TIMEOUT, "no session within "+d.cfg.HandshakeTimeout.String())
	}
	for _, c := range idle {
		c.Close(wirepb.Reason_REASON_IDLE, "nothing arrived for "+d.cfg.IdleTimeout.String())
	}
}
