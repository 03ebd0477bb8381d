package netcode

import (
	"bytes"
	"cmp"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/rate"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Shard takes over the connections that want one shard. netcode/session implements it.
type Shard interface {
	// Hello is called for each connection whose Hello names the shard. Its address
	// is proven, and so is its ticket; the ticket is nil if it has none or shows a
	// resume token. Hello must not block. The Stream that it returns handles
	// everything that the client sends from now on.
	Hello(c *Conn, m *wirepb.Hello, t *Ticket) Stream
	// Expire is called several times a second, to end what has waited too long.
	Expire()
}

// Gateway takes over the connections that speak RPC: those whose first frame does
// not belong to the shard protocol (wirepb.ShardID). netcode/gateway implements it.
type Gateway interface {
	// Opened is called once for each such connection, before its first frame.
	// It must not block. The Stream that it returns receives everything that the
	// client sends.
	Opened(c *Conn) Stream
}

// Stream handles one connection for a peer. The goroutine that reads the transport
// calls its methods, one at a time; the door holds no lock. They must not block:
// over UDP all connections share that goroutine.
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

// peers are those who take connections over.
type peers struct {
	takesRPC atomic.Bool // there is a gateway, or will be one

	mu      sync.RWMutex
	shards  map[string]Shard
	gateway Gateway // nil: RPC is refused
	key     []byte  // of tickets
}

func (p *peers) init(c Config) {
	p.shards, p.gateway, p.key = map[string]Shard{}, c.Gateway, c.TicketKey
	p.takesRPC.Store(c.Gateway != nil || c.GatewayLater)
}

// all returns the shards.
func (p *peers) all() []Shard {
	p.mu.RLock()
	defer p.mu.RUnlock()
	all := make([]Shard, 0, len(p.shards))
	for _, s := range p.shards {
		all = append(all, s)
	}
	return all
}

func (p *peers) shard(name string) Shard {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.shards[name]
}

func (p *peers) rpc() Gateway {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.gateway
}

// Serve gives the connections that want a shard to s, from now on. A nil s ends
// that; connections that it has already stay with it.
func (d *Door) Serve(shard string, s Shard) {
	d.peers.mu.Lock()
	defer d.peers.mu.Unlock()
	if s == nil {
		delete(d.peers.shards, shard)
		return
	}
	d.peers.shards[shard] = s
}

// SetGateway sets the gateway for new connections that speak RPC. Before it, and
// after SetGateway(nil), the door refuses them or, with Config.GatewayLater, asks
// them to try again. Existing connections stay with their gateway.
func (d *Door) SetGateway(g Gateway) {
	d.peers.mu.Lock()
	defer d.peers.mu.Unlock()
	d.peers.gateway = g
	d.peers.takesRPC.Store(g != nil || d.cfg.GatewayLater)
}

// SetTicketKey sets Config.TicketKey later. A key that is too short opens nothing.
func (d *Door) SetTicketKey(key []byte) {
	d.peers.mu.Lock()
	defer d.peers.mu.Unlock()
	d.peers.key = bytes.Clone(key)
}

// ticket opens the ticket of a Hello, if it needs one: a resumed session's token
// proves it.
func (d *Door) ticket(m *wirepb.Hello) (*Ticket, error) {
	if len(m.Ticket) == 0 || m.Resume != nil {
		return nil, nil
	}
	d.peers.mu.RLock()
	key := d.peers.key
	d.peers.mu.RUnlock()
	t, err := OpenTicket(key, m.Ticket, d.clock())
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// frames hands the complete frames of a connection to its stream; the first one
// decides which that is. It returns false once the connection has ended.
func (d *Door) frames(c *Conn, in *inbound, now time.Time) bool {
	for !c.closed.Load() {
		id, payload, ok, err := in.reader.Next()
		if err == nil && !ok {
			return true
		}
		c.heard(now)
		switch {
		case err != nil:
			c.Close(wirepb.Reason_REASON_FRAME_TOO_LARGE, err.Error())
		case !in.frames.Take(1, now):
			c.Close(wirepb.Reason_REASON_TOO_MUCH, exceeded(&in.frames, "frames")+in.advice)
		case in.stream == nil:
			d.first(c, in, id, payload, now)
		default:
			in.pass(c, id, payload)
		}
	}
	return false
}

// pass hands one frame to the stream.
func (in *inbound) pass(c *Conn, id uint32, payload []byte) {
	switch text := c.IsText(); {
	case text && id == textID:
		in.stream.Text(payload)
	case text || id == textID:
		c.misplaced(id)
	default:
		in.stream.Receive(id, payload)
	}
}

// misplaced ends a connection that has sent a message out of place.
func (c *Conn) misplaced(id uint32) {
	c.Close(wirepb.Reason_REASON_PROTOCOL, fmt.Sprintf("message %d is unknown or out of place", id))
}

// malformed ends a connection that has sent a message that cannot be decoded.
func (c *Conn) malformed(id uint32) {
	c.Close(wirepb.Reason_REASON_PROTOCOL, fmt.Sprintf("message %d is malformed", id))
}

// Pong answers a Ping, whose payload it gets. tick is the newest committed tick of the
// client's shard; 0: it has none. Whoever has the connection answers at once, whatever
// else it waits for: a client without an answer takes its server for dead.
func (c *Conn) Pong(ping []byte, tick uint64) {
	var m wirepb.Ping
	if proto.Unmarshal(ping, &m) != nil {
		c.malformed(wirepb.IDPing)
		return
	}
	c.SendMessage(wirepb.IDPong, &wirepb.Pong{Time: m.Time, Tick: tick})
}

// first handles a connection's message before a shard's sessions or the gateway take the connection over.
func (d *Door) first(c *Conn, in *inbound, id uint32, payload []byte, now time.Time) {
	if d.peers.takesRPC.Load() && !wirepb.ShardID(id) && (id != textID || c.IsText()) {
		d.toGateway(c, in, id, payload, now)
		return
	}
	switch id {
	case wirepb.IDHello:
		var m wirepb.Hello
		if proto.Unmarshal(payload, &m) != nil {
			c.malformed(id)
			return
		}
		d.hello(c, in, &m, now)
	case wirepb.IDPing:
		c.Pong(payload, 0)
	case wirepb.IDBye:
		c.Close(wirepb.Reason_REASON_LEFT, "")
	default:
		c.misplaced(id)
	}
}

// hello hands a connection to the sessions of the shard that it wants.
func (d *Door) hello(c *Conn, in *inbound, m *wirepb.Hello, now time.Time) {
	if !d.proves(c, m.Cookie, now) || !d.prove(c) {
		return
	}
	t, trouble := d.ticket(m)
	name := m.Shard
	if name == "" && t != nil {
		name = t.Shard
	}
	name = cmp.Or(name, d.cfg.Shard)
	s := d.peers.shard(name)
	switch {
	case m.Protocol != wirepb.Protocol:
		c.Close(wirepb.Reason_REASON_VERSION, fmt.Sprintf("protocol %d is not supported: this server speaks %d", m.Protocol, wirepb.Protocol))
	case s == nil && (name != d.cfg.Shard || name == "" && trouble == nil):
		c.bye(cmp.Or(d.elsewhere(name), d.unknown(name)))
	case trouble != nil:
		c.Close(wirepb.Reason_REASON_BAD_TICKET, trouble.Error())
	case t != nil && t.Shard != name:
		c.Close(wirepb.Reason_REASON_BAD_TICKET, fmt.Sprintf("the ticket is for shard %q, not %q", t.Shard, name))
	case s == nil:
		c.Close(wirepb.Reason_REASON_NOT_OWNER, "this node does not serve the shard at the moment")
	default:
		in.stream = s.Hello(c, m, t)
	}
}

// elsewhere answers a client whose shard is not here, or returns nil if nobody knows
// where it is.
func (d *Door) elsewhere(name string) *wirepb.Bye {
	if d.cfg.Locate == nil || name == "" {
		return nil
	}
	switch at := d.cfg.Locate(name); {
	case at.Ended != "":
		return &wirepb.Bye{Reason: wirepb.Reason_REASON_ENDED, Text: at.Ended}
	case at.UDP != "" || at.TCP != "" || at.HTTP != "":
		return &wirepb.Bye{
			Reason: wirepb.Reason_REASON_WRONG_SHARD, Text: fmt.Sprintf("another node serves shard %q", name),
			Udp: at.UDP, Tcp: at.TCP, Http: at.HTTP,
		}
	case at.Exists:
		return &wirepb.Bye{Reason: wirepb.Reason_REASON_NOT_OWNER, Text: fmt.Sprintf("no node serves shard %q at the moment", name)}
	}
	return nil
}

// unknown answers a client that wants an unknown shard, or names none.
func (d *Door) unknown(name string) *wirepb.Bye {
	text := fmt.Sprintf("there is no shard %q", name)
	switch {
	case d.cfg.Shard != "":
		text = fmt.Sprintf("this node serves shard %q", d.cfg.Shard)
	case name == "":
		text = "this node has no shard of its own: name one, or show a ticket"
	}
	return &wirepb.Bye{Reason: wirepb.Reason_REASON_WRONG_SHARD, Text: text}
}

// proves reports whether a connection's address is proven, by a cookie if by
// nothing else. If not, it sends a Challenge.
func (d *Door) proves(c *Conn, cookie []byte, now time.Time) bool {
	if c.proven.Load() || d.baker.proves(cookie, c.addr, now) {
		return true
	}
	c.SendMessage(wirepb.IDChallenge, &wirepb.Challenge{Cookie: d.baker.cookie(c.addr, now)})
	return false
}

// toGateway hands a connection, and its first message, to the gateway.
func (d *Door) toGateway(c *Conn, in *inbound, id uint32, payload []byte, now time.Time) {
	if !c.proven.Load() {
		var m wirepb.Open
		if id != wirepb.IDOpen || proto.Unmarshal(payload, &m) != nil {
			c.Close(wirepb.Reason_REASON_PROTOCOL, "over UDP, the first RPC message must be Open")
			return
		}
		if !d.proves(c, m.Cookie, now) {
			return
		}
	}
	g := d.peers.rpc()
	if g == nil {
		c.Close(wirepb.Reason_REASON_NOT_OWNER, "the gateway is starting")
		return
	}
	if !d.prove(c) {
		return
	}
	c.Admit()
	d.mu.Lock()
	c.gateway = true
	d.stats.GatewayOpened++
	d.mu.Unlock()
	in.frames, in.bytes = rate.PerSecond(d.cfg.GatewayFramesPerSecond, now), rate.PerSecond(d.cfg.GatewayBytesPerSecond, now)
	in.advice = ": a gateway's --client-rate raises it"
	in.stream = rpcStream{c, g.Opened(c)}
	in.pass(c, id, payload)
}

// rpcStream answers the transport's messages of an RPC connection itself, and
// gives all others to the gateway.
type rpcStream struct {
	conn *Conn
	Stream
}

// Receive implements Stream.
func (s rpcStream) Receive(id uint32, payload []byte) {
	switch {
	case id == wirepb.IDHeartbeat: // its arrival is all that counts
	case id == wirepb.IDBye:
		s.conn.Close(wirepb.Reason_REASON_LEFT, "")
	case id == wirepb.IDPing:
		s.conn.Pong(payload, 0)
	case wirepb.ShardID(id):
		s.conn.misplaced(id)
	default:
		s.Stream.Receive(id, payload)
	}
}
