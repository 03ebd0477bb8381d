package service_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/systems/script"
)

// told is what a caller may conclude from a failure.
type told struct {
	code            rpc.Code
	maybe, notBegun bool
}

// failing is a handler that ends in the way that its request names.
type failing struct{}

func (failing) StringValue(c *service.Ctx, r *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	absent := rpc.Address{Type: "absent"}
	switch r.Value {
	case "refuses":
		return nil, rpc.Errorf(rpc.NotFound, "no such thing")
	case "refuses but says that it may have done something":
		return nil, &rpc.Error{Code: rpc.NotFound, Text: "no such thing", Maybe: true}
	case "an error of its own":
		return nil, errors.New("disk full")
	case "unavailable":
		return nil, rpc.Errorf(rpc.Unavailable, "my database is away")
	case "absent service":
		_, err := c.Call(absent, r)
		return nil, err
	case "absent service, wrapped":
		_, err := c.Call(absent, r)
		return nil, fmt.Errorf("asking: %w", err)
	case "stores, refuses":
		if _, _, err := c.Store().Put(c, "k", []byte("1"), 0); err != nil {
			return nil, err
		}
		return nil, rpc.Errorf(rpc.FailedPrecondition, "not now")
	case "loses the race, refuses":
		if _, ok, err := c.Store().Put(c, "k", []byte("1"), 99); ok || err != nil {
			return nil, errors.New("it was to lose the race")
		}
		return nil, rpc.Errorf(rpc.Aborted, "ask again")
	case "a bad key, refused":
		_, _, err := c.Store().Put(c, "", nil, 0)
		return nil, err
	case "tells, refuses":
		if err := c.Tell(rpc.Address{Type: "game"}, r); err != nil {
			return nil, err
		}
		return nil, rpc.Errorf(rpc.NotFound, "no")
	case "pushes, refuses":
		if err := c.Push("ben", r); err != nil {
			return nil, err
		}
		return nil, rpc.Errorf(rpc.NotFound, "no")
	case "spawns, refuses":
		if err := c.Spawn(func(*service.Ctx) {}); err != nil {
			return nil, err
		}
		return nil, rpc.Errorf(rpc.NotFound, "no")
	case "panics":
		panic("on purpose")
	case "ends its goroutine":
		runtime.Goexit()
	case "too late":
		return nil, c.Sleep(time.Hour)
	case "ok as an error":
		return nil, rpc.Errorf(rpc.OK, "fine")
	}
	return wrapperspb.String("\xff"), nil // cannot be encoded
}

// script can fail in the same ways, and in those that only scripts have.
const failingScript = `
def Handler_StringValue(client, request):
    way = request.value
    if way == "refuses":
        error("not_found", "no such thing")
    elif way == "unavailable":
        error("unavailable", "my database is away")
    elif way == "absent service":
        call("absent", request)
    elif way == "stores, refuses":
        store.put("k", 1, 0)
        error("failed_precondition", "not now")
    elif way == "loses the race, refuses":
        store.put("k", 1, 99)
    elif way == "a bad key, refused":
        store.put("", 1, 0)
    elif way == "tells, refuses":
        tell("game", request)
        error("not_found", "no")
    elif way == "pushes, refuses":
        push("ben", request)
        error("not_found", "no")
    elif way == "broadcasts, refuses":
        broadcast(request)
        error("not_found", "no")
    elif way == "remembers, refuses":
        memory["n"] = 1
        error("not_found", "no")
    elif way == "counts, refuses":
        memory.add("count")
        error("not_found", "no")
    elif way == "changes what it remembers, refuses":
        memory["list"].append(1)
        error("not_found", "no")
    elif way == "reads a number, refuses":
        memory.get("number")
        error("not_found", "no")
    elif way == "fails":
        fail("broken")
    elif way == "divides":
        return 1 // 0
    elif way == "never ends":
        while True:
            pass
    elif way == "too late":
        sleep(3600)
    elif way == "a wrong answer":
        return 7
    elif way == "a field that is not there":
        return {"valu": 1}
    elif way == "begins":
        memory["list"] = []
        memory["number"] = 1
`

