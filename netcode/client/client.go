// Package client is the Go client of a shard. It connects, keeps its session
// across drops and server restarts, sends inputs in time, delivers reliable commands
// exactly once, and mirrors what it may see of the world. It is also a client
// of gateways (DialRPC).
//
//	c, err := client.Dial(ctx, client.Config{Addr: "127.0.0.1:7777", Identity: "ann"})
//	c.SetInput(client.Do("arena.aim", arena.Aim{X: 1}))          // sampled: sent for every tick
//	reply, err := c.Send(ctx, client.Do("arena.name", arena.Name{…})) // reliable: answered once
//	c.View(func(v *client.View) { pos, ok := client.Get[arena.Position](v, v.Self(), "position") })
//
// With Config.Game the client runs what the game marks with ecs.Predict ahead of the server, for the entity that it controls, and corrects it
// where an update contradicts. View.Position says where to draw an entity: its own ahead, any other between two updates.
//
//	c.View(func(v *client.View) { for e := range v.Each { x, y, ok := v.Position(e, time.Now()) … } })
//
// A client costs one goroutine over UDP and two over TCP, so a process can run
// hundreds of bots.
package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

// Transport is how a client connects.
type Transport uint8

const (
	// UDP uses KCP for what must arrive and datagrams for updates.
	UDP Transport = iota
	// TCP carries the same frames, for networks without UDP.
	TCP
	// WebSocket carries the same frames. The address is a URL, or host:port with
	// the path /ws implied.
	WebSocket
)

// String implements fmt.Stringer.
func (t Transport) String() string {
	switch t {
	case UDP:
		return "UDP"
	case TCP:
		return "TCP"
	case WebSocket:
		return "WebSocket"
	}
	return fmt.Sprintf("Transport(%d)", uint8(t))
}

// Config says where to connect and as whom. The client calls the hooks on its own
// goroutine: they must not block, nor call Close or Send.
type Config struct {
	Addr      string   // host:port of a node
	More      []string // other nodes that may serve the shard, tried in turn
	Transport Transport
	Identity  string // who plays, 1 to 64 bytes
	// Shard may be empty: then it is the ticket's, or the one that the node serves
	// by default. If another node serves it, the client goes there.
	Shard string
	// Ticket is a gateway's ticket for the shard. It names the player, so
	// Identity may be empty. It opens one session, once; resuming that session
	// needs no ticket, another session needs another ticket.
	Ticket []byte

	// Bot controls the client. Optional.
	Bot Bot
	// Game is the game's code, nil if the client does not have it. Then the client runs ahead what ecs.Predict names, for the entity that it
	// controls: see Own and View.Position. It must be the build that the server runs, or what it predicts is corrected all the time.
	Game *ecs.Game
	// Resume makes the client resume an earlier client's session.
	Resume *ResumeToken

	OnUpdate func(Update)
	OnEvent  func(Event)
	OnReply  func(Reply)

	// NoResume ends the client at the first drop, NoRejoin when its session
	// is over. By default it resumes or, if it cannot, begins another session.
	NoResume, NoRejoin bool
	// DropAfter is how long the server may be silent before the connection counts
	// as lost. Default 3 s.
	DropAfter time.Duration
	// BackOff is the longest pause between two attempts. Default 1 s.
	BackOff time.Duration
	// Redundancy says how often inputs are sent over UDP. By default it follows
	// the measured loss.
	Redundancy Redundancy
	// TLS makes TCP and WebSocket speak TLS; nil: plain. Without a ServerName the server must be the host of the address. See package cert for
	// one that pins a certificate.
	TLS *tls.Config
	// DialUDP opens the socket to a server. The client reads and writes it from one goroutine, while others set its read deadline; a
	// write must not wait. By default it is a plain socket; see package netsim for one behind a bad network.
	DialUDP func(address string) (net.Conn, error)
	// Logger receives drops and resumes. Nil means slog.Default().
	Logger *slog.Logger
}

// A ResumeToken resumes a session on any node that serves its shard.
type ResumeToken struct {
	Session  uint64
	Token    []byte // a secret
	LastTick uint64 // newest tick that the client has seen
}

// Update reports that an update of a committed tick arrived. One tick may have
// several, and a late one may belong to an older tick.
type Update struct {
	Tick, Checksum uint64 // the checksum is the whole world's
	Epoch, Durable uint64 // generation of the shard's ownership; sequence of the log record that holds the tick
	Bytes          int    // length of the message
}

// Event holds the events of one type in a committed tick.
type Event struct {
	Tick   uint64
	Name   string
	Count  int
	Packed []byte // packed values, one after the other; valid during the call
}

// Reply answers a reliable command.
type Reply struct {
	Seq, Tick uint64 // Tick is the tick that used it; 0: none did, or the server no longer knows
	Rejected  bool
	Unknown   bool // it was answered before, and the server no longer has the answer
	Reason    string
}

