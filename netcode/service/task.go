package service

import (
	"fmt"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

// task is a request on its way through the service. It is answered once: by its handler, or at its deadline.
type task struct {
	Ctx
	done func(rpc.Response)
	key  laneKey

	mu       sync.Mutex // guards the fields below; held while done is called
	timer    *time.Timer
	begun    time.Time // zero: still waiting
	answered bool
}

// Handle takes a request and never blocks. It calls done exactly once, from any goroutine; done must not block. Requests
// of one player (or of one session, without a login) run one after another, in order of arrival. Handle does not modify
// r, and does not keep it after its handler has ended.
func (s *Service) Handle(r *rpc.Request, done func(rpc.Response)) {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = rpc.DefaultTimeout
	}
	now := time.Now()
	t := &task{done: done, key: laneOf(r)}
	t.s, t.task, t.request, t.deadline = s, t, r, now.Add(timeout)
	if err := s.admit(t, now); err != nil {
		t.deliver(rpc.Response{Err: err})
	}
}

// admit starts t or queues it behind others of its lane. Its error says why it cannot.
func (s *Service) admit(t *task, now time.Time) *rpc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(); err != nil {
		return err
	}
	if t.request.Player != "" {
		s.seen.note(t.request.Player, now)
	}
	if t.key == (laneKey{}) {
		s.threads.submit(t)
	} else if l, busy := s.lanes.of(t.key); busy {
		if n := l.waiting.len(); n >= s.cfg.MaxWaitingOfOne {
			return rpc.NotBegun(rpc.ResourceExhausted, "%d requests of this player are already waiting", n)
		}
		l.waiting.push(t)
		t.mu.Lock()
		t.timer = time.AfterFunc(t.deadline.Sub(now), t.expire)
		t.mu.Unlock()
	} else {
		s.threads.submit(t)
	}
	s.waiting.Add(1)
	s.open++
	s.live.Add(1)
	return nil
}

// room returns an error if the service cannot accept more work. The caller holds mu.
func (s *Service) room() *rpc.Error {
	switch {
	case s.closed:
		return rpc.NotBegun(rpc.Unavailable, "service %s is closing", s.name())
	case s.open >= s.cfg.MaxWaiting:
		return rpc.NotBegun(rpc.ResourceExhausted, "service %s is already working on %d requests", s.name(), s.open)
	}
	return nil
}

// run runs the task. It has the baton.
func (t *task) run() {
	t.s.waiting.Add(-1)
	defer t.leave() // deferred, like the answer, because a handler may end its goroutine
	if !t.begin() {
		return
	}
	a := rpc.Response{Err: broken()}
	defer func() { t.finish(a) }()
	a = t.execute()
}

// begin reports whether the request may be executed.
func (t *task) begin() bool {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
	if !t.answered && now.After(t.deadline) {
		t.giveUp()
	}
	if t.answered {
		return false
	}
	t.begun = now
	t.s.inFlight.Add(1)
	return true
}

// finish sends the handler's answer, if it came in time.
func (t *task) finish(a rpc.Response) {
	t.s.inFlight.Add(-1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.answered {
		t.answered = true
		t.deliver(a)
	}
}

// expire answers the request at its deadline.
func (t *task) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.answered {
		t.giveUp()
	}
}

// giveUp answers instead of the handler. The caller holds mu.
func (t *task) giveUp() {
	t.answered = true
	if t.begun.IsZero() {
		t.deliver(rpc.Response{Err: rpc.NotBegun(rpc.DeadlineExceeded, "the request waited too long and was never begun")})
	} else {
		t.deliver(rpc.Response{Err: &rpc.Error{Code: rpc.DeadlineExceeded, Text: "the request took too long", Maybe: true}})
	}
}

func (t *task) deliver(a rpc.Response) {
	t.s.count(t, &a)
	t.done(a)
}

