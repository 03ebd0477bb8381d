package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Gateway is the services' front door. It is a netcode.Gateway; its methods may
// be called concurrently.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	messages *messages
	speaker  Speaker // nil: all instances take both formats
	counters counters
	numbers  atomic.Uint64 // of the newest session
	ctx      context.Context
	cancel   context.CancelFunc
	unwatch  func()
	metrics  *collector

	mu       sync.Mutex
	closed   bool
	group    sync.WaitGroup // added to under mu, while not closed
	sessions map[*session]struct{}
	players  map[string][]*session // logged in, or about to be; the newest last
}

var _ netcode.Gateway = (*Gateway)(nil)

// New makes a gateway. Its pushes must be handed to Push; its server, which gets
// it with SetGateway, is closed before it.
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
	}
	// Numbers go on from the clock, so that a gateway that is started again repeats none.
	g.numbers.Store(uint64(time.Now().UnixMilli()) << 16)
	g.speaker, _ = c.Directory.(Speaker)
	if c.Registerer != nil {
		g.metrics = &collector{g}
		if err := c.Registerer.Register(g.metrics); err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.unwatch = c.Directory.Watch(func(serviceType, instance string, left bool) {
		if left {
			g.left(serviceType, instance)
		}
	})
	g.spawn(g.keep)
	return g, nil
}

// Close waits until logins and searches under way have ended. The server that
// has the connections is closed before, so that the services hear of their end.
func (g *Gateway) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.unwatch()
	g.cancel()
	g.group.Wait()
	if g.metrics != nil {
		g.cfg.Registerer.Unregister(g.metrics)
	}
}

// spawn runs f in a goroutine that Close waits for; false when it is too late.
func (g *Gateway) spawn(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.group.Go(f)
	return true
}

// Opened is netcode.Gateway's.
func (g *Gateway) Opened(c *netcode.Conn) netcode.Stream {
	s := &session{g: g, conn: c, id: fmt.Sprintf("%s/%d", g.cfg.ID, g.numbers.Add(1)), bindings: map[string]*binding{}, active: time.Now()}
	if s.text = c.IsText(); s.text {
		s.format = rpc.JSON
	} else {
		c.Coalesce(false) // until the client says that it can
	}
	g.mu.Lock()
	g.sessions[s] = struct{}{}
	g.mu.Unlock()
	g.counters.opened.Add(1)
	return s
}

// keep ends sessions that do not log in.
func (g *Gateway) keep() {
	t := time.NewTicker(min(time.Second, g.cfg.Limits.LoginTimeout/4+time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case now := <-t.C:
			for _, s := range g.all() {
				s.expire(now)
			}
		}
	}
}

// all is the sessions of the moment.
func (g *Gateway) all() []*session {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*session, 0, len(g.sessions))
	for s := range g.sessions {
		all = append(all, s)
	}
	return all
}

// of is the sessions of a player.
func (g *Gateway) of(player string) []*session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.players[player])
}

// enter makes s the newest session of a player, leave takes it out.
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
}

// left says that an instance is gone: its players are bound anew with their next
// requests, and what it owes is answered for it after the grace.
func (g *Gateway) left(serviceType, instance string) {
	g.log.Info("gateway: an instance has left", "type", serviceType, "instance", instance)
	for _, s := range g.all() {
		s.lost(serviceType, instance)
	}
	g.spawn(func() {
		select {
		case <-time.After(g.cfg.Limits.Grace):
		case <-g.ctx.Done():
		}
		if !g.cfg.Directory.Alive(serviceType, instance) { // it has not come back under its name
			g.cfg.Link.Fail(serviceType, instance)
		}
	})
}

// route finds who takes the message with a frame id.
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

// routeName finds who takes the message with a short name.
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

// from is what the gateway calls itself in messages of its own.
func (g *Gateway) from() string { return "gateway/" + g.cfg.ID }

// ticketRoute is the message that the gateway answers itself.
var ticketRoute = Route{Method: rpc.Method{Name: "TicketRequest", ID: wirepb.IDTicketRequest, Answer: wirepb.IDTicketResponse}}
