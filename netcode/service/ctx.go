package service

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Ctx gives a handler its request and access to everything outside it. It is a context.Context that ends at the
// request's deadline and when the handler ends. It belongs to the handler's goroutine; code that the handler starts
// elsewhere may use it only as a context.
//
// Methods that wait suspend the handler. Other handlers run meanwhile, so what the handler has read may have changed
// afterwards. These methods fail once the request's deadline has passed.
type Ctx struct {
	s        *Service
	task     *task  // nil if nobody waits for an answer
	table    *table // the table in force when it began
	request  *rpc.Request
	deadline time.Time
	login    string
	effects  effects
	lines    script.Lines    // lines that a script has printed
	values   context.Context // values that middleware has added, or nil

	mu    sync.Mutex // guards the fields below
	inner context.Context
	stop  func() // ends inner
	over  bool   // the handler has ended
}

// Player returns the player logged in at the session that sent the request. It is "" before a login and if a service
// sent the request.
func (c *Ctx) Player() string { return c.request.Player }

// Session returns the session that sent the request, "" if a service did.
func (c *Ctx) Session() string { return c.request.Session }

// From returns the service that sent the request, "<type>/<id>".
func (c *Ctx) From() string { return c.request.From }

// Instance returns the id of the instance that runs the handler, as ps shows it.
func (c *Ctx) Instance() string { return c.s.cfg.ID }

// Logger returns the logger for the handlers' own lines. Unlike those of Wind, they are never merged when they repeat.
func (c *Ctx) Logger() *slog.Logger { return c.s.own }

// Login logs the session in as player once the handler has answered without an error. If the gateway has an authenticator
// that proves who logs in, Player is that player, and a Login as another one is refused. It fails in handlers of messages
// that Config.Login does not name, and for an invalid player. A player has 1 to 128 bytes of UTF-8, without control
// characters and without spaces at its ends.
func (c *Ctx) Login(player string) error {
	if !c.request.FromClient() || !slices.Contains(c.s.cfg.Login, c.request.Message) {
		return fmt.Errorf("service: %s cannot log a player in: Config.Login does not name it", c.request.Message)
	}
	if err := rpc.ValidPlayer(player); err != nil {
		return err
	}
	c.login = player
	return nil
}

// Call sends a message to another service and suspends the handler until the answer comes. The error is an *rpc.Error.
func (c *Ctx) Call(to rpc.Address, m proto.Message) (answer proto.Message, err error) {
	r, err := c.outgoing(to, m)
	if err != nil {
		return nil, err
	}
	if r.Timeout = time.Until(c.deadline); r.Timeout <= 0 {
		return nil, rpc.Errorf(rpc.DeadlineExceeded, "the request's time is over: %s was not called", to.Type)
	}
	var a rpc.Response
	c.Suspend(func() { a, err = c.s.cfg.Bus.Call(c.context(), to, r) })
	c.effects.sent(err)
	if err != nil || a.Message == "" {
		return nil, err
	}
	known, err := c.s.messages.find(a.Message)
	if asked := c.s.messages[r.Message]; err == nil && asked != nil {
		err = c.s.messages.answers(asked, a.Message)
	}
	if err != nil {
		return nil, &rpc.Error{Code: rpc.Internal, Text: fmt.Sprintf("the answer of %s: %v", to.Type, err), Maybe: true}
	}
	answer, bad := known.decode(a.Format, a.Payload)
	if bad != nil {
		return nil, bad
	}
	return answer, nil
}

// Tell sends a message to other services without waiting for an answer.
func (c *Ctx) Tell(to rpc.Address, m proto.Message) error {
	r, err := c.outgoing(to, m)
	if err != nil {
		return err
	}
	err = c.s.cfg.Bus.Tell(to, r)
	c.effects.sent(err)
	return err
}

// Command sends a command into a shard and suspends the handler until a tick has committed it, whose number it returns.
// value is the command's value: the Go type that the game registered, or whatever encodes to JSON that ecs.Type.PackJSON
// reads. The error is an *rpc.Error: FailedPrecondition means that the game rejected the command, with its reason.
func (c *Ctx) Command(shard, name string, value any) (tick uint64, err error) {
	b, err := json.Marshal(value)
	if err != nil {
		return 0, rpc.Errorf(rpc.InvalidArgument, "the value of command %s cannot be encoded: %v", name, err)
	}
	return c.command(shard, name, b)
}

