package client

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// RPCConfig says how to reach a gateway. The connection's reading goroutine calls
// the hooks, one at a time. They must not block, nor call Call, CallRaw or Close;
// they may call Send, SendRaw and Go.
type RPCConfig struct {
	Addr      string // host:port; for WebSocket also a URL
	Transport Transport
	Format    rpc.Format // of all payloads
	// TLS makes TCP and WebSocket speak TLS, as in Config.
	TLS *tls.Config
	// DialUDP opens the socket, as in Config.
	DialUDP func(address string) (net.Conn, error)

	// OnPush receives pushes, and the answers to messages sent with Send. payload
	// is valid during the call.
	OnPush func(id uint32, payload []byte)
	// OnFault receives the failures of messages sent with Send; message is the
	// message's id.
	OnFault func(message uint32, err *rpc.Error)
}

// RPC is a session with a gateway. Its methods are safe for concurrent use. It
// does not reconnect, since it could not tell what became of calls in progress.
type RPC struct {
	cfg     RPCConfig
	reader  *frame.Reader // used only by the reading goroutine
	opened  chan struct{}
	done    chan struct{} // closed when everything has ended
	group   sync.WaitGroup
	gateway string

	mu    sync.Mutex
	out   []byte // frames to send
	calls map[uint32]*rpcCall
	next  uint32
	heard time.Time
	wake  func() // tells the transport that out or err has changed; never blocks
	err   error  // why the session is over
}

// rpcCall is a call that waits for its answer.
type rpcCall struct {
	id   uint32
	done func(id uint32, payload []byte, err error)
}

// Times and sizes of a session.
const (
	rpcPingEvery = 5 * time.Second
	rpcDropAfter = 20 * time.Second
	rpcBacklog   = 4 << 20 // bytes that may wait to be sent
)

// DialRPC connects to a gateway and opens a session. ctx bounds only the dialing.
func DialRPC(ctx context.Context, cfg RPCConfig) (*RPC, error) {
	c := &RPC{
		cfg: cfg, reader: frame.NewReader(frame.MaxFromServer), opened: make(chan struct{}), done: make(chan struct{}),
		calls: map[uint32]*rpcCall{}, heard: time.Now(), wake: func() {},
	}
	start := c.overStream
	if cfg.Transport == UDP {
		start = c.overKCP
	}
	if err := start(ctx); err != nil {
		return nil, fmt.Errorf("client: %s: %w", cfg.Addr, err)
	}
	select {
	case <-c.opened:
		return c, nil
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		_ = c.Close() // ctx's error matters more
		return nil, fmt.Errorf("client: %s has not opened a session: %w", cfg.Addr, ctx.Err())
	}
}

// hello queues the first message.
func (c *RPC) hello(cookie []byte) {
	m := &wirepb.Open{Coalesce: true, Cookie: cookie}
	if c.cfg.Format == rpc.JSON {
		m.Format = wirepb.Format_FORMAT_JSON
	}
	c.out = frame.AppendMessage(c.out, wirepb.IDOpen, m)
}

// Gateway returns the id of the session's gateway.
func (c *RPC) Gateway() string { return c.gateway }

// Done closes when the session has ended; Err then says why.
func (c *RPC) Done() <-chan struct{} { return c.done }

// Err returns why the session ended: ErrClosed, a *ByeError, or the connection's
// error. It returns nil until then.
func (c *RPC) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close sends what is queued and ends the session. Calls without an answer fail
// with Maybe set.
func (c *RPC) Close() error {
	c.mu.Lock()
	if c.err == nil {
		c.out = frame.AppendMessage(c.out, wirepb.IDBye, &wirepb.Bye{Reason: wirepb.Reason_REASON_LEFT})
	}
	c.mu.Unlock()
	c.end(ErrClosed)
	<-c.done
	return nil
}

// end records the first reason for the end of the session and wakes the transport,
// which then ends.
func (c *RPC) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.wake()
}

// ended fails the remaining calls, after the transport has ended.
func (c *RPC) ended() {
	c.mu.Lock()
	calls, err := c.calls, c.err
	c.calls = nil
	c.mu.Unlock()
	for _, call := range calls {
		call.done(0, nil, &rpc.Error{Code: rpc.Unavailable, Text: "the connection ended before the answer: " + err.Error(), Maybe: true})
	}
	close(c.done)
}

