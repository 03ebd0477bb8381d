package service_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

// fake runs f with a clock that advances only while all goroutines wait.
func fake(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

// sent is a sent request: when it was answered, and how.
type sent struct {
	begin  time.Time
	answer chan rpc.Response
	after  time.Duration
}

func send(s *service.Service, r *rpc.Request) *sent {
	x := &sent{begin: time.Now(), answer: make(chan rpc.Response, 2)}
	s.Handle(r, func(a rpc.Response) {
		x.after = time.Since(x.begin)
		x.answer <- a
	})
	return x
}

func within(d time.Duration, r *rpc.Request) *rpc.Request {
	r.Timeout = d
	return r
}

func TestWhatWaitsIsAnsweredWhenItsTimeIsOverAndIsNotExecuted(t *testing.T) {
	fake(t, func(t *testing.T) {
		g := &gated{gate: make(chan struct{})}
		s := start(t, service.Config{Client: []any{g}})
		first := send(s, within(time.Hour, from("ann", wrapperspb.String("waits"))))
		late := send(s, within(3*time.Second, from("ann", wrapperspb.String("late"))))
		a := <-late.answer
		if a.Err == nil || a.Err.Code != rpc.DeadlineExceeded || a.Err.Maybe || late.after != 3*time.Second {
			t.Errorf("after %s: %v", late.after, a.Err)
		}
		close(g.gate)
		<-first.answer
		synctest.Wait()
		if len(g.order) != 2 || len(late.answer) != 0 {
			t.Errorf("order %v, %d further answers", g.order, len(late.answer))
		}
	})
}

// stubborn is a handler that ignores its context.
type stubborn struct {
	gate chan struct{}
	seen error // its context's error when it continued
}

func (h *stubborn) StringValue(c *service.Ctx, r *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	c.Suspend(func() { <-h.gate })
	h.seen = c.Err()
	return r, nil
}

func TestASuspendedHandlerIsAnsweredForWhenItsTimeIsOver(t *testing.T) {
	fake(t, func(t *testing.T) {
		h := &stubborn{gate: make(chan struct{})}
		s := start(t, service.Config{Client: []any{h}})
		x := send(s, within(2*time.Second, from("ann", wrapperspb.String("x"))))
		if a := <-x.answer; a.Err == nil || a.Err.Code != rpc.DeadlineExceeded || !a.Err.Maybe || x.after != 2*time.Second {
			t.Errorf("after %s: %v", x.after, a.Err)
		}
		if n := s.Stats().InFlight; n != 1 {
			t.Errorf("%d in flight: the handler is still running", n)
		}
		close(h.gate)
		synctest.Wait()
		if len(x.answer) != 0 || !errors.Is(h.seen, context.DeadlineExceeded) {
			t.Errorf("%d further answers, the context said %v", len(x.answer), h.seen)
		}
	})
}

type patient struct{ err error }

func (h *patient) StringValue(c *service.Ctx, _ *wrapperspb.StringValue) error {
	h.err = c.Sleep(time.Minute)
	return h.err
}

func (h *patient) Int64Value(c *service.Ctx, _ *wrapperspb.Int64Value) (*wrapperspb.Int64Value, error) {
	err := c.Sleep(time.Second)
	deadline, _ := c.Deadline()
	return wrapperspb.Int64(int64(time.Until(deadline))), err
}

func TestTheTimeOutRunsFromTheBeginningAndEndsASleep(t *testing.T) {
	fake(t, func(t *testing.T) {
		h := &patient{}
		s := start(t, service.Config{Client: []any{h}})
		x := send(s, from("ann", wrapperspb.String("")))
		if a := <-x.answer; a.Err.Code != rpc.DeadlineExceeded || !a.Err.Maybe || x.after > patience {
			t.Errorf("after %s: %v", x.after, a.Err)
		}
		synctest.Wait()
		if !errors.Is(h.err, context.DeadlineExceeded) {
			t.Errorf("Sleep returned %v", h.err)
		}
		r := within(0, from("ann", wrapperspb.Int64(0)))
		send(s, r)
		x = send(s, r)
		var left wrapperspb.Int64Value
		if a := <-x.answer; a.Err != nil {
			t.Error(a.Err)
		} else if unmarshal(t, a, &left); time.Duration(left.Value) != rpc.DefaultTimeout-2*time.Second || x.after != 2*time.Second {
			t.Errorf("%s are left after %s", time.Duration(left.Value), x.after)
		}
		if r.Timeout != 0 {
			t.Error("Handle has written to the request")
		}
	})
}

// late is a context that a handler has passed to its own goroutine.
type late struct{ ended chan error }

func (h *late) StringValue(c *service.Ctx, _ *wrapperspb.StringValue) error {
	go func() {
		<-c.Done()
		h.ended <- c.Err()
	}()
	return nil
}

func (h *late) Int64Value(c *service.Ctx, _ *wrapperspb.Int64Value) error {
	child, cancel := context.WithTimeout(c, time.Hour)
	defer cancel()
	c.Suspend(func() { <-child.Done() })
	return child.Err()
}

func TestTheContextEndsWithTheHandler(t *testing.T) {
	fake(t, func(t *testing.T) {
		h := &late{ended: make(chan error, 1)}
		s := start(t, service.Config{Client: []any{h}})
		<-send(s, from("ann", wrapperspb.String(""))).answer
		if err := <-h.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		if a := <-send(s, from("ann", wrapperspb.Int64(1))).answer; a.Err.Code != rpc.DeadlineExceeded {
			t.Errorf("a child of it: %v", a.Err)
		}
	})
}

func TestGoTimersRunOncePerPeriodUntilClose(t *testing.T) {
	fake(t, func(t *testing.T) {
		s := start(t, service.Config{Client: []any{echo{}}})
		n, panics := 0, 0
		s.Every(time.Second, func(c *service.Ctx) { n++ })
		s.Every(time.Second, func(c *service.Ctx) { panics++; panic("on purpose") })
		begin := time.Now()
		s.Every(time.Minute, func(c *service.Ctx) { _ = c.Sleep(time.Hour) })
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if n != 10 || panics != 10 {
			t.Errorf("%d runs and %d that panic in %s", n, panics, time.Since(begin))
		}
		closeIt(t, s)
		s.Every(time.Second, func(*service.Ctx) { n++ })
		time.Sleep(time.Minute)
		if n != 10 {
			t.Errorf("%d runs: a timer runs after Close", n)
		}
	})
}

func TestPreparedReloadsExpireAndAreFew(t *testing.T) {
	fake(t, func(t *testing.T) {
		source := func(word string) string {
			return "def Handler_StringValue(client, request):\n    return StringValue(value = \"" + word + "\")\n"
		}
		s := start(t, service.Config{Scripts: client(source("old"))})
		prepare := func(id string) error {
			_, err := s.Prepare(id, client(source(id)))
			return err
		}
		for _, id := range []string{"a", "b", "c", "d", "d"} {
			if err := prepare(id); err != nil {
				t.Error(err)
			}
		}
		wantError(t, prepare("e"), "4 reloads are already prepared")
		time.Sleep(time.Minute + time.Second)
		wantError(t, s.Commit("a"), `reload "a" is not prepared here, or no longer is`)
		if err := errors.Join(prepare("e"), prepare("f"), s.Commit("e")); err != nil {
			t.Error(err)
		}
		wantError(t, s.Commit("f"), "another one came in between")
		if got := text(t, <-send(s, from("ann", wrapperspb.String(""))).answer); got != "e" {
			t.Errorf("answer %q", got)
		}
	})
}
