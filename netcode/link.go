package netcode

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// linkState is how far a connection has come.
type linkState uint8

const (
	linkOpening linkState = iota // nothing but Hello is taken
	linkJoining                  // Hello taken, the world has not answered yet
	linkPlaying                  // Welcome sent
	linkServing                  // RPC: the gateway has it
	linkClosed                   // Bye sent or transport gone; nothing is taken
)

// arrival is how a connection that is not let in yet came. Each way has its
// own bound, so that a flood of one does not shut out the others.
type arrival uint8

const (
	cameUnproven arrival = iota // UDP, from an address that nobody has proven
	cameTCP                     // TCP, which proves the address
	cameProven                  // UDP with a cookie: bounded by all connections together
	cameIn                      // let in
	arrivals
)

// link is one connection of any transport, as the hub sees it. Only the hub's
// lock guards it, but for what is atomic and what limiter holds.
type link struct {
	state     linkState
	since     time.Time // entered state opening
	seen      time.Time // a packet came
	addr      netip.AddrPort
	came      arrival
	proven    bool // the address has answered: always true on TCP
	hello     *wirepb.Hello
	ticket    *Ticket // that Hello showed
	session   *session
	account   *account     // of its address, once that is proven
	spoke     bool         // something came behind Welcome
	datagrams bool         // updates go out on the datagram lane
	udp       *net.UDPAddr // where to; nil on TCP
	welcomed  time.Time
	loose     bucket // of messages on the datagram lane
	conn      *Conn  // set in state serving, for good
	single    bool   // each frame is a write of its own
	text      bool   // a WebSocket whose client sends text messages

	out     []byte       // frames to be sent in order; the transport takes them
	waiting atomic.Int64 // bytes that the transport has taken and not got rid of
	wake    func()       // tells the transport that out or state has changed; never blocks

	bytesIn, bytesOut atomic.Uint64 // since the last tally; the transport counts
}

// heard notes that something came.
func (l *link) heard(now time.Time) {
	l.seen = now
	if l.state == linkPlaying {
		l.spoke = true
		if l.session != nil {
			l.session.spoke = true
		}
	}
}

// send queues one frame. A link whose peer does not read ends.
func (l *link) send(h *hub, id uint32, m proto.Message) {
	if l.state == linkClosed {
		return
	}
	l.out = frame.AppendMessage(l.out, id, m)
	l.sent(h)
}

// sendRaw queues frames that are encoded already.
func (l *link) sendRaw(h *hub, frames []byte) {
	if l.state == linkClosed || len(frames) == 0 {
		return
	}
	l.out = append(l.out, frames...)
	l.sent(h)
}

func (l *link) sent(h *hub) {
	if l.backlog() > outBacklog {
		l.out = nil
		h.close(l, wirepb.Reason_REASON_SLOW, "the client does not read fast enough")
		return
	}
	l.wake()
}

// backlog is the number of bytes that wait to be sent.
func (l *link) backlog() int { return len(l.out) + int(l.waiting.Load()) }

// limiter is the part of a connection that its transport's goroutine owns:
// what cuts its stream into frames and what bounds it.
type limiter struct {
	reader        *frame.Reader
	frames, bytes bucket
	stream        Stream    // not nil: the connection speaks RPC
	seen          time.Time // what link.seen was set to last by it
}

// serve gives the limits of an RPC connection.
func (m *limiter) serve(c *Config, now time.Time, stream Stream) {
	m.frames, m.bytes = newBucket(c.GatewayFramesPerSecond, now), newBucket(c.GatewayBytesPerSecond, now)
	m.stream = stream
}

func newLimiter(c *Config, now time.Time) limiter {
	return limiter{
		reader: frame.NewReader(frame.MaxFromClient),
		frames: newBucket(c.FramesPerSecond, now),
		bytes:  newBucket(c.BytesPerSecond, now),
	}
}