// leave starts the lane's next request.
func (t *task) leave() {
	s := t.s
	s.mu.Lock()
	s.open--
	if next := s.lanes.next(t.key); next != nil {
		s.threads.submit(next)
	}
	s.mu.Unlock()
	s.live.Done()
}

// execute runs the handler and contains its panics.
func (t *task) execute() (a rpc.Response) {
	s, c, r := t.s, &t.Ctx, t.request
	c.table = s.table.Load()
	s.running.Store(c)
	defer c.end()
	returned := false
	defer func() {
		if !returned {
			s.panicked(r.Message, recover())
			a = rpc.Response{Err: broken()}
		}
	}()
	a = s.handler(c, r)
	returned = true
	if a.Err != nil {
		a.Err = c.told(a.Err) // middleware may have replaced the error
	}
	return a
}

// broken is what the caller of a handler that panicked gets.
func broken() *rpc.Error { return &rpc.Error{Code: rpc.Internal, Text: "internal error", Maybe: true} }

// laneKey names the lane of a request: its player's, else its session's. The zero value means no lane.
type laneKey struct{ player, session string }

func laneOf(r *rpc.Request) laneKey {
	if r.Player != "" {
		return laneKey{player: r.Player}
	}
	return laneKey{session: r.Session}
}

// lane holds the requests of one player: one runs, the others wait.
type lane struct{ waiting queue[*task] }

// lanes holds the lanes in use, and some free ones for reuse.
type lanes struct {
	used map[laneKey]*lane
	free []*lane
}

// Limits on the lanes kept for reuse.
const (
	maxFreeLanes    = 256
	maxFreeLaneSize = 64 // capacity of its queue, in tasks
)

// of returns the lane of a key and whether one of its requests is running. If not, the caller must run one now.
func (l *lanes) of(key laneKey) (of *lane, busy bool) {
	if of = l.used[key]; of != nil {
		return of, true
	}
	if n := len(l.free); n > 0 {
		of, l.free = l.free[n-1], l.free[:n-1]
	} else {
		of = &lane{}
	}
	l.used[key] = of
	return of, false
}

// next returns the lane's next request after one has ended, nil if none waits.
func (l *lanes) next(key laneKey) *task {
	of := l.used[key]
	if of == nil {
		return nil // the key has no lane
	}
	if t, ok := of.waiting.pop(); ok {
		return t
	}
	delete(l.used, key)
	if len(l.free) < maxFreeLanes && len(of.waiting.items) <= maxFreeLaneSize {
		l.free = append(l.free, of)
	}
	return nil
}

// Spawn runs f in its own turn, after the handler or while it is suspended. f has the rights of this request's player, a
// deadline of DefaultTimeout from now, and no waiting caller. Spawn returns an error if the service is overloaded or
// closing.
func (c *Ctx) Spawn(f func(*Ctx)) error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(); err != nil {
		return err
	}
	s.open++
	s.live.Add(1)
	j := &job{name: "spawned by " + c.request.Message, f: f, end: func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
		s.live.Done()
	}}
	j.s, j.request, j.table, j.deadline = s, c.request, c.table, time.Now().Add(rpc.DefaultTimeout)
	s.threads.submit(j)
	c.effects.left.Store(true)
	return nil
}

// job is work without an answer.
type job struct {
	Ctx
	name string
	f    func(*Ctx)
	end  func()
}

// run runs the job. It has the baton.
func (j *job) run() {
	j.s.running.Store(&j.Ctx)
	returned := false
	defer func() {
		if !returned {
			j.s.panicked(j.name, recover())
		}
		j.Ctx.end()
		j.end()
	}()
	j.f(&j.Ctx)
	returned = true
}

// panicked logs a contained panic. A nil p means that the handler ended its goroutine.
func (s *Service) panicked(where string, p any) {
	if p == nil {
		p = "it ended its goroutine"
	}
	s.log.Error("service: a handler panicked", "in", where, "panic", fmt.Sprint(p), "stack", stack())
}
