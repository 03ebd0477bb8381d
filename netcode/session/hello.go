package session

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/intake"
	"github.com/ferris1/wind/netcode/wirepb"
)

// hello answers a client's Hello, or keeps it for the next latch or release, which
// can read the world.
func (h *hub) hello(l *link) {
	m, t := l.hello, l.ticket
	if l.since = h.now; t != nil {
		m.Identity = t.Identity
	}
	refuse := func(reason wirepb.Reason, text string) {
		l.conn.Close(reason, text)
		l.state = linkClosed
	}
	switch {
	case t == nil && m.Resume == nil && h.cfg.RequireTicket:
		refuse(wirepb.Reason_REASON_BAD_TICKET, "a ticket is required: ask a gateway for one")
	case len(m.Identity) > netcode.MaxIdentity || m.Identity == "" && m.Resume == nil:
		refuse(wirepb.Reason_REASON_PROTOCOL, fmt.Sprintf("an identity must have 1 to %d bytes", netcode.MaxIdentity))
	case h.over != "":
		refuse(wirepb.Reason_REASON_ENDED, h.over)
	case !h.owned && !h.starting:
		l.conn.Elsewhere(h.cfg.Shard, "this node does not serve the shard at the moment")
		l.state = linkClosed
	default:
		l.account = h.accounts.address(l.conn.Addr(), h.now)
		h.links[l] = struct{}{}
		h.joining = append(h.joining, l)
		if h.comes != nil {
			h.comes()
		}
	}
}

// turnAway ends the connections that wait for a session: the world does not step.
func (h *hub) turnAway() {
	for l := range h.links {
		if l.state == linkJoining {
			h.close(l, wirepb.Reason_REASON_NOT_OWNER, hangs)
		}
	}
}

// joinsPerTick bounds how many connections one tick admits.
const joinsPerTick = 128

// entry is what becomes of a connection that waits for a session.
type entry uint8

const (
	settled entry = iota // it has a session, or was refused
	waits                // for its player's earlier session to leave; others need not wait for it
	noRoom               // the tick is full: all others wait, too
)

// admit puts the Joins of waiting connections into a tick.
func (h *hub) admit(w *ecs.World, b *intake.Batch) {
	h.let(false, func(l *link) entry { return h.join(w, l, b) })
}

// readmit gives waiting connections their sessions back. It runs within a
// release, when the world is not ahead of the log.
func (h *hub) readmit(w *ecs.World) {
	h.let(true, func(l *link) entry { h.resume(w, l); return settled })
}

// let offers waiting connections to in, in the order of their arrival: those that
// resume a session, or those that do not. A connection that in does not settle keeps
// waiting.
func (h *hub) let(resume bool, in func(*link) entry) {
	waiting, left := h.joining, joinsPerTick
	h.joining = nil
	for _, l := range waiting {
		if l.state != linkJoining {
			continue
		}
		if (l.hello.Resume != nil) == resume && l.session == nil && left > 0 {
			switch in(l) {
			case settled:
				left--
				continue
			case noRoom:
				left = 0
			}
		}
		h.joining = append(h.joining, l)
	}
}

// resume attaches a connection that shows a session's token to that session.
func (h *hub) resume(w *ecs.World, l *link) {
	want := l.hello.Resume
	state, known := w.Session(want.Session)
	s := h.sessions[want.Session]
	valid := known && opens(want.Token, state.ResumeHash)
	switch {
	case known && !valid:
		h.close(l, wirepb.Reason_REASON_BAD_TOKEN, "the token does not belong to this session")
		return
	case want.LastTick > h.released.Load():
		h.ahead(l, valid)
		return
	case h.wasReplaced(want.Session, known, l.hello.Identity):
		h.close(l, wirepb.Reason_REASON_REPLACED, playsElsewhere)
		return
	case !known || s == nil || s.stage == stageLeaving:
		h.close(l, wirepb.Reason_REASON_UNKNOWN_SESSION, "no such session exists")
		return
	case s.stage == stageJoining:
		h.close(l, wirepb.Reason_REASON_UNKNOWN_SESSION, "the session has not begun yet")
		return
	}
	if s.link != nil {
		h.close(s.link, wirepb.Reason_REASON_REPLACED, "the session was resumed on another connection")
	}
	s.link, l.session = l, s
	h.accounts.charge(s, l.account, state.Identity, h.now)
	s.slack, s.inputTick = 0, 0
	h.stats.SessionsResumed++
	copy(s.token[:], want.Token)
	h.welcome(l, state, true)
}

// claimsToldEvery is the least time between two log lines about clients that claim ticks from the future.
const claimsToldEvery = time.Minute

// ahead refuses a client that claims to have seen a tick missing from the log. Its token proves the session, not the tick: a
// client can claim any. So this is no error by itself; many at once, after an owner has changed, mean lost history (I10).
func (h *hub) ahead(l *link, known bool) {
	want := l.hello.Resume
	if known {
		h.stats.AheadOfLog++
	}
	if h.now.Sub(h.claimTold) >= claimsToldEvery {
		h.claimTold = h.now
		h.log.Warn("netcode: a client claims a tick that is missing from the log; its token can prove its session, but a client can claim any tick: if many do, run wind log check",
			"valid_token", known, "session", want.Session, "identity", l.hello.Identity, "client_tick", want.LastTick, "log_tick", h.released.Load(), "epoch", h.epoch,
			"claims_with_valid_token", h.stats.AheadOfLog)
	}
	h.close(l, wirepb.Reason_REASON_AHEAD_OF_LOG, fmt.Sprintf("you saw tick %d, but the log ends at tick %d", want.LastTick, h.released.Load()))
}

