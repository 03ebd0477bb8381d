package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// perform performs one action of the machine. Actions that may block run in their own goroutines.
func (s *session) perform(a *action) {
	g := s.g
	switch a.kind {
	case actReply:
		a.r.reply(a.r.answer)
	case actSend:
		s.send(a)
	case actIdentify:
		r := a.r
		s.start(func() {
			player, err := g.identify(r)
			s.step(event{kind: eventIdentified, r: r, player: player, err: err})
		}, event{kind: eventIdentified, r: r, err: errStops})
	case actTicket:
		r, player := a.r, a.player
		s.start(func() { s.step(event{kind: eventAnswer, r: r, answer: s.ticket(r, player)}) },
			event{kind: eventAnswer, r: r, answer: rpc.Response{Err: errStops}})
	case actSubscribe:
		s.step(event{kind: eventSubscribed, player: a.player, err: s.subscribe(a.player)})
	case actUnsubscribe:
		s.unsubscribe(a.player)
	case actFind:
		s.step(event{kind: eventFound, op: a.op, found: g.find(a)})
	case actRead:
		op, player := a.op, a.player
		s.start(func() { s.step(g.read(op, player)) }, event{kind: eventRead, op: op, failed: true, err: errStops})
	case actWrite:
		w := *a
		s.start(func() { s.step(g.write(&w)) }, event{kind: eventWritten, op: w.op, failed: true, err: errStops})
	case actTell:
		g.cfg.Directory.Leave(a.serviceType, a.instance)
		g.tell(a.player, s.id, a.serviceType, a.instance)
	case actAnnounce:
		g.announce(a.player, s.id, a.revision)
	case actClose:
		s.end(a.reason)
	case actTimer:
		s.wake(a.at - g.now())
	case actEnd:
		if s.timer != nil {
			s.timer.Stop()
		}
		g.forget(s)
	}
}

// errStops answers requests that come while the gateway is closing.
var errStops = rpc.Errorf(rpc.Unavailable, "the gateway is stopping")

// start runs f, which steps the machine, in a goroutine. If the gateway is closed, the machine gets the event otherwise.
func (s *session) start(f func(), otherwise event) {
	if !s.g.spawn(f) {
		s.step(otherwise)
	}
}

// wake steps the machine after a pause.
func (s *session) wake(pause time.Duration) {
	if s.timer == nil {
		s.timer = time.AfterFunc(pause, func() { s.step(event{kind: eventTimer}) })
		return
	}
	s.timer.Reset(pause)
}

func (s *session) subscribe(player string) *rpc.Error {
	s.g.enter(player, s)
	cancel, err := s.g.cfg.Link.Subscribe(player)
	if err != nil {
		s.g.leave(player, s)
		s.g.log.Warn("gateway: cannot subscribe to a player's pushes", "player", player, "error", err)
		return rpc.ErrorOf(err)
	}
	s.cancel = cancel
	return nil
}

func (s *session) unsubscribe(player string) {
	if s.cancel == nil {
		return // the subscription failed
	}
	s.g.leave(player, s)
	s.cancel()
	s.cancel = nil
}

// end closes the connection.
func (s *session) end(why closing) {
	switch why {
	case closeReplaced:
		s.conn.Close(wirepb.Reason_REASON_REPLACED, "the player has logged in on another connection")
	case closeFailures:
		s.conn.Close(wirepb.Reason_REASON_TOO_MUCH, "too many failed logins")
	case closeNoLogin:
		s.conn.Close(wirepb.Reason_REASON_HANDSHAKE_TIMEOUT, "no login within "+s.g.cfg.Limits.LoginTimeout.String())
	}
}

// send sends a request in a format that its instance accepts.
func (s *session) send(a *action) {
	if err := s.g.speak(a.r, a.serviceType, a.instance); err != nil {
		s.step(event{kind: eventAnswer, r: a.r, answer: rpc.Response{Err: err}})
		return
	}
	s.g.cfg.Link.Send(a.serviceType, a.instance, &a.r.req, a.r.done)
}

// done takes the answer of an instance or of the link.
func (r *request) done(a rpc.Response) { r.s.step(event{kind: eventAnswer, r: r, answer: a}) }

// speak converts a request to a format that the instance accepts.
func (g *Gateway) speak(r *request, serviceType, instance string) *rpc.Error {
	if g.cfg.Directory.Takes(serviceType, instance, r.req.Format) {
		return nil
	}
	other := rpc.JSON
	if r.req.Format == rpc.JSON {
		other = rpc.Protobuf
	}
	payload, err := g.messages.transcode(r.req.Message, r.req.Format, other, r.req.Payload)
	switch {
	case errors.Is(err, errNotKnown):
		return rpc.Errorf(rpc.Unimplemented, "this %s accepts only %s, and the gateway does not know %s (wind gateway --proto)", serviceType, other, r.req.Message)
	case err != nil:
		return rpc.Errorf(rpc.InvalidArgument, "the payload is not a valid %s in %s", r.req.Message, r.req.Format)
	}
	r.req.Format, r.req.Payload = other, payload
	return nil
}

