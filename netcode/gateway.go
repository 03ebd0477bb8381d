package netcode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Gateway takes the connections that speak RPC: those whose first frame is no
// shard's (wirepb.ShardID). netcode/gateway is the one that Wind has.
type Gateway interface {
	// Opened is called once for each such connection, before its first frame
	// is handed over. It must not block; no lock is held. What it returns is
	// told everything that the connection's client says.
	Opened(c *Conn) Stream
}

// Stream is a gateway's side of one connection. Its methods are called one at a
// time, by the goroutine that reads the transport, without a lock. They must not
// block: over UDP that goroutine is everybody's.
type Stream interface {
	// Receive takes one frame of the client. payload is valid until it returns.
	Receive(id uint32, payload []byte)
	// Text takes one text message of a WebSocket client, which sends no frames.
	// message is valid until it returns.
	Text(message []byte)
	// Closed says that the connection is over, whoever ended it. It is called
	// once, last.
	Closed()
}

// Conn is a connection of a gateway's client. Its methods may be called
// concurrently and never block.
type Conn struct {
	server *Server
	link   *link
	text   bool // a WebSocket with text messages
	over   atomic.Bool
}

// Addr is the client's address.
func (c *Conn) Addr() netip.AddrPort { return c.link.addr }

// IsText reports whether the client speaks in text messages (WebSocket): it
// gets them through SendText, and no frames.
func (c *Conn) IsText() bool { return c.text }

// Send queues whole frames, which it copies. A client that does not read ends:
// then, and after the end, they are dropped.
func (c *Conn) Send(frames []byte) {
	if c.over.Load() {
		return
	}
	s := c.server
	s.lock()
	c.link.sendRaw(s.hub, frames)
	s.mu.Unlock()
}

// SendFrame queues one frame, whose payload it copies together from parts.
func (c *Conn) SendFrame(id uint32, parts ...[]byte) {
	if c.over.Load() {
		return
	}
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	s, l := c.server, c.link
	s.mu.Lock() // the clock, of which lock has a look, matters to a connection that ends: an older time will do
	defer s.mu.Unlock()
	if l.state == linkClosed {
		return
	}
	l.out = binary.LittleEndian.AppendUint32(l.out, id)
	l.out = binary.LittleEndian.AppendUint32(l.out, uint32(n))
	for _, p := range parts {
		l.out = append(l.out, p...)
	}
	l.sent(s.hub)
}

// SendText queues a text message, which it copies.
func (c *Conn) SendText(message []byte) { c.SendFrame(textID, message) }

// Coalesce says whether one write may carry several frames, which is how a
// connection begins. Without it each frame is a write of its own, for clients
// that parse one frame per read; over UDP it makes no difference.
func (c *Conn) Coalesce(on bool) {
	c.server.mu.Lock()
	c.link.single = !on
	c.server.mu.Unlock()
}

// Close ends the connection with a Bye, behind what was sent.
func (c *Conn) Close(reason wirepb.Reason, text string) {
	s := c.server
	s.lock()
	s.hub.close(c.link, reason, strings.ToValidUTF8(text, "?"))
	s.mu.Unlock()
}

// textID is the id of a frame that is a text message, between a WebSocket and
// the server. No client can send it as a frame.
const textID = 0

// SetGateway says who takes the connections that speak RPC; they are refused
// before, or told to come again (Config.GatewayLater), and again after SetGateway(nil). Connections stay with the gateway
// that has them.
func (s *Server) SetGateway(g Gateway) {
	s.lock()
	defer s.mu.Unlock()
	s.hub.gateway = g
	s.takesRPC.Store(g != nil || s.hub.cfg.GatewayLater)
}

// SetTicketKey is Config.TicketKey for a server that learns it late; a key that
// is too short opens nothing.
func (s *Server) SetTicketKey(key []byte) {
	s.lock()
	defer s.mu.Unlock()
	s.hub.cfg.TicketKey = bytes.Clone(key)
}

