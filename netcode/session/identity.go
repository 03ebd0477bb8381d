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

// vacate makes way for a player's new session. It reports whether the way is free, and whether the connection was refused;
// if neither, the connection waits.
func (h *hub) vacate(l *link) (free, refused bool) {
	s := h.sessionOf(l.hello.Identity)
	switch {
	case s == nil:
		return true, false
	case s.stage != stageLive: // it is about to live, or to leave
		return false, false
	case h.rule == ecs.NewestWins:
		h.replaced[s.id] = h.now
		if s.link != nil {
			h.close(s.link, wirepb.Reason_REASON_REPLACED, playsElsewhere)
		}
		s.stage = stageLeaving
		return false, false
	case s.link != nil:
		h.close(l, wirepb.Reason_REASON_IDENTITY_FULL, "the player is in the shard already, and the game lets a player in once")
		return false, true
	case h.now.Sub(s.parked) > comesBack:
		s.stage = stageLeaving
	}
	return false, false
}

// sessionOf returns a session of a player, or nil.
func (h *hub) sessionOf(player string) *session {
	for _, s := range h.turns {
		if s.player == player {
			return s
		}
	}
	return nil
}

// wasReplaced reports whether the session's player has begun another one since.
func (h *hub) wasReplaced(id uint64) bool {
	_, ok := h.replaced[id]
	return ok
}

// forgetReplaced drops what no client will ask for any more.
func (h *hub) forgetReplaced() {
	for id, at := range h.replaced {
		if h.now.Sub(at) > replacedFor {
			delete(h.replaced, id)
		}
	}
}
