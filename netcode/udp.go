package netcode

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/lane"
	"github.com/ferris1/wind/netcode/rate"
	"github.com/ferris1/wind/netcode/udp"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Intervals of the UDP loop.
const (
	sweepEvery  = lane.Interval * time.Millisecond // between updates of busy lanes
	restFor     = 250 * time.Millisecond           // longest Read when no lane is busy
	lingerFor   = 500 * time.Millisecond           // time for the peer to get the Bye
	yieldFor    = 100 * time.Microsecond           // shortest Read, between two pieces of work
	answersRate = 20_000                           // stateless answers per second
	openingRate = 2_000                            // conversations from unproven addresses per second
)

// peerKey names a KCP conversation.
type peerKey struct {
	addr netip.AddrPort
	conv uint32
}

// peer is one KCP conversation. The loop owns it.
type peer struct {
	key     peerKey
	conn    *Conn
	lane    *lane.Lane
	inbound inbound
	addr    *net.UDPAddr
	since   time.Time // when its first packet arrived
	proven  bool      // the loop's copy of conn.proven
	in      uint64    // bytes received while unproven
	out     uint64    // bytes sent while unproven
	busy    bool      // in udpLoop.busy
	dirty   bool      // in udpLoop.dirty; guarded by the loop's lock
	more    bool      // the connection has bytes for which the lane had no room
	ends    time.Time // when to stop lingering; zero: not closed
}

// udpLoop is the one goroutine that reads and writes the UDP socket, and
// drives the KCP cores of all sessions.
type udpLoop struct {
	door    *Door
	socket  *udp.Socket
	scratch []byte
	answers rate.Bucket
	opening rate.Bucket
	peers   map[peerKey]*peer
	busy    []*peer // to update at the next sweep
	drained []*peer // scratch space of sweep
	ending  []*peer // lingering
	swept   time.Time
	packet  []byte    // scratch space for stateless answers
	flying  []*flight // scratch space of takeFlights
	ignored uint64

	mu      sync.Mutex   // guards what follows; whoever holds it takes no other lock
	dirty   []*peer      // whose connections have changed
	updates []*Datagrams // that have flights
	spare   []*flight
	reading bool // the loop waits in Read, or is about to
	closing bool
}

func newUDPLoop(d *Door, socket *udp.Socket) *udpLoop {
	return &udpLoop{
		door: d, socket: socket, scratch: make([]byte, lane.ScratchSize),
		answers: rate.PerSecond(answersRate, d.clock()), opening: rate.PerSecond(openingRate, d.clock()), peers: map[peerKey]*peer{},
	}
}

// close makes the loop end once it has sent everything.
func (u *udpLoop) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closing = true
	u.wake()
}

// run ends once the loop is closed and has sent everything, or when the socket dies.
func (u *udpLoop) run() {
	defer u.shut()
	for {
		if done := u.work(); done {
			return
		}
		err := u.socket.Read(u.handle)
		u.mu.Lock()
		u.reading = false
		u.mu.Unlock()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			// It concerns one packet (a closed port on the other side), or it
			// lasts (the network is down): continue, but slowly.
			time.Sleep(time.Millisecond)
		}
	}
}

// shut closes the socket and ends the remaining peers; there are some if the socket
// has died.
func (u *udpLoop) shut() {
	_ = u.socket.Close()
	for _, p := range u.peers {
		p.conn.lost()
		p.inbound.ended()
	}
}

// wake interrupts Read so that the loop does its work. The caller holds the lock.
func (u *udpLoop) wake() {
	if u.reading {
		u.reading = false
		u.socket.SetDeadline(time.Unix(1, 0))
	}
}

// work sends what is due and sets the deadline of the next Read. done means that
// the loop is closed and has no peers left.
func (u *udpLoop) work() (done bool) {
	u.mu.Lock()
	dirty, flights := u.dirty, u.takeFlights()
	u.dirty = nil
	for _, p := range dirty {
		p.dirty = false
	}
	u.mu.Unlock()
	if u.ignored > 0 {
		u.door.mu.Lock()
		u.door.stats.PacketsIgnored += u.ignored
		u.door.mu.Unlock()
		u.ignored = 0
	}
	for _, p := range dirty {
		u.fillLane(p)
		if !p.ends.IsZero() {
			p.inbound.ended()
		}
		p.lane.Update()
		u.mark(p)
	}
	for _, f := range flights {
		u.fly(f)
	}
	now := u.door.clock()
	if now.Sub(u.swept) >= sweepEvery {
		u.sweep(now)
	}
	u.socket.Flush()

	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.spare) < maxSpare {
		u.spare = append(u.spare, flights...)
	}
	if u.closing && len(u.peers) == 0 {
		return true
	}
	wait := restFor
	switch {
	case len(u.dirty) > 0 || len(u.updates) > 0:
		wait = yieldFor
	case len(u.busy) > 0 || len(u.ending) > 0:
		wait = max(sweepEvery-now.Sub(u.swept), yieldFor)
	}
	u.socket.SetDeadline(time.Now().Add(wait))
	u.reading = true
	return false
}

