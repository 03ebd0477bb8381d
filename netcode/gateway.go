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

// Gateway handles the connections that speak RPC: those whose first frame does
// not belong to the shard protocol (wirepb.ShardID). netcode/gateway implements it.
type Gateway interface {
	// Opened is called once for each such connection, before its first frame.
	// It must not block; the server holds no lock during the call. The Stream
	// that it returns receives everything that the client sends.
	Opened(c *Conn) Stream
}

// Stream is a gateway's side of one connection. The goroutine that reads the
// transport calls its methods, one at a time and without a lock. They must not
// block: over UDP all connections share that goroutine.
type Stream interface {
	// Receive handles one frame of the client. payload is valid until it returns.
	Receive(id uint32, payload []byte)
	// Text handles one text message of a WebSocket client, which sends no frames.
	// message is valid until it returns.
	Text(message []byte)
	// Closed reports the end of the connection, whichever side ended it. It is
	// the last call, made once.
	Closed()
}

// Conn is one client connection of a gateway. Its methods never block and are
// safe for concurrent use.
type Conn struct {
	server *Server
	link   *link
	text   bool // a WebSocket that carries text messages
	over   atomic.Bool
}

// Addr returns the client's address.
func (c *Conn) Addr() netip.AddrPort { return c.link.addr }

// IsText reports whether the client exchanges text messages (WebSocket). Send it
// text with SendText, never frames.
func (c *Conn) IsText() bool { return c.text }

// Send copies whole frames and queues them. When the client does not read, the
// connection ends. Once it has ended, Send drops the frames.
func (c *Conn) Send(frames []byte) {
	if c.over.Load() {
		return
	}
	s := c.server
	s.lock()
	c.link.sendRaw(s.hub, frames)
	s.mu.Unlock()
}

// SendFrame queues one frame. It copies parts, joined, into the payload.
func (c *Conn) SendFrame(id uint32, parts ...[]byte) {
	if c.over.Load() {
		return
	}
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	s, l := c.server, c.link
	s.mu.Lock() // not s.lock, which reads the clock: only the end of a connection uses it, and an older time will do
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

// SendText copies a text message and queues it.
func (c *Conn) SendText(message []byte) { c.SendFrame(textID, message) }

// Coalesce sets whether one write may carry several frames; at first it may. With
// false each frame is written separately, for clients that parse one frame per
// read. It makes no difference over UDP.
func (c *Conn) Coalesce(on bool) {
	c.server.mu.Lock()
	c.link.single = !on
	c.server.mu.Unlock()
}

// Close sends a Bye after everything queued so far, then ends the connection.
func (c *Conn) Close(reason wirepb.Reason, text string) {
	s := c.server
	s.lock()
	s.hub.close(c.link, reason, strings.ToValidUTF8(text, "?"))
	s.mu.Unlock()
}

// textID is the frame id that marks a text message between a WebSocket and the
// server. A client cannot send it as a frame.
const textID = 0

// SetGateway sets the gateway for new connections that speak RPC. Before it, and
// after SetGateway(nil), the server refuses them or, with Config.GatewayLater, asks
// them to try again. Existing connections stay with their gateway.
func (s *Server) SetGateway(g Gateway) {
	s.lock()
	defer s.mu.Unlock()
	s.hub.gateway = g
	s.takesRPC.Store(g != nil || s.hub.cfg.GatewayLater)
}

// SetTicketKey sets Config.TicketKey later. A key that is too short opens nothing.
func (s *Server) SetTicketKey(key []byte) {
	s.lock()
	defer s.mu.Unlock()
	s.hub.cfg.TicketKey = bytes.Clone(key)
}

// enter handles the first frame of a connection. When the connection speaks RPC,
// it returns a Conn, and the caller hands the frame to the gateway. The caller
// holds the lock.
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
	return h.toGateway(s, l, id), h.gateway
}

// knocks checks the cookie of an RPC connection with an unproven address, and
// sends a Challenge if it has no valid one.
func (h *hub) knocks(l *link, id uint32, payload []byte) bool {
	l.seen = h.now
	var m wirepb.Open
	if id != wirepb.IDOpen || proto.Unmarshal(payload, &m) != nil {
		h.close(l, wirepb.Reason_REASON_PROTOCOL, "over UDP, the first RPC message must be Open")
		return false
	}
	if h.baker.proves(m.Cookie, l.addr, h.now) {
		return true
	}
	l.send(h, wirepb.IDChallenge, &wirepb.Challenge{Cookie: h.baker.cookie(l.addr, h.now)})
	return false
}

// toGateway makes l a connection of the gateway.
func (h *hub) toGateway(s *Server, l *link, id uint32) *Conn {
	if !h.prove(l) {
		return nil
	}
	h.letIn(l)
	l.state, l.datagrams, l.seen = linkRPC, false, h.now
	l.conn = &Conn{server: s, link: l, text: id == textID}
	h.stats.GatewayOpened++
	return l.conn
}

// seenEvery is how often a gateway connection notes that something arrived.
const seenEvery = 100 * time.Millisecond

// rpcFrames hands the complete frames of an RPC connection to its stream. It
// returns false once the connection is closed.
func (s *Server) rpcFrames(l *link, in *inbound, now time.Time) bool {
	if now.Sub(in.seen) >= seenEvery {
		in.seen = now
		s.mu.Lock()
		l.seen = now
		s.mu.Unlock()
	}
	for !l.conn.over.Load() {
		id, payload, ok, err := in.reader.Next()
		switch {
		case err != nil:
			l.conn.Close(wirepb.Reason_REASON_FRAME_TOO_LARGE, err.Error())
		case !ok:
			return true
		case !in.frames.take(1, now):
			l.conn.Close(wirepb.Reason_REASON_TOO_MUCH, in.frames.exceeded("frames")+": a gateway's --client-rate raises it")
		default:
			s.rpcFrame(l, in.stream, id, payload)
		}
	}
	return false
}

// rpcFrame handles one frame of an RPC connection: it answers transport messages
// itself and gives all others to the gateway.
func (s *Server) rpcFrame(l *link, stream Stream, id uint32, payload []byte) {
	switch {
	case l.conn.text && id == textID:
		stream.Text(payload)
	case id == wirepb.IDHeartbeat: // its arrival is all that counts
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

// ended tells the gateway that the connection is over, once. The transport calls it.
func (in *inbound) ended() {
	if in.stream != nil {
		in.stream.Closed()
		in.stream = nil
	}
}
