package gateway

import (
	"slices"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// machine is one session as a state machine. It knows who is logged in, where requests go and in which order, and which
// of a player's sessions survives. step takes an event and appends actions. It has no clock, no goroutine and no I/O:
// the same events give the same actions. Not safe for concurrent use.
type machine struct {
	id         string
	limits     Limits
	identifies bool          // there is an authenticator
	proves     bool          // the authenticator checks who logs in: no handler may name somebody else
	checkEvery time.Duration // interval between checks of the record
	counters   *counters

	now     time.Duration
	actions []action
	op      uint64        // number of the newest request to the store or directory
	wakeAt  time.Duration // when the newest actTimer is due; 0: none
	closed  bool
	ended   bool

	player   string // who is logged in, or about to be
	since    bool   // the login is confirmed: the session is the player's
	yielded  bool   // a newer session is the player's now
	claim    *claim // of player
	parting  []*claim
	login    *login // running: other requests wait
	resuming bool   // requests that waited are being sent: later ones queue behind them
	failures int    // failed logins
	waiting  []*request
	bindings []*binding // one for each type of service
	loose    []*binding // from before the newest login
	inflight int        // requests without an answer
	requests uint64
	active   time.Duration // when it was opened, or of the newest public request
}

// login is a running login.
type login struct {
	r      *request
	held   bool         // r waits here: neither the authenticator nor a service has it
	answer rpc.Response // its handler's answer, once there is one
	ran    bool         // the handler has run
	named  string       // the player that the handler named; "": the authenticator did
}

func newMachine(id string, l Limits, identifies bool, now, checkEvery time.Duration, c *counters) *machine {
	m := &machine{id: id, limits: l, identifies: identifies, checkEvery: checkEvery, counters: c, now: now, active: now}
	m.wake(now + l.LoginTimeout)
	return m
}

// step takes one event. It appends the resulting actions to m.actions.
func (m *machine) step(e *event) {
	m.now = max(m.now, e.now)
	switch e.kind {
	case eventRequest:
		m.take(e.r)
	case eventIdentified:
		m.identified(e)
	case eventSubscribed:
		m.subscribed(e)
	case eventFound, eventRead, eventWritten:
		m.looked(e)
	case eventAnswer:
		m.answered(e.r, e.answer)
	case eventGone:
		if b := m.bound(e.serviceType); b != nil {
			b.lose(e.instance)
		}
	case eventReplaced:
		m.announced(e)
	case eventReconnected:
		m.reconnected()
	case eventTimer:
		m.wakeAt = 0
	case eventClosed:
		m.close()
	}
	m.tick()
}

func (m *machine) do(a action) { m.actions = append(m.actions, a) }

// request appends an action that will be answered, and returns its number.
func (m *machine) request(a action) uint64 {
	m.op++
	a.op = m.op
	m.do(a)
	return m.op
}

// wake requests an eventTimer, unless an earlier one is pending.
func (m *machine) wake(at time.Duration) {
	if m.wakeAt == 0 || at < m.wakeAt {
		m.wakeAt = at
		m.do(action{kind: actTimer, at: at})
	}
}

// tick does the work that is due.
func (m *machine) tick() {
	for _, c := range m.parting {
		if m.now >= c.checkAt {
			c.again()
		}
	}
	if m.closed {
		m.end()
		m.rest()
		return
	}
	if m.since && !m.yielded && m.now >= m.claim.checkAt {
		m.claim.check()
	}
	for _, b := range m.bindings {
		b.tick()
	}
	if len(m.loose) > 0 {
		for _, b := range m.loose {
			b.tick()
		}
		m.loose = slices.DeleteFunc(m.loose, func(b *binding) bool { return b.out == 0 && len(b.queue) == 0 })
	}
	if m.player == "" && m.login == nil {
		if m.now > m.active+m.limits.LoginTimeout {
			m.do(action{kind: actClose, reason: closeNoLogin})
			m.active = m.now // closing once is enough
		}
	}
	m.rest()
}

// rest makes sure that a timer is pending.
func (m *machine) rest() {
	if m.wakeAt == 0 && !m.ended {
		m.wake(m.nextWake())
	}
}

// nextWake returns the latest time by which there will be work to do.
func (m *machine) nextWake() time.Duration {
	at := m.active + m.limits.LoginTimeout + time.Millisecond
	if m.player != "" || m.login != nil {
		at = m.now + m.limits.LoginTimeout
	}
	if m.since && !m.yielded {
		at = min(at, m.claim.checkAt)
	}
	for _, c := range m.parting {
		if c.op == 0 {
			at = min(at, c.checkAt)
		}
	}
	for _, all := range [...][]*binding{m.bindings, m.loose} {
		for _, b := range all {
			if b.wakeAt != 0 {
				at = min(at, b.wakeAt)
			}
		}
	}
	return at
}

// take accepts a request if the session has room for it.
func (m *machine) take(r *request) {
	switch {
	case m.closed:
		return
	case m.inflight >= m.limits.MaxInFlight:
		m.reply(r, failure(rpc.ResourceExhausted, "%d requests of this session are already waiting for their answers", m.inflight))
		return
	}
	m.inflight++
	m.counters.inflight.Add(1)
	if m.login != nil || m.resuming {
		m.waiting = append(m.waiting, r)
		return
	}
	m.begin(r)
}

// begin starts a request.
func (m *machine) begin(r *request) {
	method := r.route.Method
	switch {
	case method.Login:
		m.login = &login{r: r}
		if m.identifies {
			m.do(action{kind: actIdentify, r: r})
			return
		}
		r.login = true
		m.dispatch(r)
	case m.player == "" && !method.Public:
		m.finish(r, failure(rpc.Unauthenticated, "%s needs a login", method.Name))
	case r.route.Type == "":
		m.do(action{kind: actTicket, r: r, player: m.player})
	default:
		if m.player == "" {
			m.active = m.now
		}
		m.dispatch(r)
	}
}

// dispatch queues a request for its service.
func (m *machine) dispatch(r *request) {
	b := m.binding(r.route.Type)
	m.requests++
	r.seq, r.binding, r.req.Player = m.requests, b, m.player
	b.queue = append(b.queue, r)
	b.pump()
}

// bound returns the binding to a type of service, or nil.
func (m *machine) bound(kind string) *binding {
	for _, b := range m.bindings {
		if b.kind == kind {
			return b
		}
	}
	return nil
}

func (m *machine) binding(kind string) *binding {
	b := m.bound(kind)
	if b == nil {
		b = &binding{m: m, claim: m.claim, kind: kind, fresh: true}
		m.bindings = append(m.bindings, b)
	}
	return b
}

// answered takes the answer to a request, or the reason why it will not be sent.
func (m *machine) answered(r *request, a rpc.Response) {
	if b := r.binding; b != nil && r.sent {
		r.sent = false
		b.out--
		if elsewhere(a.Err) && !r.again && !m.closed {
			b.sendAgain(r)
			return
		}
		b.settle()
	}
	m.conclude(r, a)
}

// conclude applies an answer to the session and forwards it to the client.
func (m *machine) conclude(r *request, a rpc.Response) {
	names := a.Err == nil && a.Player != "" && a.Player != m.player
	switch {
	case r.login:
		m.decide(r, a)
	case names && m.login != nil:
		m.finish(r, maybe(rpc.Aborted, "another login of this session is under way"))
	case names && m.proves:
		m.finish(r, errOtherPlayer)
	case names && !m.closed:
		m.login = &login{r: r, answer: a, ran: true, held: true, named: a.Player}
		m.adopt()
	default:
		m.finish(r, a)
	}
}

// finish answers a request for good.
func (m *machine) finish(r *request, a rpc.Response) {
	m.inflight--
	m.counters.inflight.Add(-1)
	m.reply(r, a)
}

func (m *machine) reply(r *request, a rpc.Response) {
	r.answer = a
	m.do(action{kind: actReply, r: r})
}

// resume begins the requests that waited for a login.
func (m *machine) resume() {
	m.login = nil
	if m.resuming {
		return // the caller that is resuming continues
	}
	m.resuming = true
	for len(m.waiting) > 0 && m.login == nil && !m.closed {
		r := m.waiting[0]
		m.waiting = m.waiting[1:]
		m.begin(r)
	}
	m.resuming = false
}

// close ends the session.
func (m *machine) close() {
	m.closed = true
	dropped := len(m.waiting)
	m.detach()
	for _, b := range m.loose {
		dropped += len(b.queue)
		b.queue = nil
		b.stop()
	}
	if m.login != nil && m.login.held {
		dropped++
	}
	m.waiting, m.login = nil, nil
	m.inflight -= dropped
	m.counters.inflight.Add(int64(-dropped))
	m.logout()
}

// end reports the end of the session once nothing more can follow.
func (m *machine) end() {
	if !m.ended && len(m.parting) == 0 {
		m.ended = true
		m.do(action{kind: actEnd})
	}
}
