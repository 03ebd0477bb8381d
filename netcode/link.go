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
	linkOpening linkState = iota // waits for Hello, or for the first frame of RPC
	linkJoining                  // Hello accepted; the world has not answered yet
	linkPlaying                  // Welcome sent
	linkRPC                      // the gateway has it
	linkClosed                   // Bye sent or transport gone; everything else is ignored
)

// arrival is how a connection arrived, until it is admitted. Each way has its own
// bound, so that a flood of one does not shut out the others.
type arrival uint8

const (
	cameUnproven arrival = iota // UDP, from an unproven address
	cameTCP                     // TCP, which proves the address
	cameProven                  // UDP with a cookie: only the bound on all connections applies
	cameIn                      // admitted
	arrivals
)

// link is one connection of any transport, as the hub sees it. The hub's lock
// guards everything but the atomic fields.
type link struct {
	state     linkState
	since     time.Time // when it entered linkOpening
	seen      time.Time // when something last arrived
	addr      netip.AddrPort
	came      arrival
	proven    bool // the address has answered: always true on TCP
	hello     *wirepb.Hello
	ticket    *Ticket // from Hello; nil without one
	session   *session
	account   *account     // of its address, once that is proven
	spoke     bool         // something arrived after Welcome
	datagrams bool         // updates use the datagram lane
	udp       *net.UDPAddr // where datagrams go; nil on TCP
	welcomed  time.Time
	loose     bucket // limits messages on the datagram lane
	conn      *Conn  // set on entering linkRPC, then constant
	single    bool   // write each frame separately
	text      bool   // a WebSocket whose client sends text messages

	out     []byte       // frames to send, in order; the transport takes them
	waiting atomic.Int64 // bytes that the transport has taken but not sent yet
	wake    func()       // tells the transport that out or state has changed; never blocks

	bytesIn, bytesOut atomic.Uint64 // since the last tally; the transport counts
}

// heard notes that something arrived.
func (l *link) heard(now time.Time) {
	l.seen = now
	if l.state == linkPlaying {
		l.spoke = true
		if l.session != nil {
			l.session.spoke = true
		}
	}
}

// send queues one frame. It closes a link whose peer does not read.
func (l *link) send(h *hub, id uint32, m proto.Message) {
	if l.state == linkClosed {
		return
	}
	l.out = frame.AppendMessage(l.out, id, m)
	l.sent(h)
}

// sendRaw queues encoded frames.
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

// backlog returns the number of bytes waiting to be sent.
func (l *link) backlog() int { return len(l.out) + int(l.waiting.Load()) }

// inbound is the receiving part of a connection, which its transport's goroutine
// owns: the reader that cuts its stream into frames, and the limits of its rates.
type inbound struct {
	reader        *frame.Reader
	frames, bytes bucket
	stream        Stream    // not nil: the connection speaks RPC
	seen          time.Time // the value it last stored in link.seen
}

// speakRPC switches to the limits of an RPC connection and to its stream.
func (in *inbound) speakRPC(c *Config, now time.Time, stream Stream) {
	in.frames, in.bytes = newBucket(c.GatewayFramesPerSecond, now), newBucket(c.GatewayBytesPerSecond, now)
	in.stream = stream
}

func newInbound(c *Config, now time.Time) inbound {
	return inbound{
		reader: frame.NewReader(frame.MaxFromClient),
		frames: newBucket(c.FramesPerSecond, now),
		bytes:  newBucket(c.BytesPerSecond, now),
	}
}
