package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/wirepb"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// hangs is a handler that neither returns nor suspends until its gate opens.
type hangs struct{ gate chan struct{} }

func (h hangs) SpeakOnWorldRequest(*service.Ctx, *speakpb.SpeakOnWorldRequest) (*speakpb.SpeakOnWorldResponse, error) {
	<-h.gate
	return &speakpb.SpeakOnWorldResponse{}, nil
}

// TestAServiceThatHangsGetsNobodyNew: it gets no new players, and /healthz says so, until it answers again.
func TestAServiceThatHangsGetsNobodyNew(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	h := hangs{make(chan struct{})}
	c := s.config("game-1", fstest.MapFS{})
	c.HTTP = "127.0.0.1:0"
	c.Services[0].Handlers = func() (client, server []any) { return nil, []any{h} }
	n := s.start(t, c)
	health := func() int {
		r, err := http.Get("http://" + n.httpAddr + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode
	}
	picked := func() bool {
		_, ok := s.cluster.Directory.Pick("game", "ann")
		return ok
	}
	s.eventually(t, "it is picked, and healthy", func() bool { return picked() && health() == http.StatusOK })
	answered := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := s.cluster.Bus.Call(ctx, rpc.Address{Type: "game"}, rpc.Request{Message: "SpeakOnWorldRequest", From: "test/1"})
		answered <- err
	}()
	s.eventually(t, "nobody is sent there, and it is unwell", func() bool { return !picked() && health() == http.StatusServiceUnavailable })
	if all := n.Stats().Conditions; len(all) != 1 || all[0].Kind != shard.Hung {
		t.Errorf("conditions %+v", all)
	}
	close(h.gate)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	s.eventually(t, "it is picked again, and healthy", func() bool { return picked() && health() == http.StatusOK })
}

// answers is a handler that tells which instance it runs in.
type answers struct{ instance string }

func (a answers) SpeakOnWorldRequest(*service.Ctx, *speakpb.SpeakOnWorldRequest) (*speakpb.SpeakOnWorldResponse, error) {
	return &speakpb.SpeakOnWorldResponse{Name: a.instance}, nil
}

// TestServicesAvoidAnInstanceThatHangs: a request to any instance of a type goes to those that answer. The instance gets
// its share again once it answers, unless it was drained meanwhile.
func TestServicesAvoidAnInstanceThatHangs(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	h := hangs{make(chan struct{})}
	start := func(id string, handler any) *Node {
		c := s.config(id, fstest.MapFS{})
		c.Services[0].Handlers = func() (client, server []any) { return nil, []any{handler} }
		return s.start(t, c)
	}
	hung := start("game-1", h)
	start("game-2", answers{"game-2"})
	call := func(instance string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := s.cluster.Bus.Call(ctx, rpc.Address{Type: "game", ID: instance}, rpc.Request{Message: "SpeakOnWorldRequest", From: "test/1", Timeout: 5 * time.Second})
		return err
	}
	told := func() bool {
		i, _ := s.cluster.Directory.Instance("game", "game-1")
		return i.Hung != ""
	}
	ended := make(chan error, 1)
	go func() { ended <- call("game-1") }()
	s.eventually(t, "game-1 hangs", told)
	taken := hung.instances[0].served.Stats().Requests
	for range 30 {
		if err := call(""); err != nil {
			t.Fatalf("a request to any instance: %v", err)
		}
	}
	if n := hung.instances[0].served.Stats().Requests - taken; n != 0 {
		t.Errorf("the instance that hangs got %d of 30 requests to any", n)
	}
	operate := func(op string) {
		if _, err := s.cluster.Bus.Admin(t.Context(), "game", "game-1", op, nil); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
	}
	shares := func() bool {
		hung.instances[0].sharing.Lock()
		defer hung.instances[0].sharing.Unlock()
		return hung.instances[0].served.Shares()
	}
	operate("drain")
	operate("undrain")
	if shares() {
		t.Error("an instance that hangs takes requests to any again when it is no longer drained")
	}
	operate("drain")
	close(h.gate)
	t.Log("the request that hung: ", <-ended)
	s.eventually(t, "game-1 answers again", func() bool { return !told() })
	if shares() {
		t.Error("an instance that drains takes requests to any again when it no longer hangs")
	}
	operate("undrain")
	if !shares() {
		t.Error("an instance that neither drains nor hangs takes no requests to any")
	}
}