// Call sends req, waits for its answer and decodes it into resp. It fails if the
// answer is another message than resp; a nil resp accepts any answer, or none. All errors are *rpc.Error. ctx bounds the call; if ctx has
// no deadline, the gateway's default applies, 5 s.
func (c *RPC) Call(ctx context.Context, req, resp proto.Message) error {
	id, payload, err := c.encode(req)
	if err != nil {
		return err
	}
	if resp != nil && wirepb.IDOf(resp) == 0 {
		return noID(resp)
	}
	got, answer, err := c.CallRaw(ctx, id, payload)
	if err != nil || resp == nil {
		return err
	}
	if want := wirepb.IDOf(resp); got != want {
		with := fmt.Sprintf("message %d", got)
		if got == 0 {
			with = "no message"
		}
		return &rpc.Error{Code: rpc.Internal, Text: fmt.Sprintf("%s was answered with %s, want %s (message %d)", rpc.ShortName(req), with, rpc.ShortName(resp), want), Maybe: true}
	}
	if c.cfg.Format == rpc.JSON {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(answer, resp)
	} else {
		err = proto.Unmarshal(answer, resp)
	}
	if err != nil {
		return &rpc.Error{Code: rpc.Internal, Text: fmt.Sprintf("the answer, message %d, is malformed: %v", got, err), Maybe: true}
	}
	return nil
}

// Send sends m without waiting. An answer arrives as a push.
func (c *RPC) Send(m proto.Message) error {
	id, payload, err := c.encode(m)
	if err != nil {
		return err
	}
	return c.SendRaw(id, payload)
}

func (c *RPC) encode(m proto.Message) (id uint32, payload []byte, err error) {
	if id = wirepb.IDOf(m); id == 0 {
		return 0, nil, noID(m)
	}
	if c.cfg.Format == rpc.JSON {
		payload, err = protojson.Marshal(m)
	} else {
		payload, err = proto.Marshal(m)
	}
	if err != nil {
		return 0, nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	return id, payload, nil
}

func noID(m proto.Message) error {
	return rpc.Errorf(rpc.InvalidArgument, "%s has no frame id: give it the option (wind.id)", m.ProtoReflect().Descriptor().FullName())
}

// CallRaw is like Call for an encoded payload. The caller owns the answer; answerID
// is 0 if the handler gave none.
func (c *RPC) CallRaw(ctx context.Context, id uint32, payload []byte) (answerID uint32, answer []byte, err error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, rpc.ErrorOf(err)
	}
	var timeout time.Duration
	if until, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(until), time.Millisecond)
	}
	type result struct {
		id      uint32
		payload []byte
		err     error
	}
	answered := make(chan result, 1)
	call, err := c.send(id, payload, timeout, func(id uint32, payload []byte, err error) {
		answered <- result{id, append([]byte(nil), payload...), err}
	})
	if err != nil {
		return 0, nil, err
	}
	select {
	case r := <-answered:
		return r.id, r.payload, r.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	_, open := c.calls[call]
	delete(c.calls, call)
	c.mu.Unlock()
	if !open {
		r := <-answered // it has just arrived
		return r.id, r.payload, r.err
	}
	e := *rpc.ErrorOf(ctx.Err())
	e.Maybe = true
	return 0, nil, &e
}

// Go sends a call and returns. Unless Go fails, the reading goroutine calls done
// exactly once, under the same rules as the hooks; payload is valid during that
// call. The gateway applies timeout; 0 means its default, 5 s.
func (c *RPC) Go(id uint32, payload []byte, timeout time.Duration, done func(id uint32, payload []byte, err error)) error {
	_, err := c.send(id, payload, timeout, done)
	return err
}

func (c *RPC) send(id uint32, payload []byte, timeout time.Duration, done func(uint32, []byte, error)) (call uint32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.room(len(payload) + 8); err != nil {
		return 0, err
	}
	for c.next++; c.calls[c.next] != nil; c.next++ {
	}
	c.calls[c.next] = &rpcCall{id: id, done: done}
	ms := (timeout + time.Millisecond - 1) / time.Millisecond
	c.out = appendHeader(c.out, id|wirepb.IDCall, len(payload)+8)
	c.out = binary.LittleEndian.AppendUint32(c.out, c.next)
	c.out = binary.LittleEndian.AppendUint32(c.out, uint32(min(ms, math.MaxUint32)))
	c.out = append(c.out, payload...)
	c.wake()
	return c.next, nil
}

