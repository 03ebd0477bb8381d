package netcode

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

// maxIdentity is the length of an identity in bytes.
const maxIdentity = 64

// hello answers a client's first message, or keeps it for the next latch,
// where the world can be asked.
func (h *hub) hello(l *link, m *wirepb.Hello) {
	if !l.proven && !h.baker.proves(m.Cookie, l.addr, h.now) {
		l.send(h, wirepb.IDChallenge, &wirepb.Challenge{Cookie: h.baker.cookie(l.addr, h.now)})
		return
	}
	if !h.prove(l) {
		return
	}
	trouble := h.identify(l, m)
	switch {
	case m.Protocol != Protocol:
		h.close(l, wirepb.Reason_REASON_VERSION, fmt.Sprintf("protocol %d is not spoken here, %d is", m.Protocol, Protocol))
	case h.cfg.Shard != "" && m.Shard != "" && m.Shard != h.cfg.Shard:
		h.close(l, wirepb.Reason_REASON_WRONG_SHARD, fmt.Sprintf("this node serves shard %q", h.cfg.Shard))
	case trouble != "":
		h.close(l, wirepb.Reason_REASON_BAD_TICKET, trouble)
	case len(m.Identity) > maxIdentity || m.Identity == "" && m.Resume == nil:
		h.close(l, wirepb.Reason_REASON_PROTOCOL, fmt.Sprintf("an identity has 1 to %d bytes", maxIdentity))
	case !h.owned && !h.starting:
		h.close(l, wirepb.Reason_REASON_NOT_OWNER, "this node does not serve the shard now")
	default:
		l.state, l.hello = linkJoining, m
		h.joining = append(h.joining, l)
	}
}

// identify makes the player of m's ticket its identity. What it returns is why
// the ticket is refused. A resumed session needs none: its token is the proof.
func (h *hub) identify(l *link, m *wirepb.Hello) (trouble string) {
	switch {
	case m.Resume != nil:
		return ""
	case len(m.Ticket) > 0:
		t, err := OpenTicket(h.cfg.TicketKey, m.Ticket, h.now)
		if err != nil {
			return err.Error()
		}
		if h.cfg.Shard != "" && t.Shard != h.cfg.Shard {
			return fmt.Sprintf("the connect ticket opens shard %q, not %q", t.Shard, h.cfg.Shard)
		}
		m.Identity, l.ticket = t.Identity, &t
	case h.cfg.RequireTicket:
		return "a connect ticket is needed: ask a gateway for one"
	}
	return ""
}

// joinsPerTick bounds how many connections one tick lets in.
const joinsPerTick = 128

// admit puts the Joins of waiting connections into a frame.
func (h *hub) admit(w *ecs.World, f *filling) {
	h.let(false, func(l *link) bool { return h.join(w, l, f) })
}

// readmit gives waiting connections their sessions back. It is part of a
// release, where the world is no further than the log.
func (h *hub) readmit(w *ecs.World) {
	h.let(true, func(l *link) bool { h.resume(w, l); return true })
}

// let offers the waiting connections of one sort to in, in the order of their
// coming; those that it refuses go on waiting.
func (h *hub) let(resume bool, in func(*link) bool) {
	waiting, n := h.joining, 0
	h.joining = nil
	for _, l := range waiting {
		if l.state != linkJoining {
			continue
		}
		if (l.hello.Resume != nil) == resume && l.session == nil && n < joinsPerTick {
			if n++; in(l) {
				continue
			}
		}
		h.joining = append(h.joining, l)
	}
}

// resume gives a session of the world to a connection that shows its token.
func (h *hub) resume(w *ecs.World, l *link) {
	want := l.hello.Resume
	state, known := w.Session(want.Session)
	s := h.sessions[want.Session]
	proven := known && opens(want.Token, state.ResumeHash)
	switch {
	case known && !proven:
		h.close(l, wirepb.Reason_REASON_BAD_TOKEN, "the token does not open this session")
		return
	case want.LastTick > h.released:
		h.ahead(l, proven)
		return
	case !known || s == nil || s.stage == stageLeaving:
		h.close(l, wirepb.Reason_REASON_UNKNOWN_SESSION, "there is no such session")
		return
	case s.stage == stageJoining:
		h.close(l, wirepb.Reason_REASON_UNKNOWN_SESSION, "the session has not begun")
		return
	}
	if s.link != nil {
		h.close(s.link, wirepb.Reason_REASON_REPLACED, "the session was resumed on another connection")
	}
	s.link, l.session = l, s
	h.charge(s, l, state.Identity)
	s.slack, s.inputTick = 0, 0
	h.stats.SessionsResumed++
	copy(s.token[:], want.Token)
	h.welcome(l, state, true)
}

