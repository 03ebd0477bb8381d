package rpc

import "time"

// Format is how a payload is encoded.
type Format uint8

// The formats.
const (
	Protobuf Format = iota
	JSON            // protojson
)

// String is protobuf or json.
func (f Format) String() string {
	if f == JSON {
		return "json"
	}
	return "protobuf"
}

// Request is a message on its way to a handler. It is not written to once it is sent.
type Request struct {
	Message string // the message's short name, "PlayerLoginRequest": the handler's name
	Format  Format
	Payload []byte
	Player  string        // who is logged in at the session, "" before a login and between services
	Session string        // the gateway's session, "<gateway>/<number>"; "" when no client sent it
	From    string        // the service that sent it, "<type>/<id>"
	Timeout time.Duration // how long the sender waits; of a request that has come, how long its receiver has; 0: DefaultTimeout
	Trace   string        // W3C traceparent, or ""
}

// DefaultTimeout is how long an answer is waited for when the caller says nothing.
const DefaultTimeout = 5 * time.Second

// AnswerWithin is how long a receiver may take for a request whose sender waits for d: less than that, so that the sender
// hears in time what became of the request, above all that it was not begun.
func AnswerWithin(d time.Duration) time.Duration { return d - min(d/5, 200*time.Millisecond) }

// FromClient reports whether a client sent the request; else a service did.
func (r *Request) FromClient() bool { return r.Session != "" }

// Response answers a Request.
type Response struct {
	Message string // short name; "" when the handler answers nothing
	Format  Format
	Payload []byte
	Player  string // not "": the handler has logged the session in as this player
	Err     *Error // the request failed; the rest is empty
}

// Disconnected is the message, wirepb.PlayerDisconnected, that a gateway tells
// the instances that a player was bound to when the player's session is over. A
// handler for it, among the server handlers, is optional.
const Disconnected = "PlayerDisconnected"

// Address names the receivers of a message between services.
type Address struct {
	Type string // of the service
	ID   string // one instance; "": any one, unless All
	All  bool   // every instance; nobody answers
}

// Method describes a message that a service handles for clients: an entry of the gateways' routing table.
type Method struct {
	Name   string `json:"name"`             // short name of the request message
	ID     uint32 `json:"id"`               // of its frame, 0 when it has none
	Answer uint32 `json:"answer,omitempty"` // frame id of <Name with Response for Request>, 0 when there is none
	Login  bool   `json:"login,omitempty"`  // it logs a session in
	Public bool   `json:"public,omitempty"` // sessions that are not logged in may send it
}
