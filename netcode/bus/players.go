package bus

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// maxPushes is how many pushes wait for the handler. When it is full NATS drops the newest: a push is lost, never a
// connection held up.
const maxPushes = 4096

// players receives pushes: one NATS subscription per player and one for all, and one channel and one goroutine for the lot.
type players struct {
	bus *Bus

	mu      sync.Mutex
	handler func(player string, p rpc.Push) // nil before Players
	all     *nats.Subscription
	subs    map[string]*playerSub
	queue   chan *nats.Msg
	lost    uint64 // by subscriptions that are gone
	closed  bool
}

// playerSub is the subscription of a player, for as many as asked for it.
type playerSub struct {
	sub *nats.Subscription
	n   int
}

// Players says who gets the pushes for this process's players, and subscribes to those for all of them, which come with
// the player "". The handler is called from one goroutine and must not block. Once per bus.
func (b *Bus) Players(handler func(player string, p rpc.Push)) error {
	return b.players.open(handler)
}

// Subscribe asks for the pushes to one player. They may come until shortly after cancel, which may be called twice. The
// subscription is on its way when Subscribe returns: requests that this bus sends later are behind it. Subscribe as soon
// as the player is known. Its errors are *rpc.Error.
func (b *Bus) Subscribe(player string) (cancel func(), err error) {
	if err := rpc.ValidPlayer(player); err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	if err := b.players.add(player); err != nil {
		return nil, rpc.Errorf(rpc.Unavailable, "no pushes for player %q: %v", player, err)
	}
	var canceled atomic.Bool
	return func() {
		if !canceled.Swap(true) {
			b.players.drop(player)
		}
	}, nil
}

func (p *players) open(handler func(player string, p rpc.Push)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.handler != nil {
		return errors.New("bus: Players was called before, or the bus is closed")
	}
	queue := make(chan *nats.Msg, maxPushes)
	sub, err := p.bus.nc.ChanSubscribe(p.bus.subjects.players(), queue)
	if err != nil {
		return fmt.Errorf("bus: cannot subscribe to pushes: %w", err)
	}
	p.handler, p.all, p.queue, p.subs = handler, sub, queue, map[string]*playerSub{}
	p.bus.group.Go(p.run)
	return nil
}

// run hands out pushes until the bus is closed.
func (p *players) run() {
	for {
		select {
		case <-p.bus.stop:
			return
		case m := <-p.queue:
			p.deliver(m)
		}
	}
}

func (p *players) deliver(m *nats.Msg) {
	player, ok := p.bus.subjects.playerOf(m.Subject)
	push, err := parsePush(m.Header, m.Data)
	if !ok || err != nil {
		p.bus.bad.Add(1)
		p.bus.log.Debug("a push that is none", "subject", m.Subject, "error", err)
		return
	}
	if player == "" || p.has(player) {
		p.handler(player, push)
	}
}

func (p *players) has(player string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.subs[player] != nil
}

func (p *players) add(player string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handler == nil || p.closed {
		return errors.New("nobody takes pushes: Players was not called, or the bus is closed")
	}
	if s := p.subs[player]; s != nil {
		s.n++
		return nil
	}
	sub, err := p.bus.nc.ChanSubscribe(p.bus.subjects.player(player), p.queue)
	if err != nil {
		return err
	}
	p.subs[player] = &playerSub{sub, 1}
	return nil
}

func (p *players) drop(player string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.subs[player]
	if s == nil {
		return // the bus is closed
	}
	if s.n--; s.n == 0 {
		delete(p.subs, player)
		p.lost += dropped(s.sub)
		_ = s.sub.Unsubscribe() // it fails when the connection is closed, which ends it too
	}
}

// dropped is how many messages NATS threw away, or 0 when it no longer says.
func dropped(s *nats.Subscription) uint64 {
	n, err := s.Dropped()
	if err != nil {
		return 0
	}
	return uint64(n)
}

func (p *players) stats() (players, waiting int, lost uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost = p.lost
	if p.all != nil {
		lost += dropped(p.all)
	}
	for _, s := range p.subs {
		lost += dropped(s.sub)
	}
	return len(p.subs), len(p.queue), lost
}

func (p *players) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.all != nil {
		_ = p.all.Unsubscribe()
	}
	for _, s := range p.subs {
		_ = s.sub.Unsubscribe()
	}
	p.all, p.subs = nil, nil
}
