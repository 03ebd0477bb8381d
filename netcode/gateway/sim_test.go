package gateway

import (
	"cmp"
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

var (
	simSeed  = flag.Uint64("sim-seed", 0, "run the gateways' simulation with only this seed")
	simSeeds = flag.Uint64("sim-seeds", 600, "run the gateways' simulation with so many seeds")
)

// sim simulates several gateways, each with the machines of its sessions, services, a store with compare-and-set and a
// NATS that cuts, loses and delays. They share one clock, which the gateways see wrongly. Any wrong act of a session
// ends the run.
type sim struct {
	seed    uint64
	rng     *rand.Rand
	now     time.Duration
	queue   simQueue
	number  int
	steps   int
	planted simMutant
	err     error

	store     map[string]simStored // by player
	revision  uint64
	gateways  []*simGateway
	instances []*simInstance
	sessions  []*simSession
	requests  []*simRequest
	byRequest map[*request]*simRequest
	calm      bool // no more trouble
	players   int
	contested bool // logins come in bursts, at all gateways
	lossy     bool // announcements are sometimes lost without a cut: the run is long
}

type simStored struct {
	at       time.Duration // when it was written
	record   Record
	revision uint64
	until    time.Duration
}

type simGateway struct {
	id   string
	cut  bool // off from NATS
	dead bool
	back time.Duration            // how far its clock is behind
	view map[string]*simInstance  // its directory
	of   map[string][]*simSession // subscribed, by player

	healed time.Duration // when it was last cut off
	goneAt time.Duration // when an instance last left its view
}

type simInstance struct {
	kind, id       string
	dead, draining bool
	running        map[*request]bool
}

type simSession struct {
	g        *simGateway
	m        *machine
	running  bool
	open     bool // client and gateway are connected
	left     bool // the client has ended it
	ended    bool // actEnd
	was      string
	stamp    int64 // of a mutant
	loud     bool  // its announcement left its gateway
	told     int
	doubtAt  time.Duration
	doubts   bool                     // its store failed
	executed map[*binding]uint64      // newest seq
	out      map[string][]*simRequest // sent but not answered, by type
}

type simRequest struct {
	r        *request
	s        *simSession
	player   string // of a login
	refused  bool   // its service refuses it
	probe    bool   // nothing prevents its execution
	executed int
	replies  int
	sentAt   time.Duration
	at       string // the instance that has it
}

type simEvent struct {
	at     time.Duration
	number int
	f      func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].at, q[j].at), cmp.Compare(q[i].number, q[j].number)) < 0
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}

func (s *sim) after(pause time.Duration, f func()) {
	s.number++
	heap.Push(&s.queue, simEvent{s.now + pause, s.number, f})
}

// some returns a network delay, which is sometimes long.
func (s *sim) some() time.Duration {
	if s.rng.IntN(10) == 0 {
		return time.Duration(s.rng.IntN(200)) * time.Millisecond
	}
	return time.Duration(s.rng.IntN(3000)) * time.Microsecond
}

func (s *sim) one(in int) bool { return s.rng.IntN(in) == 0 }

func (s *sim) violated(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("seed %d, at %v: %s", s.seed, s.now, fmt.Sprintf(format, args...))
	}
}

var simLimits = Config{Limits: Limits{MaxLoginFailures: 1000, LoginTimeout: time.Hour, RecordLife: time.Hour}}.withDefaults().Limits

func newSim(seed uint64, m simMutant) *sim {
	s := &sim{seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), planted: m, store: map[string]simStored{}, byRequest: map[*request]*simRequest{}}
	s.lossy, s.players = s.one(4), 3
	if s.contested = s.one(2); s.contested {
		s.players = 1
	}
	for i := range 2 + s.rng.IntN(2) {
		s.gateways = append(s.gateways, &simGateway{id: fmt.Sprint("gateway-", i), view: map[string]*simInstance{}, of: map[string][]*simSession{}})
	}
	for i := range 2 {
		s.startInstance("game", i)
		s.startInstance("chat", i)
	}
	return s
}

