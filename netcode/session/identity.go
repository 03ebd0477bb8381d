package session

import (
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

// This file gives each player one session, for games that want that (ecs.Game.Identity). The earlier session leaves in one tick and
// the later one joins in a later tick, since the order of commands within a tick is not the order in which they arrive. The world
// refuses a second session, too, so that no node lets one in.

const (
	// comesBack is how long a session without a connection counts as played: its client may be about to resume it.
	comesBack = 3 * time.Second
	// replacedFor is how long the hub knows which sessions others have replaced.
	replacedFor = time.Hour

	playsElsewhere = "the player has joined on another connection"
)

// earlier returns the session that must leave before the player's next one joins, or nil.
func (h *hub) earlier(player string) *session {
	if h.rule == ecs.ManySessions {
		return nil
	}
	return h.players[player]
}

// vacate makes way for a connection whose player has session s, or refuses the connection.
func (h *hub) vacate(l *link, s *session) entry {
	if s.stage != stageLive { // it is about to live, or to leave
		return waits
	}
	if h.rule == ecs.OldestStays && s.link != nil && h.now.Sub(s.link.conn.Seen()) > h.cfg.SilenceTimeout {
		h.close(s.link, wirepb.Reason_REASON_IDLE, "nothing arrived for "+h.cfg.SilenceTimeout.String()+", and the player has come on another connection")
	}
	switch {
	case h.rule == ecs.NewestWins:
		return h.replace(l, s)
	case s.link != nil:
		h.close(l, wirepb.Reason_REASON_IDENTITY_FULL, "the player is in the shard already, and the game lets a player in once")
		return settled
	case h.now.Sub(s.parked) > comesBack && !h.resumes(s):
		s.stage = stageLeaving
	}
	return waits
}

// replace ends session s in favour of a connection, unless a limit refuses that one.
func (h *hub) replace(l *link, s *session) entry {
	if reason, why := h.accounts.mayJoin(l.account, l.hello.Identity, s, h.now); why != "" {
		h.close(l, reason, why)
		return settled
	}
	h.replaced[s.id] = h.now
	if s.link != nil {
		h.close(s.link, wirepb.Reason_REASON_REPLACED, playsElsewhere)
	}
	s.stage = stageLeaving
	return waits
}

// resumes reports whether a connection waits for session s.
func (h *hub) resumes(s *session) bool {
	for l := range h.links {
		if l.state == linkJoining && l.hello.Resume != nil && l.hello.Resume.Session == s.id {
			return true
		}
	}
	return false
}

// wasReplaced reports whether the player of a session has begun another one since. An owner that came later knows it only of a
// session that has left (lives is false), while its player has another.
func (h *hub) wasReplaced(id uint64, lives bool, player string) bool {
	_, ok := h.replaced[id]
	return ok || !lives && h.rule == ecs.NewestWins && h.players[player] != nil
}

// forgetReplaced drops what is too old for a client to ask for.
func (h *hub) forgetReplaced() {
	for id, at := range h.replaced {
		if h.now.Sub(at) > replacedFor {
			delete(h.replaced, id)
		}
	}
}
