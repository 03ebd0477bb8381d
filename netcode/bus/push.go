package bus

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// Push sends p to the client of one player, wherever it is connected, or to all players if player is "". Its errors
// are *rpc.Error. It cannot tell whether the player is connected.
func (b *Bus) Push(player string, p rpc.Push) error {
	err := checkPush(&p)
	subject := b.subjects.players()
	if player != "" {
		if err == nil {
			err = rpc.ValidPlayer(player)
		}
		subject = b.subjects.player(player)
	}
	if err != nil {
		return rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	if err := b.nc.PublishMsg(&nats.Msg{Subject: subject, Header: pushHeader(&p), Data: p.Payload}); err != nil {
		return publishError(err)
	}
	return nil
}

// maxPushes bounds the pushes that wait for the handler. When the queue is full NATS drops the newest push; the
// connection never stalls.
const maxPushes = 4096

// players receives pushes. It has one NATS subscription per player and one for all players, sharing one channel and
// one goroutine.
type players struct {
	bus *Bus

	mu      sync.Mutex
	handler func(player string, p rpc.Push) // nil before Players
	all     *nats.Subscription
	subs    map[string]*playerSub
	queue   chan *nats.Msg
	lost    uint64 // pushes dropped by subscriptions that have ended
	closed  bool
}

// playerSub is the shared subscription of one player; n counts its users.
type playerSub struct {
	sub *nats.Subscription
	n   int
}

// Players sets the handler for pushes to this process's players and subscribes to pushes to all players, which arrive
// with player "". One goroutine calls the handler, which must not block. Call Players once per bus.
func (b *Bus) Players(handler func(player string, p rpc.Push)) error {
	return b.players.open(handler)
}

// Subscribe subscribes to the pushes to one player. Pushes may still come shortly after cancel, which may be called
// twice. When Subscribe returns, the subscription has been sent, ahead of any request that this bus sends later. Call
// Subscribe as soon as the player is known. Its errors are *rpc.Error.
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

// run delivers pushes until the bus is closed.
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
		p.bus.log.Debug("malformed push", "subject", m.Subject, "error", err)
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
		return errors.New("no handler for pushes: Players was not called, or the bus is closed")
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
		_ = s.sub.Unsubscribe() // fails if the connection is closed, which ends it too
	}
}

// dropped returns how many messages NATS dropped, or 0 if it no longer knows.
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
