package node

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/discovery"
)

// holds answers nothing until it is closed.
type holds chan struct{}

func (h holds) Handle(_ *rpc.Request, done func(rpc.Response)) {
	go func() { <-h; done(rpc.Response{}) }()
}

// TestInstanceThatDoesNotAnswerIsAvoided: its entry stays, as that of a process that stands still with a long lease. Calls
// and players of a process whose requests it has left unanswered go to another instance.
func TestInstanceThatDoesNotAnswerIsAvoided(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	n := s.start(t, s.config("game-1", scriptsOf(1, 1)))
	gate := make(holds)
	served, err := n.cluster.Bus.Serve(bus.ServeConfig{Type: "game", ID: "silent", Handler: gate})
	if err != nil {
		t.Fatal(err)
	}
	entry, err := n.member.Register(t.Context(), discovery.Instance{Type: "game", ID: "silent", State: discovery.Up})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(gate); _ = errors.Join(entry.Close(), served.Close(context.Background())) })
	chosen := func() (calls, players string) {
		calls, _ = s.cluster.Directory.Any("game", nil)
		players, _ = s.cluster.Directory.Place("game", discovery.Player{Key: "ann"})
		s.cluster.Directory.Leave("game", players)
		return calls, players
	}
	s.eventually(t, "both are chosen", func() bool { calls, _ := chosen(); return calls == "silent" })
	s.eventually(t, "both get players", func() bool { _, players := chosen(); return players == "silent" })

	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			_, err := s.cluster.Bus.Call(t.Context(), rpc.Address{Type: "game", ID: "silent"}, rpc.Request{Message: "A", From: "test/1", Timeout: time.Second})
			if e := rpc.ErrorOf(err); err == nil || e.Code != rpc.DeadlineExceeded {
				t.Errorf("the silent instance answers with %v", err)
			}
		})
	}
	calls.Wait()
	for range 50 {
		if calls, players := chosen(); calls != "game-1" || players != "game-1" {
			t.Fatalf("a call goes to %q and a player to %q", calls, players)
		}
	}
}
