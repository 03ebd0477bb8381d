package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"golang.org/x/mod/semver"

	"github.com/ferris1/wind/netcode/rpc"
)

// How many requests may wait for the handler of an endpoint.
const (
	maxWaiting      = 64 << 10
	maxWaitingBytes = 64 << 20
)

// flushTimeout is how long Drain and Close wait for the NATS server when their context does not say.
const flushTimeout = 5 * time.Second

// Handler answers requests: a service.Service of netcode/service.
type Handler interface {
	// Handle never blocks. done is called exactly once, from any goroutine.
	Handle(r *rpc.Request, done func(rpc.Response))
}

// ServeConfig says what an instance of a service answers.
type ServeConfig struct {
	Type, ID string
	Handler  Handler
	// Admin answers an operation of an operator: body is a JSON object with "op", and so is the answer, to which "ok" and
	// "instance" are added; an empty one will do. It may block, and ends when ctx does. nil: there are none.
	Admin   func(ctx context.Context, op string, body []byte) ([]byte, error)
	Version string // a semantic version as nats.go/micro wants it, else it is shown in the metadata; ""
}

// Served is an instance of a service that answers. Its methods may be called concurrently.
type Served struct {
	bus    *Bus
	cfg    ServeConfig
	log    *slog.Logger
	ctx    context.Context // of admin operations
	cancel context.CancelFunc
	admins chan struct{} // a place for each that runs
	group  sync.WaitGroup

	mu     sync.Mutex
	any    *nats.Subscription // nil when drained
	rest   micro.Service      // id, all and admin; nil when closed
	closed bool

	closing atomic.Bool
	idle    chan struct{} // the last request was answered, while closing
	flying  atomic.Int64
	counts  counts
}

// counts are since Serve.
type counts struct{ requests, refused, failed, unsent atomic.Uint64 }

// ServedStats is what an instance did and does.
type ServedStats struct {
	InFlight int64  `json:"in_flight"` // taken and not answered
	Requests uint64 `json:"requests"`  // taken
	Refused  uint64 `json:"refused"`   // that were none
	Failed   uint64 `json:"failed"`    // answered with an error
	Unsent   uint64 `json:"unsent"`    // answers that could not be sent
}

// Serve subscribes an instance to its subjects. It answers as soon as Serve returns.
func (b *Bus) Serve(c ServeConfig) (*Served, error) {
	if err := ValidType(c.Type); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	if err := ValidInstance(c.ID); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	if c.Handler == nil {
		return nil, fmt.Errorf("bus: service %s/%s has no handler", c.Type, c.ID)
	}
	s := &Served{
		bus: b, cfg: c, log: b.log.With("service", c.Type+"/"+c.ID),
		admins: make(chan struct{}, maxAdmins), idle: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		s.stop()
		s.cancel()
		return nil, fmt.Errorf("bus: cannot serve %s/%s: %w", c.Type, c.ID, err)
	}
	return s, nil
}

func (s *Served) open() (err error) {
	sub, kind, id := s.bus.subjects, s.cfg.Type, s.cfg.ID
	if s.rest, err = s.add(); err != nil {
		return err
	}
	alone := micro.WithEndpointQueueGroupDisabled()
	if err := s.endpoint(s.rest, "id", s.onRequest, sub.id(kind, id), alone); err != nil {
		return err
	}
	if err := s.endpoint(s.rest, "all", s.onTell, sub.all(kind), alone); err != nil {
		return err
	}
	if err := s.endpoint(s.rest, "admin", s.onAdmin, sub.admin(kind, id), alone); err != nil {
		return err
	}
	if err := s.join(); err != nil {
		return err
	}
	return s.bus.nc.FlushTimeout(flushTimeout)
}

// join enters the queue group of the subject any.
func (s *Served) join() error {
	sub, err := s.bus.nc.QueueSubscribe(s.bus.subjects.any(s.cfg.Type), queueAny, func(m *nats.Msg) { s.take(m.Header, m.Data, m.Reply) })
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(maxWaiting, maxWaitingBytes); err != nil {
		return errors.Join(err, sub.Unsubscribe())
	}
	full := sub.StatusChanged(nats.SubscriptionSlowConsumer)
	s.group.Go(func() {
		for {
			select {
			case _, ok := <-full:
				if !ok {
					return
				}
				s.log.Warn("requests are dropped", "subject", sub.Subject, "error", nats.ErrSlowConsumer)
			case <-s.ctx.Done():
				return
			}
		}
	})
	s.any = sub
	return nil
}

// add makes the instance's micro service.
func (s *Served) add() (micro.Service, error) {
	meta := map[string]string{"cluster": s.bus.subjects.cluster, "type": s.cfg.Type, "instance": s.cfg.ID, "any": s.bus.subjects.any(s.cfg.Type)}
	version := semver.Canonical("v" + s.cfg.Version)
	if version == "" {
		version = "v0.0.0"
		if s.cfg.Version != "" {
			meta["version"] = s.cfg.Version
		}
	}
	return micro.AddService(s.bus.nc, micro.Config{
		Name: "wind-" + s.cfg.Type, Version: version[1:], Metadata: maps.Clone(meta),
		Description:  "instance " + s.cfg.ID + " of the Wind service " + s.cfg.Type,
		StatsHandler: func(*micro.Endpoint) any { return s.Stats() },
		ErrorHandler: func(_ micro.Service, e *micro.NATSError) {
			s.log.Warn("requests are dropped", "subject", e.Subject, "error", e.Description)
		},
	})
}

