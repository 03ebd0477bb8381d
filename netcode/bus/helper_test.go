package bus

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/ferris1/wind/netcode/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startNATS starts a real server on a free loopback port.
func startNATS(t testing.TB) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

// dial connects as persistence/jetstream does.
func dial(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// openBus opens a bus with its own connection.
func openBus(t testing.TB, s *server.Server) *Bus {
	t.Helper()
	return busOn(t, dial(t, s.ClientURL()))
}

func busOn(t testing.TB, nc *nats.Conn) *Bus {
	t.Helper()
	b, err := Open(Config{Conn: nc, Cluster: "dev", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// serve serves until the test ends.
func serve(t testing.TB, b *Bus, kind, id string, h Handler) *Served {
	t.Helper()
	s, err := b.Serve(ServeConfig{Type: kind, ID: id, Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if x, ok := h.(*holder); ok {
			x.end()
		}
		_ = s.Close(testContext(t))
	})
	return s
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until ok returns true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// handlerFunc makes a handler of a function that answers at once.
type handlerFunc func(r *rpc.Request) rpc.Response

func (f handlerFunc) Handle(r *rpc.Request, done func(rpc.Response)) { done(f(r)) }

// echo answers with the request's payload.
var echo = handlerFunc(func(r *rpc.Request) rpc.Response {
	return rpc.Response{Message: r.Message + "Answer", Format: r.Format, Payload: r.Payload}
})

// holder holds requests until release.
type holder struct {
	mu   sync.Mutex
	over bool // answer at once
	held []func(rpc.Response)
	seen []*rpc.Request
}

func (h *holder) Handle(r *rpc.Request, done func(rpc.Response)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		done(rpc.Response{})
		return
	}
	h.held, h.seen = append(h.held, done), append(h.seen, r)
}

func (h *holder) end() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.release()
}

func (h *holder) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held)
}

func (h *holder) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, done := range h.held {
		done(rpc.Response{Message: "Held"})
	}
	h.held = nil
}

func call1(t testing.TB, b *Bus, id string, payload string) (rpc.Response, error) {
	t.Helper()
	return b.Call(testContext(t), rpc.Address{Type: "game", ID: id}, rpc.Request{Message: "Ask", Payload: []byte(payload), From: "test/1"})
}

// wantError requires an *rpc.Error and returns its text.
func wantError(t testing.TB, err error, code rpc.Code, maybe bool) string {
	t.Helper()
	e, ok := err.(*rpc.Error)
	if !ok || e == nil || e.Code != code || e.Maybe != maybe {
		t.Fatalf("%v, want %v with Maybe %v", err, code, maybe)
	}
	return e.Text
}
