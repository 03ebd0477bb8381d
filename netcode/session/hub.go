package session

import (
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
	"unique"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/replication"
	"github.com/ferris1/wind/netcode/wirepb"
)

// hub holds a shard's sessions and what they want from the world. It is a state
// machine without goroutines, sockets or clocks: time comes in through now,
// connections through hello, messages through receive, ticks through own, latch,
// release and disown. Its owner serialises all calls.
type hub struct {
	cfg      Config
	log      *slog.Logger
	accounts *Accounts

	claimTold time.Time // when a client ahead of the log was last logged

	owned      bool
	starting   bool                 // not owned yet, but soon (Config.Starting)
	over       string               // why the room has ended; "": it goes on
	since      time.Time            // when own was called, to the millisecond
	used       map[uint64]time.Time // by session that a ticket opened: when the ticket expires
	replaced   map[uint64]time.Time // by session whose player has begun another: when
	epoch      uint64
	period     time.Duration // of a tick
	game       string
	hold       uint64 // for how many ticks an input repeats
	rule       ecs.IdentityRule
	sampled    []uint16 // kinds of the sampled commands
	schema     *ecs.Schema
	schemaText unique.Handle[string] // see describe
	schemaHash uint64
	options    []byte               // the world's
	encoder    *replication.Encoder // nil until a client sees the world

	released atomic.Uint64 // newest committed tick; read without the hub to answer a Ping
	latched  uint64        // newest tick whose commands were latched
	schedule schedule

	links    map[*link]struct{}
	sessions map[uint64]*session
	players  map[string]*session // by player, the first in turns
	turns    []*session          // all of them; for fairness latch starts at another one each tick
	joining  []*link             // waiting for the next latch or release
	comes    func()              // called when a client begins to wait; or nil
	ended    []uint64            // sessions whose replication stream the encoder should drop

	now   time.Time // time of the current call
	stats Stats
}

func newHub(cfg Config) *hub {
	return &hub{
		cfg: cfg, log: cfg.Logger, accounts: cfg.Accounts, starting: cfg.Starting,
		used: map[uint64]time.Time{}, replaced: map[uint64]time.Time{}, links: map[*link]struct{}{}, sessions: map[uint64]*session{}, players: map[string]*session{},
	}
}

// close ends a connection with a Bye.
func (h *hub) close(l *link, reason wirepb.Reason, text string) {
	if l.state != linkClosed {
		l.conn.Close(reason, text)
		h.lost(l)
	}
}

// lost forgets a connection that has ended.
func (h *hub) lost(l *link) {
	if l.state == linkClosed {
		return
	}
	if l.state == linkPlaying {
		h.stats.ClientSeconds += h.now.Sub(l.welcomed).Seconds()
	}
	h.accounts.drop(l.account)
	delete(h.links, l)
	h.joining = slices.DeleteFunc(h.joining, func(j *link) bool { return j == l })
	if s := l.session; s != nil && s.link == l {
		h.dropStream(s)
		s.spoke = s.spoke || l.spoke()
		s.park(h.now)
	}
	l.state, l.session, l.account = linkClosed, nil, nil
}

func (h *hub) dropStream(s *session) {
	if s.stream {
		s.stream = false
		h.ended = append(h.ended, s.id)
	}
}

func (h *hub) addSession(s *session) {
	h.sessions[s.id] = s
	h.turns = append(h.turns, s)
	if h.players[s.player] == nil {
		h.players[s.player] = s
	}
}

// removeSession drops a session that has left the world.
func (h *hub) removeSession(s *session) {
	h.dropStream(s)
	h.accounts.strike(s)
	delete(h.sessions, s.id)
	h.turns = slices.DeleteFunc(h.turns, func(o *session) bool { return o == s })
	if h.players[s.player] == s {
		delete(h.players, s.player)
		if i := slices.IndexFunc(h.turns, func(o *session) bool { return o.player == s.player }); i >= 0 {
			h.players[s.player] = h.turns[i]
		}
	}
}

// receive handles one message of a connection. A bad one ends the connection.
func (h *hub) receive(l *link, id uint32, payload []byte) {
	if l.state == linkClosed {
		return
	}
	allowed := false
	switch id {
	case wirepb.IDBye:
		allowed = true
	case wirepb.IDInput, wirepb.IDCommand, wirepb.IDAck:
		allowed = l.state == linkPlaying
	}
	if !allowed {
		h.close(l, wirepb.Reason_REASON_PROTOCOL, fmt.Sprintf("message %d is unknown or out of place", id))
		return
	}
	m, err := wirepb.New(id)
	if err == nil {
		err = proto.Unmarshal(payload, m)
	}
	if err != nil {
		h.close(l, wirepb.Reason_REASON_PROTOCOL, fmt.Sprintf("message %d is malformed", id))
		return
	}
	switch m := m.(type) {
	case *wirepb.Bye:
		h.leave(l)
	case *wirepb.Input:
		h.input(l, m)
	case *wirepb.Command:
		h.command(l, m)
	case *wirepb.Ack:
		h.ack(l.session, m.Body)
	}
}