func (s *Served) endpoint(m micro.Service, name string, h micro.HandlerFunc, subject string, o micro.EndpointOpt) error {
	return m.AddEndpoint(name, h, micro.WithEndpointSubject(subject), o, micro.WithEndpointPendingLimits(maxWaiting, maxWaitingBytes))
}

// exchange is a request that is answered once.
type exchange struct {
	s     *Served
	reply string // "" when nobody waits
	done  atomic.Bool
}

// onRequest takes a request. It is called by NATS, one message of a subject at a time.
func (s *Served) onRequest(m micro.Request) { s.take(nats.Header(m.Headers()), m.Data(), m.Reply()) }

func (s *Served) onTell(m micro.Request) { s.take(nats.Header(m.Headers()), m.Data(), "") }

func (s *Served) take(h nats.Header, payload []byte, reply string) {
	x := &exchange{s: s, reply: reply}
	s.flying.Add(1)
	s.counts.requests.Add(1)
	r, err := parseRequest(h, payload)
	if err != nil {
		s.counts.refused.Add(1)
		x.answer(notBegun(rpc.InvalidArgument, "%v", err))
		return
	}
	if r.Timeout == 0 {
		r.Timeout = rpc.DefaultTimeout
	}
	r.Timeout = rpc.AnswerWithin(r.Timeout)
	s.cfg.Handler.Handle(r, x.answer)
}

// answer sends the first answer and ignores others.
func (x *exchange) answer(r rpc.Response) {
	if x.done.Swap(true) {
		x.s.log.Error("a request was answered twice", "message", r.Message)
		return
	}
	s := x.s
	if r.Err != nil {
		s.counts.failed.Add(1)
	}
	if x.reply != "" {
		err := s.bus.nc.PublishMsg(responseMsg(x.reply, &r))
		if errors.Is(err, nats.ErrMaxPayload) {
			tooLong := maybe(rpc.Internal, "the answer of %d bytes is larger than the NATS server takes (max_payload)", len(r.Payload))
			err = s.bus.nc.PublishMsg(responseMsg(x.reply, &tooLong))
		}
		if err != nil {
			s.counts.unsent.Add(1)
		}
	}
	if s.flying.Add(-1) == 0 && s.closing.Load() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// Stats may be called at any time.
func (s *Served) Stats() ServedStats {
	return ServedStats{
		InFlight: s.flying.Load(), Requests: s.counts.requests.Load(), Refused: s.counts.refused.Load(),
		Failed: s.counts.failed.Load(), Unsent: s.counts.unsent.Load(),
	}
}

// Drain leaves the queue group of the subject any and goes on with the others: players that are bound to this instance
// still reach it. When it returns without an error, every request to any instance that came here is with the handler, and
// no further one will come. It may be called twice.
func (s *Served) Drain(ctx context.Context) error {
	s.mu.Lock()
	any := s.any
	s.any = nil
	s.mu.Unlock()
	if any == nil {
		return nil
	}
	if err := any.Drain(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("bus: %s/%s cannot be drained: %w", s.cfg.Type, s.cfg.ID, err)
	}
	if err := s.bus.settle(ctx); err != nil {
		return fmt.Errorf("bus: %s/%s is not drained: %w", s.cfg.Type, s.cfg.ID, err)
	}
	return nil
}

// Undrain takes Drain back: the instance has its share of the requests to any again. Without a Drain before it does nothing.
func (s *Served) Undrain() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("bus: %s/%s is closed", s.cfg.Type, s.cfg.ID)
	}
	if s.any != nil {
		return nil
	}
	if err := s.join(); err != nil {
		return fmt.Errorf("bus: %s/%s cannot take requests again: %w", s.cfg.Type, s.cfg.ID, err)
	}
	return nil
}

// Close leaves all subjects, hands out what has come and waits until everything is answered, or ctx ends: what is answered
// later is answered all the same. Admin operations are canceled. It may be called twice.
func (s *Served) Close(ctx context.Context) error {
	first := s.stop()
	var err error
	if first {
		err = s.bus.settle(ctx)
	}
	s.closing.Store(true)
	for err == nil && s.flying.Load() > 0 {
		select {
		case <-s.idle:
		case <-ctx.Done():
			err = fmt.Errorf("%d requests are not answered: %w", s.flying.Load(), ctx.Err())
		}
	}
	s.cancel()
	s.group.Wait()
	if first && err == nil {
		err = s.bus.flush(ctx)
	}
	if err != nil && !s.bus.nc.IsClosed() {
		return fmt.Errorf("bus: %s/%s: %w", s.cfg.Type, s.cfg.ID, err)
	}
	return nil
}

// stop leaves all subjects and reports whether it was the first to.
func (s *Served) stop() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.closed = true
	var err error
	if s.any != nil {
		err = s.any.Drain()
	}
	if s.rest != nil {
		err = errors.Join(err, s.rest.Stop())
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		s.log.Warn("cannot leave a subject", "error", err)
	}
	s.any, s.rest = nil, nil
	return true
}

// settle returns when everything that the server had sent is with its handler.
func (b *Bus) settle(ctx context.Context) error {
	if err := b.flush(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	if err := b.nc.Barrier(func() { close(done) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flush returns when the server has everything that was sent.
func (b *Bus) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	return b.nc.FlushWithContext(ctx)
}
