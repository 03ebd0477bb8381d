package netcode

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/replication"
	"github.com/ferris1/wind/netcode/wirepb"
)

// hub holds a node's sessions and what they want from the world. It is a state
// machine without goroutines, sockets or clocks: time comes in through now,
// messages through receive, ticks through own, latch, release and disown.
// Answers collect in the links. Its owner serialises all calls.
type hub struct {
	cfg Config
	log *slog.Logger

	claimTold time.Time // when a client ahead of the log was last logged
	baker     *baker
	gateway   Gateway // nil: RPC is refused

	owned      bool
	starting   bool                 // not owned yet, but soon (Config.Starting)
	hung       bool                 // the world does not step (Server.SetHung)
	since      time.Time            // when own was called, to the millisecond
	used       map[uint64]time.Time // by session that a ticket opened: when the ticket expires
	epoch      uint64
	period     time.Duration // of a tick
	game       string
	hold       uint64   // for how many ticks an input repeats
	sampled    []uint16 // kinds of the sampled commands
	schema     *ecs.Schema
	schemaJSON []byte
	schemaHash uint64
	encoder    *replication.Encoder

	released uint64 // newest committed tick
	latched  uint64 // newest tick whose commands were latched
	schedule schedule

	links    map[*link]struct{}
	halfOpen [arrivals]int // links not admitted yet, by arrival
	sessions map[uint64]*session

	addresses  accounts[netip.Addr]
	identities accounts[string]
	forgot     time.Time // when idle accounts were last dropped
	refusals   bucket    // of refused connections that get a Bye with the reason

	turns   []*session // all of them; for fairness latch starts at another one each tick
	joining []*link    // waiting for the next latch or release
	ended   []uint64   // sessions whose replication stream the encoder should drop

	now   time.Time // time of the current call
	stats Stats
}

func newHub(cfg Config) *hub {
	return &hub{
		cfg: cfg, log: cfg.Logger, baker: newBaker(), gateway: cfg.Gateway, starting: cfg.Starting,
		used: map[uint64]time.Time{}, links: map[*link]struct{}{}, sessions: map[uint64]*session{},
		addresses:  newAccounts[netip.Addr](cfg.Limits.JoinsPerAddress, cfg.Limits.LogBytesPerAddress),
		identities: newAccounts[string](cfg.Limits.JoinsPerIdentity, cfg.Limits.LogBytesPerIdentity),
		refusals:   newBucket(refusalsRate, time.Time{}),
		stats:      Stats{RefusedBy: map[string]uint64{}},
	}
}

// refusalsRate is how many refused connections per second get a Bye with the
// reason; the others end without one.
const refusalsRate = 100

// open registers a new connection. When it has no room for one, it returns nil or
// a link that is already closed with a Bye.
func (h *hub) open(addr netip.AddrPort, came arrival, wake func()) *link {
	reason, why := wirepb.Reason_REASON_ADDRESS_FULL, h.crowded(addr, came)
	if h.halfOpen[came] >= h.cfg.MaxHalfOpen && came != cameProven || len(h.links) >= h.cfg.MaxSessions+2*h.cfg.MaxHalfOpen {
		reason, why = wirepb.Reason_REASON_FULL, "the node has reached its limit of connections"
	}
	if why != "" && (came == cameUnproven || !h.refusals.take(1, h.now)) {
		h.refused(reason)
		return nil
	}
	l := &link{
		addr: addr, came: came, proven: came != cameUnproven, since: h.now, seen: h.now, wake: wake,
		loose: newBucket(h.cfg.FramesPerSecond, h.now),
	}
	h.links[l] = struct{}{}
	h.halfOpen[came]++
	if l.proven {
		h.enlist(l)
	}
	if why != "" {
		h.close(l, reason, why)
	}
	return l
}

// prove records that a connection's address is proven. It closes the connection
// and returns false when the address has too many.
func (h *hub) prove(l *link) bool {
	l.proven = true
	if l.account != nil {
		return true
	}
	why := h.crowded(l.addr, cameProven)
	h.enlist(l)
	if l.came == cameUnproven {
		h.letIn(l)
	}
	if why != "" {
		h.close(l, wirepb.Reason_REASON_ADDRESS_FULL, why)
	}
	return why == ""
}

// letIn admits a connection: it no longer counts as half open.
func (h *hub) letIn(l *link) {
	if l.came != cameIn {
		h.halfOpen[l.came]--
		if l.account != nil {
			l.account.halfOpen[l.came]--
		}
		l.came = cameIn
	}
}

