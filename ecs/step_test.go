package ecs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

type (
	mark  struct{ N int32 }
	twin  struct{ N int32 }
	tally struct{ N, M int64 }
	ping  struct{ N int32 }
	note  struct{ N int32 }
	order struct{ N int32 }

	marked struct{ mark }
	both   struct {
		mark
		twin
	}
)

// small makes a world of the types above.
func small(t testing.TB, setup func(w *ecs.World)) *ecs.World {
	t.Helper()
	w, err := ecs.New(ecs.Game{Name: "small", TickRate: 20, Setup: func(w *ecs.World) {
		ecs.Component[mark](w, "mark")
		ecs.Component[twin](w, "twin")
		ecs.Resource[tally](w, "tally")
		ecs.Event[ping](w, "ping")
		ecs.Outgoing[note](w, "note")
		setup(w)
	}}, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// frame returns the next frame of w, in order.
func frame(w *ecs.World, commands ...ecs.Command) ecs.Frame {
	w.Order(w.Tick()+1, commands)
	return ecs.Frame{Tick: w.Tick() + 1, Commands: commands}
}

func marks(w *ecs.World) (ns []int32) {
	for _, t := range w.Tables() {
		for _, e := range t.Entities() {
			if m, ok := ecs.Get[mark](w, e); ok {
				ns = append(ns, m.N)
			}
		}
	}
	return ns
}

func TestInitIsPartOfTheFirstTick(t *testing.T) {
	var log []string
	say := func(what string) { log = append(log, what) }
	w := small(t, func(w *ecs.World) {
		ecs.System(w, "first", func(tick *ecs.Tick) { say(fmt.Sprint("first ", tick.Now())) })
		ecs.System(w, "second", func(tick *ecs.Tick) { say(fmt.Sprint("second ", tick.Rate())) })
		ecs.Init(w, func(tick *ecs.Tick, s *ecs.Spawner[marked]) { say("init"); s.New(marked{mark{7}}) })
		ecs.Handle[order](w, "order", func(_ *ecs.Tick, c *ecs.Cmd[order], q *ecs.Query[struct{ M *mark }]) {
			say(fmt.Sprint("order ", q.Count()))
		})
	})
	if w.Tick() != 0 || w.Len() != 0 || len(log) > 0 {
		t.Fatalf("a new world is at tick %d with %d entities after %v", w.Tick(), w.Len(), log)
	}
	early, err := ecs.Restore(w.Game(), w.AppendSnapshot(nil))
	if err != nil {
		t.Fatal(err)
	}
	w.Step(frame(w, ecs.NewCommand(w, ecs.Source{}, 1, order{})))
	if got := strings.Join(log, ", "); got != "init, order 1, first 1, second 20" {
		t.Error(got)
	}
	log = nil
	step(w)
	if got := strings.Join(log, ", "); got != "first 2, second 20" {
		t.Error(got)
	}
	later, err := ecs.Restore(w.Game(), w.AppendSnapshot(nil))
	if err != nil {
		t.Fatal(err)
	}
	step(early)
	step(later)
	if early.Len() != 1 || later.Len() != 1 {
		t.Errorf("restored worlds have %d and %d entities", early.Len(), later.Len())
	}
}

func TestStructureChangesWhenTheSystemReturns(t *testing.T) {
	w := small(t, func(w *ecs.World) {
		ecs.System(w, "spawn", func(tick *ecs.Tick, s *ecs.Spawner[marked], q *ecs.Query[struct{ M *mark }], m *ecs.Comp[mark], tw *ecs.Comp[twin]) {
			if tick.Now() > 1 {
				return
			}
			a, b := s.New(marked{mark{1}}), s.New(marked{mark{2}})
			if !tick.Alive(a) || q.Count() != 0 || m.Get(a) != nil || m.Has(a) {
				t.Error("a queued entity is not alive, or has a row already")
			}
			if _, ok := q.Get(a); ok {
				t.Error("a query gets a queued entity")
			}
			tw.Set(a, twin{9}) // after its spawn, in queue order
			tick.Despawn(b)
			if tick.Alive(b) {
				t.Error("a despawned entity is alive")
			}
			tw.Set(b, twin{1}) // does nothing
			m.Remove(b)
		})
		ecs.System(w, "look", func(tick *ecs.Tick, q *ecs.Query[struct {
			M *mark
			T *twin
		}],
		) {
			for v := range q.Each {
				if v.M.N != 1 || v.T.N != 9 {
					t.Errorf("found %+v %+v", *v.M, *v.T)
				}
			}
			if q.Count() != 1 {
				t.Errorf("found %d", q.Count())
			}
		})
	})
	if o := step(w); len(o.Failures) > 0 || w.Len() != 1 {
		t.Errorf("%v, %d entities", o.Failures, w.Len())
	}
}

func TestAFailureIsContained(t *testing.T) {
	fail := false
	setup := func(w *ecs.World) {
		ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[marked]) {
			for i := range int32(5) {
				s.New(marked{mark{i}})
			}
		})
		ecs.System(w, "fails", func(tick *ecs.Tick, q *ecs.Query[struct {
			Self ecs.Entity
			M    *mark
		}], s *ecs.Spawner[both], p *ecs.Events[ping], out *ecs.Outbox[note], tw *ecs.Comp[twin],
		) {
			if tick.Now() != 2 || !fail {
				return
			}
			for v := range q.Each {
				v.M.N += 100 // stays
				s.New(both{})
				tw.Set(v.Self, twin{1})
				tick.Despawn(v.Self)
				p.Emit(ping{1})
				out.Send("x", note{1})
			}
			index := []int{}
			index[q.Count()] = 1
		})
		ecs.System(w, "goes on", func(_ *ecs.Tick, p *ecs.Events[ping], s *ecs.Spawner[marked]) {
			p.Emit(ping{int32(len(p.All()))})
			s.New(marked{mark{50}})
		})
	}
	fail = true
	w := small(t, setup)
	step(w)
	o := step(w)
	if len(o.Failures) != 1 || o.Failures[0].System != "fails" || o.Failures[0].Command != -1 || o.Failures[0].Rejected ||
		o.Failures[0].Reason != "panic: runtime error: index out of range [6] with length 0" {
		t.Errorf("%+v", o.Failures)
	}
	if got := fmt.Sprint(marks(w)); got != "[100 101 102 103 104 150 50]" {
		t.Errorf("a write was lost, or a queued change was kept: %s", got)
	}
	if len(o.Events) != 1 || o.Events[0].Count != 1 || len(o.Outbox) != 0 {
		t.Errorf("events %+v, messages %+v", o.Events, o.Outbox)
	}
	// The pool hands out its entities again: the next ones equal those of a world that did not fail.
	fail = false
	other := small(t, setup)
	step(other)
	step(other)
	if a, b := fmt.Sprint(w.Tables()[0].Entities()), fmt.Sprint(other.Tables()[0].Entities()); a != b {
		t.Errorf("the entities are %s, without the failure %s", a, b)
	}
}

