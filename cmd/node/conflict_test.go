package node

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/discovery"
)

// logsIn is a handler of players' logins.
type logsIn struct{}

func (logsIn) PlayerLoginRequest(*service.Ctx, *speakpb.PlayerLoginRequest) (*speakpb.PlayerLoginResponse, error) {
	return &speakpb.PlayerLoginResponse{}, nil
}

// TestServicesThatWantTheSameRequestsAreTold: a service whose id means another message elsewhere does not start. Of two
// that handle one message, the first gets the requests, and the gateway says so unless it was told who gets them.
func TestServicesThatWantTheSameRequestsAreTold(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	c := s.config("game-1", fstest.MapFS{})
	c.Services[0].Handlers = func() (client, server []any) { return []any{logsIn{}}, nil }
	c.Gateway, c.TCP = &Gateway{}, "127.0.0.1:0"
	n := s.start(t, c)
	conflict := func() string {
		all := n.Stats().Conditions
		i := slices.IndexFunc(all, func(c shard.Condition) bool { return c.Kind == shard.Conflict })
		if i < 0 {
			return ""
		}
		if all[i].Stops {
			t.Error("a conflict stops the gateway")
		}
		return all[i].Text
	}
	elsewhere := s.config("elsewhere", fstest.MapFS{})
	elsewhere.Services[0].Handlers = func() (client, server []any) { return nil, []any{answers{"elsewhere"}} }
	member := s.start(t, elsewhere).member
	id := n.instances[0].service.Methods()[0].ID
	enter := func(message string) (leave func()) {
		entry, err := member.Register(t.Context(), discovery.Instance{
			Type: "anvil", ID: "anvil-1", Node: "elsewhere", State: discovery.Up, Methods: []discovery.Method{{Name: message, ID: id}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := entry.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	leave := enter("PlayerLoginRequest")
	s.eventually(t, "the gateway tells of two services that handle a message", func() bool {
		return strings.HasPrefix(conflict(), "services game and anvil both handle PlayerLoginRequest, and game gets the requests")
	})
	leave()
	s.eventually(t, "the conflict is over", func() bool { return conflict() == "" })

	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	defer enter("DropRequest")()
	c.ID, c.Instance = "game-2", "game-2"
	if _, err := Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), "PlayerLoginRequest has the id 1001, which DropRequest of service anvil (instance anvil-1) has already") {
		t.Errorf("a service with another's id starts: %v", err)
	}
}