// close ends a connection with a Bye.
func (h *hub) close(l *link, reason wirepb.Reason, text string) {
	if l.state == linkClosed {
		return
	}
	if l.state != linkPlaying && l.state != linkRPC && reason != wirepb.Reason_REASON_LEFT {
		h.refused(reason)
	}
	l.out = frame.AppendMessage(l.out, wirepb.IDBye, &wirepb.Bye{Reason: reason, Text: text})
	h.log.Debug("netcode: connection ends", "addr", l.addr, "reason", reason, "text", text)
	h.detach(l)
}

// lost is like close, for a connection whose transport is gone: it sends no Bye.
func (h *hub) lost(l *link) {
	if l.state != linkClosed {
		l.out = nil
		h.detach(l)
	}
}

func (h *hub) detach(l *link) {
	h.letIn(l)
	if l.state == linkPlaying {
		h.stats.ClientSeconds += h.now.Sub(l.welcomed).Seconds()
	}
	h.tally(l)
	h.delist(l)
	delete(h.links, l)
	h.joining = slices.DeleteFunc(h.joining, func(j *link) bool { return j == l })
	if s := l.session; s != nil && s.link == l {
		h.dropStream(s)
		s.park(h.now)
	}
	if l.conn != nil {
		l.conn.over.Store(true)
	}
	l.state, l.session = linkClosed, nil
	l.wake()
}

// tally moves a connection's counts into the statistics. Packets may still come
// after the connection has ended, so its transport calls tally again.
func (h *hub) tally(l *link) {
	h.stats.BytesIn += l.bytesIn.Swap(0)
	h.stats.BytesOut += l.bytesOut.Swap(0)
}

func (h *hub) refused(reason wirepb.Reason) {
	h.stats.SessionsRefused++
	h.stats.RefusedBy[reason.String()]++
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
}

// removeSession drops a session that has left the world.
func (h *hub) removeSession(s *session) {
	h.dropStream(s)
	h.strike(s)
	delete(h.sessions, s.id)
	h.turns = slices.DeleteFunc(h.turns, func(o *session) bool { return o == s })
}

// receive handles one message of a connection. A bad one ends the connection.
func (h *hub) receive(l *link, id uint32, payload []byte) {
	if l.state == linkClosed {
		return
	}
	l.heard(h.now)
	allowed := false
	switch id {
	case wirepb.IDPing, wirepb.IDBye:
		allowed = true
	case wirepb.IDHello:
		allowed = l.state == linkOpening
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
	case *wirepb.Hello:
		h.hello(l, m)
	case *wirepb.Bye:
		h.leave(l)
	case *wirepb.Ping:
		l.send(h, wirepb.IDPong, &wirepb.Pong{Time: m.Time, Tick: h.released})
	case *wirepb.Input:
		h.input(l, m)
	case *wirepb.Command:
		h.command(l, m)
	case *wirepb.Ack:
		h.ack(l.session, m.Body)
	}
}

// receiveDatagram handles one message of the datagram lane and returns the link
// that it belongs to. It ignores bad messages and returns nil: anybody may have
// sent them.
func (h *hub) receiveDatagram(from netip.AddrPort, id uint32, sessionID uint64, payload []byte) *link {
	s := h.sessions[sessionID]
	if s == nil || s.link == nil || s.link.addr != from || s.link.state != linkPlaying || !s.link.loose.take(1, h.now) {
		return nil
	}
	switch id {
	case wirepb.IDInput:
		var m wirepb.Input
		if proto.Unmarshal(payload, &m) == nil {
			h.input(s.link, &m)
		}
	case wirepb.IDAck:
		var m wirepb.Ack
		if proto.Unmarshal(payload, &m) == nil {
			h.ack(s, m.Body)
		}
	}
	if s.link != nil {
		s.link.heard(h.now)
	}
	return s.link
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
	h.forgetAccounts()
	h.forgetTickets()
	for l := range h.links {
		switch {
		case l.state == linkJoining && !h.owned && h.now.Sub(l.since) > startPatience:
			h.close(l, wirepb.Reason_REASON_NOT_OWNER, "this node does not serve the shard yet")
		case l.state < linkPlaying && h.now.Sub(l.since) > h.cfg.HandshakeTimeout:
			h.close(l, wirepb.Reason_REASON_HANDSHAKE_TIMEOUT, "no session within "+h.cfg.HandshakeTimeout.String())
		case l.state == linkPlaying && !l.spoke && h.now.Sub(l.welcomed) > h.cfg.SilenceTimeout:
			h.close(l, wirepb.Reason_REASON_SILENT, "nothing arrived within "+h.cfg.SilenceTimeout.String()+" after Welcome")
		case h.now.Sub(l.seen) > h.cfg.IdleTimeout:
			h.close(l, wirepb.Reason_REASON_IDLE, "nothing arrived for "+h.cfg.IdleTimeout.String())
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
