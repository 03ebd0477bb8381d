package service

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/systems/script"
)

// Limits on prepared reloads.
const (
	maxPrepared    = 4
	preparedExpiry = time.Minute
)

// reloads holds the reloads that are prepared but neither committed nor aborted.
type reloads struct {
	mu       sync.Mutex
	prepared map[string]prepared
}

type prepared struct {
	table *table
	base  *table // the table in force at Prepare: Commit fails if another has replaced it
	at    time.Time
}

// Prepare compiles modules that replace those of the same names (a nil Source removes one), runs them and checks the
// handlers against the messages, without any effect. The result waits for Commit or Abort for one minute. Another
// Prepare with the same reload name replaces it. The error is one line with file, line and column.
func (s *Service) Prepare(reload string, modules []script.Module) (script.Report, error) {
	base := s.table.Load()
	x := s.collect()
	set, report, err := base.set.Replace(modules, s.options(x))
	if err != nil {
		return script.Report{}, err
	}
	t, err := s.tableOf(set, x)
	if err != nil {
		return script.Report{}, err
	}
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	held := s.reloads.prepared
	for id, p := range held {
		if id == reload || time.Since(p.at) > preparedExpiry {
			delete(held, id)
		}
	}
	if len(held) >= maxPrepared {
		return script.Report{}, fmt.Errorf("service: %d reloads are already prepared: commit or abort one, or wait a minute", maxPrepared)
	}
	held[reload] = prepared{t, base, time.Now()}
	return report, nil
}

// Commit puts a prepared reload in force, between two handlers. Running handlers finish on the code that they began
// with.
func (s *Service) Commit(reload string) error {
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	p, ok := s.reloads.prepared[reload]
	delete(s.reloads.prepared, reload)
	switch {
	case !ok || time.Since(p.at) > preparedExpiry:
		return fmt.Errorf("service: reload %.80q is not prepared here, or no longer is: start it again", reload)
	case s.table.Load() != p.base:
		return fmt.Errorf("service: reload %.80q: another one came in between: start it again", reload)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("service %s/%s is closing", s.cfg.Type, s.cfg.ID)
	}
	s.enforce(p.table)
	return nil
}

// Abort discards a prepared reload.
func (s *Service) Abort(reload string) {
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	delete(s.reloads.prepared, reload)
}

// Modules returns the scripts in force, by name. The caller must not modify them.
func (s *Service) Modules() []script.Module { return s.table.Load().set.Modules() }

// load makes the first table.
func (s *Service) load(modules []script.Module) (*table, error) {
	x := s.collect()
	set, err := script.Load(modules, s.options(x))
	if err != nil {
		return nil, err
	}
	return s.tableOf(set, x)
}

func (s *Service) collect() *collected {
	return &collected{memory: memoryView{m: s.memory, live: new(atomic.Bool)}}
}
