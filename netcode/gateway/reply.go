package gateway

import (
	"encoding/binary"
	"strings"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// failure returns a response that says: no part of the request was done.
func failure(code rpc.Code, format string, args ...any) rpc.Response {
	return rpc.Response{Err: rpc.Errorf(code, format, args...)}
}

// fail answers a request that was not accepted.
func (r *request) fail(code rpc.Code, format string, args ...any) {
	r.reply(failure(code, format, args...))
}

// callSize is the length, in bytes, of the call number before its answer.
const callSize = 4

// reply writes the answer to a request to its client.
func (r *request) reply(a rpc.Response) {
	if a.Err == nil {
		a = r.fit(a)
	}
	if a.Err != nil {
		r.s.g.counters.fault(a.Err.Code)
	}
	if r.s.text {
		r.s.sendText(r.textReply(a))
		return
	}
	switch {
	case a.Err != nil:
		r.send(wirepb.IDFault, encode(r.format, r.fault(a.Err)))
	case a.Message == "" && r.isCall:
		r.send(0, nil)
	case a.Message != "":
		r.send(r.answerID(a.Message), a.Payload)
	}
}

// fit converts an answer to the session's format, or returns an error with Maybe if it cannot be sent: the handler has
// already run.
func (r *request) fit(a rpc.Response) rpc.Response {
	if a.Message == "" {
		return a
	}
	payload, err := r.s.g.messages.transcode(a.Message, a.Format, r.format, a.Payload)
	if err != nil {
		r.s.g.log.Warn("gateway: cannot send an answer", "error", err)
		return maybe(rpc.Internal, "the answer, "+a.Message+", is not in the session's format")
	}
	switch {
	case len(payload) > frame.MaxFromServer-callSize:
		return maybe(rpc.ResourceExhausted, "the answer, "+a.Message+", is larger than a frame")
	case !r.s.text && r.answerID(a.Message) == 0:
		return maybe(rpc.Internal, a.Message+" is no answer of "+r.route.Method.Name+" that the gateway knows, and has no frame id")
	}
	a.Payload = payload
	return a
}

// maybe returns a response that says: part of the request may have been done.
func maybe(code rpc.Code, text string) rpc.Response {
	return rpc.Response{Err: &rpc.Error{Code: code, Text: text, Maybe: true}}
}

// answerID returns the frame id of an answer, 0 if it has none.
func (r *request) answerID(message string) uint32 {
	m := &r.route.Method
	if m.Answer != 0 && message == rpc.AnswerName(m.Name) {
		return m.Answer
	}
	return r.s.g.messages.id(message)
}

func (r *request) fault(e *rpc.Error) *wirepb.Fault {
	return &wirepb.Fault{Code: uint32(e.Code), Text: strings.ToValidUTF8(e.Text, "?"), Message: r.route.Method.ID, Maybe: e.Maybe}
}

// send writes an answer's frame.
func (r *request) send(id uint32, payload []byte) {
	n := frame.HeaderSize + len(payload)
	if !r.isCall {
		r.s.conn.SendFrame(id, payload)
	} else {
		var call [callSize]byte
		binary.LittleEndian.PutUint32(call[:], r.call)
		n += callSize
		r.s.conn.SendFrame(id|wirepb.IDCall, call[:], payload)
	}
	r.s.g.counters.bytesOut.Add(uint64(n))
}
