package gateway

import (
	"context"
	"errors"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// login asks the authenticator who r's client is, binds the player and hands r
// to the service, whose answer decides.
func (s *session) login(r *request) {
	player, err := s.g.authenticate(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = s.become(player)
	}
	if err != nil {
		s.refuse(r, rpc.Response{Err: err})
		return
	}
	r.login = true
	s.dispatch(r)
}

func (g *Gateway) authenticate(r *request) (string, *rpc.Error) {
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
		g.log.Info("gateway: a login is refused", "session", r.s.id, "addr", r.s.conn.Addr(), "error", err)
		return "", rpc.Errorf(rpc.Unauthenticated, "the login is refused")
	}
	return player, validPlayer(player)
}

// validPlayer refuses what cannot be a player's name.
func validPlayer(name string) *rpc.Error {
	first, _ := utf8.DecodeRuneInString(name)
	last, _ := utf8.DecodeLastRuneInString(name)
	bad := name == "" || len(name) > 128 || !utf8.ValidString(name) || unicode.IsSpace(first) || unicode.IsSpace(last)
	for _, c := range name {
		bad = bad || unicode.IsControl(c)
	}
	if bad {
		return rpc.Errorf(rpc.InvalidArgument, "a player's name has 1 to 128 bytes of UTF-8, no control characters, and no spaces at its ends")
	}
	return nil
}

// become makes the session's player of somebody, until its login is confirmed
// or refused. The mutex is held; it is let go in between.
func (s *session) become(player string) *rpc.Error {
	if s.player == player {
		return nil
	}
	g := s.g
	end := s.logout(true)
	s.mu.Unlock()
	end()
	g.enter(player, s)
	cancel, err := g.cfg.Link.Subscribe(player)
	s.mu.Lock()
	if err == nil && !s.closed {
		s.player, s.cancel = player, cancel
		return nil
	}
	s.mu.Unlock()
	g.leave(player, s)
	if err != nil {
		g.log.Warn("gateway: no pushes for a player", "player", player, "error", err)
	} else {
		cancel()
	}
	s.mu.Lock()
	return rpc.Errorf(rpc.Unavailable, "the gateway cannot let players in now")
}

// decide ends a login with the service's answer. The mutex is held; it is let go
// in between.
func (s *session) decide(r *request, a rpc.Response) {
	switch {
	case a.Err != nil:
		s.refuse(r, a)
		return
	case a.Player != "" && a.Player != s.player:
		s.start(r, func() { s.adopt(r, a) })
		return
	case s.player != "":
		s.confirm()
	}
	s.finishLocked(r, a)
	s.resume()
}

// refuse ends a login that failed: nobody is logged in any more. The mutex is
// held; it is let go in between.
func (s *session) refuse(r *request, a rpc.Response) {
	s.failures++
	tooMany := s.failures >= s.g.cfg.Limits.MaxLoginFailures
	end := s.logout(true)
	s.mu.Unlock()
	end()
	s.mu.Lock()
	s.finishLocked(r, a)
	if tooMany {
		s.conn.Close(wirepb.Reason_REASON_TOO_MUCH, "too many failed logins")
	}
	s.resume()
}

// adopt logs the session in as its handler said, with the instance that said so.
func (s *session) adopt(r *request, a rpc.Response) {
	err := validPlayer(a.Player)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = s.become(a.Player)
	}
	if err == nil {
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(s.g.ctx, s.g.cfg.Limits.FindTimeout)
		var instance string
		instance, err = s.g.bind(ctx, want{kind: r.route.Type, player: a.Player, prefer: r.instance, login: true})
		cancel()
		s.mu.Lock()
		s.bindings[r.route.Type] = &binding{s: s, kind: r.route.Type, instance: instance}
	}
	if err != nil {
		err.Maybe = true // its handler has run
		s.refuse(r, rpc.Response{Err: err})
		return
	}
	s.confirm()
	s.finishLocked(r, a)
	s.resume()
}

// answered takes the answer of a request that was sent. The mutex is held; it is
// let go in between.
func (s *session) answered(r *request, a rpc.Response) {
	switch {
	case r.login:
		s.decide(r, a)
	case a.Err == nil && a.Player != "" && a.Player != s.player && s.busy:
		s.finishLocked(r, maybe(rpc.Aborted, "another login of this session is under way"))
	case a.Err == nil && a.Player != "" && a.Player != s.player:
		s.busy = true
		s.start(r, func() { s.adopt(r, a) })
	default:
		s.finishLocked(r, a)
	}
}

