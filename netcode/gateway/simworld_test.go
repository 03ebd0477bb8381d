package gateway

import (
	"slices"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

func (s *sim) perform(x *simSession, a *action) {
	g := x.g
	switch a.kind {
	case actReply:
		s.replied(s.byRequest[a.r])
	case actSend:
		s.send(x, a)
	case actIdentify:
		r, q := a.r, s.byRequest[a.r]
		s.after(s.some(), func() {
			if s.one(20) {
				s.step(x, event{kind: eventIdentified, r: r, err: rpc.Errorf(rpc.Unauthenticated, "no")})
				return
			}
			s.step(x, event{kind: eventIdentified, r: r, player: q.player})
		})
	case actSubscribe:
		var err *rpc.Error
		if g.cut {
			err = rpc.Errorf(rpc.Unavailable, "cut")
		} else {
			g.of[a.player] = append(g.of[a.player], x)
		}
		s.step(x, event{kind: eventSubscribed, player: a.player, err: err})
	case actUnsubscribe:
		g.of[a.player] = slices.DeleteFunc(slices.Clone(g.of[a.player]), func(o *simSession) bool { return o == x })
	case actFind:
		s.find(x, a)
	case actRead, actWrite:
		s.access(x, *a)
	case actTell:
		x.told++
	case actAnnounce:
		x.was = a.player
		s.announce(x, a.player, a.revision)
	case actClose:
		s.closeConn(x)
	case actTimer:
		s.after(a.at-s.clock(x)+time.Millisecond, func() { s.step(x, event{kind: eventTimer}) })
	case actEnd:
		x.ended = true
	}
}

func (s *sim) find(x *simSession, a *action) {
	var f found
	if i := x.g.view[a.instance]; i != nil {
		f.alive, f.drains = true, i.draining
	}
	if f.picked = a.picks; a.picks {
		var free []string
		for id, i := range x.g.view {
			if i.kind == a.serviceType && !i.draining && id != a.avoid {
				free = append(free, id)
			}
		}
		if slices.Sort(free); len(free) > 0 {
			f.other = free[s.rng.IntN(len(free))]
		}
	}
	s.step(x, event{kind: eventFound, op: a.op, found: f})
}

// access reads or writes the store: it happens at one time, and its answer comes later. Either may be cut off.
func (s *sim) access(x *simSession, a action) {
	kind := eventRead
	if a.kind == actWrite {
		kind = eventWritten
	}
	fail := func() { x.doubts, x.doubtAt = true, s.now; s.step(x, event{kind: kind, op: a.op, failed: true}) }
	s.after(s.some(), func() {
		if x.g.cut || !s.calm && s.one(40) {
			fail()
			return
		}
		e := event{kind: kind, op: a.op}
		v := s.store[a.player]
		if v.revision != 0 && v.until <= s.now {
			v = simStored{}
		}
		if e.record, e.revision = v.record, v.revision; a.kind == actWrite {
			if s.planted.blind != nil && s.planted.blind(&a) {
				a.revision = v.revision
			}
			e.revision = 0
			if a.revision == v.revision {
				s.revision++
				s.written(x, &a, v.record)
				s.store[a.player] = simStored{s.now, a.record, s.revision, s.now + a.life}
				e.revision = s.revision
			}
		}
		s.after(s.some(), func() {
			if x.g.cut || !s.calm && s.one(40) {
				fail()
				return
			}
			s.step(x, e)
		})
	})
}

// written checks what a session's write replaces.
func (s *sim) written(x *simSession, a *action, was Record) {
	switch {
	case a.record.Left && a.record.Session == x.m.id && was.Session != x.m.id:
		s.violated("%s gives up the record of %q", x.m.id, was.Session)
	case a.record.Session == x.m.id && was.Session != x.m.id && was.Session != "" && x.m.since && x.m.player == a.player:
		s.violated("%s takes the player back from %s", x.m.id, was.Session)
	}
}

func (s *sim) announce(x *simSession, player string, revision uint64) {
	x.stamp, x.loud = int64(s.clock(x)), !x.g.cut
	for _, g := range s.gateways {
		if g == x.g {
			s.hear(g, x, player, revision)
			continue
		}
		if x.g.cut || s.lossy && s.one(2) {
			continue // lost
		}
		s.after(s.some(), func() {
			if !g.cut {
				s.hear(g, x, player, revision)
			}
		})
	}
}

func (s *sim) hear(g *simGateway, from *simSession, player string, revision uint64) {
	for _, o := range slices.Clone(g.of[player]) {
		e := event{kind: eventReplaced, player: player, session: from.m.id, revision: revision}
		if s.planted.stamps && o != from && o.m.since { // as an earlier version of the code did
			if from.stamp <= o.stamp {
				continue
			}
			e.revision = 1 << 62
		}
		s.step(o, e)
	}
}

// send delivers a request to its instance.
func (s *sim) send(x *simSession, a *action) {
	q := s.byRequest[a.r]
	kind := a.serviceType
	if !x.m.since && !a.r.login && !a.r.route.Method.Public && a.r.req.Player == "" {
		s.violated("%s sends a request before its login", x.m.id)
	}
	for _, o := range x.out[kind] {
		if o.at != a.instance && s.now-o.sentAt < simLimits.Grace-200*time.Millisecond && o.r.binding == a.r.binding {
			s.violated("%s: %s and %s work for it at once", x.m.id, o.at, a.instance)
		}
	}
	if a.r.again && q.at == a.instance && s.now-q.sentAt < simLimits.Grace/2 && x.g.goneAt < q.sentAt && s.others(x.g, kind, a.instance) {
		s.violated("%s: a request is sent again to %s, which was not there", x.m.id, a.instance)
	}
	q.sentAt, q.at = s.now, a.instance
	x.out[kind] = append(x.out[kind], q)
	if x.g.cut {
		s.answer(q, notBegun("not connected"))
		return
	}
	var i *simInstance
	for _, o := range s.instances {
		if o.id == a.instance {
			i = o
		}
	}
	sent := q.sentAt
	s.after(a.r.req.Timeout, func() {
		if q.sentAt == sent {
			s.answer(q, maybe(rpc.DeadlineExceeded, "no answer in time"))
		}
	})
	pause := time.Duration(s.rng.IntN(1000)) * time.Microsecond // a single connection keeps the order
	if i.dead {
		s.after(pause, func() { s.answer(q, notBegun("nobody is there")) })
		return
	}
	s.after(time.Millisecond, func() { s.execute(x, q, i) })
}

// others reports whether a gateway knows another instance that accepts players.
func (s *sim) others(g *simGateway, kind, instance string) bool {
	for id, i := range g.view {
		if i.kind == kind && !i.draining && id != instance {
			return true
		}
	}
	return false
}

func (s *sim) execute(x *simSession, q *simRequest, i *simInstance) {
	if i.dead {
		if s.one(2) { // it died with the request
			return
		}
		s.answer(q, notBegun("nobody is there"))
		return
	}
	q.executed++
	if q.executed > 1 {
		s.violated("%s: a request is executed twice", x.m.id)
	}
	if q.r.seq < x.executed[q.r.binding] {
		s.violated("%s: request %d is executed after %d", x.m.id, q.r.seq, x.executed[q.r.binding])
	}
	x.executed[q.r.binding] = q.r.seq
	s.after(s.some(), func() {
		switch {
		case i.dead:
		case q.refused:
			s.answer(q, maybe(rpc.PermissionDenied, "refused"))
		default:
			s.answer(q, rpc.Response{Message: "Answer"})
		}
	})
}

// answer delivers the answer to a request, once.
func (s *sim) answer(q *simRequest, a rpc.Response) {
	x, kind := q.s, q.r.route.Type
	if !slices.Contains(x.out[kind], q) {
		return
	}
	x.out[kind] = slices.DeleteFunc(slices.Clone(x.out[kind]), func(o *simRequest) bool { return o == q })
	s.step(x, event{kind: eventAnswer, r: q.r, answer: a})
}

func (s *sim) replied(q *simRequest) {
	if q.replies++; q.replies > 1 {
		s.violated("%s: a request is answered twice", q.s.m.id)
	}
	if e := q.r.answer.Err; e != nil && q.probe {
		s.violated("%s: %v, although nothing is wrong", q.s.m.id, e)
	}
	if e := q.r.answer.Err; e != nil && !e.Maybe && q.executed > 0 {
		s.violated("%s: %v, although the request was executed", q.s.m.id, e)
	}
}

// notBegun returns the link's error for a request that no instance received.
func notBegun(why string) rpc.Response {
	return rpc.Response{Err: &rpc.Error{Code: rpc.Unavailable, Text: why, NotBegun: true}}
}