func TestAPanicIsNamedWithoutAddresses(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{"text", "panic: text"},
		{fmt.Errorf("an error"), "panic: an error"},
		{7, "panic: 7"},
		{ecs.EntityFrom(3, 0), "panic: 3"},
		{&struct{ N int }{}, "panic: a *struct { N int }"},
		{map[string]int{}, "panic: a map[string]int"},
		{selfish{}, "panic: a ecs_test.selfish that panics itself"},
		{strings.Repeat("x", 500), "panic: " + strings.Repeat("x", 128)},
	} {
		w := small(t, func(w *ecs.World) { ecs.System(w, "fails", func(*ecs.Tick) { panic(c.value) }) })
		if o := step(w); len(o.Failures) != 1 || o.Failures[0].Reason != c.want {
			t.Errorf("%T: %+v, want %q", c.value, o.Failures, c.want)
		}
	}
}

type selfish struct{}

func (selfish) Error() string { panic("no") }

func TestEventsLiveOneTick(t *testing.T) {
	var seen []int
	w := small(t, func(w *ecs.World) {
		ecs.System(w, "early", func(_ *ecs.Tick, p *ecs.Events[ping]) { seen = append(seen, len(p.All())) })
		ecs.System(w, "emit", func(tick *ecs.Tick, p *ecs.Events[ping]) {
			for i := range tick.Now() {
				p.Emit(ping{int32(i)})
			}
		})
		ecs.System(w, "late", func(_ *ecs.Tick, p *ecs.Events[ping]) { seen = append(seen, len(p.All())) })
	})
	for range 3 {
		o := step(w)
		if len(o.Events) != 1 || o.Events[0].Name != "ping" || o.Events[0].Count != int(o.Tick) || len(o.Events[0].Values) != 4*int(o.Tick) {
			t.Errorf("%+v", o.Events)
		}
	}
	if got := fmt.Sprint(seen); got != "[0 1 0 2 0 3]" {
		t.Error(got)
	}
}

