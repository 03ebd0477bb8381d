package gateway

import (
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Push delivers a push to the sessions of one player, or to all logged-in players if player is "". The link calls it. It
// does not block.
func (g *Gateway) Push(player string, p rpc.Push) {
	if p.Message == replacedMessage {
		g.hear(player, p.Payload)
		return
	}
	to := g.of(player)
	if player == "" {
		to = g.all()
	}
	out := outgoing{g: g, push: p}
	for _, s := range to {
		s.push(player, &out)
	}
}

// outgoing is a push on its way to many sessions. It makes each form once.
type outgoing struct {
	g     *Gateway
	push  rpc.Push
	forms [3]form
}

type form struct {
	made, ok bool
	bytes    []byte
}

// The forms of a push are the formats, then a text message.
const formText = 2

func (o *outgoing) form(which int) ([]byte, bool) {
	f := &o.forms[which]
	if !f.made {
		f.made = true
		f.bytes, f.ok = o.make(which)
	}
	return f.bytes, f.ok
}

func (o *outgoing) make(which int) ([]byte, bool) {
	format := rpc.Format(which)
	if which == formText {
		format = rpc.JSON
	}
	payload, err := o.g.messages.transcode(o.push.Message, o.push.Format, format, o.push.Payload)
	switch {
	case err != nil:
		o.g.log.Debug("gateway: dropping a push", "error", err)
		return nil, false
	case len(payload) > frame.MaxFromServer:
		o.g.log.Warn("gateway: a push is larger than a frame", "message", o.push.Message, "bytes", len(payload))
		return nil, false
	case which == formText:
		return textPush(o.push.Message, payload)
	}
	if wirepb.Reserved(o.push.ID) {
		return nil, false
	}
	return payload, true
}

// push sends a push if the session belongs to player, or, if player is "", if its login is confirmed.
func (s *session) push(player string, o *outgoing) {
	s.mu.Lock()
	which := int(s.format)
	mine := s.m.player != "" && (s.m.player == player || player == "" && s.m.since) && !s.m.closed
	s.mu.Unlock()
	if !mine {
		return
	}
	if s.text {
		which = formText
	}
	b, ok := o.form(which)
	if !ok {
		s.g.counters.pushesDropped.Add(1)
		return
	}
	s.g.counters.pushes.Add(1)
	if s.text {
		s.sendText(b)
		return
	}
	s.g.counters.bytesOut.Add(uint64(frame.HeaderSize + len(b)))
	s.conn.SendFrame(o.push.ID, b)
}
