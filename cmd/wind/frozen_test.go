//go:build unix

package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/discovery"
)

// callAny calls any instance of the service game as another service would, and returns nil if one received the request.
func (s *services) callAny() error {
	_, err := s.link.Bus.Call(s.t.Context(), rpc.Address{Type: "game"}, rpc.Request{Message: "NothingRequest", From: "test/1"})
	if rpc.ErrorOf(err).Code == rpc.Unimplemented {
		return nil
	}
	return err
}

// TestAFrozenInstanceGetsNoCalls: services stop calling an instance whose process stands still once the directory has dropped
// it. NATS still takes it for a subscriber. Calls that it had fail soon after, and may have been executed.
func TestAFrozenInstanceGetsNoCalls(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServices(t, 0, "game-1", "game-2")
	for range 20 {
		if err := s.callAny(); err != nil {
			t.Fatal(err)
		}
	}
	s.games["game-1"].freeze()
	failed := 0
	for s.link.Directory.Alive("game", "game-1") {
		began := time.Now()
		if err := s.callAny(); err != nil {
			if failed++; !rpc.ErrorOf(err).Maybe {
				t.Errorf("a call to an instance that stands still: %v, without maybe", err)
			}
			t.Logf("a call failed after %s: %v", time.Since(began).Round(10*time.Millisecond), err)
		}
	}
	for i := range 100 {
		if err := s.callAny(); err != nil {
			t.Fatalf("call %d after the directory has dropped the instance: %v", i, err)
		}
	}
	s.games["game-1"].thaw()
	s.infra.until("has both again", func() bool { return s.link.Directory.Alive("game", "game-1") })
	for range 20 {
		if err := s.callAny(); err != nil {
			t.Error(err)
		}
	}
}

// TestCallsReachTheLastInstancesThatDrain: while another instance is up, calls go there; when all drain, they are served.
func TestCallsReachTheLastInstancesThatDrain(t *testing.T) {
	s := startServices(t, 0, "game-1", "game-2")
	for _, id := range []string{"game-1", "game-2"} {
		var r struct{ Warning string }
		run(t, 0, &r, "drain", "game", id, "--nats", s.nats, "--etcd", s.etcd, "--json")
		if last := id == "game-2"; strings.Contains(r.Warning, "no other instance of game takes players") != last {
			t.Errorf("drain %s warns: %q", id, r.Warning)
		}
		s.infra.until("has a draining instance", func() bool {
			i, ok := s.link.Directory.Instance("game", id)
			return ok && i.State == discovery.Draining
		})
		for range 20 {
			if err := s.callAny(); err != nil {
				t.Errorf("with %s draining: %v", id, err)
			}
		}
	}
	// A stop of one of them fails no call either.
	s.games["game-1"].signal(syscall.SIGINT)
	for s.link.Directory.Alive("game", "game-1") {
		if err := s.callAny(); err != nil {
			t.Error(err)
		}
	}
}
