package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
)

// Limits of a port.
const (
	maxSubmissions = 1024    // submissions waiting for a tick
	maxCommands    = 1 << 16 // commands in one submission
	sequenceBits   = 20      // low bits of a command's number: its index within the tick
)

// Port takes commands for a shard from services and operators and puts them into its ticks. The tick loop calls Own,
// Latch, Release and Disown, one at a time, but for Disown while a Latch hangs. Submit, Enqueue and Watch may be called at any time, concurrently.
//
// Commands enter ticks in the order of their submission. The commands of one call of Submit stay together as far as a
// tick has room. They may use half of a tick's budget, so that players always get through. The remaining commands go
// first in the next tick. A submission is answered once the record with its last command is committed, never before.
//
// A command's number is its tick, shifted left by 20 bits, plus its index in the tick. Because a tick is committed
// only once, the number always increases, even when a successor knows nothing of its predecessor's numbers.
type Port struct {
	log *slog.Logger

	mu     sync.Mutex
	owned  bool
	queue  []*submission // submissions with commands to send
	ticks  []flight      // latched but not released
	watch  func(owned bool)
	comes  func()        // called for each submission that is queued
	ended  []func()      // callbacks to run after unlocking
	tick   uint64        // tick being latched
	number uint64        // last command number in that tick
	scrap  []ecs.Command // scratch buffer of place
}

// Compose makes a submission's commands. The tick loop calls it once, for the first tick that may take them, and nobody
// waits for it but the tick. It must only read the world. It calls next once per command for the command's source and number.
type Compose func(w *ecs.World, next func(kind ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error)

// Outcome describes what became of a committed submission.
type Outcome struct {
	Tick     uint64   // tick of its last command
	Failures []string // rejected or failed commands: the command's name, then the reason
}

// submission is one call of Submit.
type submission struct {
	compose  Compose
	until    time.Time // zero: no deadline
	done     func(Outcome, error)
	composed bool
	commands []ecs.Command
	sent     int // how many commands were latched
	flying   int // how many of those are not released yet
	outcome  Outcome
	over     bool
}

// flight holds a tick's commands on their way to the log, by their index in the tick.
type flight struct {
	tick   uint64
	places map[int]placed
}

type placed struct {
	from *submission
	name string
}

// NewPort makes a port for a shard that this node does not own yet. A nil logger means slog.Default().
func NewPort(logger *slog.Logger) *Port {
	logger = cmp.Or(logger, slog.Default())
	return &Port{log: logger}
}

// Submit sends commands into the shard and waits until they are committed. Its errors are *rpc.Error: the error from
// compose; InvalidArgument for a command that the world refuses; ResourceExhausted if too many submissions are waiting;
// Unavailable if this node does not own the shard, or loses it; or the end of ctx. With Maybe, some of the commands
// may have been executed; without it, none was.
func (p *Port) Submit(ctx context.Context, compose Compose) (Outcome, error) {
	type answer struct {
		outcome Outcome
		err     error
	}
	answers := make(chan answer, 1)
	o := &submission{compose: compose, done: func(u Outcome, err error) { answers <- answer{u, err} }}
	if until, ok := ctx.Deadline(); ok {
		o.until = until
	}
	p.enqueue(o)
	select {
	case a := <-answers:
		return a.outcome, a.err
	case <-ctx.Done():
	}
	p.withdraw(o, rpc.ErrorOf(ctx.Err()))
	a := <-answers
	return a.outcome, a.err
}

// Enqueue sends commands without waiting: it calls done once, from any goroutine. done must not block. A
// submission that no tick has taken at until ends, even if the shard does not tick.
func (p *Port) Enqueue(compose Compose, until time.Time, done func(Outcome, error)) {
	o := &submission{compose: compose, until: until}
	late := time.AfterFunc(time.Hour, func() { p.withdraw(o, rpc.Errorf(rpc.DeadlineExceeded, "no tick took it in time")) })
	o.done = func(u Outcome, err error) {
		late.Stop()
		done(u, err)
	}
	late.Reset(time.Until(until))
	p.enqueue(o)
}

// Watch calls f whenever this node begins or ceases to own the shard, and at once if it owns it now. Only one may watch
// a port: Watch returns false if another does. A nil f ends that.
func (p *Port) Watch(f func(owned bool)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f != nil && p.watch != nil {
		return false
	}
	if p.watch = f; f != nil && p.owned {
		f(true)
	}
	return true
}

// OnArrival makes f be called, from any goroutine, whenever a submission is queued; nil ends it. f must not block.
func (p *Port) OnArrival(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.comes = f
}

// Waiting returns the number of submissions that wait for a tick.
func (p *Port) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}

