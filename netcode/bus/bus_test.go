package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
)

func TestCallCarriesTheEnvelope(t *testing.T) {
	s := startNATS(t)
	want := rpc.Request{
		Message: "PlayerMoveRequest", Format: rpc.JSON, Payload: []byte(`{"x":1}`), Player: "Ανδρέας 😀", Session: "gateway-1/77",
		From: "gateway/gateway-1", Timeout: 3 * time.Second, Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
	got := make(chan rpc.Request, 1)
	serve(t, openBus(t, s), "game", "game-1", handlerFunc(func(r *rpc.Request) rpc.Response {
		got <- *r
		return rpc.Response{Message: "PlayerMoveResponse", Format: rpc.JSON, Payload: []byte(`{}`), Player: "é"}
	}))
	a, err := openBus(t, s).Call(testContext(t), rpc.Address{Type: "game", ID: "game-1"}, want)
	if err != nil || a.Message != "PlayerMoveResponse" || a.Format != rpc.JSON || string(a.Payload) != "{}" || a.Player != "é" {
		t.Fatalf("the answer is %+v, %v", a, err)
	}
	g := <-got
	if !bytes.Equal(g.Payload, want.Payload) {
		t.Fatalf("payload %q", g.Payload)
	}
	if g.Timeout > want.Timeout || g.Timeout < want.Timeout/2 { // ctx shortens it, too
		t.Fatalf("timeout %v", g.Timeout)
	}
	g.Payload, g.Timeout = want.Payload, want.Timeout
	if fmt.Sprint(g) != fmt.Sprint(want) {
		t.Fatalf("it got\n%+v, want\n%+v", g, want)
	}
}

func TestErrorsTravel(t *testing.T) {
	s := startNATS(t)
	serve(t, openBus(t, s), "game", "game-1", handlerFunc(func(r *rpc.Request) rpc.Response {
		return rpc.Response{Payload: []byte("not sent"), Err: &rpc.Error{Code: rpc.AlreadyExists, Text: "two\r\nlines\x00", Maybe: string(r.Payload) == "maybe"}}
	}))
	b := openBus(t, s)
	for _, maybe := range []bool{false, true} {
		_, err := call1(t, b, "game-1", map[bool]string{true: "maybe"}[maybe])
		if text := wantError(t, err, rpc.AlreadyExists, maybe); text != "two  lines" {
			t.Fatalf("text %q", text)
		}
	}
}

// TestNotBegunTravels also checks that Maybe wins if both are set.
func TestNotBegunTravels(t *testing.T) {
	s := startNATS(t)
	serve(t, openBus(t, s), "game", "game-1", handlerFunc(func(r *rpc.Request) rpc.Response {
		e := rpc.NotBegun(rpc.Unavailable, "closing")
		e.Maybe = string(r.Payload) == "maybe"
		return rpc.Response{Err: e}
	}))
	b := openBus(t, s)
	for payload, want := range map[string]bool{"": true, "maybe": false} {
		_, err := call1(t, b, "game-1", payload)
		if wantError(t, err, rpc.Unavailable, !want); err.(*rpc.Error).NotBegun != want {
			t.Errorf("%q: %+v", payload, err)
		}
	}
	_, err := call1(t, b, "game-9", "")
	if wantError(t, err, rpc.Unavailable, false); !err.(*rpc.Error).NotBegun {
		t.Errorf("without a receiver: %+v", err)
	}
}

// TestWhatWaitsInAServiceIsToldInTimeThatItWasNotBegun: the sender hears it from the service before its own timeout.
func TestWhatWaitsInAServiceIsToldInTimeThatItWasNotBegun(t *testing.T) {
	s := startNATS(t)
	gate, held := make(chan struct{}), make(chan struct{}, 1)
	made, err := service.New(service.Config{
		Type: "game", ID: "game-1", Files: []protoreflect.FileDescriptor{wrapperspb.File_google_protobuf_wrappers_proto},
		Server: []any{thread{gate, held}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, openBus(t, s), "game", "game-1", made)
	b := openBus(t, s)
	b.Send("game", "", &rpc.Request{Message: "StringValue", From: "test/1"}, func(rpc.Response) {})
	<-held
	for _, player := range []string{"", "ann", "ann"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := b.Call(ctx, rpc.Address{Type: "game"}, rpc.Request{Message: "StringValue", From: "test/1", Player: player})
		if wantError(t, err, rpc.DeadlineExceeded, false); !err.(*rpc.Error).NotBegun {
			t.Errorf("%+v", err)
		}
		cancel()
	}
	close(gate)
	if err := made.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if n := len(held); n != 0 {
		t.Error("a request was begun whose sender had given up")
	}
}

// thread is a handler that holds its service's thread.
type thread struct{ gate, held chan struct{} }

func (h thread) StringValue(*service.Ctx, *wrapperspb.StringValue) error {
	h.held <- struct{}{}
	<-h.gate
	return nil
}

func TestNobodyThereIsAnAnswerAtOnce(t *testing.T) {
	b := openBus(t, startNATS(t))
	start := time.Now()
	for _, id := range []string{"", "game-9"} {
		_, err := call1(t, b, id, "")
		wantError(t, err, rpc.Unavailable, false)
	}
	if took := time.Since(start); took > rpc.DefaultTimeout {
		t.Fatalf("it took %v", took)
	}
	if n := b.Stats().InFlight; n != 0 {
		t.Fatalf("%d in flight", n)
	}
}

func TestAnyIsSharedAndIDIsNot(t *testing.T) {
	s := startNATS(t)
	var counts [3]atomic.Int64
	for i := range counts {
		serve(t, openBus(t, s), "game", fmt.Sprintf("game-%d", i), handlerFunc(func(r *rpc.Request) rpc.Response {
			counts[i].Add(1)
			return rpc.Response{}
		}))
	}
	b := openBus(t, s)
	const n = 600
	for range n {
		if _, err := call1(t, b, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	sum := int64(0)
	for i := range counts {
		c := counts[i].Swap(0)
		if sum += c; c < n/3/4 {
			t.Errorf("instance %d took %d of %d", i, c, n)
		}
	}
	if sum != n {
		t.Errorf("%d requests were handled %d times", n, sum)
	}
	for range 50 {
		if _, err := call1(t, b, "game-1", ""); err != nil {
			t.Fatal(err)
		}
	}
	if counts[0].Load() != 0 || counts[1].Load() != 50 || counts[2].Load() != 0 {
		t.Errorf("requests to game-1 went elsewhere: %d %d %d", counts[0].Load(), counts[1].Load(), counts[2].Load())
	}
}

func TestTellReachesOneOrAll(t *testing.T) {
	s := startNATS(t)
	var holders [3]holder
	for i := range holders {
		serve(t, openBus(t, s), "game", fmt.Sprintf("game-%d", i), &holders[i])
	}
	b := openBus(t, s)
	for _, to := range []rpc.Address{{Type: "game", ID: "game-1"}, {Type: "game", All: true}} {
		if err := b.Tell(to, rpc.Request{Message: "News"}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "1, 2 and 1 messages", func() bool { return holders[0].len() == 1 && holders[1].len() == 2 && holders[2].len() == 1 })
	for i := range holders {
		holders[i].release() // nobody waits for the answer
	}
	_, err := b.Call(testContext(t), rpc.Address{Type: "game", All: true}, rpc.Request{Message: "News"})
	wantError(t, err, rpc.InvalidArgument, false)
}

func TestTimeoutAndCancel(t *testing.T) {
	s := startNATS(t)
	h := &holder{}
	serve(t, openBus(t, s), "game", "game-1", h)
	b := openBus(t, s)
	_, err := b.Call(testContext(t), rpc.Address{Type: "game"}, rpc.Request{Message: "Ask", Timeout: 50 * time.Millisecond})
	wantError(t, err, rpc.DeadlineExceeded, true)
	ctx, cancel := context.WithCancel(testContext(t))
	go func() {
		for h.len() < 2 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err = b.Call(ctx, rpc.Address{Type: "game"}, rpc.Request{Message: "Ask"})
	wantError(t, err, rpc.Canceled, true)
	_, err = b.Call(ctx, rpc.Address{Type: "game"}, rpc.Request{Message: "Ask"})
	wantError(t, err, rpc.Canceled, false)
	h.release() // too late: nobody waits
	if _, err := call1(t, b, "game-9", ""); err == nil {
		t.Fatal("no receiver is there")
	}
	if n := b.Stats().InFlight; n != 0 {
		t.Fatalf("%d in flight", n)
	}
}

// answers collects the answers that done functions got.
type answers struct {
	mu  sync.Mutex
	all []rpc.Response
}

func (a *answers) add(r rpc.Response) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, r)
}

func (a *answers) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}

func (a *answers) mustBe(t *testing.T, n int, code rpc.Code, maybe bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d answers", n), func() bool { return a.len() >= n })
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.all) != n {
		t.Fatalf("%d answers to %d requests", len(a.all), n)
	}
	for _, r := range a.all {
		if r.Err == nil {
			t.Fatalf("an answer: %+v", r)
		}
		wantError(t, r.Err, code, maybe)
	}
}

func TestFailEndsWhatAnInstanceHas(t *testing.T) {
	s := startNATS(t)
	var one, two holder
	serve(t, openBus(t, s), "game", "game-1", &one)
	serve(t, openBus(t, s), "game", "game-2", &two)
	b := openBus(t, s)
	var ones, twos answers
	for range 20 {
		b.Send("game", "game-1", &rpc.Request{Message: "Ask"}, ones.add)
		b.Send("game", "game-2", &rpc.Request{Message: "Ask"}, twos.add)
	}
	eventually(t, "all requests arrive", func() bool { return one.len() == 20 && two.len() == 20 })
	b.Fail("game", "game-1")
	ones.mustBe(t, 20, rpc.Unavailable, true)
	if twos.len() != 0 {
		t.Fatalf("%d requests to the other failed", twos.len())
	}
	one.release() // nobody waits for the answer
	two.release()
	eventually(t, "the other answers", func() bool { return twos.len() == 20 })
	if ones.len() != 20 {
		t.Fatalf("%d answers to 20 requests", ones.len())
	}
}

// The directory may list a dead instance as long as its lease lasts; NATS knows at once that it is gone.
func TestWhatADeadInstanceHasEndsWhenTheNextRequestFindsItGone(t *testing.T) {
	s := startNATS(t)
	nc := dial(t, s.ClientURL())
	h := &holder{}
	serve(t, busOn(t, nc), "game", "game-1", h)
	b := openBus(t, s)
	var had, late answers
	for range 20 {
		b.Send("game", "game-1", &rpc.Request{Message: "Ask", Timeout: time.Minute}, had.add)
	}
	eventually(t, "they arrive", func() bool { return h.len() == 20 })
	nc.Close()
	eventually(t, "earlier requests end", func() bool {
		b.Send("game", "game-1", &rpc.Request{Message: "Ask", Timeout: time.Minute}, late.add)
		return had.len() == 20
	})
	had.mustBe(t, 20, rpc.Unavailable, true)
}

// The directory may not know an instance yet when NATS chooses it for a request.
func TestWhatWasSentToAnyEndsWhenAnInstanceLeaves(t *testing.T) {
	s := startNATS(t)
	nc := dial(t, s.ClientURL())
	one, two := &holder{}, &holder{}
	serve(t, busOn(t, nc), "game", "game-1", one)
	b := openBus(t, s)
	var any, other answers
	for range 20 {
		b.Send("game", "", &rpc.Request{Message: "Ask", Timeout: time.Minute}, any.add)
	}
	eventually(t, "they arrive", func() bool { return one.len() == 20 })
	serve(t, openBus(t, s), "game", "game-2", two)
	b.Send("game", "game-2", &rpc.Request{Message: "Ask", Timeout: time.Minute}, other.add)
	nc.Close()
	b.Gone("game", "game-1")
	any.mustBe(t, 20, rpc.Unavailable, true)
	if other.len() != 0 {
		t.Error("a request to another instance ends, too")
	}
	two.release()
}

func TestKilledServiceIsNoticed(t *testing.T) {
	s := startNATS(t)
	nc := dial(t, s.ClientURL())
	h := &holder{}
	serve(t, busOn(t, nc), "game", "game-1", h)
	b := openBus(t, s)
	var got answers
	for range 50 {
		b.Send("game", "", &rpc.Request{Message: "Ask", Timeout: 300 * time.Millisecond}, got.add)
	}
	eventually(t, "they arrive", func() bool { return h.len() == 50 })
	nc.Close()
	got.mustBe(t, 50, rpc.DeadlineExceeded, true)
	eventually(t, "the server notices", func() bool {
		_, err := call1(t, b, "game-1", "")
		e, _ := err.(*rpc.Error)
		return e != nil && e.Code == rpc.Unavailable && !e.Maybe
	})
}

func TestLostConnectionFailsWhatIsInFlight(t *testing.T) {
	s := startNATS(t)
	p := newProxy(t, s.Addr().String())
	h := &holder{}
	serve(t, openBus(t, s), "game", "game-1", h)
	b := busOn(t, dial(t, "nats://"+p.addr))
	var got answers
	for range 50 {
		b.Send("game", "game-1", &rpc.Request{Message: "Ask", Timeout: time.Minute}, got.add)
	}
	eventually(t, "they arrive", func() bool { return h.len() == 50 })
	p.cut(true)
	got.mustBe(t, 50, rpc.Unavailable, true)
	h.release()
	eventually(t, "the connection is known to be down", func() bool { return b.nc.Status() != nats.CONNECTED })
	_, err := call1(t, b, "game-1", "")
	wantError(t, err, rpc.Unavailable, false)
	wantError(t, b.Tell(rpc.Address{Type: "game"}, rpc.Request{Message: "Ask"}), rpc.Unavailable, false)
	if h.len() != 0 {
		t.Fatal("a request came through a cut connection")
	}
	p.cut(false)
	eventually(t, "requests arrive again", func() bool {
		b.Send("game", "game-1", &rpc.Request{Message: "Again"}, func(rpc.Response) {})
		return h.len() > 0
	})
	for _, r := range h.seen[50:] {
		if r.Message != "Again" {
			t.Fatalf("%s was sent late", r.Message)
		}
	}
}

func TestCloseAnswersWhatWaits(t *testing.T) {
	s := startNATS(t)
	h := &holder{}
	serve(t, openBus(t, s), "game", "game-1", h)
	b := openBus(t, s)
	var got answers
	b.Send("game", "game-1", &rpc.Request{Message: "Ask"}, got.add)
	eventually(t, "it arrives", func() bool { return h.len() == 1 })
	b.Close()
	got.mustBe(t, 1, rpc.Unavailable, true)
	b.Send("game", "game-1", &rpc.Request{Message: "Ask"}, got.add)
	if got.len() != 2 || got.all[1].Err.Maybe {
		t.Fatalf("%+v", got.all)
	}
	b.Close()
}

func TestDrainAndCloseLoseNothing(t *testing.T) {
	s := startNATS(t)
	var handled atomic.Int64
	count := handlerFunc(func(r *rpc.Request) rpc.Response {
		handled.Add(1)
		return rpc.Response{}
	})
	client := openBus(t, s)
	serve(t, openBus(t, s), "game", "stays", count)
	stop := make(chan struct{})
	var sent, bad atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sent.Add(1)
				if _, err := client.Call(context.Background(), rpc.Address{Type: "game"}, rpc.Request{Message: "Ask"}); err != nil {
					bad.Add(1)
					t.Error(err)
				}
			}
		})
	}
	for i := range 10 {
		var mine atomic.Int64
		goes, err := openBus(t, s).Serve(ServeConfig{Type: "game", ID: fmt.Sprintf("goes-%d", i), Handler: handlerFunc(func(r *rpc.Request) rpc.Response {
			mine.Add(1)
			return count(r)
		})})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has a share", func() bool { return mine.Load() > 20 })
		if err := goes.Drain(testContext(t)); err != nil {
			t.Fatal(err)
		}
		before, others := mine.Load(), handled.Load()
		eventually(t, "the other continues", func() bool { return handled.Load() > others+100 })
		if mine.Load() != before {
			t.Fatalf("it took %d requests after it was drained", mine.Load()-before)
		}
		if _, err := client.Call(testContext(t), rpc.Address{Type: "game", ID: fmt.Sprintf("goes-%d", i)}, rpc.Request{Message: "Ask"}); err != nil {
			t.Fatalf("a drained instance is not reached by its name: %v", err)
		}
		sent.Add(1)
		if err := errors.Join(goes.Undrain(), goes.Undrain()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has a share again", func() bool { return mine.Load() > before+20 })
		if err := goes.Close(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	group.Wait()
	if sent.Load() != handled.Load() || bad.Load() != 0 {
		t.Fatalf("%d requests were handled %d times, %d failed", sent.Load(), handled.Load(), bad.Load())
	}
}

func TestCloseWaitsForAnswers(t *testing.T) {
	s := startNATS(t)
	h := &holder{}
	served := serve(t, openBus(t, s), "game", "game-1", h)
	b := openBus(t, s)
	var got answers
	for range 10 {
		b.Send("game", "game-1", &rpc.Request{Message: "Ask"}, got.add)
	}
	eventually(t, "they arrive", func() bool { return h.len() == 10 })
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	if err := served.Close(ctx); err == nil {
		t.Fatal("it did not wait")
	}
	closed := make(chan error, 1)
	go func() { closed <- served.Close(testContext(t)) }()
	h.release()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	eventually(t, "10 answers", func() bool { return got.len() == 10 })
	for _, r := range got.all {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func TestBadRequestsAreAnswered(t *testing.T) {
	s := startNATS(t)
	served := serve(t, openBus(t, s), "game", "game-1", echo)
	nc := dial(t, s.ClientURL())
	for name, h := range map[string]nats.Header{
		"no message":  {},
		"bad name":    {headerMessage: {"a b"}},
		"bad format":  {headerMessage: {"A"}, headerFormat: {"xml"}},
		"bad player":  {headerMessage: {"A"}, headerPlayer: {"a\x01b"}},
		"long player": {headerMessage: {"A"}, headerPlayer: {strings.Repeat("p", 129)}},
		"not UTF-8":   {headerMessage: {"A"}, headerPlayer: {"\xff"}},
		"bad session": {headerMessage: {"A"}, headerSession: {"a b"}},
		"bad timeout": {headerMessage: {"A"}, headerTimeout: {"-5"}},
	} {
		m, err := nc.RequestMsg(&nats.Msg{Subject: "windrpc.dev.game.any", Header: h}, 20*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if m.Header.Get(headerCode) != "3" || m.Header.Get(headerError) == "" {
			t.Errorf("%s: %v", name, m.Header)
		}
	}
	if n := served.Stats(); n.Refused != 8 || n.InFlight != 0 {
		t.Errorf("%+v", n)
	}
	b := openBus(t, s)
	for name, r := range map[string]rpc.Request{
		"long":    {Message: "A", Payload: make([]byte, MaxPayload+1)},
		"newline": {Message: "A", Player: "a\r\nWind-Session: x"},
		"spaces":  {Message: "A", Player: " a"},
		"nothing": {},
	} {
		_, err := b.Call(testContext(t), rpc.Address{Type: "game"}, r)
		if text := wantError(t, err, rpc.InvalidArgument, false); text == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, to := range []rpc.Address{{Type: "Game"}, {Type: "shard"}, {Type: "game", ID: "a.b"}, {Type: "*"}, {}} {
		_, err := b.Call(testContext(t), to, rpc.Request{Message: "A"})
		wantError(t, err, rpc.InvalidArgument, false)
		wantError(t, b.Tell(to, rpc.Request{Message: "A"}), rpc.InvalidArgument, false)
	}
}

func TestAnswerThatIsTooLongIsAnError(t *testing.T) {
	s := startNATS(t)
	serve(t, openBus(t, s), "game", "game-1", handlerFunc(func(r *rpc.Request) rpc.Response {
		n := MaxPayload // with its header it exceeds this server's limit
		if string(r.Payload) == "more" {
			n++
		}
		return rpc.Response{Message: "Long", Payload: make([]byte, n)}
	}))
	b := openBus(t, s)
	_, err := call1(t, b, "", "")
	wantError(t, err, rpc.Internal, true)
	_, err = call1(t, b, "", "more")
	wantError(t, err, rpc.Internal, true) // the handler has run, whatever became of its answer
}

func TestServiceIsDiscovered(t *testing.T) {
	s := startNATS(t)
	served, err := openBus(t, s).Serve(ServeConfig{Type: "game", ID: "game-1", Handler: echo, Version: "1.2"})
	if err != nil {
		t.Fatal(err)
	}
	nc := dial(t, s.ClientURL())
	endpoints := func() (names []string) {
		infos := 0
		inbox := nc.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		if err := nc.PublishRequest("$SRV.INFO.wind-game", inbox, nil); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := sub.NextMsg(500 * time.Millisecond)
			if err != nil || len(m.Data) == 0 {
				if infos > 1 {
					t.Errorf("one instance is listed %d times", infos)
				}
				return names
			}
			infos++
			var i micro.Info
			if err := json.Unmarshal(m.Data, &i); err != nil {
				t.Fatal(err)
			}
			if i.Version != "1.2.0" || i.Metadata["type"] != "game" || i.Metadata["instance"] != "game-1" || i.Metadata["cluster"] != "dev" || i.Metadata["any"] != "windrpc.dev.game.any" {
				t.Fatalf("%+v", i)
			}
			for _, e := range i.Endpoints {
				names = append(names, strings.TrimSpace(e.Name+" "+e.QueueGroup))
			}
		}
	}
	mustHave := func(want ...string) {
		t.Helper()
		got := endpoints()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("endpoints %q, want %q", got, want)
		}
	}
	mustHave("admin", "all", "id")
	if err := served.Drain(testContext(t)); err != nil {
		t.Fatal(err)
	}
	mustHave("admin", "all", "id")
	if err := served.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	mustHave()
}