// fillLane moves bytes from the connection to the lane, as many as the lane has room
// for.
func (u *udpLoop) fillLane(p *peer) {
	c := p.conn
	c.mu.Lock()
	if room := maxSegments - p.lane.Waiting(); room > 0 && len(c.out) > 0 {
		n := min(room*segmentBytes, len(c.out))
		p.lane.Write(c.out[:n])
		c.out = c.out[:copy(c.out, c.out[n:])]
		if len(c.out) == 0 && cap(c.out) > 64<<10 {
			c.out = nil
		}
	}
	c.waiting.Store(int64(p.lane.Waiting() * segmentBytes))
	p.more = len(c.out) > 0
	c.mu.Unlock()
	p.proven = p.proven || c.proven.Load()
	if c.closed.Load() && p.ends.IsZero() {
		if p.ends = u.door.clock(); p.proven {
			p.ends = p.ends.Add(lingerFor) // an unproven peer is dropped without lingering
		}
		u.ending = append(u.ending, p)
	}
}

// maxSegments bounds the segments waiting in a lane. The rest waits in the link,
// where it counts as backlog.
const (
	maxSegments  = 128
	segmentBytes = frame.MTU - lane.Overhead
)

// mark adds a peer to the next sweep if its lane needs Update.
func (u *udpLoop) mark(p *peer) {
	if !p.busy && p.lane.Busy() {
		p.busy = true
		u.busy = append(u.busy, p)
	}
}

// sweep updates the busy lanes and drops the peers that have lingered long enough.
func (u *udpLoop) sweep(now time.Time) {
	u.swept = now
	still := u.busy[:0]
	drained := u.drained[:0]
	for _, p := range u.busy {
		p.lane.Update()
		if p.busy = p.lane.Busy() && u.peers[p.key] == p; p.busy {
			still = append(still, p)
		}
		drained = append(drained, p)
	}
	clear(u.busy[len(still):])
	u.busy = still
	for _, p := range drained {
		if p.more {
			u.fillLane(p)
		} else {
			p.conn.waiting.Store(int64(p.lane.Waiting() * segmentBytes))
		}
	}
	u.drained = drained
	ending := u.ending[:0]
	for _, p := range u.ending {
		if now.After(p.ends) || p.lane.Waiting() == 0 && !p.more {
			if u.peers[p.key] == p {
				delete(u.peers, p.key)
			}
			u.door.mu.Lock()
			u.door.tally(p.conn)
			u.door.mu.Unlock()
			continue
		}
		ending = append(ending, p)
	}
	clear(u.ending[len(ending):])
	u.ending = ending
}

// handle passes one packet to its lane.
func (u *udpLoop) handle(from *net.UDPAddr, packet []byte) {
	addr := unmap(from)
	if frame.IsDatagram(packet) {
		u.datagram(from, addr, packet)
		return
	}
	if len(packet) < lane.Overhead {
		u.ignored++
		return
	}
	conv := uint32(packet[0]) | uint32(packet[1])<<8 | uint32(packet[2])<<16 | uint32(packet[3])<<24
	p := u.peers[peerKey{addr, conv}]
	if p != nil && u.renews(p, packet) {
		u.replace(p)
		p = nil
	}
	if p == nil {
		if p = u.greet(from, addr, packet); p == nil {
			return
		}
	}
	u.input(p, packet)
}