// enqueue queues a submission for the next tick.
func (p *Port) enqueue(o *submission) {
	p.mu.Lock()
	switch {
	case o.over: // withdrawn before it arrived
	case !p.owned:
		p.end(o, rpc.Errorf(rpc.Unavailable, "this node does not own the shard"))
	case len(p.queue) >= maxSubmissions:
		p.end(o, rpc.Errorf(rpc.ResourceExhausted, "%d submissions are already waiting for a tick", maxSubmissions))
	default:
		p.queue = append(p.queue, o)
		if p.comes != nil {
			p.comes()
		}
	}
	p.unlock()
}

// withdraw ends a submission early. Commands that were already latched may still be executed.
func (p *Port) withdraw(o *submission, e *rpc.Error) {
	p.mu.Lock()
	p.queue = slices.DeleteFunc(p.queue, func(x *submission) bool { return x == o })
	p.end(o, e)
	p.unlock()
}

// end marks a submission as over: with its outcome if e is nil, else with the error. Further calls for it do nothing.
func (p *Port) end(o *submission, e *rpc.Error) {
	if o.over {
		return
	}
	o.over = true
	if e == nil {
		p.ended = append(p.ended, func() { o.done(o.outcome, nil) })
		return
	}
	own := *e
	own.Maybe, own.NotBegun = o.sent > 0, o.sent == 0
	e = &own
	p.ended = append(p.ended, func() { o.done(Outcome{}, e) })
}

// unlock unlocks the port and then calls the callbacks of submissions that are over.
func (p *Port) unlock() {
	ended := p.ended
	p.ended = nil
	p.mu.Unlock()
	for _, f := range ended {
		f()
	}
}

// Own makes this node the owner of the shard, whose world is w.
func (p *Port) Own(w *ecs.World, epoch uint64) {
	p.Disown(errors.New("it is owned again"))
	p.mu.Lock()
	p.owned = true
	watch := p.watch
	p.unlock()
	if watch != nil {
		watch(true)
	}
}

// Disown ends this node's ownership of the shard and fails the waiting submissions.
func (p *Port) Disown(reason error) {
	p.mu.Lock()
	owned, watch := p.owned, p.watch
	p.owned = false
	e := rpc.Errorf(rpc.Unavailable, "this node no longer owns the shard: %v", reason)
	for _, f := range p.ticks {
		for _, at := range f.places {
			p.end(at.from, e)
		}
	}
	for _, o := range p.queue {
		p.end(o, e)
	}
	p.ticks, p.queue = nil, nil
	p.unlock()
	if owned && watch != nil {
		watch(false)
	}
}

// Latch adds commands to a tick. b must already hold the other sources' commands, except those of clients: Latch
// derives the index of its commands in the tick from them.
func (p *Port) Latch(w *ecs.World, b *Batch) {
	p.mu.Lock()
	defer p.unlock()
	if !p.owned || len(p.queue) == 0 {
		return
	}
	p.tick, p.number = b.Tick, 0
	begin, share := len(b.Commands), b.Left/2
	var from []*submission // of b.Commands[begin:]
	for len(p.queue) > 0 {
		o := p.queue[0]
		if !o.composed {
			p.compose(w, o)
			if !p.owned { // the tick is given up
				for _, o := range from {
					p.end(o, rpc.Errorf(rpc.Unavailable, "this node no longer owns the shard"))
				}
				return
			}
			if len(p.queue) == 0 || p.queue[0] != o {
				continue // withdrawn meanwhile
			}
		}
		for !o.over && o.sent < len(o.commands) {
			c := &o.commands[o.sent]
			if !b.Fits(c) || b.Left-c.Weight() < share && len(from) > 0 {
				p.place(w, b, begin, from)
				return
			}
			b.Add(*c)
			from = append(from, o)
			o.sent++
			o.flying++
		}
		p.queue = p.queue[1:]
	}
	p.queue = nil // release the array: its front is used up
	p.place(w, b, begin, from)
}

