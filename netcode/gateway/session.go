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

// session is one client's connection: the shell around a machine. What the machine wants done is done in its order, by one
// goroutine at a time and without the mutex: whoever steps first, on behalf of those who step meanwhile.
type session struct {
	g    *Gateway
	conn *netcode.Conn
	id   string
	text bool

	mu      sync.Mutex
	m       *machine
	running bool     // somebody does the actions
	spare   []action // for the machine, when its own are being done
	begun   bool     // something came: it is too late for Open
	called  bool     // a call came
	format  rpc.Format

	// Of whoever does the actions.
	cancel func() // ends the subscription of the machine's player
	timer  *time.Timer
}

// request is one message of a client, until it is answered.
type request struct {
	s        *session
	route    Route
	call     uint32 // number of the call, if it is one
	isCall   bool
	format   rpc.Format // of the client's message and of its answer
	req      rpc.Request
	deadline time.Duration // of the gateway's clock
	answer   rpc.Response  // of an actReply

	// The machine's, once the request is on its way.
	seq      uint64
	binding  *binding
	instance string // that has it, or had it last
	sent     bool   // it waits for an instance's answer
	login    bool   // its answer decides about a login
	again    bool   // it was sent to an instance that was not there
}

// step hands an event to the machine and does what it wants done.
func (s *session) step(e event) {
	e.now = s.g.now()
	s.mu.Lock()
	s.m.step(&e)
	if s.running {
		s.mu.Unlock()
		return // whoever is at it goes on
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
	r := &request{s: s}
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
	r.deadline = s.g.now() + timeout
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

// take hands a request to the machine.
func (s *session) take(r *request) {
	s.g.counters.requests.Add(1)
	r.req.Message, r.req.Session, r.req.Format = r.route.Method.Name, s.id, r.format
	s.step(event{kind: eventRequest, r: r})
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

// Closed implements netcode.Stream.
func (s *session) Closed() {
	s.g.counters.closed.Add(1)
	s.step(event{kind: eventClosed})
}