func TestTheOutboxIsNumbered(t *testing.T) {
	w := small(t, func(w *ecs.World) {
		ecs.System(w, "send", func(tick *ecs.Tick, out *ecs.Outbox[note]) {
			out.Send("shard-2", note{1})
			out.Send("bank", note{int32(tick.Now())})
		})
		ecs.System(w, "wrong", func(_ *ecs.Tick, out *ecs.Outbox[note]) { out.Send("", note{}) })
	})
	step(w)
	o := step(w)
	if got := fmt.Sprint(o.Outbox); got != "[{shard-2 note 0 [1 0 0 0]} {bank note 1 [2 0 0 0]}]" {
		t.Error(got)
	}
	if len(o.Failures) != 1 || !strings.Contains(o.Failures[0].Reason, "0 bytes, want 1 to 128") {
		t.Errorf("%+v", o.Failures)
	}
}

func TestATickSendsAndFailsOnlySoMuch(t *testing.T) {
	w := small(t, func(w *ecs.World) {
		for i := range 4 {
			ecs.System(w, fmt.Sprint("send ", i), func(_ *ecs.Tick, out *ecs.Outbox[note]) {
				for range 800 {
					out.Send("shard-2", note{1})
				}
			})
		}
		for i := range 100 {
			ecs.System(w, fmt.Sprint("fail ", i), func(*ecs.Tick) { panic("a bug") })
		}
	})
	step(w)
	o := step(w)
	if len(o.Outbox) != 1600 || len(o.Failures) != 64 || o.Failures[0].System != "send 2" || !strings.Contains(o.Failures[0].Reason, "more than 65536 bytes") {
		t.Errorf("%d messages, %d failures, the first %+v", len(o.Outbox), len(o.Failures), o.Failures[0])
	}
}

