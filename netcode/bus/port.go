package bus

import (
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

// What a port holds and lets through.
const (
	maxOrders       = 1024      // that wait for a tick
	maxOrderSize    = 1 << 16   // commands of one order
	maxCommandBytes = 256 << 10 // what a whole tick may take
	sequenceBits    = 20        // of a command's number that count within its tick
)

// Port takes commands for a shard from services and operators and brings them into its ticks. Own, Latch, Release and
// Disown are those of shard.Frontend: the tick loop calls them, one at a time, beside those of netcode.Server. Submit may be
// called at any time, concurrently.
//
// Commands come into ticks in the order of their orders, an order's together as far as a tick has room: half of what a tick
// may take, so that players always get through. What has no room goes into the next tick, before everything else. An order
// is answered when the record with its last command is committed, and never before.
//
// A command's number is its tick's, shifted by 20 bits, plus its place in the tick: it rises for ever, also with a successor
// that knows nothing of its predecessor's, because a tick is committed once.
type Port struct {
	log *slog.Logger

	mu     sync.Mutex
	owned  bool
	queue  []*order // that have commands to send
	ticks  []flight // latched and not released
	watch  func(owned bool)
	ended  []func()      // to be called without the lock
	tick   uint64        // that is being latched
	number uint64        // in it
	world  *ecs.World    // while it is latched
	scrap  []ecs.Command // of place
}

// Build makes an order's commands. It is called by the tick loop, once, for the first tick that may take them, and only
// reads the world. next gives the source and the number of a command: one call for each.
type Build func(w *ecs.World, next func(kind ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error)

// Outcome says what became of an order that is committed.
type Outcome struct {
	Tick     uint64   // of its last command
	Failures []string // of commands that were rejected or failed, with the command's name in front
}

// order is what one Submit wants.
type order struct {
	build    Build
	until    time.Time // zero: for ever
	done     func(Outcome, error)
	built    bool
	commands []ecs.Command
	sent     int // of commands: latched
	flying   int // of those: not released
	outcome  Outcome
	over     bool
}

// flight are a tick's commands on their way to the log, by their place in the frame.
type flight struct {
	tick   uint64
	places map[int]placed
}

type placed struct {
	order *order
	name  string
}

// NewPort makes a port of a shard that is not owned here. logger may be nil.
func NewPort(logger *slog.Logger) *Port {
	if logger == nil {
		logger = slog.Default()
	}
	return &Port{log: logger}
}

// Submit brings commands into the shard and waits until they are committed. Its errors are *rpc.Error: what build says, or
// InvalidArgument for a command that the world refuses; ResourceExhausted when too much waits; Unavailable when the shard is
// not owned here, or no longer, and the end of ctx: with Maybe when something of it was on its way, else nothing was
// executed.
func (p *Port) Submit(ctx context.Context, build Build) (Outcome, error) {
	type answer struct {
		outcome Outcome
		err     error
	}
	answers := make(chan answer, 1)
	o := &order{build: build, done: func(u Outcome, err error) { answers <- answer{u, err} }}
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

// enqueue lets an order wait for the next tick; done is called once, without the lock, and must not block.
func (p *Port) enqueue(o *order) {
	p.mu.Lock()
	switch {
	case o.over: // it was withdrawn before it came
	case !p.owned:
		p.end(o, rpc.Errorf(rpc.Unavailable, "this node does not own the shard"))
	case len(p.queue) >= maxOrders:
		p.end(o, rpc.Errorf(rpc.ResourceExhausted, "%d orders wait for a tick already", maxOrders))
	default:
		p.queue = append(p.queue, o)
	}
	p.unlock()
}

// withdraw ends an order before its time. What of it was latched may be executed.
func (p *Port) withdraw(o *order, e *rpc.Error) {
	p.mu.Lock()
	p.queue = slices.DeleteFunc(p.queue, func(x *order) bool { return x == o })
	p.end(o, e)
	p.unlock()
}

// end notes that an order is over, with its outcome when err is nil. It may be told twice.
func (p *Port) end(o *order, e *rpc.Error) {
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

// unlock also tells those whose orders are over.
func (p *Port) unlock() {
	ended := p.ended
	p.ended = nil
	p.mu.Unlock()
	for _, f := range ended {
		f()
	}
}

// Own says that this node serves w from now on.
func (p *Port) Own(w *ecs.World, epoch uint64) {
	p.Disown(errors.New("it is owned anew"))
	p.mu.Lock()
	p.owned = true
	watch := p.watch
	p.unlock()
	if watch != nil {
		watch(true)
	}
}

// Disown says that this node no longer serves the shard.
func (p *Port) Disown(reason error) {
	p.mu.Lock()
	owned, watch := p.owned, p.watch
	p.owned = false
	e := rpc.Errorf(rpc.Unavailable, "this node no longer owns the shard: %v", reason)
	for _, f := range p.ticks {
		for _, at := range f.places {
			p.end(at.order, e)
		}
	}
	for _, o := range p.queue {
		p.end(o, e)
	}
	p.ticks, p.queue, p.world = nil, nil, nil
	p.unlock()
	if owned && watch != nil {
		watch(false)
	}
}

// Latch appends to dst what is to go into a tick. Of the commands that others append, those that are no client's must be in
// dst already: the place in the frame of each of the port's is told from them.
func (p *Port) Latch(w *ecs.World, tick uint64, dst []ecs.Command, budgetBytes int) []ecs.Command {
	p.mu.Lock()
	defer p.unlock()
	if !p.owned || len(p.queue) == 0 {
		return dst
	}
	p.world, p.tick, p.number = w, tick, 0
	begin, left := len(dst), budgetBytes
	var orders []*order // of dst[begin:]
	for len(p.queue) > 0 {
		o := p.queue[0]
		if !o.built {
			p.make(o)
		}
		for !o.over && o.sent < len(o.commands) {
			c := &o.commands[o.sent]
			size := c.Weight()
			if size > left || left-size < budgetBytes/2 && len(orders) > 0 {
				p.place(tick, dst, begin, orders)
				return dst
			}
			left -= size
			dst, orders = append(dst, *c), append(orders, o)
			o.sent++
			o.flying++
		}
		p.queue = p.queue[1:]
	}
	p.queue = nil // the array was used up from its front
	p.place(tick, dst, begin, orders)
	return dst
}

// make builds an order's commands, or ends it.
func (p *Port) make(o *order) {
	if !o.until.IsZero() && !time.Now().Before(o.until) {
		p.end(o, rpc.Errorf(rpc.DeadlineExceeded, "no tick took it in time"))
		return
	}
	commands, err := p.built(o)
	switch e := (*rpc.Error)(nil); {
	case errors.As(err, &e):
		p.end(o, e)
	case err != nil:
		p.end(o, rpc.Errorf(rpc.InvalidArgument, "%v", err))
	case len(commands) == 0:
		o.outcome.Tick = p.world.Tick()
		p.end(o, nil)
	}
	o.built, o.commands = true, commands
}

// built calls build, checks what it made, and makes an error of a panic: the tick loop outlives what is sent to it.
func (p *Port) built(o *order) (commands []ecs.Command, err error) {
	defer func() {
		if r := recover(); r != nil {
			p.log.Error("a command could not be made", "panic", r, "stack", string(debug.Stack()))
			commands, err = nil, rpc.Errorf(rpc.Internal, "the commands could not be made")
		}
	}()
	if commands, err = o.build(p.world, p.next); err != nil {
		return nil, err
	}
	if len(commands) > maxOrderSize {
		return nil, fmt.Errorf("%d commands at once, more than %d", len(commands), maxOrderSize)
	}
	for i := range commands {
		c := &commands[i]
		if c.Source.Kind == ecs.SourceClient {
			return nil, fmt.Errorf("command %d is from a client: those come from sessions alone", i)
		}
		if err := p.world.Validate(c); err != nil {
			return nil, err
		}
		if c.Weight() > maxCommandBytes {
			return nil, fmt.Errorf("command %d has %d bytes, more than a tick may take", i, len(c.Payload))
		}
	}
	return commands, nil
}

// next is what a Build is given.
func (p *Port) next(kind ecs.SourceKind) (ecs.Source, uint64) {
	if p.number++; p.number >= 1<<sequenceBits {
		panic("bus: too many commands in a tick")
	}
	return ecs.Source{Kind: kind}, p.tick<<sequenceBits | p.number
}

// place notes where the port's commands, dst[begin:], come to stand in the frame: before those of clients, all of which come
// last.
func (p *Port) place(tick uint64, dst []ecs.Command, begin int, orders []*order) {
	if len(orders) == 0 {
		return
	}
	type key struct {
		source ecs.Source
		seq    uint64
	}
	mine := make(map[key]*order, len(orders))
	for i, o := range orders {
		mine[key{dst[begin+i].Source, dst[begin+i].Seq}] = o
	}
	frame := slices.DeleteFunc(append(p.scrap[:0], dst...), func(c ecs.Command) bool { return c.Source.Kind == ecs.SourceClient })
	p.world.Order(tick, frame)
	f := flight{tick: tick, places: make(map[int]placed, len(orders))}
	for i := range frame {
		if o := mine[key{frame[i].Source, frame[i].Seq}]; o != nil {
			f.places[i] = placed{o, p.world.Schema().Commands[frame[i].Kind].Name}
		}
	}
	clear(frame)
	p.scrap = frame[:0]
	p.ticks = append(p.ticks, f)
}

// Release says that the ticks of a record are committed: what of them is an order's last command answers it.
func (p *Port) Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
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
			at.order.outcome.Failures = append(at.order.outcome.Failures, at.name+": "+x.Reason)
			at.order.outcome.Failures = at.order.outcome.Failures[:min(len(at.order.outcome.Failures), ecs.MaxFaults)]
		}
	}
	for _, at := range f.places {
		o := at.order
		if faults >= ecs.MaxFaults && len(o.outcome.Failures) == 0 {
			o.outcome.Failures = []string{at.name + ": it may have failed: so much did in this tick that not all of it is named"}
		}
		o.flying--
		if o.flying == 0 && o.sent == len(o.commands) {
			o.outcome.Tick = f.tick
			p.end(o, nil)
		}
	}
}
