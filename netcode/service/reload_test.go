package service_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/service/servicetest"
	"github.com/ferris1/wind/systems/script"
)

func TestReloadsAddAndRemoveHandlersAndLeaveThoseInGo(t *testing.T) {
	s := servicetest.Start(t, service.Config{Files: files, Client: []any{onlyText{}}, Scripts: client(`
def Handler_Int64Value(client, request): pass
def Handler_BoolValue(client, request): pass
`)})
	names := func() string {
		var all []string
		for _, m := range s.Methods() {
			all = append(all, m.Name)
		}
		return strings.Join(all, " ")
	}
	if got := names(); got != "BoolValue Int64Value StringValue" {
		t.Fatalf("methods %s", got)
	}
	report := s.Reload(script.Module{Name: "handlers_client/a.star", Source: []byte(`
def Handler_Int64Value(client, request): return request
def Handler_BytesValue(client, request): pass
`)})
	if got := report.String(); got != "changed handlers_client/a.star:Handler_Int64Value; added handlers_client/a.star:Handler_BytesValue; removed handlers_client/a.star:Handler_BoolValue" {
		t.Fatalf("report %s", got)
	}
	if got := names(); got != "BytesValue Int64Value StringValue" {
		t.Fatalf("methods %s", got)
	}
	if _, err := s.Player("ann").Ask(wrapperspb.Bool(true)); err == nil || !strings.Contains(err.Error(), "service game has no handler for BoolValue") {
		t.Fatalf("a handler that was removed: %v", err)
	}
	s.Reload(script.Module{Name: "handlers_client/a.star"})
	if got := names(); got != "StringValue" || len(s.Modules()) != 0 {
		t.Fatalf("methods %s, modules %v", got, s.Modules())
	}
	_, err := s.Prepare("r", client("def Handler_StringValue(client, request): pass"))
	wantError(t, err, "handlers_client/a.star:1:1: Handler_StringValue: service_test.onlyText.StringValue already handles StringValue")
}

type onlyText struct{}

func (onlyText) StringValue(*service.Ctx, *wrapperspb.StringValue) error { return nil }

func TestScriptTimersRunInTimeAndOfOneSetOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := func(name string) []script.Module {
			return client(`
def tick():
    memory.add("` + name + ` begins")
    sleep(0.5)
    memory.add("` + name + ` ends")
every(1, tick)
` + answering("pass", `[memory.get(request.value + " begins", 0), memory.get(request.value + " ends", 0)]`))
		}
		s := start(t, service.Config{Scripts: source("one")})
		count := func(name string) string { return text(t, ask(t, s, from("ann", wrapperspb.String(name)))) }
		time.Sleep(5*time.Second + 100*time.Millisecond)
		if got := count("one"); got != "[5, 4]" {
			t.Errorf("after 5.1 s: %s", got)
		}
		if _, err := s.Prepare("r", source("two")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := count("two"); got != "[0, 0]" {
			t.Errorf("the timer of a dry run has run: %s", got)
		}
		if err := s.Commit("r"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Second + 100*time.Millisecond)
		if one, two := count("one"), count("two"); one != "[6, 6]" || two != "[5, 4]" {
			t.Errorf("after the reload: %s and %s", one, two)
		}
	})
}

// holds keeps the thread without suspending.
type holds struct{ gate chan struct{} }

func (h holds) BoolValue(*service.Ctx, *wrapperspb.BoolValue) error { <-h.gate; return nil }

func TestATimerThatWaitsForItsTurnDoesNotRunAfterAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := func(line string) []script.Module {
			return client("def tick():\n    memory.add(\"runs\")\n" + line + "\n" + answering("pass", `memory.get("runs", 0)`))
		}
		h := holds{make(chan struct{})}
		s := start(t, service.Config{Client: []any{h}, Scripts: source("every(1, tick)")})
		send(s, within(time.Hour, from("ben", wrapperspb.Bool(true))))
		time.Sleep(1500 * time.Millisecond)
		if _, err := s.Prepare("r", source("")); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit("r"); err != nil {
			t.Fatal(err)
		}
		close(h.gate)
		if got := text(t, ask(t, s, from("ann", wrapperspb.String("")))); got != "0" {
			t.Errorf("%s runs of the old timer", got)
		}
	})
}

func TestTimersOfScriptsAreBounded(t *testing.T) {
	for line, want := range map[string]string{
		"every(0.001, f)":                       "period of at least 0.01 seconds",
		"[every(1, f) for i in range(257)]":     "at most 256 timers",
		`every("1", f)`:                         `"1" is not a number of seconds`,
		"every(1, len)":                         "got builtin_function_or_method, want function",
		"every(1, lambda client: None)\nx = y1": "a.star:3:5: undefined: y1",
	} {
		_, err := service.New(service.Config{Type: "game", ID: "game-1", Files: files, Scripts: client("def f(): pass\n" + line)})
		wantError(t, err, want)
	}
}

func TestAFailureOfATimerIsLoggedWithItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &captured{}
		start(t, service.Config{Logger: log.logger(), Scripts: client("def f():\n    fail(\"on purpose\")\nevery(1, f)")})
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if !strings.Contains(log.String(), "handlers_client/a.star:2:9: f: fail: on purpose") {
			t.Errorf("the log: %s", log)
		}
	})
}

