package service

import (
	"fmt"
	"sync/atomic"
	"time"
)

// watchEvery is how often a service checks its thread and the tasks that wait for it.
const watchEvery = 25 * time.Millisecond

// stallAfter is how long a handler may hold the thread before it counts as hung. A script uses up its budget sooner.
const stallAfter = 2 * time.Second

// Stall describes a handler that holds the service's thread: it neither returns nor suspends, and no other request is
// served.
type Stall struct {
	Since   time.Time
	Message string // handled by the hung handler
	Player  string // whose request it is
}

func (x *Stall) String() string {
	text := fmt.Sprintf("the handler of %.80s has held the thread of the service since %s", x.Message, x.Since.Format(time.TimeOnly))
	if x.Player != "" {
		text += fmt.Sprintf(" with a request of %.40q", x.Player)
	}
	return text + ": no other request is served until it returns"
}

// Stalled returns the stall that keeps the service from serving requests, or nil.
func (s *Service) Stalled() *Stall { return s.stall.Load() }

// watcher is the state of watch.
type watcher struct {
	turns uint64
	since time.Time // when turns last changed
}

// watch checks the thread while the service lives. It fails the tasks that have waited for the thread past their
// deadline, so that their callers learn in time that nothing was done and no such task begins. It reports a handler that
// holds the thread.
func (s *Service) watch() {
	defer close(s.watched)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	w := watcher{since: time.Now()}
	for {
		select {
		case <-s.quiet:
			return
		case now := <-tick.C:
			late, held, turns := s.threads.look(now)
			for _, t := range late {
				t.expire()
			}
			s.judge(&w, held, turns, now)
		}
	}
}

// judge detects and logs when a stall begins and ends.
func (s *Service) judge(w *watcher, held bool, turns uint64, now time.Time) {
	if !held || turns != w.turns {
		w.turns, w.since = turns, now
	}
	stall := s.stall.Load()
	switch long := now.Sub(w.since) >= stallAfter; {
	case long && stall == nil:
		stall = &Stall{Since: w.since, Message: "a task"}
		if c := s.running.Load(); c != nil {
			stall.Message, stall.Player = c.request.Message, c.request.Player
		}
		s.stall.Store(stall)
		s.log.Error("service: a handler hangs", "what", stall.String())
	case !long && stall != nil:
		s.stall.Store(nil)
		s.log.Info("service: the thread is free again", "after", now.Sub(stall.Since).Round(100*time.Millisecond), "message", stall.Message)
	}
}

// look returns the tasks that wait for their first turn past their deadline, whether the thread is held, and how often
// it has changed hands.
func (s *scheduler) look(now time.Time) (late []*task, held bool, turns uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.ready.size {
		if t, ok := s.ready.items[(s.ready.first+i)%len(s.ready.items)].task.(*task); ok && now.After(t.deadline) {
			late = append(late, t)
		}
	}
	return late, s.held, s.turns
}

// threadState is shared by watch and the handlers.
type threadState struct {
	running atomic.Pointer[Ctx] // of the latest turn
	stall   atomic.Pointer[Stall]
}