// identify asks the authenticator who r's client is. A login on which the authenticator panics is refused.
func (g *Gateway) identify(r *request) (player string, fault *rpc.Error) {
	defer func() {
		if p := recover(); p != nil {
			g.log.Error("gateway: the authenticator panicked", "session", r.s.id, "addr", r.s.conn.Addr(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			player, fault = "", rpc.Errorf(rpc.Internal, "internal error")
		}
	}()
	ctx, cancel := context.WithTimeout(g.ctx, g.cfg.Limits.AuthTimeout)
	defer cancel()
	name := r.req.Message
	player, err := g.cfg.Authenticator.Authenticate(ctx, Login{
		Message: name, Format: r.format, Payload: r.req.Payload, Descriptor: g.messages.descriptor(name),
		Session: r.s.id, Addr: r.s.conn.Addr(),
	})
	var told *rpc.Error
	switch {
	case errors.As(err, &told):
		return "", told
	case errors.Is(err, context.DeadlineExceeded):
		return "", rpc.Errorf(rpc.DeadlineExceeded, "the login took too long")
	case err != nil:
		g.log.Info("gateway: login refused", "session", r.s.id, "addr", r.s.conn.Addr(), "error", err)
		return "", rpc.Errorf(rpc.Unauthenticated, "the login is refused")
	}
	return player, validPlayer(player)
}

// find queries the directory for a player.
func (g *Gateway) find(a *action) (f found) {
	if a.instance != "" {
		s := g.cfg.Directory.Look(a.serviceType, a.instance)
		f.alive, f.drains = s.Alive, s.Draining
	}
	if f.picked = a.picks; a.picks {
		f.other, _ = g.cfg.Directory.Pick(a.serviceType, a.key, a.instance, a.avoid)
	}
	return f
}

// maxAccesses bounds concurrent accesses to the store. When NATS comes back, a gateway asks for all its records.
const maxAccesses = 64

// access waits for a slot at the store. The context it returns ends early enough to answer the client.
func (g *Gateway) access() (ctx context.Context, end func()) {
	g.accesses <- struct{}{}
	ctx, cancel := context.WithTimeout(g.ctx, g.cfg.Limits.FindTimeout)
	return ctx, func() {
		cancel()
		<-g.accesses
	}
}

// read reads a player's record.
func (g *Gateway) read(op uint64, player string) event {
	ctx, end := g.access()
	defer end()
	value, revision, err := g.cfg.Bindings.Get(ctx, RecordKey(player))
	if err != nil {
		g.log.Warn("gateway: cannot read a player's record", "player", player, "error", err)
		return event{kind: eventRead, op: op, failed: true}
	}
	record, err := ParseRecord(value)
	if err != nil { // it will be overwritten
		g.log.Warn("gateway: overwriting a player's record", "player", player, "error", err)
	}
	return event{kind: eventRead, op: op, record: record, revision: revision}
}

// write writes a player's record unless another writer came first.
func (g *Gateway) write(a *action) event {
	ctx, end := g.access()
	defer end()
	next, ok, err := g.cfg.Bindings.PutFor(ctx, RecordKey(a.player), a.record.bytes(), a.revision, a.life)
	switch {
	case err != nil:
		g.log.Warn("gateway: cannot write a player's record", "player", a.player, "error", err)
		return event{kind: eventWritten, op: a.op, failed: true}
	case !ok:
		next = 0
	}
	return event{kind: eventWritten, op: a.op, revision: next}
}

// tell notifies an instance that a player's session is over.
func (g *Gateway) tell(player, session, serviceType, instance string) {
	payload := encode(rpc.Protobuf, &wirepb.PlayerDisconnected{Player: player, Session: session})
	err := g.cfg.Link.Tell(rpc.Address{Type: serviceType, ID: instance}, rpc.Request{
		Message: rpc.Disconnected, Payload: payload, Player: player, From: g.from(),
	})
	if err != nil {
		g.log.Debug("gateway: cannot tell a service that a player has left", "type", serviceType, "instance", instance, "error", err)
	}
}

// replacedMessage is the name of wirepb.Replaced on the bus.
const replacedMessage = "wind.replaced"

// announce tells all gateways, this one first, which session is now the player's.
func (g *Gateway) announce(player, session string, revision uint64) {
	g.replace(player, session, revision)
	err := g.cfg.Link.Push(player, rpc.Push{
		Message: replacedMessage, ID: wirepb.IDReplaced, Payload: encode(rpc.Protobuf, &wirepb.Replaced{Session: session, Revision: revision}),
	})
	if err != nil {
		g.log.Warn("gateway: cannot announce a player's login: other gateways will learn of it late", "player", player, "error", err)
	}
}

// hear takes another gateway's announcement.
func (g *Gateway) hear(player string, payload []byte) {
	var m wirepb.Replaced
	if err := proto.Unmarshal(payload, &m); err != nil {
		g.log.Warn("gateway: malformed announcement", "player", player, "error", err)
		return
	}
	g.replace(player, m.Session, m.Revision)
}

func (g *Gateway) replace(player, session string, revision uint64) {
	for _, s := range g.of(player) {
		s.step(event{kind: eventReplaced, player: player, session: session, revision: revision})
	}
}