func (c *Ctx) command(shard, name string, value []byte) (tick uint64, err error) {
	if !time.Now().Before(c.deadline) {
		return 0, rpc.Errorf(rpc.DeadlineExceeded, "the request's time is over: %s was not sent to shard %s", name, shard)
	}
	c.Suspend(func() {
		tick, err = c.s.cfg.Bus.Command(c.context(), shard, rpc.ShardCommand{Name: name, Value: value, From: c.s.name()})
	})
	c.effects.sent(err)
	return tick, err
}

// outgoing makes a message to other services, in a format that they accept.
func (c *Ctx) outgoing(to rpc.Address, m proto.Message) (rpc.Request, error) {
	format := rpc.Protobuf
	if takes := c.s.cfg.Takes; takes != nil && !takes(to, rpc.Protobuf) {
		format = rpc.JSON
	}
	payload, err := rpc.Encode(format, m)
	if err != nil {
		return rpc.Request{}, rpc.Errorf(rpc.InvalidArgument, "%s cannot be encoded: %v", rpc.ShortName(m), err)
	}
	return rpc.Request{Message: rpc.ShortName(m), Format: format, Payload: payload, From: c.s.name(), Trace: c.request.Trace}, nil
}

// Push sends a message to a player's client, wherever it is connected. A client that is not connected misses it.
func (c *Ctx) Push(player string, m proto.Message) error {
	if player == "" {
		return rpc.Errorf(rpc.InvalidArgument, "a push needs a player")
	}
	err := c.s.push(player, m)
	c.effects.sent(err)
	return err
}

// Broadcast sends a message to the clients of all players.
func (c *Ctx) Broadcast(m proto.Message) error {
	err := c.s.push("", m)
	c.effects.sent(err)
	return err
}

func (s *Service) push(player string, m proto.Message) error {
	name := rpc.ShortName(m)
	known, err := s.messages.find(name)
	if err != nil {
		return rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	payload, err := proto.Marshal(m)
	if err != nil {
		return rpc.Errorf(rpc.InvalidArgument, "%s cannot be encoded: %v", name, err)
	}
	return s.cfg.Bus.Push(player, rpc.Push{Message: name, ID: known.id, Payload: payload})
}

func (s *Service) name() string { return s.cfg.Type + "/" + s.cfg.ID }

// Sleep suspends the handler for d. It returns early with an error at the request's deadline.
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

// Suspend runs f while other handlers run. It returns when f has returned and it is this handler's turn again. f may
// block, but no longer than until the Ctx ends, and must not touch what handlers share. Suspend panics if the handler
// has ended.
func (c *Ctx) Suspend(f func()) {
	c.context() // starts the deadline, however long f takes
	if c.ended() {
		panic("service: a Ctx was used after its handler had ended")
	}
	c.effects.pause(c.s.memory)
	defer func() { // even if f panics: the panic is reported on the thread
		c.effects.resume(c.s.memory)
		c.s.running.Store(c)
	}()
	c.s.threads.suspend(f)
}

// context returns the underlying context, which it makes on first use.
func (c *Ctx) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		parent := c.values
		if parent == nil {
			parent = context.Background()
		}
		inner, cancel := context.WithDeadline(parent, c.deadline)
		c.inner, c.stop = inner, cancel
		if c.task != nil && !c.over {
			unwatch := context.AfterFunc(inner, c.task.expire)
			c.stop = func() { unwatch(); cancel() }
		}
		if c.over {
			cancel()
		}
	}
	return c.inner
}

// end ends everything that waits on the handler's context.
func (c *Ctx) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.stop != nil {
		c.stop()
	}
}

func (c *Ctx) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// Deadline returns the request's deadline, when its caller stops waiting. ok is always true.
func (c *Ctx) Deadline() (time.Time, bool) { return c.deadline, true }

// Done implements context.Context.
func (c *Ctx) Done() <-chan struct{} { return c.context().Done() }

// Err implements context.Context.
func (c *Ctx) Err() error {
	c.mu.Lock()
	inner, over := c.inner, c.over
	c.mu.Unlock()
	switch {
	case inner != nil:
		return inner.Err()
	case over:
		return context.Canceled
	case time.Now().After(c.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context. It returns values that middleware has added, such as a span.
func (c *Ctx) Value(key any) any {
	if c.values == nil {
		return nil
	}
	return c.values.Value(key)
}
