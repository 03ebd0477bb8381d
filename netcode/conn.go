package netcode

import (
	"cmp"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/rate"
	"github.com/ferris1/wind/netcode/wirepb"
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

// Conn is one client connection of any transport. Its methods never block and are
// safe for concurrent use; its transport calls those of the Stream that handles it.
type Conn struct {
	door  *Door
	addr  netip.AddrPort
	udp   *net.UDPAddr      // where datagrams go; nil on TCP
	since time.Time         // when it was opened
	wake  func(closed bool) // tells the transport that there is something to send, or that the connection has ended; never blocks

	seen              atomic.Int64 // when something last arrived, in nanoseconds since the door opened
	proven            atomic.Bool  // the address has answered: always true on TCP
	text              atomic.Bool  // a WebSocket whose client sends text messages
	waiting           atomic.Int64 // bytes that the transport has taken but not sent yet
	bytesIn, bytesOut atomic.Uint64

	loose rate.Bucket // of messages on the datagram lane; only the UDP loop uses it

	// Guarded by the door's lock.
	came     arrival
	account  *account // of its address, once that is proven
	admitted bool     // by a shard's sessions or by the gateway
	gateway  bool     // the gateway has it
	lane     uint64   // the session whose datagrams it carries; 0: none

	mu     sync.Mutex  // guards what follows
	out    []byte      // frames to send, in order; the transport takes them
	closed atomic.Bool // written with the lock held
	single bool        // write each frame separately
}

// Addr returns the client's address.
func (c *Conn) Addr() netip.AddrPort { return c.addr }

// IsText reports whether the client exchanges text messages (WebSocket). Send it
// text with SendText, never frames.
func (c *Conn) IsText() bool { return c.text.Load() }

// Datagrams reports whether the transport can carry datagrams.
func (c *Conn) Datagrams() bool { return c.udp != nil }

// Seen returns when something last arrived.
func (c *Conn) Seen() time.Time { return c.door.opened.Add(time.Duration(c.seen.Load())) }

// heard notes that something arrived.
func (c *Conn) heard(now time.Time) { c.seen.Store(int64(now.Sub(c.door.opened))) }

// Send copies whole frames and queues them. When the client does not read, the
// connection ends. Once it has ended, Send drops the frames.
func (c *Conn) Send(frames []byte) {
	c.mu.Lock()
	if c.closed.Load() {
		c.mu.Unlock()
		return
	}
	c.out = append(c.out, frames...)
	c.unlockSent()
}

// SendMessage queues one message of Wind's.
func (c *Conn) SendMessage(id uint32, m proto.Message) {
	c.mu.Lock()
	if c.closed.Load() {
		c.mu.Unlock()
		return
	}
	c.out = frame.AppendMessage(c.out, id, m)
	c.unlockSent()
}

// SendFrame queues one frame. It copies parts, joined, into the payload.
func (c *Conn) SendFrame(id uint32, parts ...[]byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	c.mu.Lock()
	if c.closed.Load() {
		c.mu.Unlock()
		return
	}
	c.out = binary.LittleEndian.AppendUint32(c.out, id)
	c.out = binary.LittleEndian.AppendUint32(c.out, uint32(n))
	for _, p := range parts {
		c.out = append(c.out, p...)
	}
	c.unlockSent()
}

// textID is the frame id that marks a text message between a WebSocket and the
// door. A client cannot send it as a frame.
const textID = 0

// SendText copies a text message and queues it.
func (c *Conn) SendText(message []byte) { c.SendFrame(textID, message) }

// unlockSent unlocks a connection that has got something to send. It ends one whose
// client does not read.
func (c *Conn) unlockSent() {
	slow := len(c.out)+int(c.waiting.Load()) > outBacklog
	if slow {
		c.out = nil
	}
	c.mu.Unlock()
	if slow {
		c.Close(wirepb.Reason_REASON_SLOW, "the client does not read fast enough")
		return
	}
	c.wake(false)
}

// Backlog returns the number of bytes that wait to be sent.
func (c *Conn) Backlog() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out) + int(c.waiting.Load())
}

// Coalesce sets whether one write may carry several frames; at first it may. With
// false each frame is written separately, for clients that parse one frame per
// read. It makes no difference over UDP.
func (c *Conn) Coalesce(on bool) {
	c.mu.Lock()
	c.single = !on
	c.mu.Unlock()
}

// Close sends a Bye after everything queued so far, then ends the connection.
func (c *Conn) Close(reason wirepb.Reason, text string) {
	c.bye(&wirepb.Bye{Reason: reason, Text: text})
}

// Elsewhere ends a connection that wants a shard which is not here now: it says where
// the shard is, if the door knows, else text and that the client is to try again.
func (c *Conn) Elsewhere(shard, text string) {
	c.bye(cmp.Or(c.door.elsewhere(shard), &wirepb.Bye{Reason: wirepb.Reason_REASON_NOT_OWNER, Text: text}))
}

func (c *Conn) bye(m *wirepb.Bye) {
	c.mu.Lock()
	if c.closed.Load() {
		c.mu.Unlock()
		return
	}
	c.closed.Store(true)
	m.Text = strings.ToValidUTF8(m.Text, "?")
	c.out = frame.AppendMessage(c.out, wirepb.IDBye, m)
	c.mu.Unlock()
	c.door.cfg.Logger.Debug("netcode: connection ends", "addr", c.addr, "reason", m.Reason, "text", m.Text)
	c.door.detach(c, m.Reason)
	c.wake(true)
}

// lost ends a connection whose transport is gone: it sends no Bye.
func (c *Conn) lost() {
	c.mu.Lock()
	was := c.closed.Swap(true)
	c.out = nil
	c.mu.Unlock()
	if !was {
		c.door.detach(c, wirepb.Reason_REASON_LEFT)
		c.wake(true)
	}
}

// Admit says that the connection is welcome: it no longer counts as half open, and
// may stay as long as it is not idle.
func (c *Conn) Admit() {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.door.letIn(c)
	c.admitted = true
}

// datagramLane is where the messages of one session's datagram lane go.
type datagramLane struct {
	conn   *Conn
	handle func(id uint32, payload []byte) bool
}

// TakeDatagrams passes the messages that the client sends on the datagram lane of a
// session to handle, which returns false for a bad one: anybody may have sent it.
// The goroutine that reads the transport calls it.
func (c *Conn) TakeDatagrams(session uint64, handle func(id uint32, payload []byte) bool) {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if _, open := c.door.conns[c]; open {
		c.lane = session
		c.door.lanes[session] = datagramLane{c, handle}
	}
}

// inbound is the receiving part of a connection, which its transport's goroutine
// owns: the reader that cuts its stream into frames, and the limits of its rates.
type inbound struct {
	reader        *frame.Reader
	frames, bytes rate.Bucket
	advice        string // for a client that sends too many frames
	stream        Stream // nil until somebody has taken the connection over
	done          bool   // the stream was told that the connection has ended
}

func newInbound(c *Config, now time.Time) inbound {
	return inbound{
		reader: frame.NewReader(frame.MaxFromClient),
		frames: rate.PerSecond(c.FramesPerSecond, now),
		bytes:  rate.PerSecond(c.BytesPerSecond, now),
	}
}

// ended tells the stream that the connection is over, once. The transport calls it.
func (in *inbound) ended() {
	if in.stream != nil && !in.done {
		in.done = true
		in.stream.Closed()
	}
}
