package gateway

import (
	"time"
)

// compare looks for sessions that did not learn in time that they were replaced.
func (s *sim) compare() {
	const late = 2 * time.Second
	for _, x := range s.opened() {
		v := s.store[x.m.player]
		if x.m.since && !s.lossy && !x.g.cut && s.now-x.g.healed > late && s.now-v.at > late && (x.doubtAt == 0 || s.now-x.doubtAt > checkAgain+late) && v.record.Session != x.m.id && s.loud(v.record.Session) {
			s.violated("%s lives on, although %s is the player's session", x.m.id, v.record.Session)
		}
	}
}

// loud reports whether a session's announcement got through: its gateway was not cut off around then.
func (s *sim) loud(session string) bool {
	for _, x := range s.sessions {
		if x.m.id == session {
			return x.loud
		}
	}
	return false
}

// look judges the state after everything has come to rest.
func (s *sim) look() {
	live := map[string][]*simSession{}
	for _, x := range s.sessions {
		if x.open && x.m.since {
			live[x.m.player] = append(live[x.m.player], x)
		}
		if !x.open && !x.ended {
			s.violated("%s does not end: %d claims are left", x.m.id, len(x.m.parting))
		}
		if n := x.m.counters.inflight.Load(); n != 0 {
			s.violated("%s has %d requests in flight at the end", x.m.id, n)
		}
	}
	for _, q := range s.requests {
		if q.replies == 0 && q.s.open {
			s.violated("%s: a request has no answer", q.s.m.id)
		}
	}
	for player, all := range live {
		holder := s.store[player].record
		if len(all) > 1 {
			s.violated("%s has %d sessions, the record names %s", player, len(all), holder.Session)
		}
		if all[0].m.id != holder.Session || holder.Left {
			s.violated("%s has session %s, the record names %q (left: %v)", player, all[0].m.id, holder.Session, holder.Left)
		}
		for _, b := range all[0].m.bindings {
			if b.instance != "" && holder.At[b.kind] == "" {
				s.violated("%s is bound to %s, the record says nothing", player, b.instance)
			}
		}
	}
	for _, x := range s.sessions {
		for player, v := range s.store {
			if v.record.Session == x.m.id && !v.record.Left && !x.left && (!x.open || x.m.player != player) && v.until > s.now {
				s.violated("the record of %s names %s, which is over", player, x.m.id)
			}
		}
		if x.left && !x.doubts && x.was != "" && x.m.counters.logouts.Load() > 0 && x.m.counters.replaced.Load() == 0 && x.told == 0 && s.heldLast(x) {
			s.violated("no service hears that %s is over", x.m.id)
		}
	}
}

// heldLast reports whether a session is the last that its player's record named.
func (s *sim) heldLast(x *simSession) bool { return s.store[x.was].record.Session == x.m.id }
