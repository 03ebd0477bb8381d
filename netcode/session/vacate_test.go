package session

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/wirepb"
)

// player says Hello for a player.
func (r *rig) player(address, name string) *link {
	return r.hello(address, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: name})
}

// resume says Hello for the session of a Welcome.
func (r *rig) resume(was *wirepb.Welcome, name string) *link {
	return r.hello("127.0.0.1:1002", &wirepb.Hello{Protocol: wirepb.Protocol, Identity: name, Resume: &wirepb.Resume{Session: was.Session, Token: was.Token, LastTick: was.Tick}})
}

// TestWhoCannotJoinReplacesNobody: a client that is refused anyway, for its ticket or a limit, leaves the player's session alone.
func TestWhoCannotJoinReplacesNobody(t *testing.T) {
	ticket := func(r *rig) *netcode.Ticket {
		return &netcode.Ticket{Identity: "ann", Session: 77, Issued: r.h.now, Expires: r.h.now.Add(time.Minute)}
	}
	for name, c := range map[string]struct {
		cfg  Config
		do   func(r *rig) (first, second *link)
		want string
	}{
		"used ticket": {Config{}, func(r *rig) (first, second *link) {
			first = r.h.meet(&wire{addr: netip.MustParseAddrPort("127.0.0.1:1"), seen: r.h.now}, &wirepb.Hello{Protocol: wirepb.Protocol}, ticket(r))
			r.ticks(2)
			return first, r.h.meet(&wire{addr: netip.MustParseAddrPort("127.0.0.1:2"), seen: r.h.now}, &wirepb.Hello{Protocol: wirepb.Protocol}, ticket(r))
		}, "REASON_BAD_TICKET"},
		"too many joins": {Config{Accounts: NewAccounts(netcode.Limits{JoinsPerIdentity: 1})}, func(r *rig) (first, second *link) {
			first = r.player("127.0.0.1:1", "ann")
			r.ticks(2)
			return first, r.player("127.0.0.2:1", "ann")
		}, "REASON_TOO_MANY_JOINS"},
		"full address": {Config{Accounts: NewAccounts(netcode.Limits{SessionsPerAddress: 1})}, func(r *rig) (first, second *link) {
			first = r.player("127.0.0.1:1", "ann")
			r.player("127.0.0.2:1", "bob")
			r.ticks(2)
			return first, r.player("127.0.0.2:1", "ann")
		}, "REASON_ADDRESS_FULL"},
	} {
		t.Run(name, func(t *testing.T) {
			r := ruledRig(t, ecs.NewestWins, c.cfg)
			first, second := c.do(r)
			r.ticks(4)
			if got := r.bye(second); got != c.want || first.state != linkPlaying {
				t.Errorf("the second client hears %q, and the first has state %d", got, first.state)
			}
		})
	}
}

// TestWhoReplacesASessionNeedsNoFurtherPlace: limits that the player's own session has reached do not refuse its successor.
func TestWhoReplacesASessionNeedsNoFurtherPlace(t *testing.T) {
	for name, cfg := range map[string]Config{
		"full shard":    {MaxSessions: 2},
		"full address":  {Accounts: NewAccounts(netcode.Limits{SessionsPerAddress: 2})},
		"full identity": {Accounts: NewAccounts(netcode.Limits{SessionsPerIdentity: 1})},
	} {
		t.Run(name, func(t *testing.T) {
			r := ruledRig(t, ecs.NewestWins, cfg)
			first, other := r.connect(), r.player("127.0.0.1:1", "bob")
			r.ticks(2)
			second := r.connect()
			r.ticks(4)
			if first.state != linkClosed || second.state != linkPlaying || other.state != linkPlaying {
				t.Errorf("states %d, %d, %d; the second client hears %q", first.state, second.state, other.state, r.bye(second))
			}
		})
	}
}