// enter looks at the first frame of a connection. A connection is returned when
// it speaks RPC and its frame is to be handed to the gateway. The caller holds
// the lock.
func (s *Server) enter(l *link, id uint32, payload []byte) (*Conn, Gateway) {
	h := s.hub
	if h.gateway == nil && !h.cfg.GatewayLater || l.state != linkOpening || wirepb.ShardID(id) || id == textID && !l.text {
		h.receive(l, id, payload)
		return nil, nil
	}
	if !l.proven && !h.knocks(l, id, payload) {
		return nil, nil
	}
	if h.gateway == nil {
		h.close(l, wirepb.Reason_REASON_NOT_OWNER, "the gateway is starting")
		return nil, nil
	}
	return h.serve(s, l, id), h.gateway
}

// knocks looks for the cookie of an RPC connection whose address is not proven,
// and asks for it.
func (h *hub) knocks(l *link, id uint32, payload []byte) bool {
	l.seen = h.now
	var m wirepb.Open
	if id != wirepb.IDOpen || proto.Unmarshal(payload, &m) != nil {
		h.close(l, wirepb.Reason_REASON_PROTOCOL, "over UDP the first message of RPC is Open")
		return false
	}
	if h.baker.proves(m.Cookie, l.addr, h.now) {
		return true
	}
	l.send(h, wirepb.IDChallenge, &wirepb.Challenge{Cookie: h.baker.cookie(l.addr, h.now)})
	return false
}

// serve makes l a connection of the gateway.
func (h *hub) serve(s *Server, l *link, id uint32) *Conn {
	if !h.prove(l) {
		return nil
	}
	h.letIn(l)
	l.state, l.datagrams, l.seen = linkServing, false, h.now
	l.conn = &Conn{server: s, link: l, text: id == textID}
	h.stats.GatewayOpened++
	return l.conn
}

// seenEvery is how often a connection of the gateway notes that something came.
const seenEvery = 100 * time.Millisecond

// rpcFrames hands the complete frames of an RPC connection to its stream. False
// means that the connection is closed.
func (s *Server) rpcFrames(l *link, limits *limiter, now time.Time) bool {
	if now.Sub(limits.seen) >= seenEvery {
		limits.seen = now
		s.mu.Lock()
		l.seen = now
		s.mu.Unlock()
	}
	for !l.conn.over.Load() {
		id, payload, ok, err := limits.reader.Next()
		switch {
		case err != nil:
			l.conn.Close(wirepb.Reason_REASON_FRAME_TOO_LARGE, err.Error())
		case !ok:
			return true
		case !limits.frames.take(1, now):
			l.conn.Close(wirepb.Reason_REASON_TOO_MUCH, "too many frames per second")
		default:
			s.rpcFrame(l, limits.stream, id, payload)
		}
	}
	return false
}

// rpcFrame takes one frame of an RPC connection: its transport's business here,
// the rest in the gateway.
func (s *Server) rpcFrame(l *link, stream Stream, id uint32, payload []byte) {
	switch {
	case l.conn.text && id == textID:
		stream.Text(payload)
	case id == wirepb.IDHeartbeat: // it came: that was all
	case id == wirepb.IDBye:
		l.conn.Close(wirepb.Reason_REASON_LEFT, "")
	case id == wirepb.IDPing:
		var m wirepb.Ping
		if proto.Unmarshal(payload, &m) != nil {
			l.conn.Close(wirepb.Reason_REASON_PROTOCOL, "message 2011 is malformed")
			return
		}
		l.conn.Send(frame.AppendMessage(nil, wirepb.IDPong, &wirepb.Pong{Time: m.Time}))
	case id == textID || wirepb.ShardID(id) || l.conn.text:
		l.conn.Close(wirepb.Reason_REASON_PROTOCOL, fmt.Sprintf("message %d is unknown or out of place", id))
	default:
		stream.Receive(id, payload)
	}
}

// ended tells a gateway that a connection is over. Its transport calls it, once.
func (m *limiter) ended() {
	if m.stream != nil {
		m.stream.Closed()
		m.stream = nil
	}
}
