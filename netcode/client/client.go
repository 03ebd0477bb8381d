// Package client is the Go client of a shard: it connects, keeps its session
// across drops and server restarts, sends inputs in time, sends reliable
// commands exactly once, and mirrors what it may see of the world.
//
//	c, err := client.Dial(ctx, client.Config{Addr: "127.0.0.1:7777", Identity: "ann"})
//	c.SetInput(client.Do("arena.aim", arena.Aim{X: 1}))          // sampled: sent for every tick
//	reply, err := c.Send(ctx, client.Do("arena.name", arena.Name{…})) // reliable: answered once
//	c.View(func(v *client.View) { pos, ok := client.Get[arena.Position](v, v.Self(), "position") })
//
// A client costs one goroutine over UDP and two over TCP, so that hundreds of
// bots fit into a process.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Transport is how a client connects.
type Transport uint8

const (
	// UDP is KCP for what must arrive, datagrams for updates.
	UDP Transport = iota
	// TCP carries the same frames, for networks without UDP.
	TCP
	// WebSocket carries them too: the address is host:port, for the path /ws
	// there, or a URL.
	WebSocket
)

// Config says where to connect and as whom. The hooks are called on the
// client's goroutine: they must not block, nor call Close or Send.
type Config struct {
	Addr      string   // host:port of a node
	More      []string // other nodes that may serve the shard, tried in turn
	Transport Transport
	Identity  string // who plays, 1 to 64 bytes
	Shard     string // empty: whatever the node serves
	// ConnectTicket is what a gateway gave for the shard: who plays is what it
	// says, and Identity may be empty. It opens one session, once, and is
	// resumed without: for another session ask the gateway for another ticket.
	ConnectTicket []byte

	// Bot plays the client, if there is one.
	Bot Bot
	// Resume takes up the session of an earlier client instead of a new one.
	Resume *Ticket

	OnUpdate func(Update)
	OnEvent  func(Event)
	OnReply  func(Reply)

	// NoResume ends the client at the first drop, NoRejoin when its session
	// is over. By default it resumes, and else begins another session.
	NoResume, NoRejoin bool
	// DropAfter is how long nothing may come before the connection counts as
	// lost. 3 s.
	DropAfter time.Duration
	// BackOff is the longest pause between two attempts. 1 s.
	BackOff time.Duration
	// Redundancy says how often inputs are sent over UDP. By default as the
	// measured loss asks for.
	Redundancy Redundancy
	// Logger gets drops and resumes. Nil: nothing is logged.
	Logger *slog.Logger
}

// Ticket is what resumes a session, on any node that serves its shard.
type Ticket struct {
	Session  uint64
	Token    []byte // a secret
	LastTick uint64 // newest tick that the client has seen
}

// Update tells that news of a committed tick came. Several may tell of one
// tick, and a late one of an older tick.
type Update struct {
	Tick, Checksum uint64 // of the whole world
	Epoch, Durable uint64 // ownership's generation; the log record that holds the tick
	Bytes          int    // of the message
}

// Event is what happened in a committed tick, all of one type.
type Event struct {
	Tick   uint64
	Name   string
	Count  int
	Packed []byte // values, one after the other; valid during the call
}

// Reply answers a reliable command.
type Reply struct {
	Seq, Tick uint64 // Tick used it; 0: none did, or it is no longer known
	Rejected  bool
	Unknown   bool // it was answered before, and the answer is no longer kept
	Reason    string
}

// ByeError is the server's reason to end a connection.
type ByeError struct {
	Reason wirepb.Reason
	Text   string
}

func (e *ByeError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("client: the server ended the connection: %v", e.Reason)
	}
	return fmt.Sprintf("client: the server ended the connection: %s (%v)", e.Text, e.Reason)
}

var (
	// ErrClosed is the end of a client that was closed.
	ErrClosed = errors.New("client: closed")
	// ErrSessionLost answers a command whose session was over before a reply.
	ErrSessionLost = errors.New("client: the session is over, the command's fate is unknown")
	// ErrBusy refuses a command while MaxPending wait for replies.
	ErrBusy = errors.New("client: too many commands wait for replies")

	errClosed = ErrClosed
)

// MaxPending bounds the reliable commands without a reply.
const MaxPending = 64

// Client is one player's connection. Its methods may be called concurrently.
type Client struct {
	cfg      Config
	counters counters
	stop     chan struct{} // Close or Abandon was called
	ready    chan struct{} // the first Welcome came
	done     chan struct{} // the goroutine has ended

	viewMu sync.RWMutex
	view   View

	mu        sync.Mutex
	transport transport // to wake
	abandon   bool
	stopped   bool
	err       error
	ticket    Ticket
	game      string
	schema    *ecs.Schema
	inputs    []Action // sent for every tick
	nextSeq   uint64
	pending   []*pending // by seq
}

