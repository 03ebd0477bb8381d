package service

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Config configures a Service. Type and ID have no default.
type Config struct {
	Type, ID string
	// Client and Server are values whose methods handle the messages that they are named after: func (h *H) XRequest(ctx
	// *Ctx, r *pb.XRequest) (*pb.XResponse, error), or with only the error. Client handles messages from players, Server
	// those from services. Methods whose first parameter is not a *Ctx are ignored unless they are named after a
	// message.
	Client, Server []any
	// Scripts are handlers in Starlark; see SCRIPTS.md of systems/script.
	Scripts []script.Module
	// Files contain the messages.
	Files []protoreflect.FileDescriptor
	// Public and Login name messages; see rpc.Method.
	Public, Login []string

	Store rpc.Store // nil: calls that need it fail
	Bus   rpc.Bus   // nil: calls that need it fail

	// Middleware wraps every handler, the first one outermost. The check that a session is logged in always runs inside
	// it.
	Middleware []Middleware
	// StepBudget is how many Starlark steps one run of a handler may take. Default: 10,000,000.
	StepBudget uint64
	// MaxWaiting bounds the requests that wait, run or are suspended; MaxWaitingOfOne bounds those of one player that
	// wait. The service refuses further requests immediately. Defaults: 65,536 and 256.
	MaxWaiting, MaxWaitingOfOne int

	// Logger gets the service's lines and those of its handlers; nil: slog.Default(). If its handler merges lines that
	// repeat, it returns one that does not from a method Whole() slog.Handler, which gets the lines of handlers.
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	// Takes reports whether all receivers at an address accept a format. Those that do not accept Protobuf get JSON.
	// Nil: all accept both.
	Takes func(to rpc.Address, f rpc.Format) bool
}

// Handler answers a request. Its Ctx ends when it returns.
type Handler func(*Ctx, *rpc.Request) rpc.Response

// Middleware wraps a handler.
type Middleware func(Handler) Handler

// Service runs the handlers of one instance of a service, all on one logical thread. Its methods may be called
// concurrently.
type Service struct {
	cfg      Config
	log      *slog.Logger
	own      *slog.Logger // for lines of handlers
	messages messages
	clientGo map[string]*entry // handlers in Go, by message
	serverGo map[string]*entry
	handler  Handler
	memory   *memory
	threads  scheduler
	threadState
	metrics *metrics

	table    atomic.Pointer[table]
	reloads  reloads
	handled  atomic.Uint64
	failed   atomic.Uint64
	waiting  atomic.Int64 // requests accepted but not begun
	inFlight atomic.Int64 // begun but not ended

	mu      sync.Mutex // guards the fields below; lock it before the scheduler's mutex, never after
	lanes   lanes
	open    int // accepted requests and spawned jobs that have not ended
	seen    seen
	closed  bool
	live    sync.WaitGroup // open work and timers; added to under mu while not closed
	stop    chan struct{}  // closed to end timers
	quiet   chan struct{}  // closed when nothing runs any more
	watched chan struct{}  // closed when watch has ended
	stopped chan struct{}  // closed when Close has nothing left to wait for
}

// New makes a service and loads its scripts. It refuses a handler for an unknown message, a malformed handler, two
// handlers for one message, and a message in Public or Login without a handler; the error names the places. Close ends the service.
func New(c Config) (*Service, error) {
	if err := ecs.ValidName(c.Type, ecs.MaxName); err != nil {
		return nil, fmt.Errorf("service: its type: %w", err)
	}
	if err := ecs.ValidName(c.ID, ecs.MaxLongName); err != nil {
		return nil, fmt.Errorf("service %s: its id: %w", c.Type, err)
	}
	c = c.withDefaults()
	s := &Service{
		cfg: c, log: c.Logger, own: whole(c.Logger), memory: newMemory(), lanes: lanes{used: map[laneKey]*lane{}}, seen: newSeen(),
		stop: make(chan struct{}), quiet: make(chan struct{}), watched: make(chan struct{}), stopped: make(chan struct{}), reloads: reloads{prepared: map[string]prepared{}},
	}
	var err error
	if s.messages, err = newMessages(c.Files); err != nil {
		return nil, err
	}
	for _, name := range append(append([]string{}, c.Public...), c.Login...) {
		if _, err := s.messages.find(name); err != nil {
			return nil, fmt.Errorf("service %s: %w", c.Type, err)
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
	if len(t.client)+len(t.server) == 0 {
		s.log.Warn("service: it has no handlers, neither in Go nor in Starlark", "modules", len(c.Scripts))
	}
	s.enforce(t)
	go s.watch() // ends with Close
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
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Store == nil {
		c.Store = noStore{}
	}
	if c.Bus == nil {
		c.Bus = noBus{}
	}
	return c
}

// whole returns a logger that merges no lines.
func whole(l *slog.Logger) *slog.Logger {
	if h, ok := l.Handler().(interface{ Whole() slog.Handler }); ok {
		return slog.New(h.Whole())
	}
	return l
}

// Close refuses new requests and waits until the accepted ones have ended, or until ctx ends. In the latter case they
// continue and are answered, and Close may be called again.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		close(s.stop)
		go func() { // ends with the last handler
			defer close(s.stopped)
			s.live.Wait()
			s.threads.close()
			close(s.quiet)
			<-s.watched
			s.metrics.unregister()
		}()
	}
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		if stall := s.Stalled(); stall != nil {
			return fmt.Errorf("service %s does not end: %s: %w", s.name(), stall, ctx.Err())
		}
		return fmt.Errorf("service %s: handlers still running: %d: %w", s.name(), s.inFlight.Load(), ctx.Err())
	}
}
