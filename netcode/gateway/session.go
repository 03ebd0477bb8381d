package gateway

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// session is one client's connection. Its mutex is taken before the gateway's
// and the server's, and not held while the link or the directory is called, but
// for Speaker.Takes.
type session struct {
	g    *Gateway
	conn *netcode.Conn
	id   string
	text bool

	mu       sync.Mutex
	begun    bool // something came: it is too late for Open
	called   bool // a call came
	format   rpc.Format
	player   string // who is logged in, or about to be
	since    int64  // the login's time, in nanoseconds since 1970; 0: not confirmed
	cancel   func() // ends the subscription of player
	replaced bool   // somebody else is the player now
	busy     bool   // a login is under way: requests wait
	resuming bool   // the requests that waited are being sent: more go behind them
	failures int    // of logins
	waiting  []*request
	bindings map[string]*binding // by type of service
	inflight int                 // requests without an answer
	requests uint64
	active   time.Time // opened, or the newest public request
	closed   bool
}

// request is one message of a client, until it is answered.
type request struct {
	s        *session
	route    Route
	call     uint32 // number of the call, if it is one
	isCall   bool
	format   rpc.Format // of the client's message and of its answer
	req      rpc.Request
	deadline time.Time

	// Once it is on its way, guarded by the session's mutex.
	seq      uint64
	binding  *binding
	instance string // that has it, or had it last
	login    bool   // its answer decides about a login
	again    bool   // it was sent to an instance that was not there
}

// Receive is netcode.Stream's.
func (s *session) Receive(id uint32, payload []byte) {
	s.g.counters.bytesIn.Add(uint64(frame.HeaderSize + len(payload)))
	if id == wirepb.IDOpen {
		s.open(payload)
		return
	}
	r := &request{s: s, deadline: time.Now()}
	timeout := s.g.cfg.Limits.Timeout
	s.mu.Lock()
	s.begun = true
	r.format = s.format
	first := id&wirepb.IDCall != 0 && !s.called
	s.called = s.called || first
	s.mu.Unlock()
	if first {
		s.conn.Coalesce(true) // who numbers calls can cut frames
	}
	if id&wirepb.IDCall != 0 {
		call, ms, message, ok := parseCall(payload)
		if !ok {
			s.conn.Close(wirepb.Reason_REASON_PROTOCOL, "a call begins with its number and its time-out, 8 bytes")
			return
		}
		r.isCall, r.call, payload = true, call, message
		id &^= wirepb.IDCall
		timeout = s.g.timeout(ms)
	}
	r.deadline = r.deadline.Add(timeout)
	r.route.Method.ID = id
	if id == wirepb.IDTicketRequest {
		r.route = ticketRoute
	} else if route, ok := s.g.route(id); ok {
		r.route = route
	} else {
		s.g.counters.requests.Add(1)
		r.fail(rpc.Unimplemented, "no service takes message %d", id)
		return
	}
	r.req.Payload = slices.Clone(payload)
	s.take(r)
}

// parseCall splits the payload of a call. message aliases it.
func parseCall(payload []byte) (call, timeoutMS uint32, message []byte, ok bool) {
	if len(payload) < 8 {
		return 0, 0, nil, false
	}
	return binary.LittleEndian.Uint32(payload), binary.LittleEndian.Uint32(payload[4:]), payload[8:], true
}

// timeout is what a client's time-out means.
func (g *Gateway) timeout(ms uint32) time.Duration {
	if ms == 0 {
		return g.cfg.Limits.Timeout
	}
	return min(time.Duration(ms)*time.Millisecond, g.cfg.Limits.MaxTimeout)
}

// open takes the message that may begin a connection.
func (s *session) open(payload []byte) {
	var m wirepb.Open
	s.mu.Lock()
	late := s.begun
	s.begun = true
	s.mu.Unlock()
	switch err := proto.Unmarshal(payload, &m); {
	case late:
		s.conn.Close(wirepb.Reason_REASON_PROTOCOL, "Open comes first or not at all")
		return
	case err != nil:
		s.conn.Close(wirepb.Reason_REASON_PROTOCOL, "message 2102 is malformed")
		return
	case m.Format != wirepb.Format_FORMAT_PROTOBUF && m.Format != wirepb.Format_FORMAT_JSON:
		s.conn.Close(wirepb.Reason_REASON_PROTOCOL, fmt.Sprintf("format %d is neither Protobuf nor JSON", m.Format))
		return
	}
	s.mu.Lock()
	if m.Format == wirepb.Format_FORMAT_JSON {
		s.format = rpc.JSON
	}
	s.mu.Unlock()
	if m.Coalesce {
		s.conn.Coalesce(true)
	}
	s.conn.SendFrame(wirepb.IDOpened, encode(rpc.Protobuf, &wirepb.Opened{Gateway: s.g.cfg.ID}))
}

