package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"
)

// Ctx is what a handler knows of its request, and how it reaches the rest of
// the world. It is a context.Context, which ends with the request's time-out and
// with the handler. It belongs to the handler's goroutine; what it starts
// elsewhere may use it as a context, and for nothing else.
//
// Methods that wait suspend the handler: others run meanwhile, and what the
// handler looked at before may be different afterwards.
type Ctx struct {
	s        *Service
	table    *table // that was in force when it began
	request  *Request
	deadline time.Time
	login    string

	inner  context.Context // made when somebody waits for the end
	cancel context.CancelFunc
}

// Player is who is logged in at the session that sent the request, "" before a
// login and for a service's request.
func (c *Ctx) Player() string { return c.request.Player }

// Session is the session that sent the request, "" when a service did.
func (c *Ctx) Session() string { return c.request.Session }

// From is the service that sent the request, "<type>/<id>".
func (c *Ctx) From() string { return c.request.From }

// Log is the service's log.
func (c *Ctx) Log() *slog.Logger { return c.s.log }

// Login logs the session in as player once the handler has answered.
func (c *Ctx) Login(player string) { c.login = player }

// Call sends a message to another service and waits, suspended, for its answer.
// The error is an *Error.
func (c *Ctx) Call(to Address, m proto.Message) (answer proto.Message, err error) {
	payload, err := proto.Marshal(m)
	if err != nil {
		return nil, Errorf(InvalidArgument, "%s cannot be encoded: %v", shortName(m), err)
	}
	r := Request{Message: shortName(m), Payload: payload, From: c.s.name(), Timeout: time.Until(c.deadline), Trace: c.request.Trace}
	if r.Timeout <= 0 {
		return nil, Errorf(DeadlineExceeded, "the request's time is over: %s was not called", to.Type)
	}
	var a Response
	c.Suspend(func() { a, err = c.s.cfg.Bus.Call(c, to, r) })
	if err != nil || a.Message == "" {
		return nil, err
	}
	known, err := c.s.messages.find(a.Message)
	if err != nil {
		return nil, Errorf(Internal, "the answer of %s: %v", to.Type, err)
	}
	answer, bad := known.decode(a.Format, a.Payload)
	if bad != nil {
		return nil, bad
	}
	return answer, nil
}

// Tell sends a message to other services and waits for nothing.
func (c *Ctx) Tell(to Address, m proto.Message) error {
	payload, err := proto.Marshal(m)
	if err != nil {
		return Errorf(InvalidArgument, "%s cannot be encoded: %v", shortName(m), err)
	}
	return c.s.cfg.Bus.Tell(to, Request{Message: shortName(m), Payload: payload, From: c.s.name(), Trace: c.request.Trace})
}

// Push sends a message to a player's client, wherever it is connected. One that
// is not connected misses it.
func (c *Ctx) Push(player string, m proto.Message) error {
	if player == "" {
		return Errorf(InvalidArgument, "a push needs a player")
	}
	return c.s.push(player, m)
}

// Broadcast sends a message to the clients of all players.
func (c *Ctx) Broadcast(m proto.Message) error { return c.s.push("", m) }

func (s *Service) push(player string, m proto.Message) error {
	name := shortName(m)
	known, err := s.messages.find(name)
	if err != nil {
		return Errorf(InvalidArgument, "%v", err)
	}
	payload, err := proto.Marshal(m)
	if err != nil {
		return Errorf(InvalidArgument, "%s cannot be encoded: %v", name, err)
	}
	return s.cfg.Bus.Push(player, Push{Message: name, ID: known.id, Payload: payload})
}

func (s *Service) name() string { return s.cfg.Type + "/" + s.cfg.ID }

// Store is the service's store; its calls suspend the handler.
func (c *Ctx) Store() Store { return suspending{c} }

// Sleep suspends the handler for d, or until its request's time is over: then
// the error says so.
func (c *Ctx) Sleep(d time.Duration) (err error) {
	c.Suspend(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.Done():
			err = c.Err()
		}
	})
	return err
}

// Suspend runs f while other handlers run, and returns when f has and it is this
// handler's turn again. f may block; it must not touch what handlers share.
func (c *Ctx) Suspend(f func()) {
	c.context() // f may be in another goroutine's hands afterwards
	c.s.threads.suspend(f)
}

// context is the real one, made once it is needed.
func (c *Ctx) context() context.Context {
	if c.inner == nil {
		c.inner, c.cancel = context.WithDeadline(context.Background(), c.deadline)
	}
	return c.inner
}

// end ends what waits for the handler.
func (c *Ctx) end() {
	if c.cancel != nil {
		c.cancel()
	}
}

// Deadline is when the caller stops waiting.
func (c *Ctx) Deadline() (time.Time, bool) { return c.deadline, true }

// Done is context.Context's.
func (c *Ctx) Done() <-chan struct{} { return c.context().Done() }

// Err is context.Context's.
func (c *Ctx) Err() error {
	if c.inner != nil {
		return c.inner.Err()
	}
	if time.Now().After(c.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// Value is context.Context's: a handler's context holds none.
func (c *Ctx) Value(any) any { return nil }

// suspending is a Store whose calls let other handlers run.
type suspending struct{ c *Ctx }

func (s suspending) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	s.c.Suspend(func() { value, revision, err = s.c.s.cfg.Store.Get(ctx, key) })
	return
}

func (s suspending) Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error) {
	s.c.Suspend(func() { next, ok, err = s.c.s.cfg.Store.Put(ctx, key, value, revision) })
	return
}

func (s suspending) Delete(ctx context.Context, key string, revision uint64) (ok bool, err error) {
	s.c.Suspend(func() { ok, err = s.c.s.cfg.Store.Delete(ctx, key, revision) })
	return
}

func (s suspending) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	s.c.Suspend(func() { keys, err = s.c.s.cfg.Store.Keys(ctx, prefix) })
	return
}

// noStore and noBus are what a service has that was given none.
type (
	noStore struct{}
	noBus   struct{}
)

func (noStore) err() error { return fmt.Errorf("rpc: this service has no store") }

func (s noStore) Get(context.Context, string) ([]byte, uint64, error) { return nil, 0, s.err() }
func (s noStore) Put(context.Context, string, []byte, uint64) (uint64, bool, error) {
	return 0, false, s.err()
}
func (s noStore) Delete(context.Context, string, uint64) (bool, error) { return false, s.err() }
func (s noStore) Keys(context.Context, string) ([]string, error)       { return nil, s.err() }
func (noBus) err() error { return fmt.Errorf("rpc: this service has no bus") }

func (b noBus) Call(context.Context, Address, Request) (Response, error) { return Response{}, b.err() }
func (b noBus) Tell(Address, Request) error                              { return b.err() }
func (b noBus) Push(string, Push) error                                  { return b.err() }
