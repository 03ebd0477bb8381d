package service

import (
	"errors"
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// Limits of periodic tasks.
const (
	minEvery  = 10 * time.Millisecond
	maxTimers = 256
)

// timer is a periodic task.
type timer struct {
	every time.Duration
	name  string
	run   func(*Ctx) error
}

// collected holds what belongs to a set that is being loaded: the timers that it starts, and its view of memory.
type collected struct {
	timers []timer
	memory memoryView
}

// builtin makes every(seconds, function), for the top of a module.
func (x *collected) builtin() *starlark.Builtin {
	return starlark.NewBuiltin("every", func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var period starlark.Value
		var f *starlark.Function
		if err := starlark.UnpackArgs("every", args, kwargs, "seconds", &period, "function", &f); err != nil {
			return nil, err
		}
		if t.Local(ctxKey) != nil {
			return nil, errors.New("every belongs at the top of a module, not in a handler")
		}
		d, err := seconds("every", period)
		if err != nil {
			return nil, err
		}
		if d < minEvery || len(x.timers) == maxTimers {
			return nil, fmt.Errorf("every: at most %d timers, each with a period of at least 0.01 seconds", maxTimers)
		}
		x.timers = append(x.timers, timer{every: d, name: f.Name(), run: func(c *Ctx) error {
			_, err := script.Call(c.s.thread(c, f.Name()), f, c.s.cfg.StepBudget)
			return err
		}})
		return starlark.None, nil
	})
}

// Every runs f once per period on the service's thread, until Close. It skips runs that are late.
func (s *Service) Every(period time.Duration, f func(*Ctx)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.begin(timer{every: max(period, minEvery), name: "every", run: func(c *Ctx) error { f(c); return nil }}, nil)
}

// begin starts a timer, which ends with its table, or with the service if t is nil. The service must not be closed.
func (s *Service) begin(x timer, t *table) {
	var retired chan struct{}
	if t != nil {
		retired = t.retired
	}
	s.live.Go(func() {
		tick := time.NewTicker(x.every)
		defer tick.Stop()
		for {
			select {
			case <-retired:
				return
			case <-s.stop:
				return
			case <-tick.C:
			}
			done := make(chan struct{})
			s.threads.submit(s.tick(x, t, func() { close(done) }))
			<-done
		}
	})
}

// tick makes one run of a timer. It calls end when the run is over.
func (s *Service) tick(x timer, t *table, end func()) *job {
	j := &job{name: x.name, end: end, f: func(c *Ctx) {
		if t != nil && t.isRetired() {
			return // reloaded while this run waited for its turn
		}
		if err := x.run(c); err != nil {
			s.log.Error("service: a periodic task failed", "task", x.name, "error", s.scriptError(err))
		}
	}}
	if j.table = t; t == nil {
		j.table = s.table.Load()
	}
	j.s, j.request, j.deadline = s, &rpc.Request{Message: x.name, From: s.name()}, time.Now().Add(max(x.every, rpc.DefaultTimeout))
	return j
}
