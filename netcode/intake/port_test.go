package intake

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
)

// The game of these tests adds up numbers.
type (
	tally struct {
		Sum     int64
		LastSeq uint64
		Falls   uint64 // how often a number was not above the previous one
	}
	add  struct{ N int64 }
	bulk struct {
		N    int64
		Data [8000]uint8
	}
	steer struct{ N int64 }
)

func (a add) Validate() error {
	if a.N < 0 {
		return errors.New("negative")
	}
	return nil
}

var adding = ecs.Game{Name: "adding", TickRate: 30, Setup: func(w *ecs.World) {
	ecs.Resource[tally](w, "tally")
	count := func(r *ecs.Res[tally], seq uint64, n int64) {
		if r.Get().LastSeq >= seq {
			r.Get().Falls++
		}
		r.Get().LastSeq = seq
		r.Get().Sum += n
	}
	ecs.Handle[add](w, "add", func(t *ecs.Tick, c *ecs.Cmd[add], r *ecs.Res[tally]) {
		switch c.Value.N {
		case 13:
			c.Reject("unlucky")
		case 66:
			panic("broken")
		}
		count(r, c.Seq(), c.Value.N)
	})
	ecs.Handle[bulk](w, "bulk", func(t *ecs.Tick, c *ecs.Cmd[bulk], r *ecs.Res[tally]) { count(r, c.Seq(), c.Value.N) })
	ecs.Handle[steer](w, "steer", func(t *ecs.Tick, c *ecs.Cmd[steer], r *ecs.Res[tally]) {})
}}

// owner does the minimum that a shard does with a port.
type owner struct {
	t     *testing.T
	w     *ecs.World
	port  *Port
	other func(w *ecs.World, tick uint64) []ecs.Command // latched before the port's commands
	after func(w *ecs.World, tick uint64) []ecs.Command // clients' commands, latched after them
	taken int                                           // the port's commands in the last latch
}

func newOwner(t *testing.T) *owner {
	t.Helper()
	w, err := ecs.New(adding, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{t: t, w: w, port: NewPort(slog.New(slog.DiscardHandler))}
	o.port.Own(w, 1)
	return o
}

// latch makes the frames of n ticks.
func (o *owner) latch(n int) (frames []ecs.Frame) {
	for i := range n {
		f := ecs.Frame{Tick: o.w.Tick() + 1 + uint64(i)}
		if o.other != nil {
			f.Commands = o.other(o.w, f.Tick)
		}
		before := len(f.Commands)
		b := Batch{Tick: f.Tick, Commands: f.Commands, Left: ecs.FrameBytes / n}
		o.port.Latch(o.w, &b)
		f.Commands = b.Commands
		o.taken = len(f.Commands) - before
		if o.after != nil {
			f.Commands = append(f.Commands, o.after(o.w, f.Tick)...)
		}
		o.w.Order(f.Tick, f.Commands)
		frames = append(frames, f)
	}
	return frames
}

func (o *owner) release(frames []ecs.Frame) {
	var outputs []ecs.Output
	for _, f := range frames {
		outputs = append(outputs, o.w.Step(f).Clone())
	}
	o.port.Release(outputs)
}

func (o *owner) tick() { o.release(o.latch(1)) }

func (o *owner) tally() tally { return ecs.ResourceOf[tally](o.w) }

// submitted is a running Submit.
type submitted struct {
	outcome Outcome
	err     error
	done    chan struct{}
}

func (o *owner) submit(ctx context.Context, compose Compose) *submitted {
	o.t.Helper()
	s := &submitted{done: make(chan struct{})}
	before := o.port.Waiting()
	go func() {
		defer close(s.done)
		s.outcome, s.err = o.port.Submit(ctx, compose)
	}()
	eventually(o.t, "the submission waits", func() bool { return o.port.Waiting() > before || s.over() })
	return s
}

func (s *submitted) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *submitted) wait(t *testing.T) (Outcome, error) {
	t.Helper()
	eventually(t, "the submission is over", s.over)
	return s.outcome, s.err
}

// adds builds one command per number.
func adds(kind ecs.SourceKind, numbers ...int64) Compose {
	return func(w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) (list []ecs.Command, err error) {
		for _, n := range numbers {
			source, seq := next(kind)
			list = append(list, ecs.NewCommand(w, source, seq, add{n}))
		}
		return list, nil
	}
}

func TestPortAnswersWhenItIsCommitted(t *testing.T) {
	o := newOwner(t)
	s := o.submit(testContext(t), adds(ecs.SourceService, 1, 2, 3))
	frames := o.latch(1)
	if s.over() {
		t.Fatal("it was answered before its tick is committed")
	}
	o.release(frames)
	if u, err := s.wait(t); err != nil || u.Tick != 1 || u.Failures != nil || o.tally().Sum != 6 {
		t.Fatalf("%+v, %v, %+v", u, err, o.tally())
	}
	o.tick()
	if u, err := o.submit(testContext(t), adds(ecs.SourceService)).waitTick(o); err != nil || u.Failures != nil {
		t.Fatalf("%+v, %v", u, err)
	}
}

