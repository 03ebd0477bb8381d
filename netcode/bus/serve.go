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

// Limits on the requests that wait for an endpoint's handler.
const (
	maxWaiting      = 64 << 10
	maxWaitingBytes = 64 << 20
)

// flushTimeout is how long Drain and Close wait for the NATS server if their context has no deadline.
const flushTimeout = 5 * time.Second

// Handler answers requests. A service.Service of netcode/service is one.
type Handler interface {
	// Handle must not block. It calls done exactly once, from any goroutine.
	Handle(r *rpc.Request, done func(rpc.Response))
}

// ServeConfig describes an instance of a service.
type ServeConfig struct {
	Type, ID string
	Handler  Handler
	// Admin performs an operator's operation. body is a JSON object with "op". The answer is a JSON object, or empty;
	// the bus adds "ok" and "instance" to it. Admin may block, and must return when ctx ends. Nil: the instance has
	// no operations.
	Admin   func(ctx context.Context, op string, body []byte) ([]byte, error)
	Version string // a semantic version for nats.go/micro; anything else is shown in the metadata; may be ""
}

// Served is an instance of a service that answers requests. Its methods may be called concurrently.
type Served struct {
	bus    *Bus
	cfg    ServeConfig
	log    *slog.Logger
	ctx    context.Context // of admin operations
	cancel context.CancelFunc
	admins chan struct{} // a slot for each running operation
	group  sync.WaitGroup

	mu     sync.Mutex
	any    *nats.Subscription // nil when drained
	rest   micro.Service      // id, all and admin; nil when closed
	closed bool

	closing atomic.Bool
	idle    chan struct{} // signals, while closing, that the last request was answered
	flying  atomic.Int64
	counts  counts
}

// counts counts since Serve.
type counts struct{ requests, refused, failed, unsent atomic.Uint64 }

// ServedStats describes what an instance has done and is doing.
type ServedStats struct {
	InFlight int64  `json:"in_flight"` // requests not answered yet
	Requests uint64 `json:"requests"`  // requests received
	Refused  uint64 `json:"refused"`   // malformed requests
	Failed   uint64 `json:"failed"`    // requests answered with an error
	Unsent   uint64 `json:"unsent"`    // answers that could not be sent
}

// Serve subscribes an instance to its subjects. When Serve returns, the instance answers requests.
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
				s.log.Warn("NATS is dropping requests", "subject", sub.Subject, "error", nats.ErrSlowConsumer)
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
			s.log.Warn("NATS is dropping requests", "subject", e.Subject, "error", e.Description)
		},
	})
}

func (s *Served) endpoint(m micro.Service, name string, h micro.HandlerFunc, subject string, o micro.EndpointOpt) error {
	return m.AddEndpoint(name, h, micro.WithEndpointSubject(subject), o, micro.WithEndpointPendingLimits(maxWaiting, maxWaitingBytes))
}

// exchange is a request that must be answered once.
type exchange struct {
	s     *Served
	reply string // "" if nobody waits
	done  atomic.Bool
}

// onRequest takes a request. NATS calls it for one message of a subject at a time.
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

// answer sends the first answer and ignores any other.
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
			tooLong := maybe(rpc.Internal, "the answer of %d bytes exceeds the NATS server's max_payload", len(r.Payload))
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

// Drain leaves the queue group of the subject "any". The other subjects stay, so the instance still gets the requests of
// players bound to it, and those of callers whose Config.Any has chosen it. Once Drain has returned without an error, the
// handler has every request that "any" brought, and gets no further ones. Drain may be called twice.
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

// Undrain reverses Drain: the instance gets its share of the requests to any again. It does nothing without a prior
// Drain.
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

// Shares reports whether the instance gets its share of the requests to any: it is not drained.
func (s *Served) Shares() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.any != nil
}

// Close leaves all subjects, hands the requests that have arrived to the handler, and waits until all are answered or
// ctx ends. Later answers are still sent. Close cancels running admin operations. It may be called twice.
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
			err = fmt.Errorf("requests not answered yet: %d: %w", s.flying.Load(), ctx.Err())
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

// stop leaves all subjects. It returns true the first time it is called.
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

// settle waits until handlers have all that the server had sent.
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

// flush waits until the server has all that this connection sent.
func (b *Bus) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	return b.nc.FlushWithContext(ctx)
}
