package session

import (
	"bytes"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/intake"
	"github.com/ferris1/wind/netcode/wirepb"
)

// latch appends to dst what the clients want in tick: joins and leaves, inputs
// with repeats filled in, then reliable commands, all validated and within
// budget bytes. Each tick starts with a different session. A command without room
// waits; an input without room is dropped, and the last one repeats. The sender
// gets a Wait.
func (h *hub) latch(w *ecs.World, tick uint64, dst []ecs.Command, budget int) []ecs.Command {
	if !h.owned {
		return dst
	}
	h.latched = tick
	h.schedule.latched(tick, h.now)
	b := &intake.Batch{Tick: tick, Commands: dst, Left: budget}
	h.admit(w, b)
	if len(h.turns) == 0 {
		return b.Commands
	}
	first := int(tick % uint64(len(h.turns)))
	turn := func(do func(*session)) {
		for _, s := range h.turns[first:] {
			do(s)
		}
		for _, s := range h.turns[:first] {
			do(s)
		}
	}
	turn(func(s *session) { h.latchLeave(w, s, b) })
	turn(func(s *session) { h.latchInputs(w, s, b) })
	turn(func(s *session) { h.latchCommands(w, s, b) })
	return b.Commands
}

func (h *hub) latchLeave(w *ecs.World, s *session, b *intake.Batch) {
	if s.stage != stageLeaving || s.leftTick != 0 {
		return
	}
	state, ok := w.Session(s.id)
	if !ok {
		return // it never joined, or has left: release removes it
	}
	c := ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceClient, ID: s.id}, max(state.AppliedSeq, s.taken)+1, ecs.Leave{})
	if b.Fits(&c) {
		b.Add(c)
		s.leftTick = b.Tick
	}
}

func (h *hub) latchInputs(w *ecs.World, s *session, b *intake.Batch) {
	if s.link == nil && s.holds {
		h.letGo(w, s, b)
	}
	if s.stage != stageLive || s.link == nil {
		return
	}
	s.inputs.take(b.Tick, h.hold, func(in sample, flags uint8) bool {
		c := ecs.Command{Kind: in.kind, Source: ecs.Source{Kind: ecs.SourceClient, ID: s.id}, Seq: in.seq, Flags: flags, Payload: in.payload}
		if err := w.Validate(&c); err != nil {
			h.stats.InputsInvalid++
			if !s.refusedTold { // nothing on the wire tells the client
				s.refusedTold = true
				h.log.Info("netcode: the game refuses a client's input, which is ignored; further ones of this session are only counted", "session", s.id, "tick", b.Tick, "error", err)
			}
			return false
		}
		if !b.Fits(&c) || !h.affords(s, intake.LogBytes(&c, true)) {
			h.stats.InputsDropped++
			s.dropped++
			return true
		}
		switch flags {
		case ecs.FlagRepeated:
			h.stats.InputsRepeated++
		case ecs.FlagRepeated | ecs.FlagNeutral:
			h.stats.InputsNeutral++
		}
		b.Add(c)
		return true
	})
}

// letGo releases the inputs of a session that has lost its connection, such as a
// key held down when it broke: it uses the zero value once in place of the last
// input. If the tick has no room, the next one does it.
func (h *hub) letGo(w *ecs.World, s *session, b *intake.Batch) {
	state, ok := w.Session(s.id)
	if !ok || s.stage != stageLive {
		s.holds = false
		return
	}
	for _, kind := range h.sampled {
		last, ok := w.LastInput(s.id, kind)
		if !ok || bytes.Equal(last, zeros[:len(last)]) {
			continue
		}
		c := ecs.Command{
			Kind: kind, Source: ecs.Source{Kind: ecs.SourceClient, ID: s.id}, Seq: state.InputSeq,
			Flags: ecs.FlagRepeated | ecs.FlagNeutral, Payload: zeros[:len(last)],
		}
		switch {
		case w.Validate(&c) != nil: // the game refuses the zero value
		case !b.Fits(&c):
			return
		default:
			b.Add(c)
			h.stats.InputsNeutral++
		}
	}
	s.holds = false
}

func (h *hub) latchCommands(w *ecs.World, s *session, b *intake.Batch) {
	if s.stage == stageLive && s.link != nil {
		n := 0
		for n < len(s.commands) && n < commandsPerTick {
			q := &s.commands[n]
			c := ecs.Command{Kind: q.kind, Source: ecs.Source{Kind: ecs.SourceClient, ID: s.id}, Seq: q.seq, Payload: q.payload}
			if !b.Fits(&c) || !h.affords(s, intake.LogBytes(&c, false)) {
				break
			}
			n++
			if err := w.Validate(&c); err != nil {
				s.refuse(h, c.Seq, err.Error())
				continue
			}
			b.Add(c)
			s.flying = b.Tick
		}
		full := n < len(s.commands) && n < commandsPerTick
		s.commands = append(s.commands[:0], s.commands[n:]...)
		h.tellWait(s, b.Tick, full)
	}
}

// affords charges n bytes of the log to a session, if it may write them.
func (h *hub) affords(s *session, n int) bool {
	ok := h.accounts.afford(s, n, h.now)
	s.throttled = s.throttled || !ok
	return ok
}

// tellWait sends Wait, at most once per second, when a session's commands wait or
// its inputs had no room.
func (h *hub) tellWait(s *session, tick uint64, full bool) {
	if !full && s.dropped == 0 {
		return
	}
	if rate := h.rate(); s.told != 0 && tick < s.told+rate {
		return
	}
	s.told = tick
	m := &wirepb.Wait{Tick: tick, Commands: uint32(len(s.commands)), Inputs: s.dropped}
	if s.throttled {
		m.Reason = wirepb.Reason_REASON_LOG_BYTES
	}
	s.link.send(wirepb.IDWait, m)
	s.dropped, s.throttled = 0, false
}