// waitTick makes ticks until the submission is over.
func (s *submitted) waitTick(o *owner) (Outcome, error) {
	for !s.over() {
		o.tick()
		time.Sleep(time.Millisecond)
	}
	return s.outcome, s.err
}

func TestPortTellsWhoseCommandFailed(t *testing.T) {
	o := newOwner(t)
	o.other = func(w *ecs.World, tick uint64) []ecs.Command {
		return []ecs.Command{
			ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceShard, ID: 9}, tick, add{13}), // another source's rejection
			ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceHost}, tick, add{1}),
			ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceClient, ID: 4}, tick, add{1}), // there is no such session
		}
	}
	o.after = func(w *ecs.World, tick uint64) []ecs.Command {
		return []ecs.Command{ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceClient, ID: 5}, tick, add{1})}
	}
	ctx := testContext(t)
	service := o.submit(ctx, adds(ecs.SourceService, 1, 13, 2))
	operator := o.submit(ctx, adds(ecs.SourceOperator, 66))
	fine := o.submit(ctx, adds(ecs.SourceService, 4))
	last := o.submit(ctx, adds(ecs.SourceOperator, 5, 13))
	o.tick()
	for i, c := range []struct {
		s    *submitted
		want []string
	}{{service, []string{"add: unlucky"}}, {operator, []string{"add: panic: broken"}}, {fine, nil}, {last, []string{"add: unlucky"}}} {
		u, err := c.s.wait(t)
		same := len(u.Failures) == len(c.want) && (len(c.want) == 0 || strings.HasPrefix(u.Failures[0], "add: ") && strings.Contains(u.Failures[0], strings.TrimPrefix(c.want[0], "add: panic: ")))
		if err != nil || u.Tick != 1 || !same {
			t.Errorf("submission %d: %+v, %v, want failures %q", i, u, err, c.want)
		}
	}
}

func TestPortSpreadsWhatIsTooMuch(t *testing.T) {
	o := newOwner(t)
	const n = 40 // of 8 KB: half a tick has room for 16
	big := func(w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) (list []ecs.Command, err error) {
		for range n {
			source, seq := next(ecs.SourceOperator)
			list = append(list, ecs.NewCommand(w, source, seq, bulk{N: 1}))
		}
		return list, nil
	}
	s := o.submit(testContext(t), big)
	then := o.submit(testContext(t), adds(ecs.SourceOperator, 100))
	var taken []int
	for !then.over() && len(taken) < 10 {
		o.tick()
		taken = append(taken, o.taken)
		if o.tally().Sum < n && s.over() {
			t.Fatal("it was answered before its last command is committed")
		}
	}
	u, err := s.wait(t)
	if v, err := then.wait(t); err != nil || v.Tick < u.Tick {
		t.Fatalf("a submission overtook another: %+v, %v", v, err)
	}
	if err != nil || u.Tick != 3 || o.tally() != (tally{Sum: 140, LastSeq: o.tally().LastSeq}) || !slices.Equal(taken[:3], []int{16, 16, 9}) {
		t.Fatalf("%+v, %v, %+v, commands per tick %v", u, err, o.tally(), taken)
	}
}

func TestPortLatchesSeveralTicksInARecord(t *testing.T) {
	o := newOwner(t)
	first := o.submit(testContext(t), adds(ecs.SourceService, 1, 13))
	frames := o.latch(1)
	second := o.submit(testContext(t), adds(ecs.SourceService, 2, 13))
	next := Batch{Tick: 2, Left: 1 << 15}
	o.port.Latch(o.w, &next)
	o.release(append(frames, ecs.Frame{Tick: 2, Commands: next.Commands}))
	a, err := first.wait(t)
	b, err2 := second.wait(t)
	if err != nil || err2 != nil || a.Tick != 1 || b.Tick != 2 || len(a.Failures) != 1 || len(b.Failures) != 1 || o.tally().Sum != 3 || o.tally().Falls != 0 {
		t.Fatalf("%+v %v, %+v %v, %+v", a, err, b, err2, o.tally())
	}
}

func TestPortSaysWhatIsKnownWhenTheShardIsLost(t *testing.T) {
	o := newOwner(t)
	flying := o.submit(testContext(t), adds(ecs.SourceService, 1))
	o.latch(1)
	waiting := o.submit(testContext(t), adds(ecs.SourceService, 2))
	o.port.Disown(errors.New("fenced"))
	_, err := flying.wait(t)
	wantError(t, err, rpc.Unavailable, true)
	_, err = waiting.wait(t)
	wantError(t, err, rpc.Unavailable, false)
	_, err = o.port.Submit(testContext(t), adds(ecs.SourceService, 3))
	wantError(t, err, rpc.Unavailable, false)
}