func (s *sim) startInstance(kind string, number int) {
	i := &simInstance{kind: kind, id: fmt.Sprint(kind, "-", number), running: map[*request]bool{}}
	s.instances = append(s.instances, i)
	for _, g := range s.gateways {
		s.after(s.some(), func() { g.view[i.id] = i })
	}
}

// run plays a workload with trouble, lets everything settle, and checks the end.
func (s *sim) run() error {
	const busy = 20 * time.Second
	for at := time.Duration(0); at < busy; at += time.Duration(s.rng.IntN(400)) * time.Millisecond {
		s.after(at, s.act)
	}
	s.after(busy, func() { s.calm = true; s.heal() })
	for at := time.Second; at < busy; at += 500 * time.Millisecond {
		s.after(at, s.compare)
	}
	s.after(busy+15*time.Second, s.probe)
	quiet := busy + 20*time.Second
	if s.lossy {
		quiet += 2 * simLimits.RecordLife
	}
	for len(s.queue) > 0 && s.err == nil && s.queue[0].at <= quiet {
		e := heap.Pop(&s.queue).(simEvent)
		s.now = e.at
		e.f()
		if s.steps++; s.steps > 100_000 {
			s.violated("it does not come to rest")
		}
	}
	if s.err == nil {
		s.look()
	}
	return s.err
}

// act makes a client, a service or the network do something.
func (s *sim) act() {
	g := s.gateways[s.rng.IntN(len(s.gateways))]
	switch n := s.rng.IntN(100); {
	case n < 25 && s.contested:
		for _, g := range s.gateways {
			s.after(s.some(), func() { s.connect(g) })
		}
		if s.one(2) {
			s.after(s.some(), func() { s.cut(g) })
		}
	case n < 25:
		s.connect(g)
	case n < 75:
		s.talk()
	case n < 81:
		if open := s.opened(); len(open) > 0 {
			x := open[s.rng.IntN(len(open))]
			x.left = true
			s.closeConn(x)
		}
	case n < 85:
		s.kill(s.instances[s.rng.IntN(len(s.instances))])
	case n < 87:
		i := s.instances[s.rng.IntN(len(s.instances))]
		i.draining = !i.draining
	case n < 94:
		s.cut(g)
	default:
		g.back += time.Duration(s.rng.IntN(3000)) * time.Millisecond // its clock steps back
	}
}

// probe makes every player ask both services in calm. All requests must be answered.
func (s *sim) probe() {
	for _, x := range s.opened() {
		if !x.m.since {
			continue
		}
		for _, kind := range []string{"game", "chat"} {
			r := &request{route: Route{Type: kind}, deadline: s.clock(x) + 3*time.Second}
			q := &simRequest{r: r, s: x, probe: true}
			s.requests = append(s.requests, q)
			s.byRequest[r] = q
			s.step(x, event{kind: eventRequest, r: r})
		}
	}
}

func (s *sim) cut(g *simGateway) {
	if g.cut {
		return
	}
	g.cut = true
	for _, x := range s.sessions {
		if x.g != g {
			continue
		}
		for _, kind := range []string{"chat", "game"} {
			for _, r := range slices.Clone(x.out[kind]) { // the bus gives up what is in flight
				s.answer(r, maybe(rpc.Unavailable, "the connection was lost"))
			}
		}
	}
	pause := time.Duration(s.rng.IntN(4000)) * time.Millisecond
	if s.one(2) {
		pause = s.some() // short enough for answers to come after it
	}
	s.after(pause, func() { s.reconnect(g) })
}

func (s *sim) reconnect(g *simGateway) {
	if !g.cut {
		return
	}
	g.cut, g.healed = false, s.now
	for _, x := range s.sessions {
		if x.g == g && !x.ended && !s.planted.notReconnected {
			s.after(s.some(), func() { s.step(x, event{kind: eventReconnected}) })
		}
	}
}

