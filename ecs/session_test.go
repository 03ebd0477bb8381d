package ecs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

// meeting is a world in which players join, aim and order.
type aim struct{ At float64 }

func meeting(t testing.TB) *ecs.World {
	return small(t, func(w *ecs.World) {
		ecs.Handle[ecs.Join](w, "wind.join", func(t *ecs.Tick, c *ecs.Cmd[ecs.Join], s *ecs.Spawner[marked], all *ecs.Sessions) {
			if _, ok := all.Get(c.From()); !ok || c.Source().Kind != ecs.SourceClient {
				panic("a joining session does not exist")
			}
			switch c.Value.Identity.String() {
			case "mallory":
				c.Reject("banned")
			case "bug":
				panic("a bug")
			}
			t.Control(c.From(), s.New(marked{mark{int32(c.From())}}))
		})
		ecs.Handle[ecs.Leave](w, "wind.leave", func(t *ecs.Tick, c *ecs.Cmd[ecs.Leave], all *ecs.Sessions) {
			s, ok := all.Get(c.From())
			if !ok {
				panic("a leaving session is gone")
			}
			t.Despawn(s.View)
			if s.Identity == "stubborn" {
				c.Reject("stay!")
			}
		})
		ecs.Handle[aim](w, "aim", func(_ *ecs.Tick, c *ecs.Cmd[aim], r *ecs.Res[tally]) {
			r.Get().N += int64(c.Value.At)
			if c.Repeated() {
				r.Get().M++
			}
		}, ecs.Sampled)
		ecs.Handle[order](w, "order", func(_ *ecs.Tick, c *ecs.Cmd[order], r *ecs.Res[tally]) {
			r.Get().M += 100
			switch c.Value.N {
			case 1:
				c.Reject(fmt.Sprint("no ", c.Seq()))
			case 2:
				panic("a bug")
			}
		})
	})
}

func joins(w *ecs.World, id uint64, name string) ecs.Command {
	return ecs.NewCommand(w, client(id), 1, ecs.Join{Identity: ecs.NewText64(name), ResumeHash: [16]byte{byte(id)}})
}

func TestASessionIsMadeAndEndsByItself(t *testing.T) {
	w := meeting(t)
	o := w.Step(frame(w, joins(w, 9, "ada"), joins(w, 4, "bob")))
	if len(o.Failures) > 0 {
		t.Fatal(o.Failures)
	}
	var seen []string
	for s := range w.EachSession {
		seen = append(seen, fmt.Sprint(s.ID, s.Identity, s.ResumeHash[0], s.AppliedSeq, s.InputSeq, s.Joined))
	}
	if got := strings.Join(seen, ", "); got != "4bob4 1 0 1, 9ada9 1 0 1" {
		t.Error(got)
	}
	s, _ := w.Session(9)
	if m, ok := ecs.Get[mark](w, s.View); !ok || m.N != 9 {
		t.Errorf("session 9 sees the world from %v", s.View)
	}
	o = w.Step(frame(w, ecs.NewCommand(w, client(9), 2, ecs.Leave{})))
	if _, ok := w.Session(9); ok || w.Len() != 1 || fmt.Sprint(o.Replies) != "[{9 2 false }]" {
		t.Errorf("after leaving: %d entities, replies %+v", w.Len(), o.Replies)
	}
}

func TestAJoinCanBeRefused(t *testing.T) {
	w := meeting(t)
	o := w.Step(frame(w, joins(w, 1, "mallory"), joins(w, 2, "bug")))
	if len(o.Failures) != 2 || len(o.Replies) != 2 {
		t.Fatalf("%+v", o)
	}
	for _, r := range o.Replies {
		if want := map[uint64]string{1: "banned", 2: "internal error"}[r.Session]; !r.Rejected || r.Reason != want {
			t.Errorf("%+v, want %q", r, want)
		}
	}
	for s := range w.EachSession {
		t.Errorf("session %d exists", s.ID)
	}
	if w.Len() != 0 || o.Checksum != w.Recompute() {
		t.Error("a refused join leaves something behind")
	}
}

