package ecs

import (
	"errors"
	"fmt"
)

// Step runs one tick. It zeroes transients, runs Init in tick 1, runs the commands in frame order, runs the systems in
// order of registration, then detects what they wrote. The result depends only on the world and the frame. It refers to
// the world's own memory and is valid until the next Step or Apply. Invalid commands, rejections and panics of the game
// become Failures. Step panics if f is not the next tick's frame or the world is poisoned.
func (w *World) Step(f Frame) Output {
	w.mustWork("Step")
	if f.Tick != w.tick+1 {
		panic(fmt.Sprintf("ecs: the frame of tick %d follows tick %d", f.Tick, w.tick))
	}
	w.begin()
	if w.tick == 1 {
		for _, c := range w.inits {
			w.runSystem(c)
		}
	}
	for i := range f.Commands {
		w.execute(i, &f.Commands[i])
	}
	for _, c := range w.systems {
		w.runSystem(c)
	}
	w.running.call.Store(nil)
	w.detect()
	w.sessions.settle()
	w.tidy()
	return w.output()
}

// begin starts the next tick with no changes.
func (w *World) begin() {
	w.tick++
	w.changes.begin()
	w.sessions.begin()
	w.out.Failures, w.out.Replies = w.out.Failures[:0], w.out.Replies[:0]
	w.messages, w.messageBytes, w.messageWeight = w.messages[:0], w.messageBytes[:0], 0
	w.faults = 0
	for _, s := range w.events {
		s.values, s.count = s.values[:0], 0
	}
	w.zeroTransients()
}

func (w *World) zeroTransients() {
	for t := range w.eachInhabited {
		for i := range t.columns {
			if c := &t.columns[i]; c.c.Transient {
				clear(bytesAt(c.live, len(t.entities)*c.c.Size))
			}
		}
	}
	for _, r := range w.resources {
		if r.form.Transient {
			clear(bytesAt(r.live, r.form.Size))
		}
	}
}

// MaxFaults is the largest number of failures, rejections apart, that an Output names.
const MaxFaults = 64

// fail notes a failure. The log keeps failures other than rejections, so fail limits their number to what a record can
// hold.
func (w *World) fail(f Failure) {
	if !f.Rejected {
		if w.faults++; w.faults > MaxFaults {
			return
		}
	}
	w.out.Failures = append(w.out.Failures, f)
}

func (w *World) runSystem(c *call) {
	if v := w.run(c, c.seed); v.failed {
		w.fail(Failure{System: c.name, Command: -1, Rejected: v.rejected, Reason: v.reason, Place: v.place})
	}
}

// execute runs the i-th command of the frame.
func (w *World) execute(i int, c *Command) {
	if err := w.Validate(c); err != nil {
		w.refuse(i, c, err)
		return
	}
	h := w.handlers[c.Kind]
	if c.Source.Kind != SourceClient {
		w.handle(i, h, c)
		return
	}
	switch {
	case h.f.id == KindJoin:
		w.join(i, h, c)
	case h.f.id == KindLeave:
		v := w.handle(i, h, c)
		w.answer(c, v)
		w.sessions.remove(w.sessions.find(c.Source.ID))
	case h.f.Sampled:
		w.sample(i, h, c)
	default:
		w.apply(i, h, c)
	}
}

// handle calls the game's handler, if any, and notes a failure.
func (w *World) handle(i int, h *handler, c *Command) verdict {
	if h.load == nil {
		return verdict{}
	}
	h.load(c)
	seed := mum(h.seed^c.Source.ID, c.Seq^uint64(c.Source.Kind)<<56^k2)
	v := w.run(&h.call, seed)
	if v.failed {
		w.fail(Failure{System: h.name, Command: i, Rejected: v.rejected, Reason: v.reason, Place: v.place})
	}
	return v
}