// ahead refuses a client that has seen a tick which the log does not have. It
// is an alarm if the session is one of this log's and its client proved it;
// else anybody may have said so.
func (h *hub) ahead(l *link, proven bool) {
	want := l.hello.Resume
	level := slog.LevelWarn
	if proven {
		level = slog.LevelError
		h.stats.AheadOfLog++
	}
	h.log.Log(context.Background(), level, "netcode: a client has seen a tick that the log does not have", "proven", proven,
		"session", want.Session, "identity", l.hello.Identity, "client_tick", want.LastTick, "log_tick", h.released, "epoch", h.epoch)
	h.close(l, wirepb.Reason_REASON_AHEAD_OF_LOG, fmt.Sprintf("you saw tick %d, the log ends at %d", want.LastTick, h.released))
}

// join puts a new session's Join into the frame; false means that it has no
// room there.
func (h *hub) join(w *ecs.World, l *link, f *filling) bool {
	if len(h.sessions) >= h.cfg.MaxSessions {
		h.close(l, wirepb.Reason_REASON_FULL, fmt.Sprintf("the shard has its %d sessions", h.cfg.MaxSessions))
		return true
	}
	id, trouble := h.chooseSession(w, l.ticket)
	if trouble != "" {
		h.close(l, wirepb.Reason_REASON_BAD_TICKET, trouble)
		return true
	}
	s := &session{id: id, stage: stageJoining, link: l, joinTick: f.tick, taken: 1}
	rand.Read(s.token[:])
	c := ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceClient, ID: s.id}, 1,
		ecs.Join{Identity: ecs.NewText64(l.hello.Identity), ResumeHash: resumeHash(s.token[:])})
	if !f.fits(&c) {
		return false
	}
	if !h.mayJoin(l) {
		return true
	}
	if err := w.Validate(&c); err != nil {
		h.close(l, wirepb.Reason_REASON_REFUSED, err.Error())
		return true
	}
	f.add(c)
	if l.ticket != nil {
		h.used[id] = l.ticket.Expires
	}
	l.session = s
	h.charge(s, l, l.hello.Identity)
	h.addSession(s)
	return true
}

// welcome tells the client that it is in.
func (h *hub) welcome(l *link, state ecs.Session, resumed bool) {
	s := l.session
	m := &wirepb.Welcome{
		Session: s.id, Token: s.token[:], Tick: h.released, TickRate: uint32(time.Second / h.period),
		Epoch: h.epoch, Resumed: resumed, AppliedSeq: s.taken, InputSeq: s.inputs.used,
		SchemaHash: h.schemaHash, Shard: h.cfg.Shard, View: wireEntity(state.View), Game: h.game,
	}
	if l.hello.Schema != h.schemaHash {
		m.Schema = h.schemaJSON
	}
	s.view = m.View
	l.datagrams = l.hello.Datagrams && l.datagrams
	l.state, l.welcomed, l.hello = linkPlaying, h.now, nil
	h.letIn(l)
	l.send(h, wirepb.IDWelcome, m)
	s.token = [TokenSize]byte{}
}

// wireEntity is an entity in 64 bits: id, generation above it.
func wireEntity(e ecs.Entity) uint64 { return uint64(e.Generation())<<32 | uint64(e.ID()) }

// newSessionID picks an id that no session of the lineage has had: 63 random
// bits, so that neither a successor nor a branch of the log needs a counter.
func newSessionID(w *ecs.World) uint64 {
	for {
		id := randomSession()
		if _, taken := w.Session(id); id != 0 && !taken {
			return id
		}
	}
}

// randomSession returns 63 random bits, which may be 0.
func randomSession() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]) >> 1
}

// chooseSession picks the id of a new session. One that a ticket opens has its id from there, so that no ticket opens two:
// the world knows the sessions that there are, the hub those that have left since it owns the shard, and of older tickets
// nobody can say whether they were used. trouble is why the ticket is refused.
func (h *hub) chooseSession(w *ecs.World, t *Ticket) (id uint64, trouble string) {
	if t == nil {
		return newSessionID(w), ""
	}
	_, lives := w.Session(t.Session)
	_, used := h.used[t.Session]
	switch {
	case lives || used || h.sessions[t.Session] != nil:
		return 0, "the connect ticket was used: ask the gateway for another"
	case t.Issued.Before(h.since):
		return 0, "the connect ticket is older than this node's hold of the shard, and may have been used: ask the gateway for another"
	}
	return t.Session, ""
}

// forgetTickets forgets the tickets that nobody can show any more.
func (h *hub) forgetTickets() {
	for id, expires := range h.used {
		if h.now.After(expires) {
			delete(h.used, id)
		}
	}
}

// resumeHash is what the world keeps of a token: its SHA-256, cut to 16 bytes.
func resumeHash(token []byte) [16]byte {
	sum := sha256.Sum256(token)
	return [16]byte(sum[:16])
}

func opens(token []byte, hash [16]byte) bool {
	h := resumeHash(token)
	return len(token) == TokenSize && subtle.ConstantTimeCompare(h[:], hash[:]) == 1
}
