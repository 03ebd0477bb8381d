package discovery

import (
	"sync"
	"sync/atomic"
	"time"
)

// An instance is silent after silentAfter requests in a row got no answer in time, until it answers one, or until
// silentFor has passed since the last of them. It then gets requests and players again, and the next request without an
// answer makes it silent once more.
const (
	silentAfter = 3
	silentFor   = 10 * time.Second
)

// maxSilences bounds the instances that silence remembers.
const maxSilences = 4096

// silence is the rule that says which instances do not answer although the directory still has them: their process
// stands still and its lease is a long one, or NATS does not reach them and etcd does. The zero value is ready. It is
// safe for concurrent use; while every instance answers, its methods take no lock.
type silence struct {
	kept atomic.Int64 // len(of)
	mu   sync.Mutex
	of   map[[2]string]strikes // by type and id
}

// strikes are requests in a row that an instance has not answered in time.
type strikes struct {
	count int
	last  time.Time
}

// heard records how a request to an instance ended: with an answer, or without one in time.
func (s *silence) heard(serviceType, id string, answered bool, now time.Time) {
	if answered && s.kept.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := [2]string{serviceType, id}
	switch {
	case answered:
		delete(s.of, at)
	default:
		if s.of == nil || len(s.of) >= maxSilences {
			s.of = map[[2]string]strikes{}
		}
		s.of[at] = strikes{s.of[at].count + 1, now}
	}
	s.kept.Store(int64(len(s.of)))
}

// silent reports whether requests and players should go to other instances.
func (s *silence) silent(serviceType, id string, now time.Time) bool {
	if s.kept.Load() == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of[[2]string{serviceType, id}]
	return x.count >= silentAfter && now.Sub(x.last) < silentFor
}