func TestASecondJoinChangesNothing(t *testing.T) {
	w := meeting(t)
	w.Step(frame(w, joins(w, 1, "ada")))
	o := w.Step(frame(w, joins(w, 1, "eve")))
	if s, _ := w.Session(1); s.Identity != "ada" || w.Len() != 1 || len(o.Failures) > 0 {
		t.Errorf("%+v, %+v", s, o.Failures)
	}
	if fmt.Sprint(o.Replies) != "[{1 1 false }]" {
		t.Errorf("it is answered %+v", o.Replies)
	}
}

func TestASessionLeavesEvenIfItsHandlerRefuses(t *testing.T) {
	w := meeting(t)
	w.Step(frame(w, joins(w, 1, "stubborn")))
	o := w.Step(frame(w, ecs.NewCommand(w, client(1), 2, ecs.Leave{})))
	if _, ok := w.Session(1); ok || w.Len() != 1 || !o.Replies[0].Rejected {
		t.Errorf("%d entities, %+v", w.Len(), o.Replies)
	}
	// The id is free in this world, even within one frame.
	w.Step(frame(w, joins(w, 1, "stubborn")))
	o = w.Step(ecs.Frame{Tick: w.Tick() + 1, Commands: []ecs.Command{ecs.NewCommand(w, client(1), 2, ecs.Leave{}), joins(w, 1, "ada")}})
	follower, err := ecs.Restore(w.Game(), w.AppendSnapshot(nil))
	if s, _ := w.Session(1); err != nil || s.Identity != "ada" || follower.Checksum() != o.Checksum {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestACommandIsAppliedExactlyOnce(t *testing.T) {
	w := meeting(t)
	w.Step(frame(w, joins(w, 1, "ada")))
	run := func(seqs ...uint64) ecs.Output {
		var commands []ecs.Command
		for _, s := range seqs {
			commands = append(commands, ecs.NewCommand(w, client(1), s, order{int32(s % 3)}))
		}
		return w.Step(frame(w, commands...))
	}
	o := run(2, 4, 3)
	if got := ecs.ResourceOf[tally](w).M; got != 300 || len(o.Replies) != 3 {
		t.Errorf("%d, %+v", got, o.Replies)
	}
	// Again, plus a new one: the old ones get their earlier replies and do not apply. A gap is allowed.
	o = run(2, 3, 4, 7)
	if got := ecs.ResourceOf[tally](w).M; got != 400 {
		t.Errorf("applied %d", got)
	}
	if got := fmt.Sprint(o.Replies); got != "[{1 2 true internal error} {1 3 false } {1 4 true no 4} {1 7 true no 7}]" {
		t.Error(got)
	}
	if s, _ := w.Session(1); s.AppliedSeq != 7 {
		t.Errorf("the last is %d", s.AppliedSeq)
	}
}

func TestTheLast32RepliesAreRemembered(t *testing.T) {
	w := meeting(t)
	w.Step(frame(w, joins(w, 1, "ada")))
	for seq := uint64(2); seq <= 100; seq++ {
		w.Step(frame(w, ecs.NewCommand(w, client(1), seq, order{int32(seq % 2)})))
	}
	restored, err := ecs.Restore(w.Game(), w.AppendSnapshot(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*ecs.World{w, restored} {
		for seq := uint64(1); seq <= 101; seq++ {
			r, ok := w.Reply(1, seq)
			if want := seq > 68 && seq <= 100; ok != want {
				t.Fatalf("reply %d is remembered: %v", seq, ok)
			}
			if ok && (r.Rejected != (seq%2 == 1) || r.Rejected && r.Reason != fmt.Sprint("no ", seq)) {
				t.Errorf("reply %+v", r)
			}
		}
	}
	if _, ok := w.Reply(2, 1); ok {
		t.Error("a session that does not exist has a reply")
	}
}

func TestAnInputIsSampled(t *testing.T) {
	w := meeting(t)
	w.Step(frame(w, joins(w, 1, "ada")))
	kind, _ := w.Schema().Command("aim")
	if _, ok := w.LastInput(1, uint16(kind)); ok {
		t.Error("there is an input before the first")
	}
	c := ecs.NewCommand(w, client(1), 5, aim{7})
	o := w.Step(frame(w, c))
	if len(o.Replies) > 0 {
		t.Error("an input is answered")
	}
	last, ok := w.LastInput(1, uint16(kind))
	if !ok {
		t.Fatal("no last input")
	}
	w.Step(frame(w, ecs.Command{Kind: uint16(kind), Source: client(1), Seq: 5, Flags: ecs.FlagRepeated, Payload: last}))
	if r := ecs.ResourceOf[tally](w); r.N != 14 || r.M != 1 {
		t.Errorf("%+v", r)
	}
	o = w.Step(frame(w, c, ecs.NewCommand(w, client(1), 6, aim{100})))
	if r := ecs.ResourceOf[tally](w); len(o.Failures) != 1 || r.N != 21 || !strings.Contains(o.Failures[0].Reason, "already sent one") {
		t.Errorf("%+v, %+v", o.Failures, r)
	}
	if s, _ := w.Session(1); s.InputSeq != 5 || s.AppliedSeq != 1 {
		t.Errorf("%+v", s)
	}
	if _, ok := w.LastInput(1, 0); ok {
		t.Error("a command that is not sampled has a last input")
	}
	if _, ok := w.LastInput(1, 999); ok {
		t.Error("a command that does not exist has a last input")
	}
}

func TestARejectedHandlerChangesNothingButWhatItWrote(t *testing.T) {
	w := small(t, func(w *ecs.World) {
		ecs.Handle[order](w, "order", func(t *ecs.Tick, c *ecs.Cmd[order], s *ecs.Spawner[marked], p *ecs.Events[ping], r *ecs.Res[tally]) {
			e := s.New(marked{})
			p.Emit(ping{1})
			t.Control(1, e)
			r.Get().N++
			c.Reject("no")
		})
	})
	w.Step(frame(w, joins(w, 1, "ada")))
	o := w.Step(frame(w, ecs.NewCommand(w, client(1), 2, order{})))
	s, _ := w.Session(1)
	if w.Len() != 0 || len(o.Events) > 0 || !s.View.IsZero() || ecs.ResourceOf[tally](w).N != 1 {
		t.Errorf("%d entities, events %+v, view %v", w.Len(), o.Events, s.View)
	}
	if f := o.Failures[0]; f.System != "order" || f.Command != 0 || !f.Rejected || f.Reason != "no" {
		t.Errorf("%+v", f)
	}
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	w, err := ecs.New(chaos, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w.Step(frame(w, joins(w, 1, "ada")))
	ok := func() ecs.Command { return ecs.NewCommand(w, client(1), 2, Poke{What: 3}) }
	input := func() ecs.Command { return ecs.NewCommand(w, client(1), 2, Push{Force: 3}) }
	for _, c := range []struct {
		want    string
		command ecs.Command
		change  func(c *ecs.Command)
	}{
		{"", ok(), func(*ecs.Command) {}},
		{"", input(), func(c *ecs.Command) { c.Flags = ecs.FlagRepeated }},
		{"", joins(w, 2, "bob"), func(*ecs.Command) {}},
		{"", joins(w, 1, "ada"), func(*ecs.Command) {}},
		{"no command of kind 999", ok(), func(c *ecs.Command) { c.Kind = 999 }},
		{"has 17 bytes, want 18", ok(), func(c *ecs.Command) { c.Payload = c.Payload[1:] }},
		{"has 0 bytes", ok(), func(c *ecs.Command) { c.Payload = nil }},
		{"nothing like that to poke", ok(), func(c *ecs.Command) { c.Payload[0] = 10 }},
		{"invalid bool or text", ok(), func(c *ecs.Command) { c.Payload[1] = 200 }},
		{"invalid bool or text", ok(), func(c *ecs.Command) { c.Payload[1], c.Payload[2] = 1, 0xFF }},
		{"invalid bool or text", ok(), func(c *ecs.Command) { c.Payload[10] = 'x' }},
		{"invalid bool or text", input(), func(c *ecs.Command) { c.Payload[8] = 2 }},
		{"not finite", input(), func(c *ecs.Command) { c.Payload[6], c.Payload[7] = 0xF0, 0x7F }},
		{"not finite", input(), func(c *ecs.Command) { c.Payload[6], c.Payload[7] = 0xF8, 0xFF }},
		{"no such session", ok(), func(c *ecs.Command) { c.Source.ID = 2 }},
		{"id must not be 0", ok(), func(c *ecs.Command) { c.Source.ID = 0 }},
		{"unknown kind of source", ok(), func(c *ecs.Command) { c.Source.Kind = 5 }},
		{"unknown flags", ok(), func(c *ecs.Command) { c.Flags = 4 }},
		{"", input(), func(c *ecs.Command) { c.Flags = 3; clear(c.Payload) }},
		{"all zero", input(), func(c *ecs.Command) { c.Flags = 3 }},
		{"all zero", input(), func(c *ecs.Command) { c.Flags = 2; clear(c.Payload) }},
		{"only a sampled command can repeat", ok(), func(c *ecs.Command) { c.Flags = 1 }},
		{"only a client", input(), func(c *ecs.Command) { c.Source.Kind = ecs.SourceHost }},
		{"only a client", joins(w, 3, "eve"), func(c *ecs.Command) { c.Source.Kind = ecs.SourceService }},
	} {
		c.change(&c.command)
		err := w.Validate(&c.command)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

type explosive struct{ N int32 }

func (explosive) Validate() error { panic("boom") }

func TestAPanicInValidateIsAnError(t *testing.T) {
	w := small(t, func(w *ecs.World) {
		ecs.Handle[explosive](w, "explode", func(*ecs.Tick, *ecs.Cmd[explosive]) {})
	})
	c := ecs.NewCommand(w, ecs.Source{}, 1, explosive{})
	if err := w.Validate(&c); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Error(err)
	}
	if o := w.Step(frame(w, c)); len(o.Failures) != 1 {
		t.Errorf("%+v", o.Failures)
	}
}

func TestAnInvalidCommandInAFrameIsAnswered(t *testing.T) {
	w := meeting(t)
	w.Step(frame(w, joins(w, 1, "ada")))
	c := ecs.NewCommand(w, client(1), 2, order{})
	c.Payload = c.Payload[1:]
	o := w.Step(frame(w, c))
	if fmt.Sprint(o.Replies) != "[{1 2 true invalid command}]" || len(o.Failures) != 1 || o.Failures[0].System != "order" {
		t.Errorf("%+v, %+v", o.Replies, o.Failures)
	}
	if s, _ := w.Session(1); s.AppliedSeq != 2 {
		t.Errorf("%+v", s)
	}
	c.Source.ID = 5
	if o := w.Step(frame(w, c)); len(o.Replies) != 1 || !o.Replies[0].Rejected {
		t.Errorf("%+v", o.Replies)
	}
}

// TestAPlayerHasOneSessionIfTheGameWants: whatever a log holds, a second one is refused until the first has left.
func TestAPlayerHasOneSessionIfTheGameWants(t *testing.T) {
	for _, rule := range []ecs.IdentityRule{ecs.ManySessions, ecs.NewestWins, ecs.OldestStays} {
		w, err := ecs.New(ecs.Game{Name: "one", TickRate: 10, Identity: rule, Setup: func(w *ecs.World) { ecs.Component[mark](w, "mark") }}, ecs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		step := func(c ...ecs.Command) ecs.Output { return w.Step(ecs.Frame{Tick: w.Tick() + 1, Commands: c}) }
		step(joins(w, 7, "ada"), joins(w, 8, "bob"))
		out := step(joins(w, 9, "ada"))
		_, in := w.Session(9)
		if want := rule == ecs.ManySessions; in != want || len(out.Replies) != 1 || out.Replies[0].Rejected == want {
			t.Errorf("rule %d: the second session is in: %v; %+v", rule, in, out.Replies)
		} else if !want && (len(out.Failures) != 1 || !out.Failures[0].Rejected || out.Failures[0].Reason != out.Replies[0].Reason) {
			t.Errorf("rule %d: the refusal is reported as %+v", rule, out.Failures)
		}
		step(ecs.NewCommand(w, client(7), 2, ecs.Leave{}))
		step(joins(w, 9, "ada"))
		if _, in := w.Session(9); !in {
			t.Errorf("rule %d: there is no second session after the first has left", rule)
		}
	}
	if _, err := ecs.New(ecs.Game{Name: "one", TickRate: 10, Identity: 7, Setup: func(*ecs.World) {}}, ecs.Config{}); err == nil {
		t.Error("an unknown rule was accepted")
	}
}
