package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/systems/script"
)

// client makes a module of client handlers.
func client(source string) []script.Module {
	return []script.Module{{Name: "handlers_client/a.star", Source: []byte(source)}}
}

func TestStarlarkHandlersAnswer(t *testing.T) {
	bus := rpc.NewMemoryBus()
	s := start(t, service.Config{Bus: bus, Scripts: client(`
def Handler_StringValue(client, request):
    memory.add("seen")
    client.push(StringValue(value = "to you"))
    broadcast(StringValue(value = "to all"))
    return StringValue(value = "%s says %s, %d" % (client.player, request.value, memory.get("seen")))

def Handler_Int64Value(client, request):
    error("not_found", "there is no %d" % request.value)

def Handler_BoolValue(client, request):
    return 7
`)})
	if got := text(t, ask(t, s, from("ann", wrapperspb.String("hi")))); got != "ann says hi, 1" {
		t.Fatalf("answer %q", got)
	}
	json := from("ben", wrapperspb.String(""))
	json.Format, json.Payload = rpc.JSON, []byte(`"hello"`)
	if a := ask(t, s, json); a.Err != nil || string(a.Payload) != `"ben says hello, 2"` || a.Format != rpc.JSON {
		t.Fatalf("answer %q, %v", a.Payload, a.Err)
	}
	if p := bus.Pushes(); len(p) != 4 || p[0].Player != "ann" || p[1].Player != "" || p[1].Message != "StringValue" {
		t.Fatalf("pushes %v", p)
	}
	if a := ask(t, s, from("ann", wrapperspb.Int64(7))); a.Err == nil || a.Err.Code != rpc.NotFound || a.Err.Text != "there is no 7" {
		t.Fatalf("got %v", a.Err)
	}
	if a := ask(t, s, from("ann", wrapperspb.Bool(true))); a.Err == nil || a.Err.Code != rpc.Internal {
		t.Fatalf("got %v", a.Err)
	}
}

func TestAnEndlessLoopEndsAlone(t *testing.T) {
	s := start(t, service.Config{StepBudget: 100_000, Client: []any{echo{}}, Scripts: []script.Module{{Name: "handlers_server/a.star", Source: []byte(`
def Handler_UInt32Value(caller, request):
    while True:
        pass
`)}}})
	r := from("", wrapperspb.UInt32(1))
	r.Session, r.From = "", "other/1"
	if a := ask(t, s, r); a.Err == nil || a.Err.Code != rpc.ResourceExhausted || !a.Err.Maybe {
		t.Fatalf("got %v", a.Err)
	}
	if got := text(t, ask(t, s, from("ann", wrapperspb.String("x")))); got != "echo x" {
		t.Fatalf("answer %q", got)
	}
}

// slowStore is a store whose reads wait.
type slowStore struct {
	*rpc.MemoryStore
	gate chan struct{}
}

func (s slowStore) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	b, revision, err := s.MemoryStore.Get(ctx, key)
	<-s.gate
	return b, revision, err
}

func TestASuspendedHandlerCannotLoseAnothersWrite(t *testing.T) {
	store := slowStore{rpc.NewMemoryStore(), make(chan struct{})}
	s := start(t, service.Config{Store: store, Scripts: client(`
def Handler_StringValue(client, request):
    value, revision = store.get("shared")
    all = (value or []) + [request.value]
    store.put("shared", all, revision)
    return StringValue(value = str(len(all)))
`)})
	answers := make(chan rpc.Response, 2)
	for _, player := range []string{"ann", "ben"} {
		s.Handle(from(player, wrapperspb.String(player)), func(a rpc.Response) { answers <- a })
	}
	close(store.gate) // both have read revision 0, or the second one reads later
	lost, kept := 0, 0
	for range 2 {
		switch a := <-answers; {
		case a.Err == nil:
			kept++
		case a.Err.Code == rpc.Aborted && strings.Contains(a.Err.Text, `"shared" was changed`):
			lost++
		default:
			t.Fatal(a.Err)
		}
	}
	b, _, err := store.MemoryStore.Get(t.Context(), "shared")
	if err != nil || strings.Count(string(b), ",") != kept-1 {
		t.Fatalf("%d writes succeeded and %d failed, the store has %s", kept, lost, b)
	}
}

