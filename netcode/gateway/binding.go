package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// binding is a session's way to a type of service: the instance that its
// requests go to, in their order. The session's mutex guards it.
type binding struct {
	s        *session
	kind     string
	instance string        // "": it has to be found
	finding  bool          // a goroutine looks for it
	avoid    string        // an instance that was not there
	queue    []*request    // in the order of seq
	out      int           // sent and not answered
	idle     chan struct{} // not nil: closed when out is 0
	pumping  bool          // somebody is sending the queue
}

// pump sends what is queued. The session's mutex is held; it is let go in
// between.
func (b *binding) pump() {
	s := b.s
	if b.pumping {
		return // whoever is at it goes on
	}
	b.pumping = true
	for len(b.queue) > 0 && b.instance != "" {
		r := b.queue[0]
		b.queue[0] = nil
		b.queue = b.queue[1:]
		left := time.Until(r.deadline)
		if left <= 0 {
			s.answered(r, failure(rpc.DeadlineExceeded, "no instance of %s in time", b.kind))
			continue
		}
		if err := s.g.speak(r, b); err != nil {
			s.answered(r, rpc.Response{Err: err})
			continue
		}
		b.out++
		r.instance, r.req.Timeout = b.instance, left
		s.mu.Unlock()
		s.g.cfg.Link.Send(b.kind, r.instance, &r.req, r.done)
		s.mu.Lock()
	}
	b.pumping = false
	if len(b.queue) > 0 && !b.finding && !s.closed {
		b.find()
	}
}

// speak brings a request into a format that the instance takes.
func (g *Gateway) speak(r *request, b *binding) *rpc.Error {
	if g.speaker == nil || g.speaker.Takes(b.kind, b.instance, r.req.Format) {
		return nil
	}
	other := rpc.JSON
	if r.req.Format == rpc.JSON {
		other = rpc.Protobuf
	}
	payload, err := g.messages.transcode(r.req.Message, r.req.Format, other, r.req.Payload)
	switch {
	case errors.Is(err, errNotKnown):
		return rpc.Errorf(rpc.Unimplemented, "this %s takes %s alone, and the gateway does not know %s (wind gateway --proto)", b.kind, other, r.req.Message)
	case err != nil:
		return rpc.Errorf(rpc.InvalidArgument, "the payload is no %s in %s", r.req.Message, r.req.Format)
	}
	r.req.Format, r.req.Payload = other, payload
	return nil
}

// done takes the answer of an instance, or of the link.
func (r *request) done(a rpc.Response) {
	s, b := r.s, r.binding
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.out--; b.out == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
	if elsewhere(a.Err) && !r.again && !s.closed {
		r.again = true
		s.g.counters.again.Add(1)
		at, _ := slices.BinarySearchFunc(b.queue, r.seq, func(q *request, seq uint64) int {
			if q.seq < seq {
				return -1
			}
			return 1
		})
		b.queue = slices.Insert(b.queue, at, r)
		b.lose(r.instance)
		b.pump()
		return
	}
	s.answered(r, a)
}

// elsewhere reports whether a request may be sent to another instance: its receiver, or NATS where there is none, says that
// no handler began it, and that another instance may do better.
func elsewhere(e *rpc.Error) bool { return e != nil && e.NotBegun && e.Code == rpc.Unavailable }

// lose forgets an instance that is not there.
func (b *binding) lose(instance string) {
	if b.instance == instance {
		b.instance, b.avoid = "", instance
	}
}

// lost tells a session that an instance is gone.
func (s *session) lost(serviceType, instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.bindings[serviceType]; b != nil && b.instance == instance {
		b.lose(instance)
	}
}

// find looks for an instance. The session's mutex is held.
func (b *binding) find() {
	b.finding = true
	player, avoid := b.queue[0].req.Player, b.avoid
	login := b.queue[0].login
	if !b.s.g.spawn(func() { b.search(player, avoid, login) }) {
		b.finding = false
		b.give(failure(rpc.Unavailable, "the gateway stops"))
	}
}

func (b *binding) search(player, avoid string, login bool) {
	s, g := b.s, b.s.g
	ctx, cancel := context.WithTimeout(g.ctx, g.cfg.Limits.FindTimeout)
	defer cancel()
	var instance string
	var err *rpc.Error
	if player == "" {
		instance, err = g.find(ctx, b.kind, s.id, avoid)
	} else {
		instance, err = g.bind(ctx, want{kind: b.kind, player: player, avoid: avoid, login: login})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		b.settle()
	}
	b.finding, b.avoid = false, ""
	if err != nil {
		b.give(rpc.Response{Err: err})
		return
	}
	b.instance = instance
	b.pump()
}

