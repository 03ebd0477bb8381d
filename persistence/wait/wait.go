// Package wait bounds calls to servers, NATS and etcd, and shows which ones a process waits for.
//
//	bound a call, and name it                   For
//	bound a call that takes no context          Call
//	show what a process waits for now           NewList, With, List.Calls
//
// Every call to a server goes through For or Call. It has a deadline and ends with its context. After Patience it is logged
// and its List shows it. If it times out, its error names the server and the time that it took. Code on a tick's path has
// its own bounds, with timers that it reuses. Tests of persistence/jetstream and shard/etcd search the source for unbounded
// calls (see waittest).
package wait

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server is a server that a call waits for.
type Server string

// The servers.
const (
	NATS Server = "NATS"
	Etcd Server = "etcd"
)

// Patience is how long a call may take before it is logged and listed.
const Patience = 2 * time.Second

// Limit is the usual bound of a call. A cluster needs less to elect a new leader.
const Limit = 5 * time.Second

// Error reports that a server gave no answer within a call's bound. It matches context.DeadlineExceeded.
type Error struct {
	Server Server
	What   string // what the call asked for
	After  time.Duration
	Err    error
}

// Error names the server, the time and the request, after the call's own error if that says more than a timeout.
func (e *Error) Error() string {
	after := e.After.Round(10 * time.Millisecond)
	text := fmt.Sprintf("%s gave no answer within %v (%s)", e.Server, after, e.What)
	if after == 0 {
		text = fmt.Sprintf("no time was left to ask %s (%s)", e.Server, e.What)
	}
	before := strings.TrimSuffix(strings.TrimSuffix(e.Err.Error(), context.DeadlineExceeded.Error()), ": ") // adds nothing
	if before == "" {
		return text
	}
	return before + ": " + text
}

// Unwrap returns the call's own error.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is context.DeadlineExceeded.
func (e *Error) Is(target error) bool { return target == context.DeadlineExceeded }

// Waiting is a call in progress.
type Waiting struct {
	Server Server
	What   string
	Since  time.Time
}

// List lists the calls that a process, or a node in it, waits for. Its methods may be called concurrently.
type List struct {
	log *slog.Logger

	mu   sync.Mutex
	open map[*call]struct{}
	told map[string]*tale // the calls that were logged, so that repeated ones are logged rarely
}

// tale is what the log says about a call that is made again and again.
type tale struct {
	at   time.Time // when it was logged
	open bool      // no answer was logged since
	slow int       // times that it has been slow since, without a line
}

// tellEvery is the least time between two log lines on the same call.
const tellEvery = time.Minute

// maxTold bounds the size of List.told.
const maxTold = 256

// NewList returns a list that logs its calls. A nil logger means slog.Default().
func NewList(logger *slog.Logger) *List {
	logger = cmp.Or(logger, slog.Default())
	return &List{log: logger, open: map[*call]struct{}{}, told: map[string]*tale{}}
}

// process is the list of calls whose context has no list.
var process = sync.OnceValue(func() *List { return NewList(nil) })

// Calls returns the calls that have lasted longer than Patience, oldest first.
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

// With returns a context whose calls are listed in l.
func With(ctx context.Context, l *List) context.Context { return context.WithValue(ctx, listKey{}, l) }

// of returns the list of a context, by default the process's.
func of(ctx context.Context) *List {
	if l, ok := ctx.Value(listKey{}).(*List); ok {
		return l
	}
	return process()
}

// call is a running call.
type call struct {
	Waiting
	list   *List
	ctx    context.Context
	cancel context.CancelFunc
	tell   *time.Timer
}

// For begins a call to a server. what names the request. limit bounds the call; with 0 only ctx does, for calls that are
// meant to last. Run the call with the returned context, then call end, which completes the call's error.
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

// say logs that the call still waits, unless the same call was logged less than tellEvery ago: then it counts it.
func (c *call) say() {
	l, key := c.list, string(c.Server)+c.What
	l.mu.Lock()
	_, runs := l.open[c]
	t := l.told[key]
	if t != nil && time.Since(t.at) < tellEvery {
		if runs {
			t.slow++
		}
		runs = false
	}
	more := []any{"for", c.What, "since", c.Since.Format(time.TimeOnly)}
	if runs {
		if t != nil && t.slow > 0 {
			more = append(more, "slow", t.slow) // times, since the last line
		}
		if len(l.told) >= maxTold {
			clear(l.told)
		}
		l.told[key] = &tale{at: time.Now(), open: true}
	}
	l.mu.Unlock()
	if runs {
		l.log.Warn("still waiting for "+string(c.Server), more...)
	}
}

func (c *call) end(err *error) {
	c.tell.Stop()
	late := errors.Is(c.ctx.Err(), context.DeadlineExceeded)
	c.cancel()
	took, key := time.Since(c.Since), string(c.Server)+c.What
	c.list.mu.Lock()
	delete(c.list.open, c)
	t := c.list.told[key]
	news := *err == nil && t != nil && t.open
	if news {
		t.open = false
	}
	c.list.mu.Unlock()
	if news {
		c.list.log.Info(string(c.Server)+" has answered", "for", c.What, "after", took.Round(time.Millisecond))
	}
	if *err != nil && late {
		*err = &Error{Server: c.Server, What: c.What, After: took, Err: *err}
	}
}

// Call runs f, which takes no context, and returns its result, or an error if ctx ends or the limit passes first. It then
// passes the late result of f to drop, which should close it.
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
