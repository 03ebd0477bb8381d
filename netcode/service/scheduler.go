package service

import "sync"

// scheduler runs tasks on one logical thread: only the holder of the baton runs. A task that suspends passes the baton
// on and waits in its own goroutine. It gets the baton back when its turn comes. Tasks that do not suspend run one after
// another in one goroutine, without a switch between them.
type scheduler struct {
	mu      sync.Mutex
	ready   queue[turn]
	held    bool   // a goroutine has the baton; if not, ready is empty
	turns   uint64 // how often the baton has changed hands; a task that keeps it does not count
	closed  bool   // no more turns; parked goroutines end
	parked  []chan struct{}
	runners sync.WaitGroup
}

// runnable is work to run with the baton.
type runnable interface{ run() }

// turn is an entry in the queue for the baton: a task that begins, or one that continues.
type turn struct {
	task   runnable
	resume chan struct{}
}

// maxParked bounds the idle goroutines that wait for the baton.
const maxParked = 64

// submit queues t for a turn.
func (s *scheduler) submit(t runnable) {
	s.mu.Lock()
	s.ready.push(turn{task: t})
	if !s.held {
		s.held = true
		s.wake()
	}
	s.mu.Unlock()
}

// wake passes the baton to another goroutine. The caller holds the lock.
func (s *scheduler) wake() {
	if n := len(s.parked); n > 0 {
		c := s.parked[n-1]
		s.parked = s.parked[:n-1]
		c <- struct{}{}
		return
	}
	s.runners.Go(s.runner)
}

// runner runs turns. It has the baton when it starts.
func (s *scheduler) runner() {
	inTask := false
	defer func() {
		if inTask { // the task has ended the goroutine, as runtime.Goexit and a test's FailNow do
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

// pass passes the baton to the next turn, if one waits. The caller holds the lock.
func (s *scheduler) pass() {
	if s.ready.len() > 0 {
		s.wake()
	} else {
		s.held = false
	}
}

// suspend runs f without the baton and returns with it. Only the holder of the baton may call it.
func (s *scheduler) suspend(f func()) {
	s.mu.Lock()
	s.turns++
	s.pass()
	s.mu.Unlock()
	defer s.take() // even if f panics: the task's end needs the baton
	f()
}

// take waits for the baton, behind all earlier turns.
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

// queue is a ring buffer that grows.
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