// settle waits until what was sent is answered, so that requests to two
// instances do not overlap; for the grace at most. The session's mutex is held;
// it is let go in between.
func (b *binding) settle() {
	if b.out == 0 {
		return
	}
	if b.idle == nil {
		b.idle = make(chan struct{})
	}
	idle := b.idle
	b.s.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(b.s.g.cfg.Limits.Grace):
	case <-b.s.g.ctx.Done():
	}
	b.s.mu.Lock()
}

// give answers all that is queued. The session's mutex is held; it is let go in
// between.
func (b *binding) give(a rpc.Response) {
	queue := b.queue
	b.queue = nil
	for _, r := range queue {
		b.s.answered(r, a)
	}
}

// BindingKey is where a player's binding stands.
func BindingKey(serviceType, player string) string {
	return serviceType + "/" + base64.RawURLEncoding.EncodeToString([]byte(player))
}

// want is what a player's binding is to be.
type want struct {
	kind, player string
	avoid        string // not this instance, if that can be
	prefer       string // this one, if the player is not bound; "": whichever the directory picks
	login        bool   // the player logs in: not one that drains
}

// bind returns the instance that a player is bound to, and binds it to another
// one if that is gone, or is the one to avoid. Any gateway may do so at the same
// time: the one whose write comes first says where.
func (g *Gateway) bind(ctx context.Context, w want) (string, *rpc.Error) {
	key := BindingKey(w.kind, w.player)
	for {
		value, revision, err := g.cfg.Bindings.Get(ctx, key)
		if err != nil {
			g.log.Warn("gateway: a player's binding cannot be read", "key", key, "error", err)
			return "", rpc.Errorf(rpc.Unavailable, "it cannot be found out which %s has the player", w.kind)
		}
		bound := string(value)
		alive := revision != 0 && bound != w.avoid && g.cfg.Directory.Alive(w.kind, bound)
		if alive && !(w.login && g.draining(w.kind, bound)) {
			return bound, nil
		}
		next := w.prefer
		if next == "" {
			var failed *rpc.Error
			if next, failed = g.find(ctx, w.kind, w.player, w.avoid); failed != nil && alive {
				return bound, nil // it drains, but there is no other
			} else if failed != nil {
				return "", failed
			}
		}
		if next == bound && revision != 0 {
			return next, nil // it is back, or there is no other
		}
		_, ok, err := g.cfg.Bindings.Put(ctx, key, []byte(next), revision)
		if err != nil {
			g.log.Warn("gateway: a player's binding cannot be written", "key", key, "error", err)
			return "", rpc.Errorf(rpc.Unavailable, "the player cannot be bound to a %s", w.kind)
		}
		if ok {
			if revision != 0 {
				g.counters.rebound.Add(1)
			}
			return next, nil
		}
	}
}

func (g *Gateway) draining(serviceType, instance string) bool {
	d, ok := g.cfg.Directory.(Drainer)
	return ok && d.Draining(serviceType, instance)
}

// searchEvery is the pause between two looks for an instance.
const searchEvery = 50 * time.Millisecond

// find picks an instance, other than the one to avoid if that can be: the
// directory may not know yet that it is gone. It waits while there is none.
func (g *Gateway) find(ctx context.Context, serviceType, key, avoid string) (string, *rpc.Error) {
	until := time.Now().Add(g.cfg.Limits.Grace)
	others, _ := g.cfg.Directory.(Excluder)
	for pick := key; ; {
		if others != nil && avoid != "" {
			if instance, ok := others.PickOther(serviceType, key, avoid); ok {
				return instance, nil
			}
		}
		instance, ok := g.cfg.Directory.Pick(serviceType, pick)
		if ok && (instance != avoid || time.Now().After(until)) {
			return instance, nil
		}
		if ok {
			pick += "'" // another place on the ring, if the selector goes by the key
		}
		select {
		case <-ctx.Done():
			return "", rpc.Errorf(rpc.Unavailable, "no instance of %s takes anybody", serviceType)
		case <-time.After(searchEvery):
		}
	}
}