func TestReloadsSwapWholeAndBrokenOnesChangeNothing(t *testing.T) {
	one := client(`
load("lib/words.star", "word")
def Handler_StringValue(client, request):
    return StringValue(value = word())
`)
	words := func(w string) script.Module {
		return script.Module{Name: "lib/words.star", Source: []byte("def word():\n    return \"" + w + "\"\n")}
	}
	s := start(t, service.Config{Scripts: append(one, words("old"))})
	say := func() string { return text(t, ask(t, s, from("ann", wrapperspb.String("")))) }
	for source, want := range map[string]string{
		"def word(:":                              "lib/words.star:1:",
		"def word():\n    return wrd":             "lib/words.star:2:12: undefined: wrd",
		"while True:\n    pass":                   "steps",
		"def other(): pass":                       "word",
		"store.get(\"x\")\ndef word(): pass":      "store.get can be used in handlers",
		"def word(): pass\ndef Handler_X(): pass": "lib/words.star:2:1: Handler_X: handlers belong in",
	} {
		_, err := s.Prepare("bad", []script.Module{{Name: "lib/words.star", Source: []byte(source)}})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", source, err, want)
		}
		s.Abort("bad")
		if got := say(); got != "old" {
			t.Fatalf("a broken reload changed the answer to %q", got)
		}
	}
	report, err := s.Prepare("new", []script.Module{words("new")})
	if err != nil || fmt.Sprint(report.Changed) != "[handlers_client/a.star:Handler_StringValue lib/words.star:word]" {
		t.Fatalf("report %v, %v", report, err)
	}
	if got := say(); got != "old" {
		t.Fatalf("a dry run changed the answer to %q", got)
	}
	if err := s.Commit("new"); err != nil {
		t.Fatal(err)
	}
	if got := say(); got != "new" {
		t.Fatalf("answer %q", got)
	}
	if err := s.Commit("new"); err == nil {
		t.Fatal("a reload was committed twice")
	}
}

func TestAHandlerFinishesOnTheCodeThatItBeganWith(t *testing.T) {
	gate := make(chan struct{})
	bus := rpc.NewMemoryBus()
	bus.Serve("slow", "slow-1", func(r *rpc.Request, done func(rpc.Response)) {
		go func() {
			<-gate
			done(rpc.Response{Message: "StringValue", Payload: r.Payload})
		}()
	})
	source := func(word string) []script.Module {
		return client(`
def ending():
    return "` + word + `"
def Handler_StringValue(client, request):
    begin = "` + word + `"
    call("slow", request)
    return StringValue(value = begin + " " + ending())
`)
	}
	s := start(t, service.Config{Bus: bus, Scripts: source("old")})
	first := make(chan rpc.Response, 1)
	s.Handle(from("ann", wrapperspb.String("x")), func(a rpc.Response) { first <- a })
	eventually(t, func() bool { return s.Stats().InFlight == 1 })
	if _, err := s.Prepare("r", source("new")); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit("r"); err != nil {
		t.Fatal(err)
	}
	close(gate)
	if got := text(t, <-first); got != "old old" {
		t.Fatalf("answer %q", got)
	}
	if got := text(t, ask(t, s, from("ann", wrapperspb.String("x")))); got != "new new" {
		t.Fatalf("answer %q", got)
	}
}

func eventually(t *testing.T, cond func() bool) {
	t.Helper()
	for begin := time.Now(); !cond(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatal("it did not happen in time")
		}
	}
}

// TestNoRequestIsAnsweredByHalfOldCode repeatedly reloads a handler and its library while others call it. Both must
// always agree.
func TestNoRequestIsAnsweredByHalfOldCode(t *testing.T) {
	source := func(n int) []script.Module {
		return append(client(fmt.Sprintf(`
load("lib/n.star", "n")
def Handler_StringValue(client, request):
    return StringValue(value = "%d %%d" %% n())
`, n)), script.Module{Name: "lib/n.star", Source: []byte(fmt.Sprintf("def n():\n    return %d\n", n))})
	}
	s := start(t, service.Config{Scripts: source(0)})
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var a, b int
				if _, err := fmt.Sscan(text(t, ask(t, s, from(fmt.Sprint("p", i), wrapperspb.String("")))), &a, &b); err != nil || a != b {
					t.Errorf("half old code: %d and %d (%v)", a, b, err)
					return
				}
			}
		})
	}
	for n := 1; n <= 30; n++ {
		if _, err := s.Prepare("r", source(n)); err != nil {
			t.Error(err)
		}
		if err := s.Commit("r"); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	callers.Wait()
}

func TestTimersOfAReloadedSetStop(t *testing.T) {
	source := func(name string) []script.Module {
		return client(`
def tick():
    memory.add("` + name + `")
every(0.01, tick)
def Handler_StringValue(client, request):
    return StringValue(value = str(memory.get(request.value, 0)))
`)
	}
	s := start(t, service.Config{Scripts: source("one")})
	count := func(name string) (n int) {
		if _, err := fmt.Sscan(text(t, ask(t, s, from("ann", wrapperspb.String(name)))), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, func() bool { return count("one") >= 2 })
	if _, err := s.Prepare("r", source("two")); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit("r"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return count("two") >= 1 })
	before := count("one")
	eventually(t, func() bool { return count("two") >= 5 })
	if after := count("one"); after > before+1 {
		t.Fatalf("the old timer ran %d times after the reload", after-before)
	}
}