// join puts a new session's Join into the tick. A connection that is refused, for its ticket or a limit, ends no earlier session of its
// player.
func (h *hub) join(w *ecs.World, l *link, b *intake.Batch) entry {
	earlier := h.earlier(l.hello.Identity)
	if earlier == nil && len(h.sessions) >= h.cfg.MaxSessions {
		h.close(l, wirepb.Reason_REASON_FULL, fmt.Sprintf("the shard is full: it has %d sessions", h.cfg.MaxSessions))
		return settled
	}
	if trouble := h.spent(w, l.ticket); trouble != "" {
		h.close(l, wirepb.Reason_REASON_BAD_TICKET, trouble)
		return settled
	}
	if earlier != nil {
		return h.vacate(l, earlier)
	}
	id := newSessionID(w)
	if l.ticket != nil {
		id = l.ticket.Session
	}
	s := &session{id: id, player: l.hello.Identity, stage: stageJoining, link: l, joinTick: b.Tick, taken: 1}
	rand.Read(s.token[:])
	c := ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceClient, ID: s.id}, 1,
		ecs.Join{Identity: ecs.NewText64(l.hello.Identity), ResumeHash: resumeHash(s.token[:])})
	if !b.Fits(&c) {
		return noRoom
	}
	if reason, why := h.accounts.join(l.account, l.hello.Identity, h.now); why != "" {
		h.close(l, reason, why)
		return settled
	}
	if err := w.Validate(&c); err != nil {
		h.close(l, wirepb.Reason_REASON_REFUSED, err.Error())
		return settled
	}
	b.Add(c)
	if l.ticket != nil {
		h.used[id] = l.ticket.Expires
	}
	l.session = s
	h.accounts.charge(s, l.account, l.hello.Identity, h.now)
	h.addSession(s)
	return settled
}

// welcome sends Welcome: the session is in the committed world.
func (h *hub) welcome(l *link, state ecs.Session, resumed bool) {
	s := l.session
	h.describe()
	m := &wirepb.Welcome{
		Session: s.id, Token: s.token[:], Tick: h.released.Load(), TickRate: uint32(time.Second / h.period),
		Epoch: h.epoch, Resumed: resumed, AppliedSeq: s.taken, InputSeq: s.inputs.used,
		SchemaHash: h.schemaHash, Shard: h.cfg.Shard, View: wireEntity(state.View), Game: h.game,
	}
	if l.hello.Schema != h.schemaHash {
		m.Schema = []byte(h.schemaText.Value())
	}
	if l.hello.Options {
		m.Options = h.options
	}
	s.view = m.View
	if l.datagrams = l.hello.Datagrams && l.conn.Datagrams(); l.datagrams {
		l.conn.TakeDatagrams(s.id, h.cfg.datagrams(l))
	}
	l.state, l.welcomed, l.hello = linkPlaying, h.now, nil
	l.conn.Admit()
	l.send(wirepb.IDWelcome, m)
	s.token = [netcode.TokenSize]byte{}
}

// wireEntity packs an entity into 64 bits: the id below, the generation above.
func wireEntity(e ecs.Entity) uint64 { return uint64(e.Generation())<<32 | uint64(e.ID()) }

// newSessionID picks an id that no session of the lineage has had. It uses 63
// random bits so that neither a successor nor a branch of the log needs a counter.
func newSessionID(w *ecs.World) uint64 {
	for {
		id := netcode.NewSession()
		if _, taken := w.Session(id); !taken {
			return id
		}
	}
}

// spent returns why a ticket opens no session, or "". A ticket brings the id of its session, so that no ticket opens two: the
// world knows the existing sessions, and the hub those that have left since it began to own the shard. An older ticket
// may have been used, so spent refuses it. No ticket, nil, is no trouble.
func (h *hub) spent(w *ecs.World, t *netcode.Ticket) string {
	if t == nil {
		return ""
	}
	_, lives := w.Session(t.Session)
	_, used := h.used[t.Session]
	switch {
	case lives || used || h.sessions[t.Session] != nil:
		return "the ticket has already been used: ask the gateway for another"
	case t.Issued.Before(h.since):
		return "the ticket was issued before this node began to own the shard, and may have been used: ask the gateway for another"
	}
	return ""
}

// forgetTickets drops the records of used tickets that have expired.
func (h *hub) forgetTickets() {
	for id, expires := range h.used {
		if h.now.After(expires) {
			delete(h.used, id)
		}
	}
}

// resumeHash returns what the world keeps of a token: the first 16 bytes of its
// SHA-256.
func resumeHash(token []byte) [16]byte {
	sum := sha256.Sum256(token)
	return [16]byte(sum[:16])
}

func opens(token []byte, hash [16]byte) bool {
	h := resumeHash(token)
	return len(token) == netcode.TokenSize && subtle.ConstantTimeCompare(h[:], hash[:]) == 1
}
