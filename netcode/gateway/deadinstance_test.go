package gateway_test

import (
	"testing"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/gateway"
)

// emptiest always picks the same instance unless it is excluded, as the selector "least" does with one that has just
// joined.
type emptiest struct{ stubborn }

func (e emptiest) Pick(kind, key, _, excluded string) (string, bool) {
	if excluded != e.id {
		return e.id, true
	}
	for _, id := range []string{"game-1", "game-2"} {
		if id != excluded && e.c.find(kind, id) != nil {
			return id, true
		}
	}
	return "", false
}

func TestADeadInstanceThatLooksEmptiestIsNotPickedTwice(t *testing.T) {
	c := newCluster(t)
	dead := c.start("game", "game-1", nil)
	c.start("game", "game-2", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Directory = emptiest{stubborn{directory{&c.routes, c}, "game-1"}}
	})
	ann := login(t, f, "ann", client.RPCConfig{})
	must(t, "instance", echo(t, ann, "x").Instance, "game-1")
	c.kill(dead) // the directory still lists it
	must(t, "instance of the player", echo(t, ann, "x").Instance, "game-2")
	bob := login(t, f, "bob", client.RPCConfig{})
	must(t, "instance of a new player", echo(t, bob, "x").Instance, "game-2")
}