func TestAnEndlessLoopHoldsOthersNoLongerThanItsBudget(t *testing.T) {
	log := &captured{}
	s := start(t, service.Config{StepBudget: 200_000, Client: []any{onlyText{}}, Logger: log.logger(), Scripts: client("def Handler_Int64Value(client, request):\n    while True:\n        pass\n")})
	loop := make(chan rpc.Response, 1)
	s.Handle(from("ann", wrapperspb.Int64(1)), func(a rpc.Response) { loop <- a })
	if a := ask(t, s, from("ben", wrapperspb.String("x"))); a.Err != nil {
		t.Fatal(a.Err)
	}
	select {
	case a := <-loop:
		if a.Err == nil || a.Err.Code != rpc.ResourceExhausted || !a.Err.Maybe {
			t.Fatalf("got %v", a.Err)
		}
	default:
		t.Fatal("the other handler did not wait for the loop's end")
	}
	if !strings.Contains(log.String(), "Handler_Int64Value used more than 200000 steps") || !strings.Contains(log.String(), "handlers_client/a.star:") {
		t.Fatalf("the log: %s", log)
	}
}

func TestPrintAndLogGoToTheLog(t *testing.T) {
	log := &captured{}
	s := start(t, service.Config{Logger: log.logger(), Scripts: client("print(\"while loading\")\n" + answering(`print("one", 2); log("three", player = client.player, n = 4)`, "now() > 1e9 and 0 <= random() and random(5) < 5"))})
	if got := text(t, ask(t, s, from("ann", wrapperspb.String("")))); got != "True" {
		t.Fatalf("answer %s", got)
	}
	for _, want := range []string{`msg="while loading" module=handlers_client/a.star`, `msg="one 2" in=Handler_StringValue`, `msg=three player=ann n=4`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, log)
		}
	}
}

func TestStoreInScripts(t *testing.T) {
	s := start(t, service.Config{Scripts: client(answering("pass", "STEPS(request.value)") + `
def STEPS(text):
    r = store.put("x", {"a": [1, None]}, 0)
    out = [store.get("none"), store.get("x")[0], store.get("x")[1] == r, store.try_put("x", 1, r + 1)]
    r = store.try_put("x", 2, r)
    out += [store.get("x") == (2, r), store.keys(""), store.keys("y"), store.delete("x", r + 1), store.delete("x", r), store.get("x")]
    return out
`)})
	want := `[(None, 0), {"a": [1, None]}, True, None, True, ["x"], [], False, True, (None, 0)]`
	if got := text(t, ask(t, s, from("ann", wrapperspb.String("")))); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestTellReachesOneOrAll(t *testing.T) {
	bus := rpc.NewMemoryBus()
	var got []string
	for _, id := range []string{"b-1", "b-2"} {
		bus.Serve("b", id, func(r *rpc.Request, done func(rpc.Response)) {
			got = append(got, fmt.Sprint(id, " ", r.Message, " ", r.From, " ", r.Session))
			done(rpc.Response{})
		})
	}
	s := start(t, service.Config{Bus: bus, Scripts: client(answering(`tell("b", request, id = "b-2"); tell("b", request, all = True)`, "1"))})
	ask(t, s, from("ann", wrapperspb.String("")))
	if fmt.Sprint(got) != "[b-2 StringValue game/game-1  b-1 StringValue game/game-1  b-2 StringValue game/game-1 ]" {
		t.Fatalf("%q", got)
	}
}

// TestADryRunAndAHandlerAreBounded: code that would crash the process fails only the reload or the handler.
func TestADryRunAndAHandlerAreBounded(t *testing.T) {
	log := &captured{}
	s := start(t, service.Config{Logger: log.logger(), Scripts: client(`
def Handler_StringValue(client, request):
    if request.value == "squares":
        x = 12345
        for i in range(40):
            x *= x
    elif request.value == "a billion":
        x = [0] * 1000000000
    elif request.value == "prints":
        for i in range(1000):
            print("x" * 5000)
            log("y" * 5000, field = ["z"] * 5000)
    elif request.value == "digits":
        json.decode("9" * 100000)
    elif request.value == "encodes":
        x = ["x" * 1000] * 3000
        while True:
            json.encode(x)
    return request
`)})
	for _, way := range []string{"squares", "a billion", "digits", "encodes"} {
		if a := ask(t, s, from("ann", wrapperspb.String(way))); a.Err == nil || !a.Err.Maybe {
			t.Errorf("%s: %v", way, a.Err)
		}
	}
	before := len(log.String())
	text(t, ask(t, s, from("ann", wrapperspb.String("prints"))))
	if n := len(log.String()) - before; n > 100<<10 {
		t.Errorf("one request has logged %d bytes", n)
	}
	for source, want := range map[string]string{
		"X = [0] * 1000000000":                     "handlers_client/b.star:1:9: * makes more than 1048576 elements",
		"X = 99999 * 99999 * 99999":                "", // small enough
		"X = 'x' * 10000000000":                    "handlers_client/b.star:1:9: * makes a text of more than 4194304 bytes",
		"X = [[0]]\nwhile True:\n    X[0] += X[0]": "handlers_client/b.star:3:10: loading used more than 1000000 steps",
	} {
		_, err := s.Prepare("r", []script.Module{{Name: "handlers_client/b.star", Source: []byte(source + "\n")}})
		if got := fmt.Sprint(err); got != want && (want != "" || err != nil) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}
