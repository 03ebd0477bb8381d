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

// session is one client's connection: the shell around a machine. One goroutine at a time performs the machine's
// actions, in order and without holding the mutex. It is the one that steps first; it also performs the actions of those
// that step meanwhile.
type session struct {
	g    *Gateway
	conn *netcode.Conn
	id   string
	text bool

	mu      sync.Mutex
	m       *machine
	running bool       // a goroutine is performing actions
	spare   []action   // the machine's next slice, while its own is being performed
	format  rpc.Format // written only by the goroutine that calls Receive

	// Used only by the goroutine that calls Receive.
	begun  bool // a message has come: too late for Open
	called bool // a call has come

	// Used only by the goroutine that performs actions.
	cancel func() // ends the subscription to the pushes of the machine's player
	timer  *time.Timer
}

// request is one message of a client, until it is answered.
type request struct {
	s        *session
	route    Route
	call     uint32 // call number, if isCall
	isCall   bool
	format   rpc.Format // of the client's message and its answer
	req      rpc.Request
	deadline time.Duration // on the gateway's clock
	answer   rpc.Response  // for actReply

	// Used by the machine, once the request is in it.
	seq      uint64
	binding  *binding
	instance string // that has the request, or had it last
	sent     bool   // waiting for an instance's answer
	login    bool   // its answer decides about a login
	again    bool   // sent before, to an instance that was not there
}

// step passes an event to the machine and performs the resulting actions.
func (s *session) step(e event) { s.stepAt(s.g.now(), e) }

// stepAt is step for an event that happened at now.
func (s *session) stepAt(now time.Duration, e event) {
	e.now = now
	s.mu.Lock()
	s.m.step(&e)
	if s.running {
		s.mu.Unlock()
		return // the running goroutine performs them
	}
	s.running = true
	for len(s.m.actions) > 0 {
		todo := s.m.actions
		s.m.actions = s.spare
		s.mu.Unlock()
		for i := range todo {
			s.perform(&todo[i])
		}
		clear(todo)
		s.mu.Lock()
		s.spare = todo[:0]
	}
	s.running = false
	s.mu.Unlock()
}

// Receive implements netcode.Stream.
func (s *session) Receive(id uint32, payload []byte) {
	s.g.counters.bytesIn.Add(uint64(frame.HeaderSize + len(payload)))
	if id == wirepb.IDOpen {
		s.open(payload)
		return
	}
	r := &request{s: s, format: s.format}
	timeout := s.g.cfg.Limits.Timeout
	s.begun = true
	if id&wirepb.IDCall != 0 {
		if !s.called {
			s.called = true
			s.conn.Coalesce(true) // a client that numbers calls can split frames
		}
		call, ms, message, ok := parseCall(payload)
		if !ok {
			s.conn.Close(wirepb.Reason_REASON_PROTOCOL, "a call begins with 8 bytes: its number and its timeout")
			return
		}
		r.isCall, r.call, payload = true, call, message
		id &^= wirepb.IDCall
		timeout = s.g.timeout(ms)
	}
	now := s.g.now()
	r.deadline = now + timeout
	r.route.Method.ID = id
	if id == wirepb.IDTicketRequest {
		r.route = ticketRoute
	} else if route, ok := s.g.route(id); ok {
		r.route = route
	} else {
		s.g.counters.requests.Add(1)
		r.fail(rpc.Unimplemented, "no service handles message %d", id)
		return
	}
	r.req.Payload = slices.Clone(payload)
	s.take(r, now)
}

// take passes a request that came at now to the machine.
func (s *session) take(r *request, now time.Duration) {
	s.g.counters.requests.Add(1)
	r.req.Message, r.req.Session, r.req.Format = r.route.Method.Name, s.id, r.format
	s.stepAt(now, event{kind: eventRequest, r: r})
}

// parseCall splits the payload of a call. message aliases payload.
func parseCall(payload []byte) (call, timeoutMS uint32, message []byte, ok bool) {
	if len(payload) < 8 {
		return 0, 0, nil, false
	}
	return binary.LittleEndian.Uint32(payload), binary.LittleEndian.Uint32(payload[4:]), payload[8:], true
}

// timeout converts a client's timeout: 0 is the default, and MaxTimeout caps it.
func (g *Gateway) timeout(ms uint32) time.Duration {
	if ms == 0 {
		return g.cfg.Limits.Timeout
	}
	return min(time.Duration(ms)*time.Millisecond, g.cfg.Limits.MaxTimeout)
}

// open handles Open, which may only be a connection's first message.
func (s *session) open(payload []byte) {
	var m wirepb.Open
	late := s.begun
	s.begun = true
	switch err := proto.Unmarshal(payload, &m); {
	case late:
		s.conn.Close(wirepb.Reason_REASON_PROTOCOL, "Open must be the first message")
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

// Closed implements netcode.Stream.
func (s *session) Closed() {
	s.g.counters.closed.Add(1)
	s.step(event{kind: eventClosed})
}
