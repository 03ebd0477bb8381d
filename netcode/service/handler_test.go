package service_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/service/servicetest"
)

type onPointer struct{}

func (*onPointer) StringValue(*service.Ctx, *wrapperspb.StringValue) error { return nil }

type noCtx struct{}

func (noCtx) StringValue(*wrapperspb.StringValue) error { return nil }

type noHandlers struct{}

func (noHandlers) Helper() {}

type tooMuch struct{}

func (tooMuch) StringValue(*service.Ctx, *wrapperspb.StringValue) (int, error) { return 0, nil }

func TestValuesWhoseHandlersWouldNotBeFoundAreRefused(t *testing.T) {
	for want, value := range map[string]any{
		"a value with handlers is nil": nil,
		"service_test.onPointer.StringValue has a pointer receiver: give a pointer":                         onPointer{},
		"service_test.noCtx.StringValue: it is a func(*wrapperspb.StringValue) error, want func(*service.C": noCtx{},
		"service_test.noHandlers has no handlers":                                                           noHandlers{},
		"service_test.tooMuch.StringValue: it is a func":                                                    tooMuch{},
	} {
		_, err := service.New(service.Config{Type: "game", ID: "game-1", Files: files, Client: []any{value}})
		wantError(t, err, want)
	}
	start(t, service.Config{Client: []any{&onPointer{}}})
}

func TestHandlersOfScriptsThatNobodyWouldCallAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ module, source, want string }{
		"another folder": {"handlers_clients/a.star", "def Handler_StringValue(client, request): pass", "handlers_clients/a.star:1:1: Handler_StringValue: handlers belong in handlers_client/*.star and handlers_server/*.star"},
		"a small letter": {"handlers_client/a.star", "def handler_StringValue(client, request): pass", "handlers_client/a.star:1:1: handler_StringValue: handlers are named Handler_<Message>"},
		"no message":     {"handlers_server/a.star", "\ndef Handler_StringValu(client, request): pass", "handlers_server/a.star:2:1: Handler_StringValu: there is no message StringValu (did you mean StringValue?)"},
		"a number":       {"handlers_client/a.star", "X = 1\nHandler_StringValue = 5", "handlers_client/a.star:2:1: Handler_StringValue is an int, want a function: def Handler_StringValue(…)"},
		"parameters":     {"handlers_server/a.star", "def Handler_StringValue(client): pass", "want def Handler_StringValue(caller, request)"},
	} {
		m := client(c.source)
		m[0].Name = c.module
		_, err := service.New(service.Config{Type: "game", ID: "game-1", Files: files, Scripts: m})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// odd has handlers that misbehave.
type odd struct {
	kept *service.Ctx
}

func (h *odd) StringValue(*service.Ctx, *wrapperspb.StringValue) error { runtime.Goexit(); return nil }

func (h *odd) BytesValue(c *service.Ctx, _ *wrapperspb.BytesValue) error {
	c.Suspend(runtime.Goexit)
	return nil
}

func (h *odd) BoolValue(c *service.Ctx, _ *wrapperspb.BoolValue) error {
	c.Suspend(func() { panic("on purpose") })
	return nil
}

func (h *odd) Int64Value(c *service.Ctx, _ *wrapperspb.Int64Value) error { h.kept = c; return nil }

func (h *odd) UInt64Value(*service.Ctx, *wrapperspb.UInt64Value) (*wrapperspb.UInt64Value, error) {
	var none *rpc.Error
	return nil, none
}

func (h *odd) UInt32Value(*service.Ctx, *wrapperspb.UInt32Value) error { return &rpc.Error{} }

func (h *odd) DoubleValue(c *service.Ctx, _ *wrapperspb.DoubleValue) (*wrapperspb.StringValue, error) {
	return wrapperspb.String("\xff"), nil
}

func TestOddHandlersAreContained(t *testing.T) {
	log := &captured{}
	h := &odd{}
	s := start(t, service.Config{Client: []any{h}, Logger: log.logger()})
	code := func(r *rpc.Request) string {
		a := ask(t, s, r)
		if a.Err == nil {
			return "ok " + a.Message
		}
		return fmt.Sprint(a.Err.Code, a.Err.Maybe)
	}
	for name, c := range map[string]struct {
		r    *rpc.Request
		want string
	}{
		"ends its goroutine":         {from("ann", wrapperspb.String("")), "internal true"},
		"ends it while suspended":    {from("ann", wrapperspb.Bytes(nil)), "internal true"},
		"panics while suspended":     {from("ann", wrapperspb.Bool(true)), "internal true"},
		"a nil *Error is no error":   {from("ann", wrapperspb.UInt64(1)), "ok "},
		"an error with the code OK":  {from("ann", wrapperspb.UInt32(1)), "unknown true"},
		"an answer with wrong UTF-8": {from("ann", wrapperspb.Double(1)), "internal true"},
	} {
		for range 3 {
			if got := code(c.r); got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	}
	ask(t, s, from("ann", wrapperspb.Int64(1)))
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "after its handler had ended") {
			t.Errorf("Suspend after the end: %v", p)
		}
	}()
	h.kept.Suspend(func() {})
}

