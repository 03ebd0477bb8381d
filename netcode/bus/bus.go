package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// Config is what a bus needs.
type Config struct {
	Conn    *nats.Conn   // stays its owner's; opened so that it buffers nothing while it is down
	Cluster string       // 1 to 40 of a-z, 0-9 and the dash
	Logger  *slog.Logger // nil: slog.Default()
}

// Bus carries messages between the services of one cluster. Its methods may be called concurrently.
// It is an rpc.Bus and the gateways' link.
type Bus struct {
	nc        *nats.Conn
	subjects  subjects
	log       *slog.Logger
	pending   *pending
	inbox     string // subject of answers, to which a token is appended
	replies   *nats.Subscription
	status    chan nats.Status
	stop      chan struct{}
	group     sync.WaitGroup
	once      sync.Once
	players   players
	listeners listeners
	bad       atomic.Uint64 // answers and pushes that were none
}

var _ rpc.Bus = (*Bus)(nil)

// Open subscribes to the answers of what the bus is going to send. Close it before its connection.
func Open(c Config) (*Bus, error) {
	if c.Conn == nil {
		return nil, errors.New("bus: no connection to NATS")
	}
	s, err := newSubjects(c.Cluster)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	b := &Bus{nc: c.Conn, subjects: s, log: c.Logger, pending: newPending(), inbox: c.Conn.NewInbox() + ".", stop: make(chan struct{})}
	b.players.bus = b
	if b.replies, err = b.nc.Subscribe(b.inbox+"*", b.onReply); err != nil {
		return nil, fmt.Errorf("bus: cannot subscribe to answers: %w", err)
	}
	if err := b.replies.SetPendingLimits(2*MaxPending, -1); err != nil {
		return nil, fmt.Errorf("bus: cannot subscribe to answers: %w", err)
	}
	b.status = b.nc.StatusChanged(nats.CONNECTED, nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	b.group.Go(b.watch)
	b.group.Go(b.expire)
	return b, nil
}

// checkTimeout is how long a message to oneself takes at most.
const checkTimeout = 5 * time.Second

// Check finds out whether what is sent leaves: NATS tells a user who may only read nothing, and drops it.
func (b *Bus) Check(ctx context.Context) error {
	answer := make(chan rpc.Response, 1)
	token, refused := b.pending.add(&call{kind: "this process", raw: true, done: func(r rpc.Response) { answer <- r }}, checkTimeout)
	if refused != nil {
		return refused
	}
	if err := b.nc.Publish(b.inbox+strconv.FormatUint(token, 36), []byte("check")); err != nil {
		b.pending.take(token)
		return publishError(err)
	}
	if _, err := b.await(ctx, token, answer); err != nil {
		return fmt.Errorf("a message of this process to itself does not come over NATS: does its user have the right to send? %w", err)
	}
	return nil
}

// Close ends what waits for an answer, with Unavailable and Maybe, and the subscriptions. What is served ends by
// Served.Close, before. It may be called twice.
func (b *Bus) Close() {
	b.once.Do(func() {
		b.players.close()
		_ = b.replies.Unsubscribe() // it fails when the connection is closed, which ends it too
		b.nc.RemoveStatusListener(b.status)
		close(b.stop)
		end(b.pending.close(), rpc.Unavailable, "the bus was closed")
	})
	b.group.Wait()
}

// watch fails what is in flight when the connection is lost: its answers will never come.
func (b *Bus) watch() {
	for s := range b.status {
		if s == nats.CONNECTED {
			b.listeners.call()
			continue
		}
		end(b.pending.takeAll(func(*call) bool { return true }), rpc.Unavailable, "the connection to NATS was lost")
		if s == nats.CLOSED {
			b.log.Debug("the bus's connection is closed")
		}
	}
}

// Reconnected calls f each time after the connection to NATS was lost and is back, until cancel: pushes may have been lost.
// f is quick.
func (b *Bus) Reconnected(f func()) (cancel func()) { return b.listeners.add(f) }

// listeners are told that the connection is back.
type listeners struct {
	mu   sync.Mutex
	next int
	all  map[int]func()
}

func (l *listeners) add(f func()) (cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[int]func(){}
	}
	n := l.next
	l.next++
	l.all[n] = f
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, n)
	}
}

func (l *listeners) call() {
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.all))
	l.mu.Unlock()
	for _, f := range all {
		f()
	}
}

// expire ends what has waited too long.
func (b *Bus) expire() {
	t := time.NewTicker(wheelTurn)
	defer t.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-t.C:
			for _, c := range b.pending.expire(time.Now()) {
				if c.gone {
					end([]*call{c}, rpc.Unavailable, "the service went away")
					continue
				}
				c.done(maybe(rpc.DeadlineExceeded, "no answer from %s in time", c))
			}
		}
	}
}

// String names the receiver.
func (c *call) String() string {
	if c.instance == "" {
		return c.kind
	}
	return c.kind + "/" + c.instance
}

// end answers calls that were sent and whose answers will not come.
func end(calls []*call, code rpc.Code, why string) {
	for _, c := range calls {
		c.done(maybe(code, "%s while %s had the request", why, c))
	}
}

// Stats is what a bus is doing.
type Stats struct {
	InFlight      int    // requests that wait for an answer
	Players       int    // that are subscribed
	PushesWaiting int    // for the handler
	PushesDropped uint64 // because too many waited
	Malformed     uint64 // answers and pushes that could not be read
}

// Stats may be called at any time; it looks at every subscribed player.
func (b *Bus) Stats() Stats {
	s := Stats{InFlight: b.pending.len(), Malformed: b.bad.Load()}
	s.Players, s.PushesWaiting, s.PushesDropped = b.players.stats()
	return s
}