func unmap(a *net.UDPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// greets reports whether data begins like a message that may open a conversation:
// Hello, or Open if the server accepts RPC. whole reports that the message is
// complete; cookie is then its cookie.
func (u *udpLoop) greets(data []byte) (cookie []byte, whole, ok bool) {
	var first [4]byte
	copy(first[:], data)
	rpc := u.door.peers.takesRPC.Load()
	if len(data) < len(first) {
		return nil, false, len(data) > 0 && (data[0] == wirepb.IDHello&0xFF || rpc && data[0] == wirepb.IDOpen&0xFF)
	}
	id := binary.LittleEndian.Uint32(first[:])
	if id != wirepb.IDHello && (id != wirepb.IDOpen || !rpc) {
		return nil, false, false
	}
	r := frame.NewReader(frame.MaxFromClient)
	r.Feed(data)
	_, payload, whole, err := r.Next()
	if err != nil {
		return nil, false, false
	}
	if !whole {
		return nil, false, true
	}
	if id == wirepb.IDOpen {
		var m wirepb.Open
		_ = proto.Unmarshal(payload, &m) // a malformed one has no cookie
		return m.Cookie, true, true
	}
	var m wirepb.Hello
	_ = proto.Unmarshal(payload, &m)
	return m.Cookie, true, true
}

// greet makes a peer if packet opens a conversation. It allocates nothing for any
// other packet, and returns nil.
func (u *udpLoop) greet(from *net.UDPAddr, addr netip.AddrPort, packet []byte) *peer {
	now := u.door.clock()
	conv, data, ok := lane.Opening(packet)
	if !ok {
		u.ignored++
		if conv != 0 && u.answers.Take(1, now) {
			u.packet = frame.AppendGone(u.packet[:0], conv)
			u.socket.Queue(from, u.packet)
		}
		return nil
	}
	cookie, whole, ok := u.greets(data)
	if !ok {
		u.ignored++
		return nil
	}
	proven := whole && u.door.baker.proves(cookie, addr, now)

	if !proven && !u.opening.Take(1, now) {
		u.ignored++
		return nil
	}
	p := &peer{key: peerKey{addr, conv}, addr: from, since: now, proven: proven, inbound: newInbound(&u.door.cfg, now)}
	came := cameUnproven
	if proven {
		came = cameProven
	}
	p.lane = lane.New(conv, func(b []byte) { u.output(p, b) })
	if p.conn = u.door.open(addr, came, from, func(bool) { u.touch(p) }); p.conn == nil {
		u.ignored++
		return nil
	}
	u.peers[p.key] = p
	return p
}

// renews reports whether a packet restarts its conversation: its first message has
// a cookie younger than the conversation. A repeat of the original first packet
// has an older one.
func (u *udpLoop) renews(p *peer, packet []byte) bool {
	_, data, ok := lane.Opening(packet)
	if !ok {
		return false
	}
	now := u.door.clock()
	cookie, whole, ok := u.greets(data)
	lived := time.Duration(now.UnixMilli()-p.since.UnixMilli()) * time.Millisecond // in milliseconds, like a cookie's age
	return ok && whole && u.door.baker.proves(cookie, p.key.addr, now) && cookieAge(cookie, now) < lived
}

// replace drops a peer whose client restarts its conversation.
func (u *udpLoop) replace(p *peer) {
	p.conn.lost()
	delete(u.peers, p.key)
}

// touch notes that a peer's connection has changed.
func (u *udpLoop) touch(p *peer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !p.dirty {
		p.dirty = true
		u.dirty = append(u.dirty, p)
		u.wake()
	}
}

// output sends a KCP packet. To an unproven address it never sends more bytes than
// came from there; KCP repeats what output holds back. It also holds back bare
// acknowledgements: they would stop the peer's repeats, which make room for the
// answer.
func (u *udpLoop) output(p *peer, b []byte) {
	if !p.proven {
		if p.out+uint64(len(b)) > p.in || !lane.WantsAnswer(b) {
			return
		}
		p.out += uint64(len(b))
	}
	if u.peers[p.key] != p {
		return // replaced: the client would mistake its segments for its successor's
	}
	p.conn.bytesOut.Add(uint64(len(b)))
	u.socket.Queue(p.addr, b)
}

// input handles a KCP packet of a known conversation.
func (u *udpLoop) input(p *peer, packet []byte) {
	now := u.door.clock()
	p.conn.bytesIn.Add(uint64(len(packet)))
	if !p.proven {
		p.in += uint64(len(packet))
	}
	if !p.inbound.bytes.Take(len(packet), now) {
		p.conn.Close(wirepb.Reason_REASON_TOO_MUCH, exceeded(&p.inbound.bytes, "bytes"))
		return
	}
	var fragments *lane.FragmentsError
	switch err := p.lane.Input(packet); {
	case errors.As(err, &fragments):
		p.conn.Close(wirepb.Reason_REASON_FRAME_TOO_LARGE, fragments.Error())
		return
	case err != nil:
		u.ignored++
	}
	p.lane.Read(u.scratch, func(b []byte) bool {
		p.inbound.reader.Feed(b)
		return u.door.frames(p.conn, &p.inbound, now)
	})
	u.mark(p)
}

// datagram handles a packet of the datagram lane.
func (u *udpLoop) datagram(from *net.UDPAddr, addr netip.AddrPort, packet []byte) {
	d := u.door
	kind, id, body, ok := frame.ParseDatagram(packet)
	if !ok {
		u.ignored++
		return
	}
	switch kind {
	case frame.DatagramKnock:
		now := d.clock()
		if nonce, ok := frame.ParseKnock(body); ok && u.answers.Take(1, now) {
			u.packet = frame.AppendCookie(u.packet[:0], nonce, d.baker.cookie(addr, now))
			u.socket.Queue(from, u.packet)
			return
		}
	case frame.DatagramMessage:
		if session, payload, ok := frame.ParseMessage(body); ok && d.datagram(addr, uint32(id), session, payload, len(packet)) {
			return
		}
	}
	u.ignored++
}