// TestMaybeIsTrueWheneverAnEffectCouldHaveLeft also checks that no handler that has begun reports NotBegun.
func TestMaybeIsTrueWheneverAnEffectCouldHaveLeft(t *testing.T) {
	refused := func(c rpc.Code) told { return told{code: c} }
	maybe := func(c rpc.Code) told { return told{code: c, maybe: true} }
	both := map[string]told{
		"refuses":                 refused(rpc.NotFound),
		"unavailable":             maybe(rpc.Unavailable),
		"absent service":          maybe(rpc.Unavailable),
		"stores, refuses":         maybe(rpc.FailedPrecondition),
		"loses the race, refuses": refused(rpc.Aborted),
		"a bad key, refused":      refused(rpc.InvalidArgument),
		"tells, refuses":          maybe(rpc.NotFound),
		"pushes, refuses":         maybe(rpc.NotFound),
		"too late":                maybe(rpc.DeadlineExceeded),
	}
	inGo := map[string]told{
		"refuses but says that it may have done something": maybe(rpc.NotFound),
		"an error of its own":                              maybe(rpc.Internal),
		"absent service, wrapped":                          maybe(rpc.Unavailable),
		"spawns, refuses":                                  maybe(rpc.NotFound),
		"panics":                                           maybe(rpc.Internal),
		"ends its goroutine":                               maybe(rpc.Internal),
		"ok as an error":                                   maybe(rpc.Unknown),
		"an answer that cannot be encoded":                 maybe(rpc.Internal),
	}
	inStarlark := map[string]told{
		"broadcasts, refuses":                maybe(rpc.NotFound),
		"remembers, refuses":                 maybe(rpc.NotFound),
		"counts, refuses":                    maybe(rpc.NotFound),
		"changes what it remembers, refuses": maybe(rpc.NotFound),
		"reads a number, refuses":            refused(rpc.NotFound),
		"fails":                              maybe(rpc.Internal),
		"divides":                            maybe(rpc.Internal),
		"never ends":                         maybe(rpc.ResourceExhausted),
		"a wrong answer":                     maybe(rpc.Internal),
		"a field that is not there":          maybe(rpc.Internal),
	}
	for _, of := range []struct {
		runtime string
		config  service.Config
		more    map[string]told
	}{
		{"go", service.Config{Client: []any{failing{}}}, inGo},
		{"starlark", service.Config{Scripts: client(failingScript), StepBudget: 100_000}, inStarlark},
	} {
		for _, ways := range []map[string]told{both, of.more} {
			for way, want := range ways {
				t.Run(of.runtime+"/"+way, func(t *testing.T) {
					fake(t, func(t *testing.T) {
						c := of.config
						bus := rpc.NewMemoryBus()
						bus.Serve("game", "other", func(_ *rpc.Request, done func(rpc.Response)) { done(rpc.Response{}) })
						c.Bus = bus
						s := start(t, c)
						if of.runtime == "starlark" {
							ask(t, s, from("ann", wrapperspb.String("begins")))
						}
						a := ask(t, s, within(5*time.Second, from("ann", wrapperspb.String(way))))
						if a.Err == nil {
							t.Fatal("it did not fail")
						}
						if got := (told{a.Err.Code, a.Err.Maybe, a.Err.NotBegun}); got != want {
							t.Errorf("%v: %+v, want %+v", a.Err, got, want)
						}
					})
				})
			}
		}
	}
}

// TestNotBegunIsSaidBeforeAHandlerBegins checks that only the runtime says so, and that no part of the request was done.
func TestNotBegunIsSaidBeforeAHandlerBegins(t *testing.T) {
	want := func(t *testing.T, a rpc.Response, code rpc.Code) {
		t.Helper()
		if a.Err == nil || (told{a.Err.Code, a.Err.Maybe, a.Err.NotBegun}) != (told{code, false, true}) {
			t.Errorf("got %+v, want %v, not begun", a.Err, code)
		}
	}
	for name, c := range map[string]service.Config{
		"go":       {Client: []any{failing{}}, Server: []any{other{}}},
		"starlark": {Scripts: append(client(failingScript), script.Module{Name: "handlers_server/b.star", Source: []byte("def Handler_UInt32Value(caller, request): pass")})},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, c)
			r := from("ann", wrapperspb.String("x"))
			r.Payload = []byte{0xff}
			want(t, ask(t, s, r), rpc.InvalidArgument)
			r = from("ann", wrapperspb.String("x"))
			r.Format, r.Payload = rpc.JSON, []byte("{")
			want(t, ask(t, s, r), rpc.InvalidArgument)
			want(t, ask(t, s, from("", wrapperspb.String("x"))), rpc.Unauthenticated)
			want(t, ask(t, s, from("ann", wrapperspb.UInt32(1))), rpc.PermissionDenied)
			want(t, ask(t, s, from("ann", wrapperspb.Float(1))), rpc.Unimplemented)
			if err := s.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			want(t, ask(t, s, from("ann", wrapperspb.String("x"))), rpc.Unavailable)
		})
	}
	t.Run("too many requests per second", func(t *testing.T) {
		s := start(t, service.Config{Client: []any{echo{}}, Middleware: []service.Middleware{service.RateLimit(0.001, 1)}})
		ask(t, s, from("ann", wrapperspb.String("x")))
		want(t, ask(t, s, from("ann", wrapperspb.String("x"))), rpc.ResourceExhausted)
	})
}

// TestWhatWaitsForTheThreadIsAnsweredInTime: a handler in Go holds the thread. Requests behind it are answered in time
// with NotBegun, and do not run after their callers have given up.
func TestWhatWaitsForTheThreadIsAnsweredInTime(t *testing.T) {
	h := &held{gate: make(chan struct{}), holds: make(chan struct{})}
	s := start(t, service.Config{Client: []any{h}})
	first := send(s, from("ann", wrapperspb.String("holds")))
	<-h.holds
	late := send(s, within(50*time.Millisecond, from("ben", wrapperspb.String("late"))))
	select {
	case a := <-late.answer:
		if a.Err == nil || (told{a.Err.Code, a.Err.Maybe, a.Err.NotBegun}) != (told{rpc.DeadlineExceeded, false, true}) {
			t.Errorf("got %+v", a.Err)
		}
	case <-time.After(patience):
		t.Error("there was no answer while the thread was held")
	}
	close(h.gate)
	<-first.answer
	if got := text(t, ask(t, s, from("ben", wrapperspb.String("next")))); got != "next" || len(h.ran) != 2 {
		t.Errorf("%q, ran %v", got, h.ran)
	}
}

// held is a handler that neither returns nor suspends until its gate opens.
type held struct {
	gate, holds chan struct{}
	ran         []string
}

func (h *held) StringValue(_ *service.Ctx, r *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	h.ran = append(h.ran, r.Value)
	if r.Value == "holds" {
		close(h.holds)
		<-h.gate
	}
	return r, nil
}
