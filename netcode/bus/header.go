package bus

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/ferris1/wind/netcode/rpc"
)

// Names of headers.
const (
	headerMessage = "Wind-Message"
	headerID      = "Wind-Id"
	headerFormat  = "Wind-Format"
	headerPlayer  = "Wind-Player"
	headerSession = "Wind-Session"
	headerFrom    = "Wind-From"
	headerTimeout = "Wind-Timeout"
	headerMaybe   = "Wind-Maybe"
	headerUnbegun = "Wind-Not-Begun"
	headerTrace   = "traceparent"
	headerCode    = micro.ErrorCodeHeader
	headerError   = micro.ErrorHeader
	headerStatus  = "Status" // set by NATS: 503 means nobody is subscribed
)

const formatJSON = "json"

// MaxPayload is the longest payload of a request, an answer or a push, in bytes. A NATS server may accept less.
const MaxPayload = 1 << 20

// MaxTimeout is the longest time to wait for an answer.
const MaxTimeout = time.Hour

// maxErrorText is the longest error text that is sent, in bytes; the rest is cut off.
const maxErrorText = 1024

// header builds a nats.Header with one backing array for its values.
type header struct {
	h      nats.Header
	values []string
}

func newHeader(most int) header { return header{make(nats.Header, most), make([]string, 0, most)} }

// set sets a header unless the value is empty.
func (b *header) set(key, value string) {
	if value == "" {
		return
	}
	n := len(b.values)
	b.values = append(b.values, value)
	b.h[key] = b.values[n : n+1 : n+1]
}

func (b *header) format(f rpc.Format) {
	if f == rpc.JSON {
		b.set(headerFormat, formatJSON)
	}
}

// value returns a header's first value. Names are case-sensitive.
func value(h nats.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func parseFormat(h nats.Header) (rpc.Format, error) {
	switch v := value(h, headerFormat); v {
	case "", "protobuf":
		return rpc.Protobuf, nil
	case formatJSON:
		return rpc.JSON, nil
	default:
		return 0, fmt.Errorf("format %q is neither json nor protobuf", clip(v))
	}
}

// checkRequest refuses a request that cannot be sent.
func checkRequest(r *rpc.Request) error {
	if err := ValidMessage(r.Message); err != nil {
		return err
	}
	if r.Player != "" {
		if err := rpc.ValidPlayer(r.Player); err != nil {
			return err
		}
	}
	if err := validToken("session", r.Session, maxSession); err != nil {
		return err
	}
	if err := validToken("sender", r.From, maxFrom); err != nil {
		return err
	}
	if len(r.Payload) > MaxPayload {
		return fmt.Errorf("%s has %d bytes, more than %d", r.Message, len(r.Payload), MaxPayload)
	}
	return nil
}

// requestHeader makes the headers of a request that passes checkRequest. It omits a trace that cannot be sent.
func requestHeader(r *rpc.Request, timeout time.Duration) nats.Header {
	b := newHeader(7)
	b.set(headerMessage, r.Message)
	b.format(r.Format)
	b.set(headerPlayer, r.Player)
	b.set(headerSession, r.Session)
	b.set(headerFrom, r.From)
	if timeout > 0 && !usual(timeout) {
		b.set(headerTimeout, timeoutText(timeout))
	}
	if validToken("trace", r.Trace, maxTrace) == nil {
		b.set(headerTrace, r.Trace)
	}
	return b.h
}

// parseRequest reads a request. The result aliases h and payload.
func parseRequest(h nats.Header, payload []byte) (*rpc.Request, error) {
	format, err := parseFormat(h)
	if err != nil {
		return nil, err
	}
	r := &rpc.Request{
		Message: value(h, headerMessage), Format: format, Payload: payload,
		Player: value(h, headerPlayer), Session: value(h, headerSession), From: value(h, headerFrom), Trace: value(h, headerTrace),
	}
	if r.Message == "" {
		return nil, fmt.Errorf("a request without the header %s, the name of its message", headerMessage)
	}
	if err := checkRequest(r); err != nil {
		return nil, err
	}
	if validToken("trace", r.Trace, maxTrace) != nil {
		r.Trace = ""
	}
	if v := value(h, headerTimeout); v != "" {
		if r.Timeout, err = parseTimeout(v); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// usual reports whether a timeout equals the default, give or take the time since it was chosen. Such a timeout
// needs no header, and each header costs.
func usual(d time.Duration) bool {
	return d <= rpc.DefaultTimeout && d > rpc.DefaultTimeout-50*time.Millisecond
}

func timeoutText(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }

// parseTimeout reads a timeout and caps it at MaxTimeout. 0 means none was given.
func parseTimeout(s string) (time.Duration, error) {
	ms, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("timeout %q is not a number of milliseconds", clip(s))
	}
	return time.Duration(min(ms, uint64(MaxTimeout/time.Millisecond))) * time.Millisecond, nil
}

// responseMsg makes the message that answers at reply. If the answer cannot be sent, it makes an error that says so.
func responseMsg(reply string, r *rpc.Response) *nats.Msg {
	if r.Err == nil {
		if err := checkResponse(r); err != nil {
			r = &rpc.Response{Err: &rpc.Error{Code: rpc.Internal, Text: fmt.Sprintf("the answer cannot be sent: %v", err), Maybe: true}}
		}
	}
	m := &nats.Msg{Subject: reply, Data: r.Payload}
	b := newHeader(3)
	if e := r.Err; e != nil {
		b.set(headerCode, strconv.FormatUint(uint64(e.Code), 10))
		b.set(headerError, errorText(e.Text))
		switch {
		case e.Maybe:
			b.set(headerMaybe, "1")
		case e.NotBegun:
			b.set(headerUnbegun, "1")
		}
		m.Data = nil
	} else {
		b.set(headerMessage, r.Message)
		b.format(r.Format)
		b.set(headerPlayer, r.Player)
	}
	if len(b.h) > 0 {
		m.Header = b.h
	}
	return m
}

func checkResponse(r *rpc.Response) error {
	if r.Message != "" {
		if err := ValidMessage(r.Message); err != nil {
			return err
		}
	}
	if r.Player != "" {
		if err := rpc.ValidPlayer(r.Player); err != nil {
			return err
		}
	}
	if len(r.Payload) > MaxPayload {
		return fmt.Errorf("%s has %d bytes, more than %d", r.Message, len(r.Payload), MaxPayload)
	}
	return nil
}

// errorText turns a text into one line of bounded length.
func errorText(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText]
	}
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.TrimSpace(s)
}