// ByeError reports why the server ended a connection.
type ByeError struct {
	Reason wirepb.Reason
	Text   string

	at string // the address of the node that serves the shard; "" if unknown
}

func (e *ByeError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("client: the server ended the connection: %v", e.Reason)
	}
	return fmt.Sprintf("client: the server ended the connection: %s (%v)", e.Text, e.Reason)
}

var (
	// ErrClosed means that the client was closed.
	ErrClosed = errors.New("client: closed")
	// ErrSessionLost means that the session ended before the command's reply came.
	ErrSessionLost = errors.New("client: the session is over, the command's fate is unknown")
	// ErrBusy refuses a command while MaxPending commands wait for replies.
	ErrBusy = errors.New("client: too many commands are waiting for replies")

	errClosed = ErrClosed
)

// MaxPending bounds the reliable commands that wait for replies.
const MaxPending = 64

// DialError reports that no node gave a session before Dial's context ended. It also is that context's error, and Last.
type DialError struct {
	Addrs     []string // those tried
	Transport Transport
	Took      time.Duration
	Last      error // why the last attempt failed; nil: the first was not over
	Context   error
}

// Error implements error.
func (e *DialError) Error() string {
	last := "the first attempt has no answer yet"
	if e.Last != nil {
		last = "the last attempt: " + strings.TrimPrefix(e.Last.Error(), "client: ")
	}
	if !errors.Is(e.Context, context.DeadlineExceeded) {
		last += fmt.Sprintf(" (%v)", e.Context)
	}
	return fmt.Sprintf("client: no session at %s over %v within %v; %s", strings.Join(e.Addrs, ", "), e.Transport, e.Took.Round(100*time.Millisecond), last)
}

// Unwrap returns the context's error and the last attempt's.
func (e *DialError) Unwrap() []error { return []error{e.Context, e.Last} }

// Client is one player's connection. Its methods are safe for concurrent use.
type Client struct {
	cfg      Config
	counters counters
	stop     chan struct{} // Close or Abandon was called
	ready    chan struct{} // the first Welcome came
	done     chan struct{} // the goroutine has ended

	viewMu sync.RWMutex
	view   View

	mu        sync.Mutex
	transport transport // for wake
	abandon   bool
	stopped   bool
	err       error
	token     ResumeToken
	game      string
	schema    *ecs.Schema
	inputs    []Action // sent for every tick
	nextSeq   uint64
	pending   []*pending // by seq
}

// pending is a reliable command that waits for its reply.
type pending struct {
	seq   uint64
	kind  int
	value []byte
	sent  bool // on this connection
	reply chan Reply
	lost  chan struct{}
}

// Dial connects and returns once the client's session is in the committed world.
// It keeps trying until ctx ends, or until the server answers that trying again is
// pointless. If ctx ends first, the error is a *DialError. The client outlives ctx.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.DropAfter == 0 {
		cfg.DropAfter = 3 * time.Second
	}
	if cfg.BackOff == 0 {
		cfg.BackOff = time.Second
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	c := &Client{cfg: cfg, stop: make(chan struct{}), ready: make(chan struct{}), done: make(chan struct{})}
	if cfg.Resume != nil {
		c.token = *cfg.Resume
		c.counters.saw(cfg.Resume.LastTick)
	}
	s, began := newSession(c), time.Now()
	go s.run()
	select {
	case <-c.ready:
		return c, nil
	case <-c.done:
		return nil, c.Err()
	case <-ctx.Done():
		last := c.Err()
		c.end(true)
		return nil, &DialError{Addrs: s.addresses, Transport: cfg.Transport, Took: time.Since(began), Last: last, Context: ctx.Err()}
	}
}

// Close leaves the session and waits until the client has ended.
func (c *Client) Close() error {
	c.end(false)
	return nil
}

// Abandon ends the client as if its network were gone. The session stays in the
// world for the server's grace period; the returned token resumes it.
func (c *Client) Abandon() ResumeToken {
	c.end(true)
	return c.ResumeToken()
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

// Err returns why the client ended or, until then, why its last attempt to connect
// failed.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// ResumeToken returns a token that resumes the client's session elsewhere.
func (c *Client) ResumeToken() ResumeToken {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.token
	t.LastTick = max(t.LastTick, c.counters.lastTick.Load())
	return t
}

// Session returns the id of the client's session.
func (c *Client) Session() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token.Session
}

// Game returns the name of the shard's game.
func (c *Client) Game() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.game
}

// Schema returns the schema of the shard's types. The caller must not change it.
func (c *Client) Schema() *ecs.Schema {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.schema
}

// View calls f with what the client sees. f must not call the client's methods.
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
// resumes. The world uses the command at most once.
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

// kindOf returns the kind of a's command. It checks the size of the value and
// whether the command is sampled.
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
		return 0, fmt.Errorf("client: command %q has sampled=%v, want %v", a.command, !sampled, sampled)
	}
	return kind, nil
}