func TestServicesCallEachOther(t *testing.T) {
	bus := rpc.NewMemoryBus()
	back := start(t, service.Config{Bus: bus, Scripts: []script.Module{{Name: "handlers_server/a.star", Source: []byte(`
def Handler_StringValue(caller, request):
    if request.value == "bad":
        error("failed_precondition", "no")
    return StringValue(value = caller.service + " asks " + request.value)
`)}}})
	bus.Serve("back", "back-1", back.Handle)
	front := start(t, service.Config{Bus: bus, Scripts: client(`
def Handler_StringValue(client, request):
    return call("back", request)
def Handler_Int64Value(client, request):
    return call("back", StringValue(value = "bad"), default = StringValue(value = "instead"))
`)})
	if got := text(t, ask(t, front, from("ann", wrapperspb.String("x")))); got != "game/game-1 asks x" {
		t.Fatalf("answer %q", got)
	}
	if a := ask(t, front, from("ann", wrapperspb.String("bad"))); a.Err == nil || a.Err.Code != rpc.FailedPrecondition {
		t.Fatalf("got %v", a.Err)
	}
	if got := text(t, ask(t, front, from("ann", wrapperspb.Int64(1)))); got != "instead" {
		t.Fatalf("answer %q", got)
	}
}

func TestRateLimitIsPerPlayer(t *testing.T) {
	s := start(t, service.Config{Client: []any{echo{}}, Middleware: []service.Middleware{service.RateLimit(0.001, 2)}})
	for i, want := range []bool{true, true, false} {
		if a := ask(t, s, from("ann", wrapperspb.String("x"))); (a.Err == nil) != want {
			t.Fatalf("request %d: %v", i, a.Err)
		}
	}
	if a := ask(t, s, from("ben", wrapperspb.String("x"))); a.Err != nil {
		t.Fatal(a.Err)
	}
}

// FuzzHandle sends what a client can send, any name with any payload, to handlers in Go and to scripts that read all of
// it.
func FuzzHandle(f *testing.F) {
	f.Add("StringValue", []byte{10, 1, 'x'}, false)
	f.Add("StringValue", []byte(`"x"`), true)
	f.Add("TradeRequest", []byte(`{"item": {"name": "axe"}, "prices": {"a": 1}, "tree": {"child": {"more": [{}]}}, "kind": 1, "named": {"a": {}}}`), true)
	f.Add("TradeRequest", []byte{10, 5, 10, 3, 'a', 'x', 'e', 40, 9, 82, 2, 10, 0}, false)
	s, err := service.New(service.Config{
		Type: "game", ID: "game-1", Files: append([]protoreflect.FileDescriptor{compile(f, schema)}, files...), Client: []any{echo{}}, Logger: (&captured{}).logger(),
		Scripts: trader(`d = json.decode(json.encode(request)); memory["last"] = request; return {"text": str(request) + str(d), "echo": request}`),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close(context.Background()) })
	f.Fuzz(func(t *testing.T, message string, payload []byte, json bool) {
		r := &rpc.Request{Message: message, Payload: payload, Player: "p", Session: "g/1", Timeout: patience}
		if json {
			r.Format = rpc.JSON
		}
		done := make(chan rpc.Response, 1)
		s.Handle(r, func(a rpc.Response) { done <- a })
		a := <-done
		if a.Err != nil && a.Err.Code == rpc.Internal && message == "TradeRequest" && len(payload) < 1000 {
			t.Fatalf("a client can make a handler fail: %v", a.Err)
		}
	})
}

func BenchmarkHandle(b *testing.B) {
	s, err := service.New(service.Config{Type: "game", ID: "game-1", Files: files, Client: []any{echo{}}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(context.Background())
	bench(b, s)
}

var errNever = errors.New("never")

func TestErrorOfHidesWhatIsTheServicesBusiness(t *testing.T) {
	if e := rpc.ErrorOf(errNever); e.Code != rpc.Internal || e.Text != "internal error" {
		t.Fatal(e)
	}
	if e := rpc.ErrorOf(fmt.Errorf("x: %w", rpc.Errorf(rpc.NotFound, "y"))); e.Code != rpc.NotFound || e.Text != "y" {
		t.Fatal(e)
	}
}

func BenchmarkHandleStarlark(b *testing.B) {
	s, err := service.New(service.Config{Type: "game", ID: "game-1", Files: files, Scripts: client(`
def Handler_StringValue(client, request):
    return StringValue(value = "echo " + request.value)
`)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(context.Background())
	bench(b, s)
}

// bench sends requests of 64 players, 64 at once.
func bench(b *testing.B, s *service.Service) {
	b.ReportAllocs()
	requests := make([]*rpc.Request, 64)
	for i := range requests {
		requests[i] = from(fmt.Sprint("p", i), wrapperspb.String("hello"))
	}
	var answers sync.WaitGroup
	n := 0
	for b.Loop() {
		answers.Add(1)
		s.Handle(requests[n%64], func(rpc.Response) { answers.Done() })
		if n++; n%64 == 0 {
			answers.Wait()
		}
	}
	answers.Wait()
}
