package service

import "sync"

// scheduler runs tasks on one logical thread: whoever has the baton runs, and
// nobody else does. A task that suspends hands the baton on and waits, without
// it, in its own goroutine; later it gets it back in its turn. Tasks that do not
// suspend run one after another in one goroutine, without a switch between them.
type scheduler struct {
	mu      sync.Mutex
	ready   queue[turn]
	held    bool   // somebody has the baton; else ready is empty
	turns   uint64 // how often it went to somebody: who keeps it does not move it
	closed  bool   // there are no more turns; parked goroutines end
	parked  []chan struct{}
	runners sync.WaitGroup
}

// runnable is what can be run with the baton.
type runnable interface{ run() }

// turn is what waits for the baton: a task that begins, or one that goes on.
type turn struct {
	task   runnable
	resume chan struct{}
}

// maxParked is how many goroutines wait for the baton to be handed to them.
const maxParked = 64

// submit lets t have its turn.
func (s *scheduler) submit(t runnable) {
	s.mu.Lock()
	s.ready.push(turn{task: t})
	if !s.held {
		s.held = true
		s.wake()
	}
	s.mu.Unlock()
}

// wake lets another goroutine go on with the baton. The caller holds the lock.
func (s *scheduler) wake() {
	if n := len(s.parked); n > 0 {
		c := s.parked[n-1]
		s.parked = s.parked[:n-1]
		c <- struct{}{}
		return
	}
	s.runners.Go(s.runner)
}

// runner has the baton when it begins.
func (s *scheduler) runner() {
	inTask := false
	defer func() {
		if inTask { // it has ended the goroutine, as runtime.Goexit and a test's FailNow do
			s.mu.Lock()
			s.pass()
			s.mu.Unlock()
		}
	}()
	woken := make(chan struct{}, 1)
	for {
		s.mu.Lock()
		t, ok := s.ready.pop()
		s.turns++
		if ok && t.resume == nil {
			s.mu.Unlock()
			inTask = true
			t.task.run()
			inTask = false
			continue
		}
		if ok {
			t.resume <- struct{}{} // it has the baton now
		} else {
			s.held = false
		}
		if s.closed || len(s.parked) == maxParked {
			s.mu.Unlock()
			return
		}
		s.parked = append(s.parked, woken)
		s.mu.Unlock()
		if _, more := <-woken; !more {
			return
		}
	}
}

// pass gives the baton to whoever waits for it. The caller holds the lock.
func (s *scheduler) pass() {
	if s.ready.len() > 0 {
		s.wake()
	} else {
		s.held = false
	}
}

// suspend runs f without the baton and returns with it. Only whoever has the
// baton may call it.
func (s *scheduler) suspend(f func()) {
	s.mu.Lock()
	s.turns++
	s.pass()
	s.mu.Unlock()
	defer s.take() // also when f panics: the task's end needs it
	f()
}

// take waits for the baton, behind all that wait already.
func (s *scheduler) take() {
	s.mu.Lock()
	if !s.held {
		s.held = true
		s.mu.Unlock()
		return
	}
	c := make(chan struct{}, 1)
	s.ready.push(turn{resume: c})
	s.mu.Unlock()
	<-c
}

// close ends the goroutines and waits for them. All tasks must have ended.
func (s *scheduler) close() {
	s.mu.Lock()
	s.closed = true
	for _, c := range s.parked {
		close(c)
	}
	s.parked = nil
	s.mu.Unlock()
	s.runners.Wait()
}

// queue is a ring that grows.
type queue[T any] struct {
	items       []T
	first, size int
}

func (q *queue[T]) len() int { return q.size }

func (q *queue[T]) push(v T) {
	if q.size == len(q.items) {
		grown := make([]T, max(16, 2*q.size))
		n := copy(grown, q.items[q.first:])
		copy(grown[n:], q.items[:q.first])
		q.items, q.first = grown, 0
	}
	q.items[(q.first+q.size)%len(q.items)] = v
	q.size++
}

func (q *queue[T]) pop() (v T, ok bool) {
	if q.size == 0 {
		return v, false
	}
	var zero T
	v, q.items[q.first] = q.items[q.first], zero
	q.first = (q.first + 1) % len(q.items)
	q.size--
	return v, true
}