// compose makes a submission's commands, or ends the submission. What it calls is the game's and may hang, so it does
// without the lock meanwhile.
func (p *Port) compose(w *ecs.World, o *submission) {
	if !o.until.IsZero() && !time.Now().Before(o.until) {
		p.end(o, rpc.Errorf(rpc.DeadlineExceeded, "no tick took it in time"))
		return
	}
	p.mu.Unlock()
	commands, err := p.composed(w, o)
	p.mu.Lock()
	switch e := (*rpc.Error)(nil); {
	case errors.As(err, &e):
		p.end(o, e)
	case err != nil:
		p.end(o, rpc.Errorf(rpc.InvalidArgument, "%v", err))
	case len(commands) == 0:
		o.outcome.Tick = w.Tick()
		p.end(o, nil)
	}
	o.composed, o.commands = true, commands
}

// composed calls o.compose, checks the commands, and turns a panic into an error: no submission may crash the tick
// loop.
func (p *Port) composed(w *ecs.World, o *submission) (commands []ecs.Command, err error) {
	defer func() {
		if r := recover(); r != nil {
			p.log.Error("composing commands panicked", "panic", r, "stack", string(debug.Stack()))
			commands, err = nil, rpc.Errorf(rpc.Internal, "the commands could not be composed")
		}
	}()
	if commands, err = o.compose(w, p.next); err != nil {
		return nil, err
	}
	if len(commands) > maxCommands {
		return nil, fmt.Errorf("%d commands at once, more than %d", len(commands), maxCommands)
	}
	for i := range commands {
		c := &commands[i]
		if c.Source.Kind == ecs.SourceClient {
			return nil, fmt.Errorf("command %d has a client as its source: only sessions send those", i)
		}
		if err := w.Validate(c); err != nil {
			return nil, err
		}
		if c.Weight() > ecs.FrameBytes {
			return nil, fmt.Errorf("command %d has %d bytes, more than a tick may take", i, len(c.Payload))
		}
	}
	return commands, nil
}

// next is the function that a Compose gets.
func (p *Port) next(kind ecs.SourceKind) (ecs.Source, uint64) {
	if p.number++; p.number >= 1<<sequenceBits {
		panic("intake: too many commands in a tick")
	}
	return ecs.Source{Kind: kind}, p.tick<<sequenceBits | p.number
}

// place notes the indexes of the port's commands, b.Commands[begin:], in the tick. Clients' commands do not affect them:
// those all come last.
func (p *Port) place(w *ecs.World, b *Batch, begin int, from []*submission) {
	if len(from) == 0 {
		return
	}
	type key struct {
		source ecs.Source
		seq    uint64
	}
	mine := make(map[key]*submission, len(from))
	for i, o := range from {
		mine[key{b.Commands[begin+i].Source, b.Commands[begin+i].Seq}] = o
	}
	all := slices.DeleteFunc(append(p.scrap[:0], b.Commands...), func(c ecs.Command) bool { return c.Source.Kind == ecs.SourceClient })
	w.Order(b.Tick, all)
	f := flight{tick: b.Tick, places: make(map[int]placed, len(from))}
	for i := range all {
		if o := mine[key{all[i].Source, all[i].Seq}]; o != nil {
			f.places[i] = placed{o, w.Schema().Commands[all[i].Kind].Name}
		}
	}
	clear(all)
	p.scrap = all[:0]
	p.ticks = append(p.ticks, f)
}

// Release reports that the ticks of a record are committed. It answers the submissions whose last command is in them.
func (p *Port) Release(outputs []ecs.Output) {
	p.mu.Lock()
	defer p.unlock()
	for i := range outputs {
		if len(p.ticks) > 0 && p.ticks[0].tick == outputs[i].Tick {
			p.released(p.ticks[0], &outputs[i])
			p.ticks = p.ticks[1:]
		}
	}
	if len(p.ticks) == 0 {
		p.ticks = nil
	}
}

func (p *Port) released(f flight, out *ecs.Output) {
	faults := 0
	for _, x := range out.Failures {
		if !x.Rejected {
			faults++
		}
		if at, ok := f.places[x.Command]; ok && x.Command >= 0 {
			at.from.outcome.Failures = append(at.from.outcome.Failures, at.name+": "+x.Reason)
			at.from.outcome.Failures = at.from.outcome.Failures[:min(len(at.from.outcome.Failures), ecs.MaxFaults)]
		}
	}
	for _, at := range f.places {
		o := at.from
		if faults >= ecs.MaxFaults && len(o.outcome.Failures) == 0 {
			o.outcome.Failures = []string{at.name + ": it may have failed: more commands failed in this tick than can be listed"}
		}
		o.flying--
		if o.flying == 0 && o.sent == len(o.commands) {
			o.outcome.Tick = f.tick
			p.end(o, nil)
		}
	}
}