// receiveDatagram handles one message of the datagram lane. It returns false for a
// bad one, which it ignores: anybody may have sent it.
func (h *hub) receiveDatagram(l *link, id uint32, payload []byte) bool {
	if l.state != linkPlaying {
		return false
	}
	switch id {
	case wirepb.IDInput:
		var m wirepb.Input
		if proto.Unmarshal(payload, &m) == nil {
			h.input(l, &m)
		}
	case wirepb.IDAck:
		var m wirepb.Ack
		if proto.Unmarshal(payload, &m) == nil {
			h.ack(l.session, m.Body)
		}
	}
	return true
}

// leave ends a session at its client's request.
func (h *hub) leave(l *link) {
	s := l.session
	h.close(l, wirepb.Reason_REASON_LEFT, "")
	if s != nil && s.stage == stageLive {
		s.stage = stageLeaving
	}
}

func (h *hub) input(l *link, m *wirepb.Input) {
	s := l.session
	for _, in := range m.Samples {
		if why := h.wrong(in.Kind, in.Seq, len(in.Payload), true); why != "" {
			h.close(l, wirepb.Reason_REASON_PROTOCOL, why)
			return
		}
		h.stats.Inputs++
		switch s.inputs.add(sample{tick: in.Tick, seq: in.Seq, kind: uint16(in.Kind), payload: in.Payload}, h.latched) {
		case late:
			h.stats.InputsLate++
		case early:
			h.stats.InputsEarly++
		case crowded:
			h.stats.InputsDropped++
		case duplicate:
			h.stats.InputsAgain++
			continue
		}
		// Feedback is about the newest plausible tick: one far ahead gets its
		// feedback too, but any later input replaces it.
		if in.Tick >= s.inputTick || s.inputTick > h.latched+MaxTicksAhead {
			s.inputTick = in.Tick
			s.slack = h.schedule.slack(in.Tick, h.now)
		}
	}
	h.ack(s, m.Ack)
}

func (h *hub) command(l *link, m *wirepb.Command) {
	if why := h.wrong(m.Kind, m.Seq, len(m.Payload), false); why != "" {
		h.close(l, wirepb.Reason_REASON_PROTOCOL, why)
		return
	}
	h.stats.Commands++
	l.session.queue(h, command{seq: m.Seq, kind: uint16(m.Kind), payload: m.Payload})
}

// wrong returns why a client may not send such a command, or "" if it may.
// sampled says that the command came in Input, not in Command.
func (h *hub) wrong(kind uint32, seq uint64, bytes int, sampled bool) string {
	if kind >= uint32(len(h.schema.Commands)) {
		return fmt.Sprintf("no command has kind %d: the schema has %d commands", kind, len(h.schema.Commands))
	}
	switch c := &h.schema.Commands[kind]; {
	case kind <= ecs.KindLeave:
		return fmt.Sprintf("only the server sends command %q", c.Name)
	case c.Sampled && !sampled:
		return fmt.Sprintf("command %q is sampled: send it in Input, not in Command", c.Name)
	case !c.Sampled && sampled:
		return fmt.Sprintf("command %q is not sampled: send it in Command, not in Input", c.Name)
	case bytes != c.Packed:
		return fmt.Sprintf("the payload of command %q (kind %d) has %d bytes, but its packed value has %d", c.Name, kind, bytes, c.Packed)
	case bytes > MaxPayload:
		return fmt.Sprintf("the payload of command %q has %d bytes, but a client may send at most %d", c.Name, bytes, MaxPayload)
	case seq == 0:
		return fmt.Sprintf("command %q has no seq: the first seq is 1", c.Name)
	}
	return ""
}

func (h *hub) ack(s *session, body []byte) {
	if len(body) == 0 || len(body) > frame.MTU {
		return
	}
	if len(s.acks) == maxAcks {
		s.acks = slices.Delete(s.acks, 0, 1) // the newest acknowledge the most
	}
	s.acks = append(s.acks, body)
}

// expire ends connections and sessions that have waited too long.
func (h *hub) expire() {
	h.accounts.forget(h.now)
	h.forgetTickets()
	h.forgetReplaced()
	for l := range h.links {
		switch {
		case l.state == linkJoining && !h.owned && h.now.Sub(l.since) > startPatience:
			h.close(l, wirepb.Reason_REASON_NOT_OWNER, "this node does not serve the shard yet")
		case l.state == linkPlaying && !l.spoke() && h.now.Sub(l.welcomed) > h.cfg.SilenceTimeout:
			h.close(l, wirepb.Reason_REASON_SILENT, "nothing arrived within "+h.cfg.SilenceTimeout.String()+" after Welcome")
		}
	}
	for _, s := range h.turns {
		if s.stage == stageLive && s.link == nil && h.now.Sub(s.parked) > h.grace(s) {
			s.stage = stageLeaving
		}
	}
}

// grace returns how long a session stays without a connection: shorter if its
// client never sent anything.
func (h *hub) grace(s *session) time.Duration {
	if s.spoke {
		return h.cfg.ResumeGrace
	}
	return min(h.cfg.SilenceTimeout, h.cfg.ResumeGrace)
}