// confirm makes the session the player's only one. The mutex is held; it is let
// go in between.
func (s *session) confirm() {
	if s.since != 0 || s.closed {
		return
	}
	g := s.g
	s.since = time.Now().UnixNano()
	player, since := s.player, s.since
	s.mu.Unlock()
	g.counters.logins.Add(1)
	for _, o := range g.of(player) {
		o.yield(player, s.id, since)
	}
	g.announce(player, s.id, since)
	s.mu.Lock()
}

// replacedMessage is the name of wirepb.Replaced on the bus.
const replacedMessage = "wind.replaced"

// announce tells all gateways whose session a player's is.
func (g *Gateway) announce(player, session string, since int64) {
	err := g.cfg.Link.Push(player, rpc.Push{
		Message: replacedMessage, ID: wirepb.IDReplaced, Payload: encode(rpc.Protobuf, &wirepb.Replaced{Session: session, Since: since}),
	})
	if err != nil {
		g.log.Warn("gateway: older sessions of a player may go on", "player", player, "error", err)
	}
}

// replace takes another gateway's announcement.
func (g *Gateway) replace(player string, payload []byte) {
	var m wirepb.Replaced
	if err := proto.Unmarshal(payload, &m); err != nil {
		g.log.Warn("gateway: an announcement is malformed", "player", player, "error", err)
		return
	}
	for _, s := range g.of(player) {
		s.yield(player, m.Session, m.Since)
	}
}

// tie is how close two logins of a player are when their gateways cannot know
// which came first: then the later stamp wins, on both.
const tie = 2 * time.Second

// yield ends the session if another one of its player is newer; of two that
// logged in at the same time one stays, and says so.
func (s *session) yield(player, session string, since int64) {
	s.mu.Lock()
	mine := s.since
	if s.closed || s.replaced || mine == 0 || s.id == session || s.player != player {
		s.mu.Unlock()
		return // a login that is not confirmed yet replaces the other when it is
	}
	stays := time.Since(time.Unix(0, mine)) < tie && (mine > since || mine == since && s.id > session)
	s.replaced = !stays
	s.mu.Unlock()
	if stays {
		s.g.announce(player, s.id, mine)
		return
	}
	s.g.counters.replaced.Add(1)
	s.conn.Close(wirepb.Reason_REASON_REPLACED, "the player has logged in on another connection")
}

// logout forgets the player; end, which is called without the mutex, tells those
// who are to know. The mutex is held.
func (s *session) logout(tell bool) (end func()) {
	player, cancel, confirmed := s.player, s.cancel, s.since != 0
	if player == "" {
		return func() {}
	}
	bound := map[string]string{}
	for kind, b := range s.bindings {
		if b.instance != "" {
			bound[kind] = b.instance
		}
	}
	s.player, s.cancel, s.since, s.bindings = "", nil, 0, map[string]*binding{}
	s.active = time.Now()
	tell = tell && confirmed && !s.replaced
	return func() {
		s.g.leave(player, s)
		cancel()
		if confirmed {
			s.g.counters.logouts.Add(1)
		}
		if tell {
			s.g.disconnected(player, s.id, bound)
		}
	}
}

// disconnected tells the instances that a player was bound to that it has gone,
// and frees it from those that drain.
func (g *Gateway) disconnected(player, session string, bound map[string]string) {
	payload := encode(rpc.Protobuf, &wirepb.PlayerDisconnected{Player: player, Session: session})
	for kind, instance := range bound {
		err := g.cfg.Link.Tell(rpc.Address{Type: kind, ID: instance}, rpc.Request{
			Message: "PlayerDisconnected", Payload: payload, Player: player, From: g.from(),
		})
		if err != nil {
			g.log.Debug("gateway: a disconnection is not told", "type", kind, "instance", instance, "error", err)
		}
		if g.draining(kind, instance) {
			g.spawn(func() { g.unbind(kind, player, instance) })
		}
	}
}

// unbind removes a player's binding if it is still to that instance.
func (g *Gateway) unbind(kind, player, instance string) {
	ctx, cancel := context.WithTimeout(g.ctx, g.cfg.Limits.FindTimeout)
	defer cancel()
	key := BindingKey(kind, player)
	value, revision, err := g.cfg.Bindings.Get(ctx, key)
	if err == nil && revision != 0 && string(value) == instance {
		_, err = g.cfg.Bindings.Delete(ctx, key, revision)
	}
	if err != nil {
		g.log.Debug("gateway: a binding stays", "key", key, "error", err)
	}
}