// SendRaw is like Send for an encoded payload.
func (c *RPC) SendRaw(id uint32, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.room(len(payload)); err != nil {
		return err
	}
	c.out = append(appendHeader(c.out, id, len(payload)), payload...)
	c.wake()
	return nil
}

// room returns why a payload of n bytes cannot be sent, or nil. The caller holds
// the lock.
func (c *RPC) room(n int) error {
	switch {
	case c.err != nil:
		return rpc.Errorf(rpc.Unavailable, "the session is over: %v", c.err)
	case n > frame.MaxFromClient:
		return rpc.Errorf(rpc.InvalidArgument, "the payload has %d bytes, but a frame takes at most %d", n, frame.MaxFromClient)
	case len(c.out) > rpcBacklog:
		return rpc.Errorf(rpc.ResourceExhausted, "%d bytes wait to be sent", len(c.out))
	}
	return nil
}

func appendHeader(dst []byte, id uint32, n int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, id)
	return binary.LittleEndian.AppendUint32(dst, uint32(n))
}

var errSilent = errors.New("the gateway has been silent for too long")

// beat queues a ping. It returns errSilent if the gateway has been silent for too
// long.
func (c *RPC) beat(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.heard) > rpcDropAfter {
		return errSilent
	}
	c.out = frame.AppendMessage(c.out, wirepb.IDPing, &wirepb.Ping{Time: uint64(now.UnixNano())})
	c.wake()
	return nil
}

// stream handles bytes from the gateway.
func (c *RPC) stream(b []byte) error {
	now := time.Now()
	c.mu.Lock()
	c.heard = now
	c.mu.Unlock()
	c.reader.Feed(b)
	for {
		id, payload, ok, err := c.reader.Next()
		if err != nil || !ok {
			return err
		}
		if err := c.frame(id, payload); err != nil {
			return err
		}
	}
}

// message implements receiver. RPC does not use the datagram lane.
func (c *RPC) message(uint16, uint64, []byte) {}

func (c *RPC) frame(id uint32, payload []byte) error {
	switch {
	case id&wirepb.IDCall != 0:
		return c.answer(id&^wirepb.IDCall, payload)
	case id == wirepb.IDBye:
		var m wirepb.Bye
		if err := proto.Unmarshal(payload, &m); err != nil {
			return err
		}
		return &ByeError{Reason: m.Reason, Text: m.Text}
	case id == wirepb.IDOpened:
		var m wirepb.Opened
		if err := proto.Unmarshal(payload, &m); err != nil {
			return err
		}
		select {
		case <-c.opened:
		default:
			c.gateway = m.Gateway
			close(c.opened)
		}
	case id == wirepb.IDPong:
	case id == wirepb.IDFault:
		if c.cfg.OnFault != nil {
			message, e := c.fault(payload)
			c.cfg.OnFault(message, e)
		}
	case c.cfg.OnPush != nil:
		c.cfg.OnPush(id, payload)
	}
	return nil
}

// answer handles the answer to a call. It drops one that nobody waits for.
func (c *RPC) answer(id uint32, payload []byte) error {
	if len(payload) < 4 {
		return fmt.Errorf("the answer to a call has only %d bytes", len(payload))
	}
	number := binary.LittleEndian.Uint32(payload)
	c.mu.Lock()
	call := c.calls[number]
	delete(c.calls, number)
	c.mu.Unlock()
	switch {
	case call == nil:
	case id == wirepb.IDFault:
		_, e := c.fault(payload[4:])
		call.done(0, nil, e)
	default:
		call.done(id, payload[4:], nil)
	}
	return nil
}

func (c *RPC) fault(payload []byte) (message uint32, e *rpc.Error) {
	var m wirepb.Fault
	var err error
	if c.cfg.Format == rpc.JSON {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(payload, &m)
	} else {
		err = proto.Unmarshal(payload, &m)
	}
	if err != nil {
		return 0, &rpc.Error{Code: rpc.Internal, Text: fmt.Sprintf("a malformed fault: %v", err), Maybe: true}
	}
	return m.Message, &rpc.Error{Code: rpc.Code(m.Code), Text: m.Text, Maybe: m.Maybe}
}
