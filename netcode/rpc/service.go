package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/systems/script"
)

// Config is what a service is made of. Type and ID have no default.
type Config struct {
	Type, ID string
	// Client and Server are values whose methods, named after messages, handle
	// them: func (h *H) XRequest(ctx *Ctx, r *pb.XRequest) (*pb.XResponse, error),
	// or with the error alone. Client ones take what players send, Server ones
	// what services send. Methods that take no *Ctx first are not looked at.
	Client, Server []any
	// Scripts are handlers in Starlark, see SCRIPTS.md of systems/script.
	Scripts []script.Module
	// Files hold the messages.
	Files []protoreflect.FileDescriptor
	// Public and Login name messages: see Method.
	Public, Login []string

	Store Store // nil: what needs one fails
	Bus   Bus   // nil: what needs one fails

	// Middleware is around every handler, the first one outermost. Behind it
	// stands, always, that a session must be logged in.
	Middleware []Middleware
	// StepBudget is how many Starlark steps one run of a handler may take. 10,000,000.
	StepBudget uint64
	// MaxWaiting bounds the requests that wait, MaxWaitingOfOne those of one
	// player. 65,536 and 256.
	MaxWaiting, MaxWaitingOfOne int

	Logger     *slog.Logger          // nil: slog.Default()
	Registerer prometheus.Registerer // nil: no metrics
}

// Handler answers a request. Its Ctx ends with it.
type Handler func(*Ctx, *Request) Response

// Middleware puts something around a handler.
type Middleware func(Handler) Handler

// Service runs the handlers of one instance of a service, all of them on one
// logical thread. Its methods may be called concurrently.
type Service struct {
	cfg      Config
	log      *slog.Logger
	messages messages
	clientGo map[string]*entry // handlers in Go, by message
	serverGo map[string]*entry
	handler  Handler
	memory   *memory
	threads  scheduler
	metrics  *metrics

	table    atomic.Pointer[table]
	reloads  reloads
	handled  atomic.Uint64
	failed   atomic.Uint64
	inFlight atomic.Int64 // begun and not answered

	mu      sync.Mutex // of what follows
	lanes   map[string]*lane
	waiting int
	seen    seen
	closed  bool
	live    sync.WaitGroup // requests and timers; added to under mu, while not closed
	stop    chan struct{}
}

// lane is the requests of one player: one runs, the others wait.
type lane struct{ waiting queue[*task] }

// task is a request on its way through the service.
type task struct {
	s        *Service
	request  *Request
	done     func(Response)
	deadline time.Time
	key      string // of its lane, "" for none
}

// New makes a service and loads its scripts. A handler for a message that is not
// there, one that looks wrong, and two for one message are errors that name the
// places.
func New(c Config) (*Service, error) {
	if c.Type == "" || c.ID == "" {
		return nil, errors.New("rpc: a service needs a type and an id")
	}
	c = c.withDefaults()
	s := &Service{cfg: c, log: c.Logger, memory: newMemory(), lanes: map[string]*lane{}, seen: newSeen(), stop: make(chan struct{})}
	var err error
	if s.messages, err = newMessages(c.Files); err != nil {
		return nil, err
	}
	for _, name := range append(append([]string{}, c.Public...), c.Login...) {
		if _, err := s.messages.find(name); err != nil {
			return nil, fmt.Errorf("rpc: service %s: %w", c.Type, err)
		}
	}
	if s.clientGo, err = s.messages.bind(c.Client); err != nil {
		return nil, err
	}
	if s.serverGo, err = s.messages.bind(c.Server); err != nil {
		return nil, err
	}
	t, err := s.load(c.Scripts)
	if err != nil {
		return nil, err
	}
	s.handler = s.respond
	s.handler = s.requireLogin(s.handler)
	for i := len(c.Middleware) - 1; i >= 0; i-- {
		s.handler = c.Middleware[i](s.handler)
	}
	if s.metrics, err = newMetrics(s, c.Registerer); err != nil {
		return nil, err
	}
	s.enforce(t)
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.StepBudget == 0 {
		c.StepBudget = 10_000_000
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 65_536
	}
	if c.MaxWaitingOfOne == 0 {
		c.MaxWaitingOfOne = 256
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Store == nil {
		c.Store = noStore{}
	}
	if c.Bus == nil {
		c.Bus = noBus{}
	}
	return c
}

// Handle takes a request and never blocks. done is called exactly once, from
// any goroutine. Requests of one player (of one session, where nobody is logged
// in) run one after another, in the order in which they came. r is not kept
// once done was called.
func (s *Service) Handle(r *Request, done func(Response)) {
	if r.Timeout <= 0 {
		r.Timeout = DefaultTimeout
	}
	t := &task{s: s, request: r, done: done, deadline: time.Now().Add(r.Timeout), key: laneOf(r)}
	if err := s.admit(t); err != nil {
		s.count(r, &Response{Err: err}, 0)
		done(Response{Err: err})
	}
}

// laneOf says with whose requests r takes turns.
func laneOf(r *Request) string {
	if r.Player != "" {
		return "p" + r.Player
	}
	return r.Session // a session's id has a slash, so it is no player's lane
}

// admit lets t run, now or behind others of its lane, or says why not.
func (s *Service) admit(t *task) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Errorf(Unavailable, "service %s/%s is closing", s.cfg.Type, s.cfg.ID)
	}
	if s.waiting >= s.cfg.MaxWaiting {
		return Errorf(ResourceExhausted, "service %s/%s: %d requests wait already", s.cfg.Type, s.cfg.ID, s.waiting)
	}
	if t.request.Player != "" {
		s.seen.note(t.request.Player)
	}
	if l := s.lanes[t.key]; t.key != "" && l != nil {
		if l.waiting.len() >= s.cfg.MaxWaitingOfOne {
			return Errorf(ResourceExhausted, "%d requests of this player wait already", l.waiting.len())
		}
		l.waiting.push(t)
	} else {
		if t.key != "" {
			s.lanes[t.key] = &lane{}
		}
		s.threads.submit(t.run)
	}
	s.waiting++
	s.live.Add(1)
	return nil
}

