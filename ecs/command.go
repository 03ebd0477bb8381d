package ecs

import (
	"fmt"
	"reflect"
	"unsafe"
)

// SourceKind says who sends a command. Within a tick the kinds come in this order.
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

// String is host, operator, shard, service or client.
func (k SourceKind) String() string {
	if int(k) < len(sourceNames) {
		return sourceNames[k]
	}
	return fmt.Sprintf("source(%d)", uint8(k))
}

// Source is who sends a command. For a client ID is its session, non-zero and never used again in a lineage.
type Source struct {
	Kind SourceKind
	ID   uint64
}

// String is the kind and, unless it is zero, the id: client:812.
func (s Source) String() string {
	if s.ID == 0 {
		return s.Kind.String()
	}
	return fmt.Sprintf("%s:%d", s.Kind, s.ID)
}

// Flags of a sampled command that its session did not send for this tick.
const (
	// FlagRepeated marks the session's last one, used again.
	FlagRepeated uint8 = 1
	// FlagNeutral goes with FlagRepeated: the session has sent nothing for longer than Game.HoldTicks, and the
	// zero value is used in place of its last one.
	FlagNeutral uint8 = 2

	knownFlags = FlagRepeated | FlagNeutral
)

// Command is one input to a tick.
type Command struct {
	Kind    uint16 // index in Schema.Commands
	Source  Source
	Seq     uint64 // the source's own number, from 1
	Flags   uint8  // FlagRepeated, FlagNeutral
	Payload []byte // the packed value
}

// commandOverhead is what a command takes in a frame beside its payload, in bytes, at most: its kind, its source, its
// number and its flags.
const commandOverhead = 32

// Weight is how many bytes the command takes in a record, at most: what a tick's budget counts.
func (c *Command) Weight() int { return len(c.Payload) + commandOverhead }

// Frame is everything that goes into one tick.
type Frame struct {
	Tick     uint64
	Commands []Command
}

// CommandOption changes how a command is registered.
type CommandOption func(*form)

// Sampled marks a command that states an intention, such as where a player aims: each session has one per
// tick. When none came its last one is repeated, marked, for Game.HoldTicks ticks; then the zero value is used, so
// that a key held down by a client that fell silent is let go.
func Sampled(f *form) { f.Sampled = true }

// handler is a registered command with its function.
type handler struct {
	call          // fn is not valid when the game does not handle the command
	f       *form // of the command
	ordinal int   // among the sampled ones
	load    func(c *Command)
	scratch unsafe.Pointer // a value to check
	check   func() error   // the value's own Validate on scratch, nil without one
}

// Cmd is a command of type C that is being handled.
type Cmd[C any] struct {
	Value  C
	source Source
	seq    uint64
	flags  uint8
	w      *World
}

// From is the session that sent the command, 0 when it is not from a client.
func (c *Cmd[C]) From() uint64 {
	if c.source.Kind != SourceClient {
		return 0
	}
	return c.source.ID
}

// Source is who sent the command.
func (c *Cmd[C]) Source() Source { return c.source }

// Seq is the source's own number of the command.
func (c *Cmd[C]) Seq() uint64 { return c.seq }

// Repeated reports whether the session sent nothing for this tick: the value is its last one, or neutral.
func (c *Cmd[C]) Repeated() bool { return c.flags&FlagRepeated != 0 }

// Neutral reports whether the value is the zero value, because the session has sent nothing for Game.HoldTicks
// ticks or has lost its connection.
func (c *Cmd[C]) Neutral() bool { return c.flags&FlagNeutral != 0 }

// Reject ends the handler, drops what it has queued, emitted and sent, and tells the sender why, in at most
// 128 bytes. What the handler has written into components stays: reject first, write then. It does not return.
func (c *Cmd[C]) Reject(why string) {
	c.w.rejection.reason = clip(why, maxReason)
	panic(&c.w.rejection)
}

// rejection is what Reject panics with.
type rejection struct{ reason string }

// maxReason is the longest reason that is kept, in bytes.
const maxReason = 128

// validator is what a command can have: bounds of its own, checked before the command is logged.
type validator interface{ Validate() error }

// Handle registers the command C and its handler, a func(*Tick, *Cmd[C], params…) with the parameters of a
// System. When C has a method Validate() error, a command that it refuses does not enter a frame. The
// commands wind.join and wind.leave exist in every game; Handle gives them a handler. Only inside Setup.
func Handle[C any](w *World, name string, fn any, options ...CommandOption) {
	t := reflect.TypeFor[C]()
	h := w.handlerOf[t]
	switch {
	case h == nil:
		h = registerCommand[C](w, name, options)
	case h.f.Name != name || h.fn.IsValid():
		refuse("ecs: command %q: %s is registered as %q already", name, t, h.f.Name)
	case len(options) > 0:
		refuse("ecs: command %q has options of its own", name)
	}
	cmd := &Cmd[C]{w: w}
	h.call = *w.prepare(name, nameSeed(name), fn)
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

// NewCommand makes a command of a registered type. It panics when C is not registered.
func NewCommand[C any](w *World, source Source, seq uint64, v C) Command {
	h := w.handlerOf[reflect.TypeFor[C]()]
	if h == nil {
		panic(fmt.Sprintf("ecs: %s is not a registered command", reflect.TypeFor[C]()))
	}
	return Command{Kind: uint16(h.f.id), Source: source, Seq: seq, Payload: h.f.pack(nil, unsafe.Pointer(&v), 1)}
}
