package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// RPCConfig says how to reach a gateway. The hooks are called on the connection's
// reading goroutine, one at a time: they must not block, nor call Call, CallRaw
// or Close; Send, SendRaw and Go they may.
type RPCConfig struct {
	Addr      string // host:port; for WebSocket also a URL
	Transport Transport
	Format    rpc.Format // of all payloads

	// OnPush gets messages that answer nothing. payload is valid during the call.
	OnPush func(id uint32, payload []byte)
	// OnFault gets the failures of what Send sent; message is its id.
	OnFault func(message uint32, err *rpc.Error)
}

// RPC is a session with a gateway. Its methods may be called concurrently. It
// does not connect again: what becomes of calls under way would be a guess.
type RPC struct {
	cfg     RPCConfig
	reader  *frame.Reader // of the reading goroutine
	opened  chan struct{}
	done    chan struct{} // everything has ended
	group   sync.WaitGroup
	gateway string

	mu    sync.Mutex
	out   []byte // frames to be sent
	calls map[uint32]*rpcCall
	next  uint32
	heard time.Time
	wake  func() // the transport has something to send, or err is set; never blocks
	err   error  // why the session is over
}

// rpcCall is a call without an answer.
type rpcCall struct {
	id   uint32
	done func(id uint32, payload []byte, err error)
}

// Times and sizes of a session.
const (
	rpcPingEvery = 5 * time.Second
	rpcDropAfter = 20 * time.Second
	rpcBacklog   = 4 << 20 // bytes that wait to be sent
)

// DialRPC connects to a gateway and opens a session. ctx bounds that alone.
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
		_ = c.Close() // why it is closed is what matters
		return nil, fmt.Errorf("client: %s opens no session: %w", cfg.Addr, ctx.Err())
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

// Gateway is the id of the gateway that has the session.
func (c *RPC) Gateway() string { return c.gateway }

// Done closes when the session has ended; Err then says why.
func (c *RPC) Done() <-chan struct{} { return c.done }

// Err is why the session ended, nil while it has not: ErrClosed, a *ByeError, or
// what became of the connection.
func (c *RPC) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close sends what waits, and ends the session; calls without an answer fail,
// with Maybe.
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

// end says why the session is over, once, and lets the transport go.
func (c *RPC) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.wake()
}

// ended answers what is left, once the transport has ended.
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

// Call sends req and waits for its answer, which it reads into resp; nil takes
// any, also none. Its errors are *rpc.Error. ctx bounds it; without a deadline
// the gateway's own counts, 5 s.
func (c *RPC) Call(ctx context.Context, req, resp proto.Message) error {
	id, payload, err := c.encode(req)
	if err != nil {
		return err
	}
	got, answer, err := c.CallRaw(ctx, id, payload)
	if err != nil || resp == nil {
		return err
	}
	if want := wirepb.IDOf(resp); got != want {
		return &rpc.Error{Code: rpc.Internal, Text: fmt.Sprintf("message %d is answered with message %d, not with %d", id, got, want), Maybe: true}
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

// Send sends m and waits for nothing. Its answer comes as a push.
func (c *RPC) Send(m proto.Message) error {
	id, payload, err := c.encode(m)
	if err != nil {
		return err
	}
	return c.SendRaw(id, payload)
}

func (c *RPC) encode(m proto.Message) (id uint32, payload []byte, err error) {
	if id = wirepb.IDOf(m); id == 0 {
		return 0, nil, rpc.Errorf(rpc.InvalidArgument, "%s has no frame id: give it the option (wind.id)", m.ProtoReflect().Descriptor().FullName())
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

// CallRaw is Call for a payload that is encoded already. The answer is the
// caller's; its id is 0 when there is none.
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
		r := <-answered // it came just now
		return r.id, r.payload, r.err
	}
	e := *rpc.ErrorOf(ctx.Err())
	e.Maybe = true
	return 0, nil, &e
}

// Go sends a call and returns. Unless it returns an error, done is called
// exactly once, on the reading goroutine, as a hook; payload is valid during the
// call. timeout is the gateway's: 0 is its default, 5 s.
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

// SendRaw is Send for a payload that is encoded already.
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

// room says why a payload cannot be sent. The lock is held.
func (c *RPC) room(n int) error {
	switch {
	case c.err != nil:
		return rpc.Errorf(rpc.Unavailable, "the session is over: %v", c.err)
	case n > frame.MaxFromClient:
		return rpc.Errorf(rpc.InvalidArgument, "a payload of %d bytes, a frame takes %d", n, frame.MaxFromClient)
	case len(c.out) > rpcBacklog:
		return rpc.Errorf(rpc.ResourceExhausted, "%d bytes wait to be sent", len(c.out))
	}
	return nil
}

func appendHeader(dst []byte, id uint32, n int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, id)
	return binary.LittleEndian.AppendUint32(dst, uint32(n))
}

var errSilent = errors.New("nothing came from the gateway")

// beat pings, or ends a session from which nothing came.
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

// stream takes bytes of the gateway.
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

// message takes what comes on the datagram lane: nothing of RPC does.
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

// answer takes the answer of a call. One that nobody waits for is dropped.
func (c *RPC) answer(id uint32, payload []byte) error {
	if len(payload) < 4 {
		return fmt.Errorf("the answer of a call has %d bytes", len(payload))
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
