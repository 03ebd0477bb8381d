package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

// ruledRig is a rig whose game lets a player in by a rule.
func ruledRig(t *testing.T, rule ecs.IdentityRule, cfg Config) *rig {
	g := hubGame
	g.Identity = rule
	return rigOf(t, g, cfg)
}

// players returns whom the world has, in the order of their joining.
func (r *rig) players() []string {
	var all []ecs.Session
	r.w.EachSession(func(s ecs.Session) bool { all = append(all, s); return true })
	slices.SortFunc(all, func(a, b ecs.Session) int { return int(a.Joined) - int(b.Joined) })
	var names []string
	for _, s := range all {
		names = append(names, s.Identity)
	}
	return names
}

// bye returns why a connection ended, or "".
func (r *rig) bye(l *link) string {
	for _, m := range r.sent(l) {
		if m, ok := m.(*wirepb.Bye); ok {
			return m.Reason.String()
		}
	}
	return ""
}

func (r *rig) ticks(n int) {
	for range n {
		r.tick(1 << 20)
	}
}

func TestManySessionsOfAPlayerLiveBesideEachOther(t *testing.T) {
	r := newRig(t, Config{})
	a, b := r.join(), r.join()
	if a.state != linkPlaying || b.state != linkPlaying || len(r.players()) != 2 {
		t.Errorf("%v", r.players())
	}
}

// TestTheNewestSessionWins: a player's second session ends the first, whose client hears why, and cannot come back with its token.
func TestTheNewestSessionWins(t *testing.T) {
	r := ruledRig(t, ecs.NewestWins, Config{})
	first := r.connect()
	r.ticks(1)
	was := find[*wirepb.Welcome](r, first)
	other := r.hello("127.0.0.1:1001", &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "bob"})
	second := r.connect()
	for range 4 {
		r.ticks(1)
		if slices.Equal(r.players(), []string{"ann", "ann"}) {
			t.Fatal("two sessions of a player live at once")
		}
	}
	if first.state != linkClosed || second.state != linkPlaying || other.state != linkPlaying {
		t.Fatalf("states %d, %d, %d", first.state, second.state, other.state)
	}
	if got := r.bye(first); got != "REASON_REPLACED" {
		t.Errorf("the first client hears %q", got)
	}
	back := r.hello("127.0.0.1:1002", &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "ann", Resume: &wirepb.Resume{Session: was.Session, Token: was.Token, LastTick: was.Tick}})
	r.ticks(2)
	if got := r.bye(back); got != "REASON_REPLACED" || second.state != linkPlaying {
		t.Errorf("a resume of the first session hears %q", got)
	}
	r.h.now = r.h.now.Add(replacedFor + time.Second)
	r.h.expire()
	if len(r.h.replaced) > 0 {
		t.Error("the first session is never forgotten")
	}
}

// TestTheNewestOfManyAtOnceWins: ten connections of a player arrive in one tick; the last one has the session in the end.
func TestTheNewestOfManyAtOnceWins(t *testing.T) {
	r := ruledRig(t, ecs.NewestWins, Config{})
	var all []*link
	for range 10 {
		all = append(all, r.connect())
	}
	for range 60 {
		r.ticks(1)
		if n := len(r.players()); n > 1 {
			t.Fatalf("%d sessions of a player live at once", n)
		}
	}
	for i, l := range all {
		if want := i == len(all)-1; (l.state == linkPlaying) != want {
			t.Errorf("connection %d has state %d", i, l.state)
		}
	}
}

// TestTheOldestSessionStays while it is connected, and for a moment after; then the newcomer has the player's place.
func TestTheOldestSessionStays(t *testing.T) {
	r := ruledRig(t, ecs.OldestStays, Config{})
	first := r.connect()
	r.ticks(1)
	was := find[*wirepb.Welcome](r, first)
	second := r.connect()
	r.ticks(3)
	if got := r.bye(second); got != "REASON_IDENTITY_FULL" || first.state != linkPlaying {
		t.Fatalf("the second client hears %q, and the first has state %d", got, first.state)
	}

	r.h.lost(first)
	third := r.connect()
	r.ticks(2)
	if third.state != linkJoining {
		t.Fatalf("the third client has state %d a moment after the first lost its connection", third.state)
	}
	back := r.hello("127.0.0.1:1002", &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "ann", Resume: &wirepb.Resume{Session: was.Session, Token: was.Token, LastTick: was.Tick}})
	r.ticks(3)
	if back.state != linkPlaying || third.state != linkClosed {
		t.Fatalf("the first client has state %d after its resume, the third one %d", back.state, third.state)
	}

	r.h.lost(back)
	fourth := r.connect()
	r.ticks(int(comesBack/(100*time.Millisecond)) + 4)
	if fourth.state != linkPlaying || len(r.players()) != 1 {
		t.Errorf("the fourth client has state %d, long after the first was lost; %v", fourth.state, r.players())
	}
}