func TestAnOutputCanBeKept(t *testing.T) {
	w, err := ecs.New(chaos, ecs.Config{Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	var kept []ecs.Output
	var want []string
	var deltas [][]byte
	for range 30 {
		o := step(w)
		kept = append(kept, o.Clone())
		want = append(want, fmt.Sprint(o.Events, o.Outbox, o.Failures, o.Delta.Changed(0)))
		deltas = append(deltas, o.Delta.AppendTo(nil))
	}
	for i, o := range kept {
		if got := fmt.Sprint(o.Events, o.Outbox, o.Failures, o.Delta.Changed(0)); got != want[i] {
			t.Errorf("tick %d: %s, want %s", i+1, got, want[i])
		}
		if got := o.Clone().Delta.AppendTo(nil); !slices.Equal(got, deltas[i]) || o.Delta.Size() != len(got) {
			t.Errorf("tick %d: another delta", i+1)
		}
	}
}

func TestStepRefusesAnotherTick(t *testing.T) {
	w := small(t, func(*ecs.World) {})
	for _, tick := range []uint64{0, 2} {
		func() {
			defer func() {
				if r := recover(); r == nil || w.Tick() != 0 {
					t.Errorf("tick %d: recovered %v at tick %d", tick, r, w.Tick())
				}
			}()
			w.Step(ecs.Frame{Tick: tick})
		}()
	}
}

func TestAWorldIsPoisonedByAFailedApply(t *testing.T) {
	leader, w := small(t, func(*ecs.World) {}), small(t, func(*ecs.World) {})
	first := step(leader).Delta.AppendTo(nil)
	second := step(leader).Delta.AppendTo(nil)
	if err := w.Apply(second); err == nil || !strings.Contains(err.Error(), "it belongs to tick 2") {
		t.Error(err)
	}
	if err := w.Apply(first); err == nil || w.Err() == nil {
		t.Error("a poisoned world continues")
	}
	defer func() {
		if recover() == nil {
			t.Error("a poisoned world steps")
		}
	}()
	step(w)
}

func TestARestoredWorldMayHaveGainedTypes(t *testing.T) {
	w := small(t, func(w *ecs.World) {
		ecs.Init(w, func(_ *ecs.Tick, s *ecs.Spawner[both]) { s.New(both{mark{3}, twin{4}}) })
	})
	step(w)
	snapshot := w.AppendSnapshot(nil)
	type before struct{ N int32 }
	type after struct{ S ecs.Text16 }
	grown := w.Game()
	grown.Setup = func(w *ecs.World) {
		ecs.Component[before](w, "before")
		ecs.Component[twin](w, "twin")
		ecs.Component[after](w, "after")
		ecs.Component[mark](w, "mark")
		ecs.Resource[before](w, "another")
		ecs.Resource[tally](w, "tally")
	}
	g, err := ecs.Restore(grown, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	e := g.Tables()[0].Entities()[0]
	m, _ := ecs.Get[mark](g, e)
	tw, _ := ecs.Get[twin](g, e)
	if m.N != 3 || tw.N != 4 {
		t.Errorf("mark %d, twin %d", m.N, tw.N)
	}
	for want, change := range map[string]func(w *ecs.World){
		`the game has no component "twin"`: func(w *ecs.World) { ecs.Component[mark](w, "mark"); ecs.Resource[tally](w, "tally") },
		`component "twin" has different fields`: func(w *ecs.World) {
			ecs.Component[mark](w, "mark")
			ecs.Component[after](w, "twin")
			ecs.Resource[tally](w, "tally")
		},
		`the game has no resource "tally"`: func(w *ecs.World) { ecs.Component[mark](w, "mark"); ecs.Component[twin](w, "twin") },
	} {
		shrunk := w.Game()
		shrunk.Setup = change
		if _, err := ecs.Restore(shrunk, snapshot); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	other := w.Game()
	other.Name = "other"
	var wrong *ecs.GameError
	if _, err := ecs.Restore(other, snapshot); !errors.As(err, &wrong) || wrong.Got != "small" || !strings.Contains(err.Error(), `it belongs to game "small"`) {
		t.Error(err)
	}
}

type score struct{ Red, Blue int32 }

// TestAGameEndsItsRoom: the result is a message of the tick; who fails after End, or ends twice, has not ended it.
func TestAGameEndsItsRoom(t *testing.T) {
	for name, c := range map[string]struct {
		system func(*ecs.Tick, *ecs.Outbox[note])
		ends   bool
		fails  string
	}{
		"with a result":           {func(t *ecs.Tick, _ *ecs.Outbox[note]) { t.End(score{3, 2}) }, true, ""},
		"never":                   {func(*ecs.Tick, *ecs.Outbox[note]) {}, false, ""},
		"twice":                   {func(t *ecs.Tick, _ *ecs.Outbox[note]) { t.End(score{3, 2}); t.End(score{1, 1}) }, false, "already been ended"},
		"and fails":               {func(t *ecs.Tick, _ *ecs.Outbox[note]) { t.End(score{3, 2}); panic("too late") }, false, "too late"},
		"with nothing":            {func(t *ecs.Tick, _ *ecs.Outbox[note]) { t.End(nil) }, false, "not registered"},
		"with something else":     {func(t *ecs.Tick, _ *ecs.Outbox[note]) { t.End(7) }, false, "not registered"},
		"with a pointer":          {func(t *ecs.Tick, _ *ecs.Outbox[note]) { t.End(&score{3, 2}) }, false, "not registered"},
		"by a message to its end": {func(_ *ecs.Tick, o *ecs.Outbox[note]) { o.Send(ecs.EndAddress, note{}) }, false, "only Tick.End"},
	} {
		w := small(t, func(w *ecs.World) {
			ecs.Outgoing[score](w, "score")
			ecs.System(w, "first", c.system)
			ecs.System(w, "second", func(_ *ecs.Tick, o *ecs.Outbox[note]) { o.Send("game", note{}) })
		})
		o := step(w)
		result, ends := ecs.Result(o.Outbox)
		if ends != c.ends || c.ends && (result.Name != "score" || string(result.Payload) != "\x03\x00\x00\x00\x02\x00\x00\x00") || len(o.Outbox) != 1+len(result.To)/len(ecs.EndAddress) {
			t.Errorf("%s: the room ended: %v, messages %+v", name, ends, o.Outbox)
		}
		if failed := len(o.Failures) == 1 && strings.Contains(o.Failures[0].Reason, c.fails); failed != (c.fails != "") {
			t.Errorf("%s: failures %+v, want %q", name, o.Failures, c.fails)
		}
	}
}

// TestWhoEndsARoom: the first of two systems; a handler, unless it rejects or fails; and nobody once the tick's messages are full.
func TestWhoEndsARoom(t *testing.T) {
	quiet := func(*ecs.Tick, *ecs.Outbox[note]) {}
	ends := func(red int32) func(*ecs.Tick, *ecs.Outbox[note]) {
		return func(t *ecs.Tick, _ *ecs.Outbox[note]) { t.End(score{Red: red}) }
	}
	ordered := func(after func(*ecs.Cmd[order])) func(*ecs.Tick, *ecs.Cmd[order]) {
		return func(t *ecs.Tick, c *ecs.Cmd[order]) { t.End(score{Red: c.Value.N}); after(c) }
	}
	goesOn := func(*ecs.Cmd[order]) {}
	for name, c := range map[string]struct {
		first, second func(*ecs.Tick, *ecs.Outbox[note])
		handle        func(*ecs.Tick, *ecs.Cmd[order])
		red           int32 // of the result; 0: the room goes on
		fails         string
	}{
		"the first of two systems":       {ends(1), ends(2), nil, 1, "already been ended"},
		"the second, if the first fails": {func(t *ecs.Tick, o *ecs.Outbox[note]) { ends(1)(t, o); panic("oh") }, ends(2), nil, 2, "oh"},
		"a handler":                      {quiet, quiet, ordered(goesOn), 7, ""},
		"a handler before a system":      {ends(1), quiet, ordered(goesOn), 7, "already been ended"},
		"no handler that rejects":        {quiet, quiet, ordered(func(c *ecs.Cmd[order]) { c.Reject("no") }), 0, "no"},
		"no handler that panics":         {quiet, quiet, ordered(func(*ecs.Cmd[order]) { panic("oh") }), 0, "oh"},
		"nobody after too many messages": {func(_ *ecs.Tick, o *ecs.Outbox[note]) {
			for range (64 << 10) / (len("game") + len("note") + 4 + 16) {
				o.Send("game", note{})
			}
		}, ends(2), nil, 0, "come to more than 65536 bytes"},
	} {
		run := func() ecs.Output {
			w := small(t, func(w *ecs.World) {
				ecs.Outgoing[score](w, "score")
				if c.handle == nil {
					c.handle = func(*ecs.Tick, *ecs.Cmd[order]) {}
				}
				ecs.Handle[order](w, "order", c.handle)
				ecs.System(w, "first", c.first)
				ecs.System(w, "second", c.second)
			})
			return w.Step(frame(w, ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceOperator, ID: 1}, 1, order{7}))).Clone()
		}
		o, again := run(), run()
		result, ended := ecs.Result(o.Outbox)
		if ended != (c.red > 0) || ended && int32(result.Payload[0]) != c.red {
			t.Errorf("%s: ended %v with %+v", name, ended, result)
		}
		if failed := len(o.Failures) == 1 && strings.Contains(o.Failures[0].Reason, c.fails); failed != (c.fails != "") {
			t.Errorf("%s: failures %+v, want %q", name, o.Failures, c.fails)
		}
		if other, _ := ecs.Result(again.Outbox); o.Checksum != again.Checksum || result.N != other.N || string(result.Payload) != string(other.Payload) {
			t.Errorf("%s: the same tick ends with %+v and then with %+v", name, result, other)
		}
	}
}
