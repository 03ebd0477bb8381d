package service_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/systems/script"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// files are messages that every Go program with Protobuf has, such as StringValue and Int64Value.
var files = []protoreflect.FileDescriptor{wrapperspb.File_google_protobuf_wrappers_proto}

// start makes a service and closes it when the test ends.
func start(t *testing.T, c service.Config) *service.Service {
	t.Helper()
	c.Type, c.ID = "game", "game-1"
	if c.Files == nil {
		c.Files = files
	}
	if c.Store == nil {
		c.Store = rpc.NewMemoryStore()
	}
	s, err := service.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, s) })
	return s
}

func closeIt(t *testing.T, s *service.Service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// from makes a request of a player's client.
func from(player string, m proto.Message) *rpc.Request {
	payload, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return &rpc.Request{Message: string(m.ProtoReflect().Descriptor().Name()), Payload: payload, Player: player, Session: "gateway-1/1", Timeout: patience}
}

// ask sends a request and waits for its answer.
func ask(t *testing.T, s *service.Service, r *rpc.Request) rpc.Response {
	t.Helper()
	done := make(chan rpc.Response, 1)
	s.Handle(r, func(a rpc.Response) { done <- a })
	select {
	case a := <-done:
		return a
	case <-time.After(patience):
		t.Fatal("no answer")
		panic("unreachable")
	}
}

// text returns the StringValue in an answer.
func text(t *testing.T, a rpc.Response) string {
	t.Helper()
	if a.Err != nil {
		t.Fatalf("the request failed: %v", a.Err)
	}
	var v wrapperspb.StringValue
	if err := proto.Unmarshal(a.Payload, &v); err != nil {
		t.Fatal(err)
	}
	return v.Value
}

type echo struct{}

func (echo) StringValue(_ *service.Ctx, r *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return wrapperspb.String("echo " + r.Value), nil
}

func (echo) Int64Value(*service.Ctx, *wrapperspb.Int64Value) error {
	return rpc.Errorf(rpc.NotFound, "there is no %d", 7)
}

func (echo) BoolValue(*service.Ctx, *wrapperspb.BoolValue) error { panic("on purpose") }

func (echo) DoubleValue(*service.Ctx, *wrapperspb.DoubleValue) error {
	return fmt.Errorf("the secret word")
}

func TestGoHandlersAreFoundByTheirNames(t *testing.T) {
	s := start(t, service.Config{Client: []any{echo{}}})
	if got := text(t, ask(t, s, from("ann", wrapperspb.String("hi")))); got != "echo hi" {
		t.Fatalf("answer %q", got)
	}
	names := map[string]bool{}
	for _, m := range s.Methods() {
		names[m.Name] = true
	}
	if !names["StringValue"] || !names["Int64Value"] || len(names) != 4 {
		t.Fatalf("methods %v", names)
	}
}

func TestErrorsReachTheCallerWithTheirCodes(t *testing.T) {
	s := start(t, service.Config{Client: []any{echo{}}, Server: []any{other{}}})
	bad := from("ann", wrapperspb.String("x"))
	bad.Payload = []byte{0xff, 0xff}
	typo := from("ann", wrapperspb.String("x"))
	typo.Message = "StringValu"
	stranger := from("", wrapperspb.String("x"))
	forbidden := from("ann", wrapperspb.UInt32(1))
	service := from("", wrapperspb.String("x"))
	service.Session = ""
	for name, c := range map[string]struct {
		r     *rpc.Request
		code  rpc.Code
		text  string
		maybe bool
	}{
		"its own":          {from("ann", wrapperspb.Int64(7)), rpc.NotFound, "there is no 7", false},
		"a panic":          {from("ann", wrapperspb.Bool(true)), rpc.Internal, "internal error", true},
		"any error":        {from("ann", wrapperspb.Double(1)), rpc.Internal, "internal error", true},
		"a bad payload":    {bad, rpc.InvalidArgument, "", false},
		"no handler":       {typo, rpc.Unimplemented, "service game has no handler for StringValu (did you mean StringValue?)", false},
		"nobody logged in": {stranger, rpc.Unauthenticated, "StringValue needs a login", false},
		"a server handler": {forbidden, rpc.PermissionDenied, "UInt32Value is not for clients: service game handles it for services only", false},
		"a client handler": {service, rpc.Unimplemented, "service game handles StringValue for players only, and this request did not come from a player's client", false},
	} {
		a := ask(t, s, c.r)
		if a.Err == nil || a.Err.Code != c.code || c.text != "" && a.Err.Text != c.text || a.Err.Maybe != c.maybe {
			t.Errorf("%s: got %v, want %s %q, maybe %v", name, a.Err, c.code, c.text, c.maybe)
		}
	}
}

type other struct{}

func (other) UInt32Value(*service.Ctx, *wrapperspb.UInt32Value) error { return nil }

type wrongShape struct{}

func (wrongShape) StringValue(*service.Ctx, *wrapperspb.Int64Value) error { return nil }

type unknownMessage struct{}

func (unknownMessage) StringValu(*service.Ctx, *wrapperspb.StringValue) error { return nil }

func TestHandlersThatCannotWorkAreRefusedAtTheStart(t *testing.T) {
	star := func(name, source string) []script.Module {
		return []script.Module{{Name: name, Source: []byte(source)}}
	}
	for want, c := range map[string]service.Config{
		"it takes a *wrapperspb.Int64Value":                        {Client: []any{wrongShape{}}},
		"there is no message StringValu (did you mean StringV":     {Client: []any{unknownMessage{}}},
		"service_test.echo.BoolValue already handles BoolValue":    {Client: []any{echo{}, echo{}}},
		"handlers_client/a.star:1:1: Handler_StringValue: service": {Client: []any{echo{}}, Scripts: star("handlers_client/a.star", "def Handler_StringValue(client, request): pass")},
		"handlers_client/a.star:1:1: Handler_Nothing: there i":     {Scripts: star("handlers_client/a.star", "def Handler_Nothing(client, request): pass")},
		"want def Handler_StringValue(client, request)":            {Scripts: star("handlers_client/a.star", "def Handler_StringValue(): pass")},
		"there is no message Strin":                                {Login: []string{"Strin"}},
	} {
		c.Type, c.ID, c.Files = "game", "game-1", files
		s, err := service.New(c)
		if err == nil {
			closeIt(t, s)
			t.Errorf("want an error with %q", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
}

// gated is a handler that waits, suspended, until its gate opens.
type gated struct {
	gate    chan struct{}
	running atomic.Int32
	most    atomic.Int32
	mu      sync.Mutex
	order   []string
}

func (g *gated) StringValue(c *service.Ctx, r *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	enter := func() {
		if n := g.running.Add(1); n > g.most.Load() {
			g.most.Store(n)
		}
		time.Sleep(100 * time.Microsecond) // long enough for two at once to overlap
		g.running.Add(-1)
	}
	enter()
	g.mu.Lock()
	g.order = append(g.order, c.Player()+" begins "+r.Value)
	g.mu.Unlock()
	if r.Value == "waits" {
		c.Suspend(func() { <-g.gate })
		enter()
	}
	g.mu.Lock()
	g.order = append(g.order, c.Player()+" ends "+r.Value)
	g.mu.Unlock()
	return r, nil
}

func TestASuspendedHandlerHoldsItsPlayerAndNobodyElse(t *testing.T) {
	g := &gated{gate: make(chan struct{})}
	s := start(t, service.Config{Client: []any{g}})
	var answers sync.WaitGroup
	send := func(player, value string) {
		answers.Add(1)
		s.Handle(from(player, wrapperspb.String(value)), func(rpc.Response) { answers.Done() })
	}
	send("ann", "waits")
	send("ann", "second")
	if got := text(t, ask(t, s, from("ben", wrapperspb.String("other")))); got != "other" {
		t.Fatalf("answer %q", got)
	}
	close(g.gate)
	answers.Wait()
	want := []string{"ann begins waits", "ben begins other", "ben ends other", "ann ends waits", "ann begins second", "ann ends second"}
	if fmt.Sprint(g.order) != fmt.Sprint(want) {
		t.Fatalf("order %v, want %v", g.order, want)
	}
}

func TestNeverTwoHandlersAtOnce(t *testing.T) {
	g := &gated{gate: make(chan struct{})}
	close(g.gate)
	s := start(t, service.Config{Client: []any{g}})
	var answers sync.WaitGroup
	var answered atomic.Int32
	for i := range 40 {
		for _, value := range []string{"waits", "goes", "waits"} {
			answers.Add(1)
			go s.Handle(from(fmt.Sprint("p", i%13), wrapperspb.String(value)), func(rpc.Response) { answered.Add(1); answers.Done() })
		}
	}
	answers.Wait()
	if g.most.Load() != 1 || answered.Load() != 120 {
		t.Fatalf("%d handlers at once, %d answers", g.most.Load(), answered.Load())
	}
}

func TestTheQueueOfOnePlayerIsBounded(t *testing.T) {
	g := &gated{gate: make(chan struct{})}
	s := start(t, service.Config{Client: []any{g}})
	var answers sync.WaitGroup
	var refused, ok atomic.Int32
	send := func(player, value string) {
		answers.Add(1)
		s.Handle(from(player, wrapperspb.String(value)), func(a rpc.Response) {
			defer answers.Done()
			switch {
			case a.Err == nil:
				ok.Add(1)
			case a.Err.Code == rpc.ResourceExhausted && !a.Err.Maybe:
				refused.Add(1)
			default:
				t.Error(a.Err)
			}
		})
	}
	send("ann", "waits")
	for range 300 {
		send("ann", "x")
	}
	send("ben", "x")
	if n := refused.Load(); n != 300-256 {
		t.Errorf("%d of 300 were refused, want all but 256", n)
	}
	close(g.gate)
	answers.Wait()
	if n := ok.Load(); n != 258 {
		t.Errorf("%d were executed", n)
	}
}

func TestWhatWaitedTooLongIsNotExecuted(t *testing.T) {
	g := &gated{gate: make(chan struct{})}
	s := start(t, service.Config{Client: []any{g}})
	first, late := make(chan rpc.Response, 1), make(chan rpc.Response, 1)
	s.Handle(from("ann", wrapperspb.String("waits")), func(a rpc.Response) { first <- a })
	r := from("ann", wrapperspb.String("late"))
	r.Timeout = time.Millisecond
	s.Handle(r, func(a rpc.Response) { late <- a })
	time.Sleep(5 * time.Millisecond) // its deadline passes, however slow the machine is
	close(g.gate)
	<-first
	a := <-late
	if a.Err == nil || a.Err.Code != rpc.DeadlineExceeded || a.Err.Maybe {
		t.Fatalf("got %v", a.Err)
	}
	if fmt.Sprint(g.order) != "[ann begins waits ann ends waits]" {
		t.Fatalf("order %v", g.order)
	}
}

func TestCloseAnswersWhatItTookAndRefusesTheRest(t *testing.T) {
	g := &gated{gate: make(chan struct{})}
	s := start(t, service.Config{Client: []any{g}})
	done := make(chan rpc.Response, 1)
	s.Handle(from("ann", wrapperspb.String("waits")), func(a rpc.Response) { done <- a })
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.Close(short); err == nil {
		t.Fatal("Close did not report a running handler")
	}
	if a := ask(t, s, from("ben", wrapperspb.String("x"))); a.Err == nil || a.Err.Code != rpc.Unavailable || a.Err.Maybe {
		t.Fatalf("got %v", a.Err)
	}
	close(g.gate)
	if a := <-done; a.Err != nil {
		t.Fatal(a.Err)
	}
}

func unmarshal(t *testing.T, a rpc.Response, out proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(a.Payload, out); err != nil {
		t.Fatal(err)
	}
}
