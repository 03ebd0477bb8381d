package reload

import (
	"bytes"
	"container/heap"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// This file simulates a cluster: instances of one service with two origins, operators, a store, a directory and a
// network, all driven by one queue of moments. Instances run the real Follower and operators the real Coordinator.
// Everything around them loses, delays, repeats, reorders, crashes and forgets.

var (
	simSeed  = flag.Uint64("sim.seed", 0, "run only this seed of the simulator")
	simSeeds = flag.Uint64("sim.seeds", 0, "run so many seeds of the simulator, without a time limit")
)

const (
	simLength = 3 * time.Minute // of bad weather
	simCalm   = 2 * time.Minute // afterwards: all must have converged
	simLease  = 5 * time.Second // how long the directory lists a dead instance
)

// simConfig is a seed's weather.
type simConfig struct {
	loss   float64 // of a request or an answer
	twice  float64 // a request arrives twice
	slow   float64 // a delay is long
	crash  float64 // of an instance, per second
	die    float64 // of an operator, per step
	lock   float64 // an operator waits for the others
	forget bool    // the store loses its data, once
	unfit  bool    // an instance of another build cannot run some modules
}

// violation is a broken guarantee.
type violation struct{ name, text string }

func (v violation) Error() string { return v.name + ": " + v.text }

// sim is the whole simulated world.
type sim struct {
	cfg   simConfig
	rng   *rand.Rand
	now   time.Duration
	queue moments
	count uint64

	store     map[string]*simKept
	instances []*simInstance
	runs      []*simRun
	locked    bool
	calm      bool
	forgets   bool // at some time the store loses its data

	broken  mutant
	failure error
	states  map[State]int
	crashes int
	late    int // instances that began with earlier reloads
}

// simKept is a key of the store, with every value that it ever had.
type simKept struct {
	entry    Entry
	revision uint64
	history  []Entry
}

// moment is something that happens at a time.
type moment struct {
	at    time.Duration
	order uint64
	do    func()
}

type moments []moment

func (m moments) Len() int { return len(m) }
func (m moments) Less(i, j int) bool {
	return m[i].at < m[j].at || m[i].at == m[j].at && m[i].order < m[j].order
}
func (m moments) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *moments) Push(x any)   { *m = append(*m, x.(moment)) }
func (m *moments) Pop() any {
	old := *m
	x := old[len(old)-1]
	*m = old[:len(old)-1]
	return x
}

func newSim(seed uint64, broken mutant) *sim {
	rng := rand.New(rand.NewPCG(seed, 0x72656c6f6164))
	s := &sim{rng: rng, store: map[string]*simKept{}, broken: broken, states: map[State]int{}}
	s.cfg = simConfig{
		loss: []float64{0, 0.02, 0.1}[rng.IntN(3)], twice: []float64{0, 0.1, 0.3}[rng.IntN(3)], slow: []float64{0, 0.05, 0.2}[rng.IntN(3)],
		crash: []float64{0, 0.01, 0.04}[rng.IntN(3)], die: []float64{0, 0.01, 0.05}[rng.IntN(3)], lock: []float64{0, 0.5, 1}[rng.IntN(3)],
		forget: rng.IntN(4) == 0, unfit: rng.IntN(3) == 0,
	}
	if broken.weather != nil {
		broken.weather(&s.cfg)
	}
	s.forgets = s.cfg.forget
	for n := range 4 + rng.IntN(2) {
		i := &simInstance{sim: s, id: fmt.Sprintf("game-%d", n), own: simModules("own", "abc")}
		if n == 3 {
			i.own = simModules("other", "abc") // another version of the game
		}
		i.unfit = s.cfg.unfit && n == 1
		i.key = Key("game", i.own)
		s.instances = append(s.instances, i)
		s.in(s.between(0, 20*time.Second), i.boot)
		s.in(time.Second, i.misfortune)
	}
	for range 2 {
		s.in(s.between(0, 10*time.Second), s.operator)
	}
	if s.cfg.forget {
		s.in(s.between(simLength/3, simLength/2), func() {
			for _, k := range s.store {
				k.entry, k.revision = Entry{}, 0
			}
		})
	}
	return s
}