// run is the task's turn: it has the baton.
func (t *task) run() {
	s := t.s
	s.mu.Lock()
	s.waiting--
	s.mu.Unlock()
	begun := time.Now()
	var a Response
	if begun.After(t.deadline) {
		a = Response{Err: Errorf(DeadlineExceeded, "the request waited for too long and was not executed")}
	} else {
		s.inFlight.Add(1)
		a = s.execute(t.request, t.deadline)
		s.inFlight.Add(-1)
	}
	s.count(t.request, &a, time.Since(begun))
	s.next(t.key)
	t.done(a)
	s.live.Done()
}

// next lets the lane's next request have its turn.
func (s *Service) next(key string) {
	if key == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[key]
	if t, ok := l.waiting.pop(); ok {
		s.threads.submit(t.run)
		return
	}
	delete(s.lanes, key)
}

// execute runs the handler of r, and contains its panic.
func (s *Service) execute(r *Request, deadline time.Time) (a Response) {
	c := &Ctx{s: s, table: s.table.Load(), request: r, deadline: deadline}
	defer c.end()
	defer func() {
		if p := recover(); p != nil {
			s.panicked(r.Message, p)
			a = Response{Err: &Error{Code: Internal, Text: "internal error", Maybe: true}}
		}
	}()
	a = s.handler(c, r)
	if a.Err != nil && a.Err.Code == DeadlineExceeded && !a.Err.Maybe {
		a.Err = &Error{Code: DeadlineExceeded, Text: a.Err.Text, Maybe: true}
	}
	return a
}

// respond is the innermost handler: it finds the one for the message.
func (s *Service) respond(c *Ctx, r *Request) Response {
	e := c.table.of(r)[r.Message]
	if r.Message == Disconnected && !r.FromClient() {
		s.forget(r.Player)
		if e == nil {
			return Response{} // nobody wants to know
		}
	}
	if e == nil {
		return Response{Err: s.unknown(c.table, r)}
	}
	out, err := e.run(c, r)
	if err != nil {
		return Response{Err: s.failure(r, err)}
	}
	a := Response{Format: r.Format, Player: c.login}
	if out == nil {
		return a
	}
	a.Message = shortName(out)
	if a.Payload, err = encode(r.Format, out); err != nil {
		s.log.Error("rpc: an answer cannot be encoded", "message", a.Message, "error", err)
		return Response{Err: Errorf(Internal, "internal error")}
	}
	return a
}

// failure is what the caller is told of a handler's error; what is the service's
// own business is logged instead.
func (s *Service) failure(r *Request, err error) *Error {
	e := ErrorOf(err)
	if e.Code == Internal {
		s.log.Error("rpc: a handler failed", "message", r.Message, "player", r.Player, "error", err)
	}
	return e
}

// unknown says that there is no handler, and what there is.
func (s *Service) unknown(t *table, r *Request) *Error {
	if r.FromClient() && t.server[r.Message] != nil {
		return Errorf(PermissionDenied, "%s is not for clients", r.Message)
	}
	if near := t.near(r); near != "" {
		return Errorf(Unimplemented, "service %s has no handler for %s (did you mean %s?)", s.cfg.Type, r.Message, near)
	}
	return Errorf(Unimplemented, "service %s has no handler for %s", s.cfg.Type, r.Message)
}

// Close refuses new requests and waits for those that were taken, at most until
// ctx ends: then they go on, and are answered.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	close(s.stop)
	s.table.Load().retire()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.live.Wait()
		s.threads.close()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("rpc: service %s/%s: %d handlers still run: %w", s.cfg.Type, s.cfg.ID, s.inFlight.Load(), ctx.Err())
	}
	s.metrics.unregister()
	return nil
}