// join creates the session and removes it again if the handler refuses. An existing session stays as it is. If the game wants one session
// per player, the earlier one must have left.
func (w *World) join(i int, h *handler, c *Command) {
	if x := w.sessions.find(c.Source.ID); x != nil {
		w.again(x, c.Seq)
		return
	}
	h.f.unpack(h.scratch, c.Payload, 1)
	j := (*Join)(h.scratch)
	if w.game.Identity != ManySessions && w.sessions.plays(j.Identity.String()) {
		v := verdict{failed: true, rejected: true, reason: "the player has a session already"}
		w.fail(Failure{System: h.name, Command: i, Rejected: true, Reason: v.reason})
		w.answer(c, v)
		return
	}
	x := w.sessions.add(Session{ID: c.Source.ID, Identity: j.Identity.String(), ResumeHash: j.ResumeHash, AppliedSeq: c.Seq, Joined: w.tick})
	v := w.handle(i, h, c)
	if v.failed {
		w.answer(c, v)
		w.sessions.remove(x)
		return
	}
	w.sessions.reply(x, w.answer(c, v))
}

// sample uses a sampled command. A session has at most one per kind and tick.
func (w *World) sample(i int, h *handler, c *Command) {
	x := w.sessions.find(c.Source.ID)
	if x.inputs[h.ordinal].tick == w.tick {
		w.fail(Failure{System: h.name, Command: i, Reason: "the session already sent one in this tick"})
		return
	}
	w.sessions.used(x, c, h.ordinal)
	w.handle(i, h, c)
}

// apply uses a command exactly once. A command whose number is not above the session's last one gets its earlier reply.
func (w *World) apply(i int, h *handler, c *Command) {
	x := w.sessions.find(c.Source.ID)
	if c.Seq <= x.AppliedSeq {
		w.again(x, c.Seq)
		return
	}
	w.sessions.applied(x, c.Seq)
	r := w.answer(c, w.handle(i, h, c))
	w.sessions.reply(x, r)
}

// refuse notes a command that should not be in the frame. Its session gets a reply, as for any other command.
func (w *World) refuse(i int, c *Command, err error) {
	f := Failure{Command: i, Reason: clip(err.Error(), maxReason)}
	if p, ok := errors.AsType[*checkPanic](err); ok {
		f.Place = p.place
	}
	known := int(c.Kind) < len(w.handlers)
	if known {
		f.System = w.handlers[c.Kind].f.Name
	}
	w.fail(f)
	if c.Source.Kind != SourceClient || known && w.handlers[c.Kind].f.Sampled {
		return
	}
	r := w.answer(c, verdict{failed: true, rejected: true, reason: "invalid command"})
	if x := w.sessions.find(c.Source.ID); x != nil && c.Seq > x.AppliedSeq && known && int(c.Kind) > KindLeave {
		w.sessions.applied(x, c.Seq)
		w.sessions.reply(x, r)
	}
}

// answer makes the reply to a client's command. It withholds a panic's text, which may differ between builds: replies
// are state.
func (w *World) answer(c *Command, v verdict) Reply {
	r := Reply{Session: c.Source.ID, Seq: c.Seq, Rejected: v.failed, Reason: v.reason}
	if v.failed && !v.rejected {
		r.Reason = "internal error"
	}
	w.out.Replies = append(w.out.Replies, r)
	return r
}

// again repeats the reply to a command that was applied before, if the session still has it.
func (w *World) again(x *session, seq uint64) {
	if r, ok := x.replied(seq); ok {
		w.out.Replies = append(w.out.Replies, r)
	}
}

// output collects the tick's output.
func (w *World) output() Output {
	o := &w.out
	o.Tick, o.Checksum = w.tick, w.Checksum()
	o.Delta = w.delta(o.Checksum)
	o.Events = o.Events[:0]
	for _, s := range w.events {
		if s.count > 0 {
			o.Events = append(o.Events, s.batch())
		}
	}
	o.Outbox = o.Outbox[:0]
	for i := range w.messages {
		m := &w.messages[i]
		o.Outbox = append(o.Outbox, Message{To: m.to, Name: m.f.Name, N: uint32(i), Payload: w.messageBytes[m.from:m.end:m.end]})
	}
	return *o
}