// take lets a request in, if there is room for it.
func (s *session) take(r *request) {
	s.g.counters.requests.Add(1)
	r.req.Message, r.req.Session, r.req.Format = r.route.Method.Name, s.id, r.format
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return
	case s.inflight >= s.g.cfg.Limits.MaxInFlight:
		n := s.inflight
		s.mu.Unlock()
		r.fail(rpc.ResourceExhausted, "%d requests of this session wait for their answers already", n)
		s.mu.Lock()
		return
	}
	s.inflight++
	s.g.counters.inflight.Add(1)
	if s.busy || s.resuming {
		s.waiting = append(s.waiting, r)
		return
	}
	s.begin(r)
}

// begin sends a request on its way. The mutex is held; it is let go in between.
func (s *session) begin(r *request) {
	m := r.route.Method
	switch {
	case m.Login:
		s.busy = true
		if r.login = s.g.cfg.Authenticator == nil; r.login {
			s.dispatch(r)
			return
		}
		s.start(r, func() { s.login(r) })
	case s.player == "" && !m.Public:
		s.finishLocked(r, failure(rpc.Unauthenticated, "%s needs a login", m.Name))
	case r.route.Type == "":
		s.start(r, func() { s.ticket(r) })
	default:
		if s.player == "" {
			s.active = time.Now()
		}
		s.dispatch(r)
	}
}

// start runs f, which is to answer r. The mutex is held.
func (s *session) start(r *request, f func()) {
	if !s.g.spawn(f) {
		s.finishLocked(r, failure(rpc.Unavailable, "the gateway stops"))
	}
}

// dispatch queues a request for its service. The mutex is held; it is let go in
// between.
func (s *session) dispatch(r *request) {
	b := s.bindings[r.route.Type]
	if b == nil {
		b = &binding{s: s, kind: r.route.Type}
		s.bindings[r.route.Type] = b
	}
	s.requests++
	r.seq, r.binding, r.req.Player = s.requests, b, s.player
	b.queue = append(b.queue, r)
	b.pump()
}

// finishLocked answers a request for good. The mutex is held; it is let go in
// between.
func (s *session) finishLocked(r *request, a rpc.Response) {
	s.inflight--
	s.g.counters.inflight.Add(-1)
	s.mu.Unlock()
	r.reply(a)
	s.mu.Lock()
}

func (s *session) finish(r *request, a rpc.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishLocked(r, a)
}

// resume lets the requests go on that waited for a login. The mutex is held; it
// is let go in between.
func (s *session) resume() {
	s.busy = false
	if s.resuming {
		return // whoever is at it goes on
	}
	s.resuming = true
	for len(s.waiting) > 0 && !s.busy && !s.closed {
		r := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.begin(r)
	}
	s.resuming = false
}

// expire ends a session that does not log in.
func (s *session) expire(now time.Time) {
	s.mu.Lock()
	idle := s.player == "" && !s.busy && now.Sub(s.active) > s.g.cfg.Limits.LoginTimeout
	s.mu.Unlock()
	if idle {
		s.conn.Close(wirepb.Reason_REASON_HANDSHAKE_TIMEOUT, "no login within "+s.g.cfg.Limits.LoginTimeout.String())
	}
}

// Closed is netcode.Stream's.
func (s *session) Closed() {
	g := s.g
	g.forget(s)
	s.mu.Lock()
	s.closed = true
	dropped := len(s.waiting)
	for _, b := range s.bindings {
		dropped += len(b.queue)
		b.queue = nil
	}
	s.waiting = nil
	s.inflight -= dropped
	end := s.logout(true)
	s.mu.Unlock()
	g.counters.inflight.Add(int64(-dropped))
	g.counters.closed.Add(1)
	end()
}