func (s *sim) heal() {
	for _, g := range s.gateways {
		s.reconnect(g)
	}
	for _, i := range s.instances {
		i.draining = false
	}
}

// kill replaces an instance. Gateways learn of its end late, and the bus fails its requests after the grace.
func (s *sim) kill(i *simInstance) {
	if i.dead {
		return
	}
	i.dead = true
	for _, g := range s.gateways {
		s.after(time.Second+s.some(), func() {
			delete(g.view, i.id)
			g.goneAt = s.now
			for _, x := range s.sessions {
				if x.g == g && !x.ended {
					s.step(x, event{kind: eventGone, serviceType: i.kind, instance: i.id})
				}
			}
			s.after(simLimits.Grace, func() {
				for _, x := range s.sessions {
					for _, r := range slices.Clone(x.out[i.kind]) {
						if x.g == g && r.at == i.id {
							s.answer(r, maybe(rpc.Unavailable, "the service went away"))
						}
					}
				}
			})
		})
	}
	number := len(s.instances)
	s.after(time.Duration(s.rng.IntN(3000))*time.Millisecond, func() { s.startInstance(i.kind, number) })
}

func (s *sim) connect(g *simGateway) {
	x := &simSession{g: g, open: true, executed: map[*binding]uint64{}, out: map[string][]*simRequest{}}
	id := fmt.Sprint(g.id, "/", len(s.sessions))
	x.m = newMachine(id, simLimits, true, 0, simLimits.RecordLife/3, &counters{})
	if s.planted.noGrace {
		x.m.limits.Grace = 0
	}
	s.sessions = append(s.sessions, x)
	s.ask(x, "PlayerLoginRequest", fmt.Sprint("p", s.rng.IntN(s.players)))
	for range s.rng.IntN(4) {
		s.ask(x, "", "")
	}
}

func (s *sim) opened() (open []*simSession) {
	for _, x := range s.sessions {
		if x.open {
			open = append(open, x)
		}
	}
	return open
}

func (s *sim) talk() {
	open := s.opened()
	if len(open) == 0 {
		return
	}
	x := open[s.rng.IntN(len(open))]
	for range 1 + s.rng.IntN(3) {
		s.ask(x, "", "")
	}
	if s.one(20) {
		s.ask(x, "PlayerLoginRequest", fmt.Sprint("p", s.rng.IntN(s.players)))
	}
}

// ask sends a client's request: a login of player, or a request to one of the games.
func (s *sim) ask(x *simSession, message, player string) {
	kind := []string{"game", "chat"}[s.rng.IntN(2)]
	if message != "" {
		kind = "game"
	}
	r := &request{route: Route{Type: kind, Method: rpc.Method{Name: message, Login: message != "", Public: s.one(10)}}, deadline: s.clock(x) + 5*time.Second}
	q := &simRequest{r: r, s: x, player: player, refused: s.one(15)}
	s.requests = append(s.requests, q)
	s.byRequest[r] = q
	s.step(x, event{kind: eventRequest, r: r})
}

func (s *sim) clock(x *simSession) time.Duration { return max(0, s.now-x.g.back) }

// step does what session.step does in a real gateway.
func (s *sim) step(x *simSession, e event) {
	if x.g.dead || s.err != nil {
		return
	}
	if s.planted.event != nil && !s.planted.event(s, x, &e) {
		return
	}
	e.now = s.clock(x)
	since := x.m.now
	x.m.step(&e)
	if x.m.now < since {
		s.violated("the machine's clock goes back")
	}
	if x.running {
		return
	}
	x.running = true
	for len(x.m.actions) > 0 {
		todo := x.m.actions
		x.m.actions = nil
		for i := range todo {
			s.perform(x, &todo[i])
		}
	}
	x.running = false
}

func (s *sim) closeConn(x *simSession) {
	if !x.open {
		return
	}
	x.open = false
	s.after(s.some(), func() { s.step(x, event{kind: eventClosed}) })
}
