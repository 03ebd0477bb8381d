package gateway

import (
	"slices"

	"github.com/ferris1/wind/netcode/rpc"
)

// A login has these stages. Identify: the authenticator, if there is one, names the player. Subscribe to the player's
// pushes. Ask the player's service, whose answer decides. Confirm: the record names this session. If the service names
// the player, asking comes first.

// identified takes the authenticator's decision on a login.
func (m *machine) identified(e *event) {
	l := m.login
	switch {
	case l == nil || l.r != e.r:
		m.finish(e.r, failure(rpc.Canceled, "the session is over"))
	case e.err != nil:
		m.refuse(rpc.Response{Err: e.err})
	case e.player == m.player:
		m.ask()
	default:
		m.become(e.player)
	}
}

// become makes the session belong to player, until the login is confirmed or refused.
func (m *machine) become(player string) {
	m.login.held = true
	m.detach()
	m.logout()
	m.player = player
	m.claim = &claim{m: m, player: player}
	for _, c := range m.parting {
		if c.player == player {
			m.claim.bid = m.claim.bid || c.bid
			c.drop() // or it would give up the record that is to name this session again
		}
	}
	m.part()
	m.do(action{kind: actSubscribe, player: player})
}

// subscribed continues a login after it has subscribed to the player's pushes.
func (m *machine) subscribed(e *event) {
	switch {
	case m.closed || m.login == nil || e.player != m.player:
	case e.err != nil:
		m.refuse(rpc.Response{Err: &rpc.Error{Code: rpc.Unavailable, Text: "the gateway cannot log players in now", Maybe: m.login.ran}})
	case m.login.ran:
		m.place()
	default:
		m.ask()
	}
}

// ask sends the login to the player's service.
func (m *machine) ask() {
	m.login.held, m.login.r.login = false, true
	m.dispatch(m.login.r)
}

// decide ends a login according to the service's answer.
func (m *machine) decide(r *request, a rpc.Response) {
	if m.login == nil || m.login.r != r {
		m.finish(r, a) // the session is closed
		return
	}
	m.login.answer, m.login.ran, m.login.held = a, true, true
	switch {
	case a.Err != nil:
		m.refuse(a)
	case a.Player != "" && a.Player != m.player && m.proves:
		m.refuse(errOtherPlayer)
	case a.Player != "" && a.Player != m.player:
		m.login.named = a.Player
		m.adopt()
	case m.player != "":
		m.confirm()
	default:
		m.welcome()
	}
}

// errOtherPlayer ends a login whose handler names another player than the authenticator has proved: one of them is wrong.
var errOtherPlayer = maybe(rpc.PermissionDenied, "the login is refused: its handler names another player than the gateway's authenticator")

// adopt logs the session in as the player that its handler named, bound to that handler's instance.
func (m *machine) adopt() {
	if err := validPlayer(m.login.named); err != nil {
		err.Maybe = true // its handler has run
		m.refuse(rpc.Response{Err: err})
		return
	}
	m.become(m.login.named)
}

// place binds a player to the instance that named it.
func (m *machine) place() {
	r := m.login.r
	m.binding(r.route.Type).find(r.instance)
}

// confirm makes the session the player's only one.
func (m *machine) confirm() {
	if m.since {
		m.welcome()
		return
	}
	m.claim.push(job{kind: jobConfirm})
}

// confirmed takes the store's confirmation that the session is the player's.
func (m *machine) confirmed(c *claim) {
	if c != m.claim || m.since || m.closed {
		return
	}
	m.since = true
	m.counters.logins.Add(1)
	c.checkAfter(m.checkEvery)
	c.announce()
	m.welcome()
	switch {
	case c.heard > c.held:
		m.replaced(c) // a later login was announced before the store answered
	case c.deaf:
		c.check() // announcements may have been lost before that
	}
}

// notConfirmed refuses a login because the store does not answer.
func (m *machine) notConfirmed() {
	if m.login != nil {
		m.refuse(maybe(rpc.Unavailable, "the player's login cannot be recorded now"))
	}
}

// welcome tells the client that it is logged in.
func (m *machine) welcome() {
	l := m.login
	if l == nil {
		return
	}
	m.finish(l.r, l.answer)
	m.resume()
}

// refuse fails a login. Afterwards nobody is logged in.
func (m *machine) refuse(a rpc.Response) {
	r := m.login.r
	m.failures++
	m.logout()
	m.finish(r, a)
	if m.failures >= m.limits.MaxLoginFailures {
		m.do(action{kind: actClose, reason: closeFailures})
	}
	m.resume()
}

// announced takes a gateway's announcement of another session of the player. The greater revision is the newer login.
func (m *machine) announced(e *event) {
	c := m.claim
	if c == nil || e.player != m.player || e.session == m.id {
		return
	}
	c.heard = max(c.heard, e.revision)
	if m.since && c.heard > c.held {
		m.replaced(c)
	}
}

// reconnected checks whether the session is still the player's, since announcements may have been lost.
func (m *machine) reconnected() {
	for _, c := range m.parting {
		c.again()
	}
	switch c := m.claim; {
	case c == nil || m.yielded:
	case m.since:
		c.check()
	default:
		c.deaf = true
	}
}

// replaced ends the session because its player has a newer one.
func (m *machine) replaced(c *claim) {
	if c != m.claim || m.yielded || m.closed {
		return
	}
	m.yielded = true
	m.counters.replaced.Add(1)
	m.do(action{kind: actClose, reason: closeReplaced})
}

// detach sets the bindings aside, so that they can still answer their requests while the player changes or leaves.
func (m *machine) detach() {
	m.loose = append(m.loose, m.bindings...)
	m.bindings = nil
}

// logout forgets the player and gives up its record.
func (m *machine) logout() {
	c := m.claim
	if c == nil {
		return
	}
	m.detach()
	m.do(action{kind: actUnsubscribe, player: m.player})
	if m.since {
		m.counters.logouts.Add(1)
	}
	c.leave(!m.yielded)
	m.parting = append(m.parting, c)
	m.player, m.since, m.yielded, m.claim, m.active = "", false, false, nil, m.now
	for _, b := range m.loose {
		b.abandon()
	}
	m.part()
}

// part forgets the claims that have nothing left to do.
func (m *machine) part() {
	m.parting = slices.DeleteFunc(m.parting, func(c *claim) bool { return len(c.jobs) == 0 })
}

// looked passes an answer of the store or the directory to the claim or binding that asked.
func (m *machine) looked(e *event) {
	if e.kind == eventFound {
		for _, all := range [...][]*binding{m.bindings, m.loose} {
			for _, b := range all {
				if b.op == e.op {
					b.found(e.found)
					return
				}
			}
		}
	}
	for _, c := range slices.Concat([]*claim{m.claim}, m.parting) {
		if c != nil && c.op == e.op {
			c.step(e)
			break
		}
	}
	m.part()
}

// validPlayer returns an error unless name is valid for a player.
func validPlayer(name string) *rpc.Error { return rpc.ErrorOf(rpc.ValidPlayer(name)) }
