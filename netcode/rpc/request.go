package rpc

import "time"

// Format is how a payload is encoded.
type Format uint8

// The formats.
const (
	Protobuf Format = iota
	JSON            // protojson
)

// String returns "protobuf" or "json".
func (f Format) String() string {
	if f == JSON {
		return "json"
	}
	return "protobuf"
}

// Request is a message on its way to a handler. Nobody may modify it once it is sent.
type Request struct {
	Message string // the message's short name, "PlayerLoginRequest", which is also the handler's name
	Format  Format
	Payload []byte
	Player  string        // logged in at the session; "" before a login and between services
	Session string        // the gateway's session, "<gateway>/<number>"; "" when no client sent it
	From    string        // the service that sent it, "<type>/<id>"
	Timeout time.Duration // how long the sender waits; once received, how long the receiver has; 0: DefaultTimeout
	Trace   string        // W3C traceparent, or ""
}

// DefaultTimeout is how long a caller waits for an answer unless it sets a timeout.
const DefaultTimeout = 5 * time.Second

// AnswerWithin returns how long a receiver may take for a request whose sender waits for d. It is less than d, so
// that the sender learns in time what became of the request, above all if no handler began it.
func AnswerWithin(d time.Duration) time.Duration { return d - min(d/5, 200*time.Millisecond) }

// FromClient reports whether a client sent the request; else a service did.
func (r *Request) FromClient() bool { return r.Session != "" }

// Response answers a Request.
type Response struct {
	Message string // short name; "" if the handler has no answer
	Format  Format
	Payload []byte
	Player  string // if not "", the handler has logged the session in as this player
	Err     *Error // why the request failed; the rest is then empty
}

// Disconnected is the name of the message wirepb.PlayerDisconnected. A gateway sends it to a player's instances when
// the player's session is over. A handler for it, among the server handlers, is optional.
const Disconnected = "PlayerDisconnected"

// Address names the receivers of a message between services.
type Address struct {
	Type string // of the service
	ID   string // one instance; "": any one, unless All
	All  bool   // every instance; none of them answers
}

// Method describes a message that a service handles for clients: an entry of the gateways' routing table.
type Method struct {
	Name   string `json:"name"`             // short name of the request message
	ID     uint32 `json:"id"`               // of its frame; 0: none
	Answer uint32 `json:"answer,omitempty"` // frame id of the answer, which is Name with Response for Request; 0: none
	Login  bool   `json:"login,omitempty"`  // it logs a session in
	Public bool   `json:"public,omitempty"` // sessions may send it without a login
}