func TestSuccessorsNumbersRise(t *testing.T) {
	o := newOwner(t)
	for range 3 {
		for range 5 {
			if _, err := o.submit(testContext(t), adds(ecs.SourceService, 1, 1)).waitTick(o); err != nil {
				t.Fatal(err)
			}
		}
		o.port.Disown(errors.New("moved"))
		o.port = NewPort(slog.New(slog.DiscardHandler)) // knows nothing of its predecessor
		o.port.Own(o.w, 2)
	}
	if u := o.tally(); u.Sum != 30 || u.Falls != 0 {
		t.Fatalf("%+v", u)
	}
}

func TestPortIsBounded(t *testing.T) {
	o := newOwner(t)
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(testContext(t))
	for range maxSubmissions {
		group.Go(func() {
			if _, err := o.port.Submit(ctx, adds(ecs.SourceService, 1)); err == nil {
				t.Error("it was canceled and executed")
			}
		})
	}
	eventually(t, "it is full", func() bool { return o.port.Waiting() == maxSubmissions })
	_, err := o.port.Submit(testContext(t), adds(ecs.SourceService, 1))
	wantError(t, err, rpc.ResourceExhausted, false)
	cancel()
	group.Wait()
	if o.tick(); o.tally().Sum != 0 || o.port.Waiting() != 0 {
		t.Fatalf("a canceled command was executed: %+v", o.tally())
	}
}

func TestPortCancel(t *testing.T) {
	o := newOwner(t)
	ctx, cancel := context.WithCancel(testContext(t))
	waits := o.submit(ctx, adds(ecs.SourceService, 1))
	cancel()
	_, err := waits.wait(t)
	wantError(t, err, rpc.Canceled, false)
	ctx, cancel = context.WithCancel(testContext(t))
	flies := o.submit(ctx, adds(ecs.SourceService, 2))
	frames := o.latch(1)
	cancel()
	_, err = flies.wait(t)
	wantError(t, err, rpc.Canceled, true)
	o.release(frames)
	if o.tally().Sum != 2 {
		t.Fatalf("%+v", o.tally())
	}
}

func TestPortRefusesBadCommands(t *testing.T) {
	o := newOwner(t)
	for name, c := range map[string]struct {
		compose Compose
		code    rpc.Code
	}{
		"panic": {func(*ecs.World, func(ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error) { panic("no") }, rpc.Internal},
		"error": {func(*ecs.World, func(ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error) {
			return nil, errors.New("no")
		}, rpc.InvalidArgument},
		"invalid":  {adds(ecs.SourceService, 1, -1), rpc.InvalidArgument},
		"a client": {adds(ecs.SourceClient, 1), rpc.InvalidArgument},
		"too many": {adds(ecs.SourceService, make([]int64, maxCommands+1)...), rpc.InvalidArgument},
		"far too many": {func(w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error) {
			for {
				next(ecs.SourceService)
			}
		}, rpc.Internal},
	} {
		_, err := o.submit(testContext(t), c.compose).waitTick(o)
		if text := wantError(t, err, c.code, false); text == "" {
			t.Error(name)
		}
	}
	if _, err := o.submit(testContext(t), adds(ecs.SourceService, 7)).waitTick(o); err != nil || o.tally().Sum != 7 {
		t.Fatalf("%v, %+v", err, o.tally())
	}
}

// TestASubmissionThatHangsHoldsNobody but its tick: others are queued and withdrawn, and a shard that gives the tick up ends
// all of them.
func TestASubmissionThatHangsHoldsNobody(t *testing.T) {
	o := newOwner(t)
	before := o.submit(testContext(t), adds(ecs.SourceService, 1))
	reached, open := make(chan struct{}), make(chan struct{})
	hangs := o.submit(testContext(t), func(w *ecs.World, next func(ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error) {
		close(reached)
		<-open
		return adds(ecs.SourceService, 2)(w, next)
	})
	latched := make(chan Batch, 1)
	go func() {
		b := Batch{Tick: 1, Left: ecs.FrameBytes}
		o.port.Latch(o.w, &b)
		latched <- b
	}()
	<-reached
	ctx, cancel := context.WithCancel(testContext(t))
	after := o.submit(ctx, adds(ecs.SourceService, 3))
	cancel()
	if _, err := after.wait(t); err == nil || rpc.ErrorOf(err).Maybe {
		t.Errorf("the one that was withdrawn: %v", err)
	}
	waits := o.submit(testContext(t), adds(ecs.SourceService, 4))
	o.port.Disown(errors.New("a tick hangs"))
	close(open)
	<-latched
	for what, c := range map[string]struct {
		s     *submitted
		maybe bool
	}{"sent": {before, true}, "hung": {hangs, false}, "waiting": {waits, false}} {
		_, err := c.s.wait(t)
		if text := wantError(t, err, rpc.Unavailable, c.maybe); !strings.Contains(text, "no longer owns the shard") {
			t.Errorf("%s: %s", what, text)
		}
	}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until ok returns true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// wantError requires an *rpc.Error and returns its text.
func wantError(t testing.TB, err error, code rpc.Code, maybe bool) string {
	t.Helper()
	e, ok := err.(*rpc.Error)
	if !ok || e == nil || e.Code != code || e.Maybe != maybe {
		t.Fatalf("%v, want %v with Maybe %v", err, code, maybe)
	}
	return e.Text
}