// parseResponse reads an answer. An unreadable answer becomes an error with Maybe: the request may have been
// executed.
func parseResponse(h nats.Header, payload []byte) rpc.Response {
	if code := value(h, headerCode); code != "" {
		maybe := value(h, headerMaybe) != ""
		return rpc.Response{Err: &rpc.Error{
			Code: parseCode(code), Text: errorText(value(h, headerError)), Maybe: maybe, NotBegun: !maybe && value(h, headerUnbegun) != "",
		}}
	}
	format, err := parseFormat(h)
	r := rpc.Response{Message: value(h, headerMessage), Format: format, Payload: payload, Player: value(h, headerPlayer)}
	if err == nil {
		err = checkResponse(&r)
	}
	if err != nil {
		return maybe(rpc.Internal, "the answer cannot be read: %v", err)
	}
	return r
}

// parseCode returns Unknown if s is not the code of a failure.
func parseCode(s string) rpc.Code {
	n, err := strconv.ParseUint(s, 10, 32)
	c := rpc.Code(n)
	if err != nil || c == rpc.OK || strings.HasPrefix(c.String(), "code ") {
		return rpc.Unknown
	}
	return c
}

func pushHeader(p *rpc.Push) nats.Header {
	b := newHeader(3)
	b.set(headerMessage, p.Message)
	b.set(headerID, strconv.FormatUint(uint64(p.ID), 10))
	b.format(p.Format)
	return b.h
}

func checkPush(p *rpc.Push) error {
	if err := ValidMessage(p.Message); err != nil {
		return err
	}
	if p.ID == 0 || p.ID > math.MaxInt32 {
		return fmt.Errorf("push %s has the frame id %d: its message has no option (wind.id)", p.Message, p.ID)
	}
	if len(p.Payload) > MaxPayload {
		return fmt.Errorf("push %s has %d bytes, more than %d", p.Message, len(p.Payload), MaxPayload)
	}
	return nil
}

func parsePush(h nats.Header, payload []byte) (rpc.Push, error) {
	format, err := parseFormat(h)
	if err != nil {
		return rpc.Push{}, err
	}
	id, err := strconv.ParseUint(value(h, headerID), 10, 31)
	if err != nil {
		return rpc.Push{}, fmt.Errorf("frame id %q is not a number below 1<<31", clip(value(h, headerID)))
	}
	p := rpc.Push{Message: value(h, headerMessage), ID: uint32(id), Format: format, Payload: payload}
	return p, checkPush(&p)
}

// maybe returns a failure of a request that may have been executed.
func maybe(code rpc.Code, format string, args ...any) rpc.Response {
	e := rpc.Errorf(code, format, args...)
	e.Maybe = true
	return rpc.Response{Err: e}
}

// notBegun returns a failure of a request that reached no handler.
func notBegun(code rpc.Code, format string, args ...any) rpc.Response {
	return rpc.Response{Err: rpc.NotBegun(code, format, args...)}
}
