package bus

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ferris1/wind/netcode/rpc"
)

// Config configures a Bus.
type Config struct {
	Conn    *nats.Conn   // the caller closes it; it must not buffer while disconnected
	Cluster string       // 1 to 40 of a-z, 0-9 and the dash
	Logger  *slog.Logger // nil: slog.Default()
	// Any chooses the instance that gets a request to any instance of a type, other than those of not. It may be called
	// concurrently. If it returns false, or with nil, NATS chooses among the subscribed instances, even one whose process
	// stands still.
	Any func(serviceType string, not []string) (instance string, ok bool)
	// Heard is told how each request to an instance by name ended: with an answer of any kind, or without one although its
	// sender waited for half a second or longer. It must not block, and may be called concurrently. Nil: nobody is told.
	Heard func(serviceType, instance string, answered bool)
}

// Bus carries messages between the services of one cluster. It is an rpc.Bus and the gateways' link. Its methods may
// be called concurrently.
type Bus struct {
	nc        *nats.Conn
	subjects  subjects
	any       func(serviceType string, not []string) (instance string, ok bool) // Config.Any, never nil
	heard     func(serviceType, instance string, answered bool)                 // Config.Heard, never nil
	log       *slog.Logger
	pending   *pending
	inbox     string // subject of answers; a token is appended
	replies   *nats.Subscription
	status    chan nats.Status
	stop      chan struct{}
	group     sync.WaitGroup
	once      sync.Once
	players   players
	listeners listeners
	bad       atomic.Uint64 // malformed answers and pushes
}

var _ rpc.Bus = (*Bus)(nil)

// Open makes a bus and subscribes to the answers to its requests. Close the bus before its connection.
func Open(c Config) (*Bus, error) {
	if c.Conn == nil {
		return nil, errors.New("bus: no connection to NATS")
	}
	s, err := newSubjects(c.Cluster)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	c.Logger = cmp.Or(c.Logger, slog.Default())
	b := &Bus{nc: c.Conn, subjects: s, log: c.Logger, pending: newPending(), inbox: c.Conn.NewInbox() + ".", stop: make(chan struct{})}
	if b.players.bus, b.any = b, c.Any; c.Any == nil {
		b.any = func(string, []string) (string, bool) { return "", false }
	}
	if b.heard = c.Heard; b.heard == nil {
		b.heard = func(string, string, bool) {}
	}
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

// Close unsubscribes and fails the requests that wait for an answer, with Unavailable and Maybe. Close what is served
// first, with Served.Close. It may be called twice.
func (b *Bus) Close() {
	b.once.Do(func() {
		b.players.close()
		_ = b.replies.Unsubscribe() // fails if the connection is closed, which ends it too
		b.nc.RemoveStatusListener(b.status)
		close(b.stop)
		end(b.pending.close(), rpc.Unavailable, "the bus was closed")
	})
	b.group.Wait()
}

// watch fails the requests in flight when the connection is lost, since their answers will never come.
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

// Reconnected calls f each time the connection to NATS comes back, until cancel: pushes may have been lost meanwhile.
// f must return quickly.
func (b *Bus) Reconnected(f func()) (cancel func()) { return b.listeners.add(f) }

// listeners holds the functions to call when the connection comes back.
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

// expire fails the requests that have waited too long.
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
				b.unanswered(c)
				c.done(maybe(rpc.DeadlineExceeded, "no answer from %s in time", c))
			}
		}
	}
}

// unanswered tells who listens that a call got no answer in time.
func (b *Bus) unanswered(c *call) {
	if c.patient && c.instance != "" && !c.raw {
		b.heard(c.kind, c.instance, false)
	}
}

// String names the receiver of the call.
func (c *call) String() string {
	if c.instance == "" {
		return c.kind
	}
	return c.kind + "/" + c.instance
}

// absent says that nobody listens where the call went.
func (c *call) absent() string {
	switch {
	case c.kind == "shard":
		return "no node runs shard " + c.instance
	case c.instance == "":
		return "no instance of " + c.kind + " runs"
	}
	return c.String() + " does not run"
}

// end fails calls that were sent and will get no answer.
func end(calls []*call, code rpc.Code, why string) {
	for _, c := range calls {
		c.done(maybe(code, "%s while %s had the request", why, c))
	}
}

// Stats describes what a bus is doing.
type Stats struct {
	InFlight      int    // requests waiting for an answer
	Players       int    // subscribed players
	PushesWaiting int    // pushes waiting for the handler
	PushesDropped uint64 // pushes lost because too many were waiting
	Malformed     uint64 // answers and pushes that could not be read
}

// Stats may be called at any time. It visits every subscribed player.
func (b *Bus) Stats() Stats {
	s := Stats{InFlight: b.pending.len(), Malformed: b.bad.Load()}
	s.Players, s.PushesWaiting, s.PushesDropped = b.players.stats()
	return s
}