// pending is a reliable command without a reply.
type pending struct {
	seq   uint64
	kind  int
	value []byte
	sent  bool // on this connection
	reply chan Reply
	lost  chan struct{}
}

// Dial connects and returns once the client's session is in the committed
// world. It goes on trying until ctx ends, unless the server says that it is of
// no use. The client lives on after ctx.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.DropAfter == 0 {
		cfg.DropAfter = 3 * time.Second
	}
	if cfg.BackOff == 0 {
		cfg.BackOff = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, stop: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{})}
	if cfg.Resume != nil {
		c.ticket = *cfg.Resume
		c.counters.saw(cfg.Resume.LastTick)
	}
	go newSession(c).run()
	select {
	case <-c.ready:
		return c, nil
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		err := c.Err()
		c.end(true)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return nil, ctx.Err()
	}
}

// Close leaves the session and waits until the client has ended.
func (c *Client) Close() error {
	c.end(false)
	return nil
}

// Abandon ends the client as if its network were gone: the session stays in
// the world for the server's grace period, and the ticket resumes it.
func (c *Client) Abandon() Ticket {
	c.end(true)
	return c.Ticket()
}

func (c *Client) end(abandon bool) {
	c.mu.Lock()
	if !c.stopped {
		c.stopped, c.abandon = true, abandon
		close(c.stop)
		if c.transport != nil {
			c.transport.wake()
		}
	}
	c.mu.Unlock()
	<-c.done
}

// Done closes when the client has ended; Err then says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the client ended, or the newest reason of its attempts to connect.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Ticket is what resumes the client's session elsewhere.
func (c *Client) Ticket() Ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.ticket
	t.LastTick = max(t.LastTick, c.counters.lastTick.Load())
	return t
}

// Session is the id of the client's session.
func (c *Client) Session() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ticket.Session
}

// Game is the name of the game that the shard runs.
func (c *Client) Game() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.game
}

// Schema describes the shard's types; not to be written to.
func (c *Client) Schema() *ecs.Schema {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.schema
}

// View lets f read what the client sees. f must not call the client.
func (c *Client) View(f func(*View)) {
	c.viewMu.Lock()
	defer c.viewMu.Unlock()
	f(&c.view)
}

// SetInput makes a the input of its command for every tick from now on.
func (c *Client) SetInput(a Action) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := kindOf(c.schema, a, true); err != nil {
		return err
	}
	for i := range c.inputs {
		if c.inputs[i].command == a.command {
			c.inputs[i] = a
			return nil
		}
	}
	c.inputs = append(c.inputs, a)
	return nil
}

// Send sends a reliable command and waits for its reply, across drops and
// resumes. The world uses it once, or never.
func (c *Client) Send(ctx context.Context, a Action) (Reply, error) {
	p, err := c.enqueue(a, true)
	if err != nil {
		return Reply{}, err
	}
	select {
	case r := <-p.reply:
		return r, nil
	case <-p.lost:
		return Reply{}, ErrSessionLost
	case <-c.done:
		select {
		case r := <-p.reply:
			return r, nil
		default:
			return Reply{}, c.Err()
		}
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
}

// Post sends a reliable command without waiting; the reply goes to OnReply.
func (c *Client) Post(a Action) (seq uint64, err error) {
	p, err := c.enqueue(a, true)
	if err != nil {
		return 0, err
	}
	return p.seq, nil
}

func (c *Client) enqueue(a Action, wake bool) (*pending, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, ErrClosed
	}
	kind, err := kindOf(c.schema, a, false)
	if err != nil {
		return nil, err
	}
	if len(c.pending) >= MaxPending {
		return nil, ErrBusy
	}
	p := &pending{seq: c.nextSeq, kind: kind, value: a.value, reply: make(chan Reply, 1), lost: make(chan struct{})}
	c.nextSeq++
	c.pending = append(c.pending, p)
	c.counters.commands.Add(1)
	if wake && c.transport != nil {
		c.transport.wake()
	}
	return p, nil
}

// kindOf finds the number of a's command and checks the size of its value.
func kindOf(s *ecs.Schema, a Action, sampled bool) (int, error) {
	kind, ok := -1, false
	if s != nil {
		kind, ok = s.Command(a.command)
	}
	switch {
	case !ok:
		return 0, fmt.Errorf("client: the shard has no command %q", a.command)
	case len(a.value) != s.Commands[kind].Packed:
		return 0, fmt.Errorf("client: a value of %d bytes for command %q, want %d", len(a.value), a.command, s.Commands[kind].Packed)
	case s.Commands[kind].Sampled != sampled:
		return 0, fmt.Errorf("client: command %q is sampled: %v, want %v", a.command, !sampled, sampled)
	}
	return kind, nil
}
