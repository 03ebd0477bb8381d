package ecs

import (
	"fmt"
	"reflect"
	"unsafe"
)

// SourceKind is the kind of a command's sender. Within a tick, commands run in this order of kinds.
type SourceKind uint8

// The kinds of source.
const (
	SourceHost     SourceKind = iota // the node that runs the shard
	SourceOperator                   // a person with a tool
	SourceShard                      // another shard's outbox
	SourceService                    // a request handler
	SourceClient                     // a session
	sourceKinds
)

var sourceNames = [...]string{"host", "operator", "shard", "service", "client"}

// String returns host, operator, shard, service or client.
func (k SourceKind) String() string {
	if int(k) < len(sourceNames) {
		return sourceNames[k]
	}
	return fmt.Sprintf("source(%d)", uint8(k))
}

// Source is a command's sender. A client's ID is its session: never 0, and never reused in a lineage.
type Source struct {
	Kind SourceKind
	ID   uint64
}

// String returns the kind and, unless it is zero, the id: client:812.
func (s Source) String() string {
	if s.ID == 0 {
		return s.Kind.String()
	}
	return fmt.Sprintf("%s:%d", s.Kind, s.ID)
}

// Flags of a sampled command that its session did not send for this tick.
const (
	// FlagRepeated marks a repeat of the session's last command.
	FlagRepeated uint8 = 1
	// FlagNeutral goes with FlagRepeated: the session has sent nothing for longer than Game.HoldTicks, so the zero
	// value replaces its last one.
	FlagNeutral uint8 = 2

	knownFlags = FlagRepeated | FlagNeutral
)

// Command is one input to a tick.
type Command struct {
	Kind    uint16 // index in Schema.Commands
	Source  Source
	Seq     uint64 // the source's sequence number, from 1
	Flags   uint8  // FlagRepeated, FlagNeutral
	Payload []byte // the packed value
}

// commandOverhead is an upper bound on a command's size in a frame without its payload, in bytes: kind, source,
// sequence number and flags.
const commandOverhead = 32

// FrameBytes is the room that a tick has for commands: the largest sum of their weights.
const FrameBytes = 256 << 10

// Weight returns an upper bound on the command's size in a record, in bytes. A frame's room counts it.
func (c *Command) Weight() int { return len(c.Payload) + commandOverhead }

// Frame is everything that goes into one tick.
type Frame struct {
	Tick     uint64
	Commands []Command
}

// CommandOption changes how a command is registered.
type CommandOption func(*form)

// Sampled marks a command that states an intention, such as where a player aims: each session has one per tick. If none
// arrives, the session's last one repeats, with FlagRepeated, for Game.HoldTicks ticks; then the zero value applies. So
// a client that falls silent does not hold a key down forever.
func Sampled(f *form) { f.Sampled = true }

// handler is a registered command with its function.
type handler struct {
	call          // fn is invalid if the game does not handle the command
	f       *form // of the command
	ordinal int   // among the sampled ones
	load    func(c *Command)
	scratch unsafe.Pointer // a value, for checks
	check   func() error   // the value's own Validate on scratch; nil without one
}

// Cmd is a command of type C, as its handler sees it.
type Cmd[C any] struct {
	Value  C
	source Source
	seq    uint64
	flags  uint8
	w      *World
}

// From returns the session that sent the command, 0 if it does not come from a client.
func (c *Cmd[C]) From() uint64 {
	if c.source.Kind != SourceClient {
		return 0
	}
	return c.source.ID
}

// Source returns the command's sender.
func (c *Cmd[C]) Source() Source { return c.source }

// Seq returns the command's sequence number at its source.
func (c *Cmd[C]) Seq() uint64 { return c.seq }

// Repeated reports whether the session sent nothing for this tick: the value is then its last one, or neutral.
func (c *Cmd[C]) Repeated() bool { return c.flags&FlagRepeated != 0 }

// Neutral reports whether the value is the zero value because the session has sent nothing for Game.HoldTicks ticks or
// has lost its connection.
func (c *Cmd[C]) Neutral() bool { return c.flags&FlagNeutral != 0 }

// Reject ends the handler, drops what it has queued, emitted and sent, and reports why to the sender, cut to 128 bytes.
// What the handler has written into components stays, so reject before writing. Reject does not return.
func (c *Cmd[C]) Reject(why string) {
	c.w.rejection.reason = clip(why, maxReason)
	panic(&c.w.rejection)
}

// rejection is the value that Reject panics with.
type rejection struct{ reason string }

// maxReason is the longest reason kept, in bytes.
const maxReason = 128

// validator is implemented by commands with bounds of their own, checked before the command is logged.
type validator interface{ Validate() error }

// Handle registers the command C and its handler, a func(*Tick, *Cmd[C], params…) with the parameters of a System. If C
// has a method Validate() error, a command that it refuses does not enter a frame. The commands wind.join and
// wind.leave exist in every game; Handle gives them a handler. Call it only inside Setup.
func Handle[C any](w *World, name string, fn any, options ...CommandOption) {
	t := reflect.TypeFor[C]()
	h := w.handlerOf[t]
	switch {
	case h == nil:
		h = registerCommand[C](w, name, options)
	case h.f.Name != name || h.fn.IsValid():
		refuse("ecs: command %q: %s is already registered as %q", name, t, h.f.Name)
	case len(options) > 0:
		refuse("ecs: command %q is built in and takes no options", name)
	}
	cmd := &Cmd[C]{w: w}
	h.call = *w.prepare("command "+name, name, nameSeed(name), fn)
	h.args = append(h.args, reflect.ValueOf(cmd))
	h.load = func(c *Command) {
		cmd.source, cmd.seq, cmd.flags = c.Source, c.Seq, c.Flags
		h.f.unpack(unsafe.Pointer(&cmd.Value), c.Payload, 1)
	}
}

func registerCommand[C any](w *World, name string, options []CommandOption) *handler {
	var plain []Option
	for _, o := range options {
		plain = append(plain, Option(o))
	}
	f := w.plan("command", name, reflect.TypeFor[C](), plain)
	f.id = len(w.handlers)
	v := new(C)
	h := &handler{f: f, call: call{name: name}, scratch: unsafe.Pointer(v)}
	if x, ok := any(v).(validator); ok {
		h.check = x.Validate
	}
	w.handlers, w.handlerOf[f.typ] = append(w.handlers, h), h
	return h
}

// NewCommand returns a command of a registered type. It panics if C is not registered.
func NewCommand[C any](w *World, source Source, seq uint64, v C) Command {
	h := w.handlerOf[reflect.TypeFor[C]()]
	if h == nil {
		panic(fmt.Sprintf("ecs: %s is not a registered command", reflect.TypeFor[C]()))
	}
	return Command{Kind: uint16(h.f.id), Source: source, Seq: seq, Payload: h.f.pack(nil, unsafe.Pointer(&v), 1)}
}
