package netcode

import "net/netip"

// maxFlights bounds the flights of one shard that wait for the UDP loop.
const maxFlights = 8

// maxSpare bounds the flights that the loop keeps for reuse.
const maxSpare = 64

// Datagrams sends the updates of one shard's releases. It is for one goroutine.
type Datagrams struct {
	loop   *udpLoop // nil without a UDP socket
	flight *flight  // being filled; nil: none

	waiting []*flight // guarded by the loop's lock
}

// flight holds a release's datagrams on their way to the loop.
type flight struct {
	bytes []byte
	items []flightItem
}

type flightItem struct {
	conn  *Conn
	until int // its end in flight.bytes; it starts where the previous one ends
}

// Datagrams returns a sender for the updates of one shard.
func (d *Door) Datagrams() *Datagrams { return &Datagrams{loop: d.udp} }

// Add adds a datagram of at most frame.MTU bytes to a connection that can carry
// them (Conn.Datagrams). write appends it to what it is given.
func (g *Datagrams) Add(c *Conn, write func([]byte) []byte) {
	if g.flight == nil {
		g.flight = g.loop.takeSpare()
	}
	g.flight.bytes = write(g.flight.bytes)
	g.flight.items = append(g.flight.items, flightItem{c, len(g.flight.bytes)})
}

// Send sends everything added since the last Send. When too many releases of the
// shard wait, it drops the oldest and returns the number of its datagrams: clients
// cope with lost updates.
func (g *Datagrams) Send() (dropped int) {
	f, u := g.flight, g.loop
	if f == nil {
		return 0
	}
	g.flight = nil
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(g.waiting) == 0 {
		u.updates = append(u.updates, g)
	}
	if len(g.waiting) == maxFlights {
		dropped = len(g.waiting[0].items)
		g.waiting = g.waiting[1:]
	}
	g.waiting = append(g.waiting, f)
	u.wake()
	return dropped
}

// takeSpare returns an empty flight, a used one if possible.
func (u *udpLoop) takeSpare() *flight {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.spare) == 0 {
		return new(flight)
	}
	f := u.spare[len(u.spare)-1]
	u.spare = u.spare[:len(u.spare)-1]
	return f
}

// takeFlights returns the flights of all shards, valid until the next call. The
// caller holds the lock.
func (u *udpLoop) takeFlights() []*flight {
	u.flying = u.flying[:0]
	for _, g := range u.updates {
		u.flying = append(u.flying, g.waiting...)
		clear(g.waiting)
		g.waiting = g.waiting[:0]
	}
	clear(u.updates)
	u.updates = u.updates[:0]
	return u.flying
}

// fly sends a release's datagrams.
func (u *udpLoop) fly(f *flight) {
	start := 0
	for _, it := range f.items {
		u.socket.Queue(it.conn.udp, f.bytes[start:it.until])
		it.conn.bytesOut.Add(uint64(it.until - start))
		start = it.until
	}
	clear(f.items)
	f.bytes, f.items = f.bytes[:0], f.items[:0]
}

// datagram passes one message of the datagram lane to its session. It returns false
// for a bad one: anybody may have sent it.
func (d *Door) datagram(from netip.AddrPort, id uint32, session uint64, payload []byte, size int) bool {
	now := d.clock()
	d.mu.Lock()
	l := d.lanes[session]
	d.mu.Unlock()
	c := l.conn
	if c == nil || c.addr != from || !c.loose.Take(1, now) || !l.handle(id, payload) {
		return false
	}
	c.heard(now)
	c.bytesIn.Add(uint64(size))
	return true
}