// simModules makes modules of the given names, all with one value.
func simModules(value, names string) (all []script.Module) {
	for _, n := range names {
		all = append(all, script.Module{Name: string(n), Source: []byte(value)})
	}
	return all
}

// run runs the seed's life and returns the first broken guarantee.
func (s *sim) run() error {
	s.until(simLength)
	s.calm, s.cfg = true, simConfig{lock: 1}
	for _, i := range s.instances {
		if !i.up {
			s.in(0, i.boot)
		}
	}
	s.until(simLength + simCalm)
	s.checkEnd()
	if s.failure == nil {
		s.checkServes()
	}
	return s.failure
}

func (s *sim) until(end time.Duration) {
	for len(s.queue) > 0 && s.failure == nil && s.queue[0].at < end {
		m := heap.Pop(&s.queue).(moment)
		s.now = m.at
		m.do()
	}
	s.now = max(s.now, end)
}

func (s *sim) in(d time.Duration, do func()) {
	s.count++
	heap.Push(&s.queue, moment{s.now + d, s.count, do})
}

func (s *sim) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64(to-from)))
}

func (s *sim) chance(p float64) bool { return s.rng.Float64() < p }

// delay returns the delay of one message.
func (s *sim) delay() time.Duration {
	if s.chance(s.cfg.slow) {
		return s.between(time.Second, 12*time.Second)
	}
	return s.between(time.Millisecond, 30*time.Millisecond)
}

func (s *sim) fail(name, format string, args ...any) {
	if s.failure == nil {
		s.failure = violation{name, fmt.Sprintf("at %v: ", s.now) + fmt.Sprintf(format, args...)}
	}
}

func (s *sim) kept(key string) *simKept {
	if s.store[key] == nil {
		s.store[key] = &simKept{}
	}
	return s.store[key]
}

// put is the store's compare-and-set.
func (s *sim) put(key string, e Entry, revision uint64) bool {
	k := s.kept(key)
	if k.revision != revision && !s.broken.blindStore {
		return false
	}
	s.count++
	k.entry, k.revision = e, s.count
	k.history = append(k.history, e)
	for _, r := range s.runs {
		if r.id == e.Reload {
			r.wrote(s)
		}
	}
	for _, i := range s.instances {
		if i.key == key && !s.chance(s.cfg.loss) {
			i.later(s.delay(), func() { i.step(Event{Kind: EventTold, Entry: e}, nil) })
		}
	}
	return true
}

// simRun is one reload by one operator.
type simRun struct {
	id         string
	cfg        Config
	c          *Coordinator
	begun      time.Duration
	ended      time.Duration // 0: running, or its operator died
	dead       bool
	state      State
	ready      map[string]bool // instances that have reported that they are prepared
	lives      map[string]int
	generation uint64
}

// wrote records that the store has the reload. One that was reported Refused or Checked must never get there.
func (r *simRun) wrote(s *sim) {
	if r.state == Refused || r.state == Checked {
		s.fail("refused", "reload %s came into force after it was reported %s", r.id, r.state)
	}
}

// operator reloads something now and then.
func (s *sim) operator() {
	if s.calm {
		return
	}
	s.in(s.between(2*time.Second, 30*time.Second), s.operator)
	locks := s.chance(s.cfg.lock)
	if locks && s.locked {
		return
	}
	cfg := Config{Type: "game"}
	value := fmt.Sprintf("v%d", len(s.runs)+1)
	if s.chance(0.2) {
		value += " new" // the unfit build does not know this
	}
	switch s.rng.IntN(4) {
	case 0:
		cfg.Whole, cfg.Modules = true, simModules(value, "abc")
	case 1:
		cfg.Modules = simModules(value, "bc")
	default:
		cfg.Modules = simModules(value, string("abc"[s.rng.IntN(3)]))
	}
	cfg.DryRun = s.chance(0.1)
	s.begin(cfg, locks)
}