// passes forwards its request to another service.
type passes struct{}

func (passes) StringValue(c *service.Ctx, r *wrapperspb.StringValue) error {
	_, err := c.Call(rpc.Address{Type: "nobody"}, r)
	return err
}

// TestAHandlerThatRanIsNotTakenForOneThatDidNot: gateways send a request that was not begun to another instance.
func TestAHandlerThatRanIsNotTakenForOneThatDidNot(t *testing.T) {
	s := start(t, service.Config{Client: []any{passes{}}, Bus: rpc.NewMemoryBus()})
	if a := ask(t, s, from("ann", wrapperspb.String(""))); a.Err == nil || a.Err.Code != rpc.Unavailable || !a.Err.Maybe || a.Err.NotBegun {
		t.Fatalf("got %+v", a.Err)
	}
	if a := ask(t, start(t, service.Config{Client: []any{passes{}}}), from("ann", wrapperspb.String(""))); a.Err.Code != rpc.FailedPrecondition {
		t.Fatalf("without a bus: %v", a.Err)
	}
}

// asks forwards its request and reports the answer.
type asks struct{ got chan string }

func (a asks) StringValue(c *service.Ctx, r *wrapperspb.StringValue) error {
	m, err := c.Call(rpc.Address{Type: "other", ID: r.Value}, r)
	if err == nil {
		err = c.Tell(rpc.Address{Type: "other", All: true}, r)
	}
	a.got <- fmt.Sprint(m, " ", err)
	return nil
}

// TestServicesAreCalledInAFormatThatTheyTake has one instance of another service that accepts only JSON.
func TestServicesAreCalledInAFormatThatTheyTake(t *testing.T) {
	b := rpc.NewMemoryBus()
	seen := make(chan string, 8)
	for _, id := range []string{"python", "go"} {
		b.Serve("other", id, func(r *rpc.Request, done func(rpc.Response)) {
			seen <- fmt.Sprintf("%s %s %s %q", id, r.Message, r.Format, r.Payload)
			done(rpc.Response{Message: "StringValue", Format: r.Format, Payload: r.Payload})
		})
	}
	a := asks{make(chan string, 1)}
	s := start(t, service.Config{Client: []any{a}, Bus: b, Takes: func(to rpc.Address, f rpc.Format) bool {
		return to.Type != "other" || f == rpc.JSON || to.ID == "go"
	}})
	for id, want := range map[string]string{
		"go":     `go StringValue protobuf "\n\x02go"`,
		"python": `python StringValue json "\"python\""`,
	} {
		ask(t, s, from("ann", wrapperspb.String(id)))
		if got, answer := <-seen, <-a.got; got != want || !strings.HasPrefix(answer, "value:") || !strings.HasSuffix(answer, "<nil>") {
			t.Errorf("%s: sent %s, answered %s", id, got, answer)
		}
		for range 2 { // a message to all of them
			if got := <-seen; !strings.Contains(got, " json ") {
				t.Errorf("told %s", got)
			}
		}
	}
}

// spawner records what it spawns.
type spawner struct {
	ran  []string
	fail error
}

func (h *spawner) StringValue(c *service.Ctx, r *wrapperspb.StringValue) error {
	h.fail = c.Spawn(func(c *service.Ctx) {
		h.ran = append(h.ran, c.Player()+" "+r.Value)
		if r.Value == "panics" {
			panic("on purpose")
		}
		c.Suspend(func() {})
		h.ran = append(h.ran, "ends")
	})
	h.ran = append(h.ran, "handler")
	return nil
}

