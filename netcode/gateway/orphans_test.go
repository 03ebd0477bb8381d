package gateway_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/rpc"
)

// dies makes a front look dead to all others: the directory loses it, and its own sessions send nothing more.
func (c *cluster) dies(f *front, entry *instance) {
	f.bus.cut(true)
	c.notice(entry)
}

func TestServicesAreToldWhenAGatewayDies(t *testing.T) {
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	entry := c.start(gateway.Type, "gateway-1", nil)
	c.start(gateway.Type, "gateway-2", nil)
	c.start(gateway.Type, "gateway-3", nil)
	dead, here := c.front("gateway-1", nil), c.front("gateway-2", nil)
	c.front("gateway-3", nil)
	login(t, dead, "ann", client.RPCConfig{})
	login(t, here, "bob", client.RPCConfig{})
	c.dies(dead, entry)
	eventually(t, "the service hears of it", func() bool { return game.count("PlayerDisconnected ann") == 1 })
	eventually(t, "the record is given up", func() bool { return record(t, c, "ann").Left })
	must(t, "notices of a player whose gateway lives", game.count("PlayerDisconnected bob"), 0)
	must(t, "the record of a player whose gateway lives", record(t, c, "bob").Left, false)
}

func TestAGatewayThatStartsAgainGivesUpWhatItsLastLifeLeft(t *testing.T) {
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	dead := c.front("gateway-1", nil)
	login(t, dead, "ann", client.RPCConfig{})
	dead.bus.cut(true)
	c.front("gateway-1", nil)
	eventually(t, "the service hears of it", func() bool { return game.count("PlayerDisconnected ann") == 1 })
	must(t, "left", record(t, c, "ann").Left, true)
}

func TestAPlayerThatIsIdleCounts(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	c.start("game", "game-2", nil)
	f := c.front("gateway-1", nil)
	total := func() (n int) {
		for _, players := range f.Bound() {
			n += players
		}
		return n
	}
	r := login(t, f, "ann", client.RPCConfig{})
	was := echo(t, r, "x").Instance
	login(t, f, "bob", client.RPCConfig{})
	dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP}) // not logged in
	must(t, "players", total(), 2)
	must(t, "players of ann's instance", f.Bound()[rpc.Address{Type: "game", ID: was}] > 0, true)
	r.Close()
	eventually(t, "one is left", func() bool { return total() == 1 })
}

func TestANewLoginIsBalancedAnew(t *testing.T) {
	c := newCluster(t)
	first := c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Limits.Return = 15 * time.Second })
	where := func() string {
		r := login(t, f, "ann", client.RPCConfig{})
		defer r.Close()
		return echo(t, r, "x").Instance
	}
	left := func() { eventually(t, "the player has left", func() bool { return record(t, c, "ann").Left }) }
	change := func(i *instance, draining, full, crowded bool) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.draining, i.full, i.crowded = draining, full, crowded
	}
	must(t, "instance", where(), "game-1")
	left()
	must(t, "life of the record", c.store.expire("ann"), 15*time.Second)
	second := c.start("game", "game-2", nil)
	change(second, false, true, false)
	must(t, "instance of a player who comes later", where(), "game-1")
	left()
	change(second, false, false, false)
	must(t, "instance of a player who comes back soon", where(), "game-1")
	left()
	change(first, false, false, true)
	must(t, "instance of a player who comes back soon when others are much emptier", where(), "game-2")
	left()
	change(first, false, false, false)
	must(t, "instance of that player when it comes back again", where(), "game-2")
	left()
	change(second, false, true, false)
	must(t, "instance of a player who comes back soon when its own is full", where(), "game-1")
	left()
	change(first, true, false, false)
	must(t, "instance of a player who comes back soon when its own drains and the other is full", where(), "game-1")
}

// TestAGatewayDoesNotMissItself: it logs that others leave, not that it does.
func TestAGatewayDoesNotMissItself(t *testing.T) {
	c := newCluster(t)
	self := c.start(gateway.Type, "gateway-1", nil)
	other := c.start(gateway.Type, "gateway-2", nil)
	var said bytes.Buffer // written under notice
	c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Logger = slog.New(slog.NewTextHandler(&said, nil)) })
	c.notice(self)
	if said.Len() > 0 {
		t.Errorf("of itself it says %s", &said)
	}
	c.notice(other)
	if !strings.Contains(said.String(), "an instance has left") || !strings.Contains(said.String(), "gateway-2") {
		t.Errorf("of another it says %q", &said)
	}
}

// Names that change over one connection leave as those do whose connection ends.
func TestAThousandNamesLeaveNothingBehind(t *testing.T) {
	const names, connections = 1000, 10
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) { g.Limits.Return = 15 * time.Second })
	var group sync.WaitGroup
	for k := range connections {
		r := dial(t, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP})
		group.Go(func() {
			defer r.Close()
			for i := range names / connections {
				if err := call(r, t, &testpb.PlayerLoginRequest{PlayerId: fmt.Sprint("p", k, "-", i)}); err != nil {
					t.Errorf("login %d of connection %d: %v", i, k, err)
				}
			}
		})
	}
	group.Wait()
	eventually(t, "all sessions are over", func() bool { return f.Stats().Sessions == 0 })
	for k := range connections {
		for i := range names / connections {
			player := fmt.Sprint("p", k, "-", i)
			eventually(t, player+"'s record is given up", func() bool { return record(t, c, player).Left })
			eventually(t, "the service hears of "+player, func() bool { return game.count("PlayerDisconnected "+player) == 1 })
			must(t, "life of the record of "+player, c.store.expire(player), 15*time.Second)
		}
	}
	must(t, "players", f.Stats().Players, 0)
	must(t, "instances with players", len(f.Bound()), 0)
	f.bus.mu.Lock()
	defer f.bus.mu.Unlock()
	for player, n := range f.bus.players {
		if n != 0 {
			t.Errorf("%d subscriptions to pushes of %s", n, player)
		}
	}
}