func (s *sim) begin(cfg Config, locks bool) *simRun {
	for _, i := range s.instances {
		if i.listed {
			cfg.Instances = append(cfg.Instances, i.id)
		}
	}
	r := &simRun{id: fmt.Sprintf("r%d", len(s.runs)+1), cfg: cfg, begun: s.now, ready: map[string]bool{}, lives: map[string]int{}}
	for _, i := range s.instances {
		r.lives[i.id] = i.life
	}
	s.runs = append(s.runs, r)
	s.locked = s.locked || locks
	c, requests := Begin(r.id, cfg)
	r.c = c
	s.send(r, requests)
	s.in(2*time.Minute, func() {
		if !r.dead && r.ended == 0 {
			s.fail("ends", "reload %s has not ended after two minutes", r.id)
		}
	})
	if locks {
		s.in(2*time.Minute, func() { s.locked = false })
	}
	s.settle(r)
	return r
}

// send delivers requests and their answers.
func (s *sim) send(r *simRun, requests []Request) {
	for _, q := range requests {
		if q.Step.Op == OpCommit {
			r.generation = q.Step.Generation
			for _, id := range r.cfg.Instances {
				if !r.ready[id] {
					s.fail("all or none", "reload %s commits, and %s has not prepared it", r.id, id)
				}
			}
		}
		i := s.instances[slices.IndexFunc(s.instances, func(i *simInstance) bool { return i.id == q.Instance })]
		timeout := commitTimeout
		if q.Step.Op == OpPrepare {
			timeout = prepareTimeout
		}
		reply := func(a Answer, err error) { s.in(0, func() { s.reply(r, Reply{q.Instance, q.Step.Op, a, err}) }) }
		s.in(timeout, func() {
			reply(Answer{}, &rpc.Error{Code: rpc.DeadlineExceeded, Text: "it did not answer in time", Maybe: true})
		})
		copies := 1
		if s.chance(s.cfg.twice) {
			copies = 2
		}
		for n := range copies {
			if s.chance(s.cfg.loss) {
				continue
			}
			s.in(s.delay(), func() { i.receive(q.Step, reply, n == 0) })
		}
	}
}

// reply passes an answer to the coordinator.
func (s *sim) reply(r *simRun, reply Reply) {
	if r.dead || r.ended > 0 {
		return
	}
	if s.chance(s.cfg.die) {
		r.dead = true
		return
	}
	if reply.Op == OpPrepare && reply.Err == nil {
		r.ready[reply.Instance] = true
	}
	if s.broken.reply != nil {
		reply = s.broken.reply(r.c, reply)
	}
	requests := r.c.Step(reply)
	if s.broken.requests != nil {
		requests = s.broken.requests(r.c, requests)
	}
	s.send(r, requests)
	s.settle(r)
}

// settle checks what an operator learns when a reload has ended.
func (s *sim) settle(r *simRun) {
	if !r.c.Done() || r.ended > 0 {
		return
	}
	result, err := r.c.Result()
	r.ended, r.state = s.now+1, result.State
	s.states[result.State]++
	if (err == nil) != (result.State == Committed || result.State == Checked) {
		s.fail("told", "reload %s is %s, and the error is %v", r.id, result.State, err)
	}
	wrote := 0
	for _, k := range s.store {
		for _, e := range k.history {
			if e.Reload == r.id {
				wrote++
				r.wrote(s)
			}
		}
	}
	if r.state != Committed {
		return
	}
	if wrote == 0 {
		s.fail("committed", "reload %s was reported Committed, but no store entry has it", r.id)
	}
	for _, id := range r.cfg.Instances {
		i := s.instances[slices.IndexFunc(s.instances, func(i *simInstance) bool { return i.id == id })]
		if i.up && i.life == r.lives[id] && i.f.known() < r.generation {
			s.fail("committed", "reload %s was reported Committed, but %s runs generation %d, not %d", r.id, id, i.f.Generation(), r.generation)
		}
	}
}

