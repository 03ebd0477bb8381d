package service

import "time"

// watchEvery is how often a service looks at what waits for its thread.
const watchEvery = 25 * time.Millisecond

// watch answers, while the service lives, what has waited for the thread for longer than its callers wait. They are told in
// time that nothing was done, and what nobody waits for is not begun.
func (s *Service) watch() {
	defer close(s.watched)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.quiet:
			return
		case now := <-tick.C:
			for _, t := range s.threads.overdue(now) {
				t.expire()
			}
		}
	}
}

// overdue are the tasks that wait for their first turn and whose time is over.
func (s *scheduler) overdue(now time.Time) (late []*task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.ready.size {
		if t, ok := s.ready.items[(s.ready.first+i)%len(s.ready.items)].task.(*task); ok && now.After(t.deadline) {
			late = append(late, t)
		}
	}
	return late
}