// TestASuccessorKeepsTheRule: the next owner does not know which sessions others had replaced, but lets no second one in.
func TestASuccessorKeepsTheRule(t *testing.T) {
	for _, rule := range []ecs.IdentityRule{ecs.NewestWins, ecs.OldestStays} {
		r := ruledRig(t, rule, Config{})
		first := r.connect()
		r.ticks(1)
		was := find[*wirepb.Welcome](r, first)
		next := r.successor()
		second := next.connect()
		next.ticks(1)
		back := next.hello("127.0.0.1:1002", &wirepb.Hello{Protocol: wirepb.Protocol, Identity: "ann", Resume: &wirepb.Resume{Session: was.Session, Token: was.Token, LastTick: was.Tick}})
		for range 5 {
			next.ticks(1)
			if n := len(next.players()); n > 1 {
				t.Fatalf("rule %d: %d sessions of a player live at once", rule, n)
			}
		}
		newest := rule == ecs.NewestWins
		if (second.state == linkPlaying) != newest || (back.state == linkPlaying) == newest {
			t.Errorf("rule %d: the second client has state %d, the first one after its resume %d", rule, second.state, back.state)
		}
	}
}

// TestAPlayersSessionsOfEarlierRulesMakeWay: a game that lets a player in once now has worlds from when it did not.
func TestAPlayersSessionsOfEarlierRulesMakeWay(t *testing.T) {
	r := newRig(t, Config{})
	for range 3 {
		r.join()
	}
	later := ruledRig(t, ecs.NewestWins, Config{})
	var err error
	if later.w, err = ecs.Restore(later.w.Game(), r.w.AppendSnapshot(nil)); err != nil {
		t.Fatal(err)
	}
	if err := later.h.own(later.w, 2); err != nil {
		t.Fatal(err)
	}
	l := later.connect()
	later.ticks(10)
	if l.state != linkPlaying || len(later.players()) != 1 {
		t.Errorf("state %d, %v", l.state, later.players())
	}
}

// TestRulesUnderChance lets players come, go, lose their connections and resume at random: whatever happens, the world has no player
// twice, and whoever comes last and stays is in at last.
func TestRulesUnderChance(t *testing.T) {
	for _, rule := range []ecs.IdentityRule{ecs.NewestWins, ecs.OldestStays} {
		for seed := range uint64(60) {
			t.Run(fmt.Sprintf("rule %d/seed %d", rule, seed), func(t *testing.T) { chance(t, rule, seed) })
		}
	}
}

func chance(t *testing.T, rule ecs.IdentityRule, seed uint64) {
	r := ruledRig(t, rule, Config{})
	rng := rand.New(rand.NewPCG(seed, 1))
	type client struct {
		link *link
		was  *wirepb.Welcome // nil: never welcomed
	}
	names := []string{"ann", "bob", "eve"}
	clients := map[string][]*client{}
	for range 200 {
		name := names[rng.IntN(len(names))]
		mine := clients[name]
		var c *client
		if len(mine) > 0 {
			c = mine[rng.IntN(len(mine))]
		}
		switch n := rng.IntN(10); {
		case n < 4:
			clients[name] = append(mine, &client{link: r.hello("127.0.0.1:1000", &wirepb.Hello{Protocol: wirepb.Protocol, Identity: name})})
		case c == nil:
		case n < 6:
			r.h.lost(c.link)
		case n < 7 && c.link.state == linkPlaying:
			r.receive(c.link, wirepb.IDBye, &wirepb.Bye{Reason: wirepb.Reason_REASON_LEFT})
		case n < 9 && c.was != nil && c.link.state == linkClosed:
			c.link = r.hello("127.0.0.1:1000", &wirepb.Hello{Protocol: wirepb.Protocol, Resume: &wirepb.Resume{Session: c.was.Session, Token: c.was.Token, LastTick: c.was.Tick}})
		}
		for range rng.IntN(12) {
			r.ticks(1)
			r.h.expire()
			once(t, r)
		}
		for _, all := range clients {
			for _, c := range all {
				for _, m := range r.sent(c.link) {
					if m, ok := m.(*wirepb.Welcome); ok {
						c.was = m
					}
				}
			}
		}
	}
	for _, name := range names {
		last := r.hello("127.0.0.1:1000", &wirepb.Hello{Protocol: wirepb.Protocol, Identity: name})
		if rule == ecs.OldestStays {
			for l := range r.h.links {
				if l != last && (l.hello != nil && l.hello.Identity == name || l.session != nil && l.session.player == name) {
					r.h.lost(l)
				}
			}
		}
		for range int(comesBack/(100*time.Millisecond)) + 10 {
			r.ticks(1)
			once(t, r)
		}
		if last.state != linkPlaying {
			t.Fatalf("the last client of %s has state %d", name, last.state)
		}
	}
}

// once fails if a player is in the world twice.
func once(t *testing.T, r *rig) {
	t.Helper()
	names := r.players()
	slices.Sort(names)
	if n := len(slices.Compact(names)); n < len(r.players()) {
		t.Fatalf("%v", r.players())
	}
}
