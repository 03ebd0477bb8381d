package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Gateway is the front door to services. It implements netcode.Gateway. Its methods may be called concurrently.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	messages *messages
	counters counters
	life     string        // tells this gateway's sessions from those of earlier processes with its id
	numbers  atomic.Uint64 // number of the newest session
	began    time.Time     // zero of the machines' monotonic clock
	accesses chan struct{} // slots for accesses to the store
	ctx      context.Context
	cancel   context.CancelFunc
	unwatch  func()
	metrics  *collector

	mu       sync.Mutex
	closed   bool
	idle     chan struct{}  // if not nil, closed when no session is left, for Close
	group    sync.WaitGroup // added to under mu, while not closed
	sessions map[*session]struct{}
	players  map[string][]*session // logged in, or about to be; newest last
}

var _ netcode.Gateway = (*Gateway)(nil)

// New makes a gateway. The caller passes its pushes to Push, hands it to a server with SetGateway, and closes that
// server before the gateway.
func New(c Config) (*Gateway, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	known, err := knownMessages(c.Files)
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg: c, log: c.Logger.With("gateway", c.ID), messages: known,
		sessions: map[*session]struct{}{}, players: map[string][]*session{},
		life: lifeName(), began: time.Now(), accesses: make(chan struct{}, maxAccesses),
	}
	if c.Registerer != nil {
		g.metrics = &collector{g}
		if err := c.Registerer.Register(g.metrics); err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	unwatch := c.Directory.Watch(func(serviceType, instance string, left bool) {
		if left {
			g.left(serviceType, instance)
		}
	})
	deaf := c.Link.Reconnected(func() { g.spawn(g.reconnected) })
	g.unwatch = func() { unwatch(); deaf() }
	g.spawn(g.adopt) // the last of the other gateways may have gone
	return g, nil
}

// lifeName returns a name that no gateway had before, so that session ids stay unique even if the clock steps back.
func lifeName() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// now returns the time on the machines' clock.
func (g *Gateway) now() time.Duration { return time.Since(g.began) }

// Close waits, for a bounded time, until the sessions have given up their players' records, and until running logins
// have ended. Close the server first, so that the services hear that its connections ended.
func (g *Gateway) Close() {
	g.mu.Lock()
	idle := make(chan struct{})
	if g.idle = idle; len(g.sessions) == 0 {
		close(idle)
		g.idle = nil
	}
	g.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(g.cfg.Limits.FindTimeout):
	}
	g.mu.Lock()
	g.closed, g.idle = true, nil
	g.mu.Unlock()
	g.unwatch()
	g.cancel()
	g.group.Wait()
	if g.metrics != nil {
		g.cfg.Registerer.Unregister(g.metrics)
	}
}

// spawn runs f in a goroutine that Close waits for. It returns false if the gateway is closed.
func (g *Gateway) spawn(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.group.Go(f)
	return true
}

// Opened implements netcode.Gateway.
func (g *Gateway) Opened(c *netcode.Conn) netcode.Stream {
	l := g.cfg.Limits
	s := &session{g: g, conn: c, id: fmt.Sprintf("%s/%s-%d", g.cfg.ID, g.life, g.numbers.Add(1))}
	checkEvery := l.RecordLife/4 + mathrand.N(l.RecordLife/12+1) // spread over time
	s.m = newMachine(s.id, l, g.cfg.Authenticator != nil, g.now(), checkEvery, &g.counters)
	_, trusts := g.cfg.Authenticator.(trusting)
	s.m.proves = g.cfg.Authenticator != nil && !trusts
	if s.text = c.IsText(); s.text {
		s.format = rpc.JSON
	} else {
		c.Coalesce(false) // until the client proves that it can split messages
	}
	g.mu.Lock()
	g.sessions[s] = struct{}{}
	g.mu.Unlock()
	g.counters.opened.Add(1)
	s.step(event{kind: eventTimer}) // sets the first timer
	return s
}

// all returns the current sessions.
func (g *Gateway) all() []*session {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*session, 0, len(g.sessions))
	for s := range g.sessions {
		all = append(all, s)
	}
	return all
}

// of returns a player's sessions.
func (g *Gateway) of(player string) []*session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.players[player])
}

// enter makes s the newest session of a player; leave removes it.
func (g *Gateway) enter(player string, s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.players[player] = append(g.players[player], s)
}

func (g *Gateway) leave(player string, s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := slices.DeleteFunc(g.players[player], func(o *session) bool { return o == s })
	if g.players[player] = left; len(left) == 0 {
		delete(g.players, player)
	}
}

func (g *Gateway) forget(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s)
	if len(g.sessions) == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// reconnected makes all sessions check whether they are still their players'.
func (g *Gateway) reconnected() {
	for _, s := range g.all() {
		s.step(event{kind: eventReconnected})
	}
}

// left handles an instance that is gone. Its players' next requests bind them again, and after the grace the gateway
// fails the requests that the instance has not answered.
func (g *Gateway) left(serviceType, instance string) {
	if serviceType == Type && instance == g.cfg.ID {
		return // it ends, or its entry will be back: its sessions are its own
	}
	g.log.Info("gateway: an instance has left", "type", serviceType, "instance", instance)
	for _, s := range g.all() {
		s.step(event{kind: eventGone, serviceType: serviceType, instance: instance})
	}
	if serviceType == Type {
		g.spawn(g.adopt)
		return
	}
	g.spawn(func() {
		select {
		case <-time.After(g.cfg.Limits.Grace):
		case <-g.ctx.Done():
		}
		if !g.cfg.Directory.Look(serviceType, instance).Alive { // it has not come back under its name
			g.cfg.Link.Fail(serviceType, instance)
		}
	})
}

// route finds the service for a frame id.
func (g *Gateway) route(id uint32) (Route, bool) {
	r, ok := g.cfg.Directory.Route(id)
	if !ok {
		name, known := g.messages.ids[id]
		if _, named := g.cfg.Routes[name]; !known || !named {
			return Route{}, false
		}
		r.Method = g.messages.method(name)
	}
	return g.override(r), true
}

// routeName finds the service for a message's short name.
func (g *Gateway) routeName(name string) (Route, bool) {
	r, ok := g.cfg.Directory.RouteName(name)
	if !ok {
		if _, named := g.cfg.Routes[name]; !named {
			return Route{}, false
		}
		r.Method = g.messages.method(name)
	}
	return g.override(r), true
}

func (g *Gateway) override(r Route) Route {
	if t, ok := g.cfg.Routes[r.Method.Name]; ok {
		r.Type = t
	}
	return r
}

// from returns the gateway's name as a sender.
func (g *Gateway) from() string { return "gateway/" + g.cfg.ID }

// ticketRoute is the route of the message that the gateway itself answers.
var ticketRoute = Route{Method: rpc.Method{Name: "TicketRequest", ID: wirepb.IDTicketRequest, Answer: wirepb.IDTicketResponse}}
