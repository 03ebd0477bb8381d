package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// textRequest is a text message of a WebSocket client.
type textRequest struct {
	Message string          `json:"message"`
	Call    *uint32         `json:"call"`
	Timeout uint32          `json:"timeout_ms"`
	Payload json.RawMessage `json:"payload"`
}

// parseText parses a text message. Its payload is a JSON object that does not alias text.
func parseText(text []byte) (m textRequest, err error) {
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("a text message must be a JSON object of message, call, timeout_ms and payload: %w", err)
	}
	if m.Payload = bytes.TrimSpace(m.Payload); len(m.Payload) == 0 || string(m.Payload) == "null" {
		m.Payload = json.RawMessage("{}")
	}
	if m.Payload[0] != '{' {
		return m, fmt.Errorf("the payload of %q is not a JSON object", clip(m.Message))
	}
	return m, nil
}

// clip shortens a text for quoting in an error.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Text implements netcode.Stream.
func (s *session) Text(text []byte) {
	s.g.counters.bytesIn.Add(uint64(len(text)))
	m, err := parseText(text)
	if err != nil {
		s.conn.Close(wirepb.Reason_REASON_PROTOCOL, err.Error())
		return
	}
	if m.Message == "" || m.Message == "HeartbeatRequest" && m.Call == nil {
		return // its arrival was all that mattered
	}
	now := s.g.now()
	r := &request{s: s, format: rpc.JSON, deadline: now + s.g.timeout(m.Timeout), req: rpc.Request{Payload: m.Payload}}
	if m.Call != nil {
		r.isCall, r.call = true, *m.Call
	}
	r.route.Method.Name = m.Message
	if m.Message == ticketRoute.Method.Name {
		r.route = ticketRoute
	} else if route, ok := s.g.routeName(m.Message); ok {
		r.route = route
	} else {
		s.g.counters.requests.Add(1)
		r.fail(rpc.Unimplemented, "no service handles %q", clip(m.Message))
		return
	}
	s.take(r, now)
}

// textAnswer is a text message to a WebSocket client.
type textAnswer struct {
	Message string          `json:"message,omitempty"`
	Call    *uint32         `json:"call,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Request string          `json:"request,omitempty"` // of a fault: the message that failed
	Fault   json.RawMessage `json:"fault,omitempty"`
}

// textReply returns an answer as text, nil if there is nothing to send.
func (r *request) textReply(a rpc.Response) []byte {
	var m textAnswer
	if r.isCall {
		m.Call = &r.call
	}
	switch {
	case a.Err != nil:
		m.Request, m.Fault = clip(r.route.Method.Name), encode(rpc.JSON, r.fault(a.Err))
	case a.Message == "" && !r.isCall:
		return nil
	case a.Message != "":
		m.Message, m.Payload = a.Message, a.Payload
	}
	b, err := json.Marshal(m)
	if err != nil { // the service's JSON is invalid
		r.s.g.log.Warn("gateway: an answer is not JSON", "message", a.Message, "error", err)
		return r.textReply(maybe(rpc.Internal, "the answer, "+a.Message+", is malformed"))
	}
	return b
}

func textPush(message string, payload []byte) ([]byte, bool) {
	b, err := json.Marshal(textAnswer{Message: message, Payload: payload})
	return b, err == nil
}

func (s *session) sendText(b []byte) {
	if b == nil {
		return
	}
	s.g.counters.bytesOut.Add(uint64(len(b)))
	s.conn.SendText(b)
}
