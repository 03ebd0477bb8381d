package reload

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// simInstance is a process that runs a Follower.
type simInstance struct {
	sim   *sim
	id    string
	own   []script.Module
	key   string // of its entry
	unfit bool

	up, listed bool
	life       int
	f          *Follower
	run        *simRuntime
	highest    uint64 // highest generation in this life
}

// later does something after a while, if the process is still alive.
func (i *simInstance) later(d time.Duration, do func()) {
	life := i.life
	i.sim.in(d, func() {
		if i.up && i.life == life {
			do()
		}
	})
}

// boot starts the process.
func (i *simInstance) boot() {
	if i.up {
		return
	}
	s := i.sim
	i.life++
	i.up, i.f, i.run, i.highest = true, NewFollower(i.id, i.own), nil, 0
	there := s.kept(i.key).entry.Generation
	i.step(Event{Kind: EventStart}, func(_ Answer, err error) {
		if err != nil {
			i.crash()
			return
		}
		if i.f.known() < there && !s.forgets {
			s.fail("late", "%s starts with generation %d, and %d was kept before", i.id, i.f.known(), there)
		}
		if i.f.Generation() > 0 {
			s.late++
		}
		i.later(s.delay(), func() { i.listed = true })
		i.look()
	})
}

// look compares with the store periodically.
func (i *simInstance) look() {
	i.later(lookEvery, func() {
		if !i.sim.broken.deaf {
			i.step(Event{Kind: EventLook}, nil)
		}
		i.look()
	})
}

// misfortune kills the process now and then.
func (i *simInstance) misfortune() {
	if i.sim.calm {
		return
	}
	i.sim.in(time.Second, i.misfortune)
	if i.up && i.sim.chance(i.sim.cfg.crash) {
		i.sim.crashes++
		i.crash()
	}
}

func (i *simInstance) crash() {
	i.up = false
	life := i.life
	i.sim.in(simLease, func() {
		if i.life == life {
			i.listed = false
		}
	})
	i.sim.in(i.sim.between(100*time.Millisecond, 20*time.Second), i.boot)
}

// receive takes a coordinator's request.
func (i *simInstance) receive(step Step, reply func(Answer, error), first bool) {
	s := i.sim
	if !i.up || i.run == nil {
		if first { // NATS reports at once that nobody is there
			reply(Answer{}, &rpc.Error{Code: rpc.Unavailable, Text: i.id + " is not there"})
		}
		return
	}
	i.step(Event{Kind: EventAsked, Step: step}, func(a Answer, err error) {
		if !s.chance(s.cfg.loss) {
			s.in(s.delay(), func() { reply(a, err) })
		}
	})
}

// step passes an event to the follower and performs its actions. The process may die before each action.
func (i *simInstance) step(ev Event, answered func(Answer, error)) {
	s := i.sim
	if s.broken.event != nil {
		var ok bool
		if ev, ok = s.broken.event(i.f, ev); !ok {
			return
		}
	}
	actions := i.f.Step(ev)
	if s.broken.actions != nil {
		actions = s.broken.actions(i.f, ev, actions)
	}
	i.check()
	for _, a := range actions {
		if i.run != nil && !s.calm && s.chance(s.cfg.crash/20) {
			s.crashes++
			i.crash()
			return
		}
		i.do(a, answered)
	}
}

// do performs one action.
func (i *simInstance) do(a Action, answered func(Answer, error)) {
	s := i.sim
	goOn := func(d time.Duration, ev Event) { ev.Flow = a.Flow; i.later(d, func() { i.step(ev, answered) }) }
	late := errors.New("the store did not answer in time")
	switch a.Kind {
	case ActionAnswer:
		if answered != nil {
			answered(a.Answer, a.Err)
		}
	case ActionMake:
		i.run = &simRuntime{instance: i, modules: a.Modules, hash: script.SHA256(a.Modules), prepared: map[string]simPrepared{}}
		goOn(0, Event{Kind: EventMade, Runtime: i.run, Err: i.fits(a.Modules)})
	case ActionRead:
		d := s.delay()
		if s.chance(s.cfg.loss) || d > storeTimeout {
			goOn(storeTimeout, Event{Kind: EventKept, Err: late})
			return
		}
		s.in(d/2, func() {
			k := s.kept(i.key)
			goOn(d/2, Event{Kind: EventKept, Entry: k.entry, Revision: k.revision})
		})
	case ActionWrite:
		d := s.delay()
		if s.chance(s.cfg.loss) {
			goOn(storeTimeout, Event{Kind: EventWritten, Err: late})
			return
		}
		lost := s.chance(s.cfg.loss) || d > storeTimeout
		if lost {
			goOn(storeTimeout, Event{Kind: EventWritten, Err: late})
		}
		s.in(d/2, func() { // even if the process has died or no longer waits
			if ok := s.put(i.key, a.Entry, a.Revision); !lost {
				goOn(d/2, Event{Kind: EventWritten, OK: ok})
			}
		})
	}
}

// check checks what the instance runs after each step.
func (i *simInstance) check() {
	s := i.sim
	if i.run == nil || i.f.runtime == nil {
		return
	}
	if i.f.generation < i.highest {
		s.fail("generation", "%s went back from generation %d to %d", i.id, i.highest, i.f.generation)
	}
	i.highest = i.f.generation
	for _, r := range s.runs {
		if r.id == i.f.reload {
			r.wrote(s)
		}
	}
	if s.forgets {
		return
	}
	for _, x := range s.instances {
		if x != i && x.up && x.run != nil && x.key == i.key && x.f.generation == i.f.generation && i.f.generation > 0 &&
			x.run.hash != i.run.hash {
			s.fail("one set", "%s and %s run different scripts as generation %d", i.id, x.id, i.f.generation)
		}
	}
}

// fits returns an error if a build cannot run modules.
func (i *simInstance) fits(modules []script.Module) error {
	for _, m := range modules {
		if i.unfit && strings.HasSuffix(string(m.Source), "new") {
			return fmt.Errorf("%s does not know %s", i.id, m.Source)
		}
	}
	return nil
}

// simRuntime is an instance's runtime. It follows the rules of netcode/service, without a compiler.
type simRuntime struct {
	instance *simInstance
	modules  []script.Module
	hash     string // of the modules
	version  int
	prepared map[string]simPrepared
}

type simPrepared struct {
	modules []script.Module
	version int
	at      time.Duration
}

func (r *simRuntime) Modules() []script.Module { return r.modules }

func (r *simRuntime) Prepare(reload string, changes []script.Module) (script.Report, error) {
	next := merged(r.modules, changes)
	if err := r.instance.fits(next); err != nil {
		return script.Report{}, err
	}
	now := r.instance.sim.now
	for id, p := range r.prepared {
		if id == reload || now-p.at > time.Minute {
			delete(r.prepared, id)
		}
	}
	if len(r.prepared) >= 4 {
		return script.Report{}, errors.New("4 reloads are already prepared")
	}
	r.prepared[reload] = simPrepared{next, r.version, now}
	return script.Report{}, nil
}

func (r *simRuntime) Commit(reload string) error {
	p, ok := r.prepared[reload]
	delete(r.prepared, reload)
	switch {
	case !ok || r.instance.sim.now-p.at > time.Minute:
		return errors.New("it is not prepared")
	case p.version != r.version:
		return errors.New("another one came in between")
	}
	r.version++
	r.modules, r.hash = p.modules, script.SHA256(p.modules)
	return nil
}

func (r *simRuntime) Abort(reload string) { delete(r.prepared, reload) }