// checkEnd requires all instances of an origin to run the same scripts, and those to match the committed reloads.
func (s *sim) checkEnd() {
	for _, i := range s.instances {
		k := s.kept(i.key)
		switch {
		case !i.up:
			s.fail("converge", "%s is not up", i.id)
		case len(i.f.flows) > 1: // one may be a look that has just begun
			s.fail("ends", "%s has %d operations that never end", i.id, len(i.f.flows))
		case i.unfit && i.f.refused == k.entry.Generation && k.entry.Generation > 0:
		case i.f.Generation() != k.entry.Generation || k.entry.Generation > 0 && i.run.hash != k.entry.SHA256:
			s.fail("converge", "%s runs generation %d, the store has %d", i.id, i.f.Generation(), k.entry.Generation)
		default:
			s.checkLost(i)
		}
	}
}

// checkLost finds a committed reload that an instance does not run although no later one replaces it.
func (s *sim) checkLost(i *simInstance) {
	if s.forgets {
		return // nobody can run what all have lost
	}
	for _, m := range i.run.modules {
		by := slices.IndexFunc(s.runs, func(r *simRun) bool { return bytes.Equal(r.cfg.Modules[0].Source, m.Source) })
		for _, r := range s.runs {
			if r.state != Committed || !r.changes(m.Name) || !s.concerned(r, i) {
				continue
			}
			if by < 0 || s.runs[by] != r && s.runs[by].ended > 0 && s.runs[by].ended < r.begun {
				s.fail("lost", "%s runs %q as module %s, and reload %s, which came later, was reported Committed", i.id, m.Source, m.Name, r.id)
			}
		}
	}
}

func (r *simRun) changes(name string) bool {
	return slices.ContainsFunc(r.cfg.Modules, func(m script.Module) bool { return m.Name == name })
}

// concerned reports whether a reload reached an instance of the same origin.
func (s *sim) concerned(r *simRun, i *simInstance) bool {
	return slices.ContainsFunc(s.instances, func(x *simInstance) bool {
		return x.key == i.key && slices.Contains(r.cfg.Instances, x.id)
	})
}

// checkServes requires a reload to succeed in fine weather.
func (s *sim) checkServes() {
	r := s.begin(Config{Type: "game", Whole: true, Modules: simModules("last", "ab")}, false)
	s.until(s.now + time.Minute)
	if r.state != Committed {
		_, err := r.c.Result()
		s.fail("serves", "a reload in fine weather is %q: %v", r.state, err)
	}
}

// TestSimulatedReloadsKeepTheirPromises runs thousands of short lives of a cluster.
func TestSimulatedReloadsKeepTheirPromises(t *testing.T) {
	if *simSeed > 0 {
		if err := newSim(*simSeed, mutant{}).run(); err != nil {
			t.Fatalf("seed %d: %v", *simSeed, err)
		}
		return
	}
	seeds, limit := *simSeeds, time.Duration(0)
	if seeds == 0 {
		seeds, limit = 2000, 4*time.Second
	}
	start, done, states, crashes, late := time.Now(), 0, map[State]int{}, 0, 0
	for seed := uint64(1); seed <= seeds; seed++ {
		if limit > 0 && done >= 100 && time.Since(start) > limit {
			break
		}
		s := newSim(seed, mutant{})
		if err := s.run(); err != nil {
			t.Fatalf("seed %d: %v (again: go test -run %s -sim.seed %d)", seed, err, t.Name(), seed)
		}
		done++
		crashes, late = crashes+s.crashes, late+s.late
		for k, n := range s.states {
			states[k] += n
		}
	}
	t.Logf("%d seeds in %s: reloads %v, %d crashes, %d late instances", done, time.Since(start).Round(time.Millisecond), states, crashes, late)
	if states[Committed] < 3*done || states[Mixed] < done/2 || states[Refused] < done || crashes < done || late < done {
		t.Errorf("the simulated clusters do too little for the promises to mean anything")
	}
}