func TestWhatAHandlerSpawnsRunsAfterItAndBeforeClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &spawner{}
		s := start(t, service.Config{Client: []any{h}, Logger: (&captured{}).logger()})
		ask(t, s, from("ann", wrapperspb.String("a")))
		synctest.Wait()
		ask(t, s, from("ann", wrapperspb.String("panics")))
		closeIt(t, s)
		if got := fmt.Sprint(h.ran); got != "[handler ann a ends handler ann panics]" || h.fail != nil {
			t.Errorf("%s, %v", got, h.fail)
		}
	})
}

func TestWhatIsSpawnedCountsIntoTheBound(t *testing.T) {
	h := &spawner{}
	s := start(t, service.Config{Client: []any{h}, MaxWaiting: 1})
	ask(t, s, from("ann", wrapperspb.String("a")))
	var e *rpc.Error
	if !errors.As(h.fail, &e) || e.Code != rpc.ResourceExhausted {
		t.Fatalf("got %v", h.fail)
	}
}

func TestSuspendedRequestsCountIntoTheBound(t *testing.T) {
	g := &gated{gate: make(chan struct{})}
	s := start(t, service.Config{Client: []any{g}, MaxWaiting: 10})
	var answers sync.WaitGroup
	for i := range 10 {
		answers.Add(1)
		s.Handle(from(fmt.Sprint("p", i), wrapperspb.String("waits")), func(a rpc.Response) {
			defer answers.Done()
			if a.Err != nil {
				t.Error(a.Err)
			}
		})
	}
	eventually(t, func() bool { return s.Stats().InFlight == 10 })
	if a := ask(t, s, from("q", wrapperspb.String("x"))); a.Err == nil || a.Err.Code != rpc.ResourceExhausted || a.Err.Maybe {
		t.Fatalf("got %v", a.Err)
	}
	close(g.gate)
	answers.Wait()
	eventually(t, func() bool { return ask(t, s, from("q", wrapperspb.String("x"))).Err == nil })
}

// doors logs in the player that its request names.
type doors struct{}

func (doors) StringValue(c *service.Ctx, r *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return r, c.Login(r.Value)
}

func (doors) Int64Value(c *service.Ctx, _ *wrapperspb.Int64Value) error { return c.Login("ann") }

func (doors) BoolValue(c *service.Ctx, r *wrapperspb.BoolValue) error {
	if err := c.Login("ann"); err != nil {
		return err
	}
	return rpc.Errorf(rpc.PermissionDenied, "no")
}

func (doors) UInt32Value(c *service.Ctx, _ *wrapperspb.UInt32Value) (*wrapperspb.StringValue, error) {
	return wrapperspb.String(c.Player()), nil
}

func TestOnlyALoginMessageLogsInAndOnlyWhenItSucceeds(t *testing.T) {
	s := servicetest.Start(t, service.Config{
		Files: files, Client: []any{doors{}}, Login: []string{"StringValue", "BoolValue"}, Public: []string{"Int64Value"}, Logger: (&captured{}).logger(),
	})
	c := s.Session()
	for _, m := range []struct {
		m    protoreflect.ProtoMessage
		code rpc.Code
	}{
		{wrapperspb.UInt32(1), rpc.Unauthenticated},
		{wrapperspb.Int64(1), rpc.Internal},
		{wrapperspb.Bool(true), rpc.PermissionDenied},
		{wrapperspb.String(""), rpc.InvalidArgument},
		{wrapperspb.String(" ann"), rpc.InvalidArgument},
		{wrapperspb.String("a\nb"), rpc.InvalidArgument},
		{wrapperspb.String(strings.Repeat("a", 129)), rpc.InvalidArgument},
	} {
		_, err := c.Ask(m.m)
		var e *rpc.Error
		if !errors.As(err, &e) || e.Code != m.code || c.Name() != "" {
			t.Errorf("%v: got %v, want %s; the session is %q", m.m, err, m.code, c.Name())
		}
	}
	if _, err := c.Ask(wrapperspb.String("ann")); err != nil || c.Name() != "ann" {
		t.Fatalf("%v; the session is %q", err, c.Name())
	}
	if a, err := c.Ask(wrapperspb.UInt32(1)); err != nil || a.(*wrapperspb.StringValue).Value != "ann" {
		t.Fatalf("%v, %v", a, err)
	}
}
