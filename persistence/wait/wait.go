// Package wait bounds what a process waits for from its servers, NATS and etcd, and shows it.
//
//	bound a call, and name it                   For
//	bound a call that knows no context          Call
//	show what a process waits for now           NewList, With, List.Calls
//
// Every call to a server goes through For or Call: it has a deadline, is told in the log and shown by its List once it has
// lasted for Patience, ends with its context, and errs with the server's name and the time that it was given. What runs on
// a tick's path has a bound of its own, with timers that it keeps. Tests of persistence/jetstream and shard/etcd read the
// source for calls that have none (see waittest).
package wait

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server is who is waited for.
type Server string

// The servers.
const (
	NATS Server = "NATS"
	Etcd Server = "etcd"
)

// Patience is how long a call may take before it is told.
const Patience = 2 * time.Second

// Limit is the usual bound of a call. A cluster that elects a new leader answers within it.
const Limit = 5 * time.Second

// Error says that a server gave no answer within a call's bound. It is a context.DeadlineExceeded.
type Error struct {
	Server Server
	What   string // was asked for
	After  time.Duration
	Err    error
}

// Error is one sentence.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s gave no answer within %v (%s)", e.Server, e.After.Round(10*time.Millisecond), e.What)
	before := strings.TrimSuffix(strings.TrimSuffix(e.Err.Error(), context.DeadlineExceeded.Error()), ": ") // which says nothing more
	if before == "" {
		return text
	}
	return before + ": " + text
}

// Unwrap returns the call's own error.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is context.DeadlineExceeded.
func (e *Error) Is(target error) bool { return target == context.DeadlineExceeded }

// Waiting is a call that lasts.
type Waiting struct {
	Server Server
	What   string
	Since  time.Time
}

// List is what a process, or a node of one, waits for. Its methods may be called concurrently.
type List struct {
	log *slog.Logger

	mu   sync.Mutex
	open map[*call]struct{}
	told map[string]time.Time // when of what, until it is answered: what is tried again and again is told seldom
}

// tellEvery is the least time between two lines of the log on the same call.
const tellEvery = time.Minute

// maxTold bounds what a list remembers to have told.
const maxTold = 256

// NewList returns a list whose calls are told to log; nil tells slog.Default().
func NewList(log *slog.Logger) *List {
	if log == nil {
		log = slog.Default()
	}
	return &List{log: log, open: map[*call]struct{}{}, told: map[string]time.Time{}}
}

// process is the list of calls whose context has none.
var process = sync.OnceValue(func() *List { return NewList(nil) })

// Calls are those that have lasted for Patience, the oldest first.
func (l *List) Calls() []Waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Waiting
	for c := range l.open {
		if time.Since(c.Since) >= Patience {
			all = append(all, c.Waiting)
		}
	}
	slices.SortFunc(all, func(a, b Waiting) int { return a.Since.Compare(b.Since) })
	return all
}

type listKey struct{}

// With returns a context whose calls are in l.
func With(ctx context.Context, l *List) context.Context { return context.WithValue(ctx, listKey{}, l) }

// of returns the list of a context.
func of(ctx context.Context) *List {
	if l, ok := ctx.Value(listKey{}).(*List); ok {
		return l
	}
	return process()
}

// call is one that runs.
type call struct {
	Waiting
	list   *List
	ctx    context.Context
	cancel context.CancelFunc
	tell   *time.Timer
}

// For begins a call to a server: what names what is asked for, limit bounds it (0: ctx alone does, for what is meant to
// last). The call runs with the context that is returned; end ends it and completes the error that it returned.
func For(ctx context.Context, s Server, limit time.Duration, what string) (bounded context.Context, end func(*error)) {
	c := &call{Waiting: Waiting{s, what, time.Now()}, list: of(ctx)}
	if limit > 0 {
		c.ctx, c.cancel = context.WithTimeout(ctx, limit)
	} else {
		c.ctx, c.cancel = context.WithCancel(ctx)
	}
	c.list.mu.Lock()
	c.list.open[c] = struct{}{}
	c.list.mu.Unlock()
	c.tell = time.AfterFunc(Patience, c.say)
	return c.ctx, c.end
}

// say tells that the call lasts.
func (c *call) say() {
	l, key := c.list, string(c.Server)+c.What
	l.mu.Lock()
	_, runs := l.open[c]
	due := runs && time.Since(l.told[key]) >= tellEvery
	if due {
		if len(l.told) >= maxTold {
			clear(l.told)
		}
		l.told[key] = time.Now()
	}
	l.mu.Unlock()
	if !due {
		return
	}
	l.log.Warn("still waiting for "+string(c.Server), "for", c.What, "since", c.Since.Format(time.TimeOnly))
}

func (c *call) end(err *error) {
	c.tell.Stop()
	late := errors.Is(c.ctx.Err(), context.DeadlineExceeded)
	c.cancel()
	took, key := time.Since(c.Since), string(c.Server)+c.What
	c.list.mu.Lock()
	delete(c.list.open, c)
	_, told := c.list.told[key]
	if told && *err == nil {
		delete(c.list.told, key)
	}
	c.list.mu.Unlock()
	if told && *err == nil {
		c.list.log.Info(string(c.Server)+" has answered", "for", c.What, "after", took.Round(time.Millisecond))
	}
	if *err != nil && late {
		*err = &Error{Server: c.Server, What: c.What, After: took, Err: *err}
	}
}

// Call runs f, which knows no context, and returns what it returns, or an error when ctx ends or the limit is over before.
// What f returns too late goes to drop, so that it is closed.
func Call[T any](ctx context.Context, s Server, limit time.Duration, what string, f func() (T, error), drop func(T)) (value T, err error) {
	bounded, end := For(ctx, s, limit, what)
	defer end(&err)
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-bounded.Done():
		go func() {
			if r := <-done; r.err == nil {
				drop(r.value)
			}
		}()
		return value, bounded.Err()
	}
}