// TestPlayersDoNotWaitForOthers: however many connections wait for one player's earlier session, another player joins at once.
func TestPlayersDoNotWaitForOthers(t *testing.T) {
	for _, rule := range []ecs.IdentityRule{ecs.NewestWins, ecs.OldestStays} {
		t.Run(fmt.Sprintf("rule %d", rule), func(t *testing.T) {
			r := ruledRig(t, rule, Config{})
			first := r.connect()
			r.ticks(1)
			r.h.lost(first)
			for range 3 * joinsPerTick {
				r.connect()
			}
			other := r.player("127.0.0.2:1", "bob")
			r.ticks(2)
			if other.state != linkPlaying {
				t.Errorf("the other player has state %d after two ticks", other.state)
			}
		})
	}
}

// TestASilentConnectionKeepsNobodyOut: a client that crashed holds its player's place for a few seconds, not until its connection ends.
func TestASilentConnectionKeepsNobodyOut(t *testing.T) {
	r := ruledRig(t, ecs.OldestStays, Config{})
	first := r.connect()
	r.ticks(1)
	was := find[*wirepb.Welcome](r, first)
	first.conn.(*wire).seen = r.h.now
	r.ticks(10)
	if second := r.connect(); true {
		r.ticks(1)
		if got := r.bye(second); got != "REASON_IDENTITY_FULL" {
			t.Fatalf("the second client hears %q while the first was heard of a second ago", got)
		}
	}
	r.h.now = r.h.now.Add(r.h.cfg.SilenceTimeout)
	third := r.connect()
	r.ticks(2)
	if got := r.bye(first); got != "REASON_IDLE" || third.state != linkJoining {
		t.Fatalf("the silent client hears %q, and the third has state %d", got, third.state)
	}
	back := r.resume(was, "ann")
	r.ticks(2)
	if got := r.bye(third); got != "REASON_IDENTITY_FULL" || back.state != linkPlaying {
		t.Fatalf("the third client hears %q, and the first has state %d after its resume", got, back.state)
	}
	r.h.now = r.h.now.Add(r.h.cfg.SilenceTimeout + time.Second)
	fourth := r.connect()
	r.ticks(int(comesBack/(100*time.Millisecond)) + 4)
	if fourth.state != linkPlaying {
		t.Errorf("the fourth client has state %d", fourth.state)
	}
}

// TestAResumeThatHasArrivedKeepsItsSession, although a newcomer could have it by now.
func TestAResumeThatHasArrivedKeepsItsSession(t *testing.T) {
	r := ruledRig(t, ecs.OldestStays, Config{})
	first := r.connect()
	r.ticks(1)
	was := find[*wirepb.Welcome](r, first)
	r.h.lost(first)
	r.h.now = r.h.now.Add(comesBack + time.Second)
	back := r.resume(was, "ann")
	newcomer := r.connect()
	r.ticks(3)
	if back.state != linkPlaying || r.bye(newcomer) != "REASON_IDENTITY_FULL" {
		t.Errorf("the resume has state %d and hears %q, the newcomer %q", back.state, r.bye(back), r.bye(newcomer))
	}
}

// TestAReplacedClientStaysAwayFromTheNextOwner, too: that one does not know the session, but whom the player plays as now.
func TestAReplacedClientStaysAwayFromTheNextOwner(t *testing.T) {
	r := ruledRig(t, ecs.NewestWins, Config{})
	first := r.connect()
	r.ticks(1)
	was := find[*wirepb.Welcome](r, first)
	second := r.connect()
	r.ticks(4)
	is := find[*wirepb.Welcome](r, second)
	next := r.successor()
	late, stays, other := next.resume(was, "ann"), next.resume(is, "ann"), next.resume(was, "bob")
	next.ticks(3)
	if got := next.bye(late); got != "REASON_REPLACED" {
		t.Errorf("the first client hears %q", got)
	}
	if got := next.bye(other); got != "REASON_UNKNOWN_SESSION" || stays.state != linkPlaying {
		t.Errorf("another player hears %q, and the second client has state %d", got, stays.state)
	}
}
