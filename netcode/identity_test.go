package netcode_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/wirepb"
)

// ruled is the game with a rule for players who come twice.
func ruled(rule ecs.IdentityRule) ecs.Game {
	g := game
	g.Identity = rule
	return g
}

// ended reports whether a client has ended for a reason.
func ended(c *client.Client, why wirepb.Reason) bool {
	bye := (*client.ByeError)(nil)
	return errors.As(c.Err(), &bye) && bye.Reason == why
}

// TestTheNewestConnectionOfAPlayerWins, also when the first one's way is cut, so that it neither hears nor says anything: it does not
// come back later, and the next owner does not let two in either.
func TestTheNewestConnectionOfAPlayerWins(t *testing.T) {
	h := serve(t, ruled(ecs.NewestWins), netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	way := relayTo(t, h.server.UDPAddr(), "10ms")
	first := dial(t, client.Config{Addr: way.Addr().String(), Identity: "ann", DropAfter: 500 * time.Millisecond})
	way.Cut(true)
	second := dial(t, client.Config{Addr: h.server.UDPAddr().String(), Identity: "ann"})
	way.Cut(false)
	eventually(t, "the first client hears why it has no session", func() bool { return ended(first, wirepb.Reason_REASON_REPLACED) })
	if s := second.Stats(); s.Drops > 0 || s.Rejoins > 0 || second.Err() != nil {
		t.Errorf("the second client: %+v, %v", s, second.Err())
	}

	address := h.server.UDPAddr().String()
	h.end()
	h = serve(t, ruled(ecs.NewestWins), netcode.Config{UDP: address}, h.log, 2)
	third := dial(t, client.Config{Addr: address, Identity: "ann"})
	eventually(t, "the second client hears that the third has come", func() bool { return ended(second, wirepb.Reason_REASON_REPLACED) })
	if third.Err() != nil || h.server.Stats().Sessions != 1 {
		t.Errorf("%v, %+v", third.Err(), h.server.Stats())
	}
}

// TestTheOldestConnectionOfAPlayerStays: others wait until it has left.
func TestTheOldestConnectionOfAPlayerStays(t *testing.T) {
	h := serve(t, ruled(ecs.OldestStays), netcode.Config{UDP: "127.0.0.1:0"}, &memory{}, 1)
	address := h.server.UDPAddr().String()
	first := dial(t, client.Config{Addr: address, Identity: "ann"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if c, err := client.Dial(ctx, client.Config{Addr: address, Identity: "ann"}); err == nil {
		c.Close()
		t.Error("a second client of the player has a session")
	}
	if first.Err() != nil || first.Stats().Drops > 0 {
		t.Errorf("the first client: %v, %+v", first.Err(), first.Stats())
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if second := dial(t, client.Config{Addr: address, Identity: "ann"}); second.Err() != nil {
		t.Error(second.Err())
	}
}