// gated returns a game with a system, hang, in which a step waits until the channel in the gate is closed.
func gated() (game ecs.Game, gate chan chan struct{}) {
	gate = make(chan chan struct{}, 1)
	return ecs.Game{Name: "hangs", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.System(w, "hang", func(*ecs.Tick) {
			select {
			case open := <-gate:
				<-open
			default:
			}
		})
	}}, gate
}

// TestAStopEndsANodeWhoseStepHangs: the cluster shows what hangs, Stop gives the tick up and closes everything in order, and the
// next node goes on with that tick.
func TestAStopEndsANodeWhoseStepHangs(t *testing.T) {
	t.Parallel() // mostly waits
	game, gate := gated()
	c := Config{Game: game, ID: "stuck", Data: t.TempDir(), TCP: "127.0.0.1:0", Fast: true, Logger: slog.New(slog.DiscardHandler), Embedded: Embedded{NATSPort: AnyPort, EtcdPort: AnyPort}, patience: patience{stop: time.Second}}
	n, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	t.Cleanup(func() { close(open) })
	gate <- open
	limit := time.Now().Add(time.Minute)
	told := func() string {
		all, err := etcd.Nodes(t.Context(), n.cluster.Etcd, "dev")
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0].Hung
	}
	for told() == "" && time.Now().Before(limit) {
		time.Sleep(10 * time.Millisecond)
	}
	committed := n.Stats().Host.Tick
	if what := told(); !strings.Contains(what, fmt.Sprintf("tick %d of shard main", committed+1)) || !strings.Contains(what, "now in system hang: ") {
		t.Errorf("its entry says that it hangs: %q", what)
	}
	err = n.Stop()
	if !errors.Is(err, shard.ErrHung) || !strings.Contains(err.Error(), "now in system hang") {
		t.Fatalf("the stop: %v", err)
	}
	for _, part := range []string{"does not end", "deadline", "lease"} { // nothing else failed
		if strings.Contains(err.Error(), part) {
			t.Errorf("the stop: %v", err)
		}
	}
	n, err = Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for n.Stats().Host.Tick <= committed && time.Now().Before(limit) {
		time.Sleep(10 * time.Millisecond)
	}
	if s := n.Stats().Host; s.RecoveredTick != committed || s.Tick <= committed {
		t.Errorf("the next node recovered tick %d of %d and is at tick %d", s.RecoveredTick, committed, s.Tick)
	}
	if what := told(); what != "" {
		t.Errorf("the next node's entry says that it hangs: %q", what)
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
}

// TestAShardThatHangsTurnsClientsAway: while a step does not end, a client that comes is told at once to come again, and so
// is one that waited already. /healthz says why.
func TestAShardThatHangsTurnsClientsAway(t *testing.T) {
	t.Parallel() // mostly waits
	game, gate := gated()
	n, err := Start(t.Context(), Config{
		Game: game, Data: t.TempDir(), TCP: "127.0.0.1:0", HTTP: "127.0.0.1:0", Fast: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	t.Cleanup(func() { _ = n.Stop() })
	release := sync.OnceFunc(func() { close(open) })
	t.Cleanup(release)
	join := func() uint32 { // returns the message that answers a Hello
		conn, err := net.Dial("tcp", n.TCPAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Write(frame.AppendMessage(nil, wirepb.IDHello, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "ann"})); err != nil {
			t.Fatal(err)
		}
		for in, b := frame.NewReader(1<<20), make([]byte, 4096); ; {
			k, err := conn.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			in.Feed(b[:k])
			if id, payload, ok, err := in.Next(); ok || err != nil {
				var bye wirepb.Bye
				if id == wirepb.IDBye && (proto.Unmarshal(payload, &bye) != nil || bye.Reason != wirepb.Reason_REASON_NOT_OWNER) {
					t.Errorf("Bye: %v", &bye)
				}
				return id
			}
		}
	}
	if id := join(); id != wirepb.IDWelcome {
		t.Fatalf("before: message %d", id)
	}
	gate <- open
	for len(gate) > 0 { // until the step has it
		time.Sleep(time.Millisecond)
	}
	for range 2 { // the first comes before the node knows
		if id := join(); id != wirepb.IDBye {
			t.Fatalf("while it hangs: message %d", id)
		}
	}
	h := n.health()
	if h.Healthy || len(h.Conditions) == 0 || h.Conditions[0].Kind != shard.Hung {
		t.Errorf("while it hangs: %+v", h.Conditions)
	}
	release()
	s := time.Now()
	for join() != wirepb.IDWelcome {
		if time.Since(s) > time.Minute {
			t.Fatal("nobody joins any more after the step has ended")
		}
	}
}
