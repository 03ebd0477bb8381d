package session

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/wirepb"
)

// from connects from an address with the identity who.
func (r *rig) from(addr, who string) *link {
	return r.hello(addr, &wirepb.Hello{Protocol: wirepb.Protocol, Identity: who})
}

// refusal returns the reason and text with which a link was closed.
func (r *rig) refusal(l *link) (wirepb.Reason, string) {
	r.t.Helper()
	if l.state != linkClosed {
		r.t.Fatalf("the connection is in state %d, not closed", l.state)
	}
	m := find[*wirepb.Bye](r, l)
	return m.Reason, m.Text
}

func (r *rig) wantRefusal(l *link, want wirepb.Reason, limit string) {
	r.t.Helper()
	if got, text := r.refusal(l); got != want || !strings.Contains(text, limit) {
		r.t.Errorf("refused with %v: %q, want %v and the name %q", got, text, want, limit)
	}
}

func TestSessionsOfAnAddressAreBounded(t *testing.T) {
	r := newRig(t, Config{Accounts: NewAccounts(netcode.Limits{SessionsPerAddress: 3})})
	for i := range 3 {
		r.from("10.0.0.1:1000", fmt.Sprint("player", i))
	}
	late := r.from("10.0.0.1:1001", "late")
	other := r.from("10.0.0.2:1000", "other")
	r.tick(1 << 20)
	r.wantRefusal(late, wirepb.Reason_REASON_ADDRESS_FULL, "sessions-per-address")
	if other.state != linkPlaying {
		t.Error("another address is refused too")
	}
	// A resumed session does not count again, and one that leaves makes room.
	r.h.leave(first(r.h.links, "10.0.0.1:1000"))
	r.tick(1 << 20)
	again := r.from("10.0.0.1:1002", "again")
	r.tick(1 << 20)
	if again.state != linkPlaying {
		t.Errorf("state %d although a session has left", again.state)
	}
}

// first returns a link that plays from an address.
func first(links map[*link]struct{}, addr string) *link {
	for l := range links {
		if l.conn.Addr().String() == addr && l.state == linkPlaying {
			return l
		}
	}
	return nil
}

func TestSessionsOfAnIdentityAreBounded(t *testing.T) {
	r := newRig(t, Config{Accounts: NewAccounts(netcode.Limits{SessionsPerIdentity: 2})})
	r.from("10.0.0.1:1000", "ann")
	r.from("10.0.0.2:1000", "ann")
	late, other := r.from("10.0.0.3:1000", "ann"), r.from("10.0.0.3:1001", "bob")
	r.tick(1 << 20)
	r.wantRefusal(late, wirepb.Reason_REASON_IDENTITY_FULL, "sessions-per-identity")
	if other.state != linkPlaying {
		t.Error("another identity is refused too")
	}
}

// sessions returns how many sessions an account has.
func sessions[K comparable](a accounts[K], key K) int {
	if x := a.all[key]; x != nil {
		return x.sessions
	}
	return 0
}

// TestASessionCountsWhereItsConnectionIs: this also holds after a resume elsewhere, a successor's start, and its end.
func TestASessionCountsWhereItsConnectionIs(t *testing.T) {
	r := newRig(t, Config{})
	l := r.from("10.0.0.1:1000", "ann")
	r.tick(1 << 20)
	w := find[*wirepb.Welcome](r, l)
	resume := &wirepb.Hello{Protocol: wirepb.Protocol, Resume: &wirepb.Resume{Session: w.Session, Token: w.Token}}
	counts := func(h *hub) (got []int) {
		for _, addr := range []string{"10.0.0.1", "10.0.0.2"} {
			got = append(got, sessions(h.accounts.addresses, netip.MustParseAddr(addr)))
		}
		return append(got, sessions(h.accounts.identities, "ann"))
	}
	expectCounts := func(h *hub, want ...int) {
		t.Helper()
		if got := counts(h); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("addresses and identity have %v sessions, want %v", got, want)
		}
	}
	expectCounts(r.h, 1, 0, 1)
	r.h.lost(l)
	expectCounts(r.h, 1, 0, 1) // parked
	r.hello("10.0.0.2:1000", resume)
	r.tick(1 << 20)
	expectCounts(r.h, 0, 1, 1)
	next := r.successor()
	expectCounts(next.h, 0, 0, 1)
	l = next.hello("10.0.0.1:1000", resume)
	next.tick(1 << 20)
	expectCounts(next.h, 1, 0, 1)
	next.h.leave(l)
	next.tick(1 << 20)
	expectCounts(next.h, 0, 0, 0)
	r.h.disown("")
	expectCounts(r.h, 0, 0, 0)
	r.h.now = r.h.now.Add(2 * time.Minute)
	r.h.expire()
	if n := len(r.h.accounts.addresses.all) + len(r.h.accounts.identities.all); n != 0 {
		t.Errorf("%d idle accounts remain", n)
	}
}

func TestJoinAndLeaveInALoopIsBounded(t *testing.T) {
	for name, limits := range map[string]netcode.Limits{
		"joins-per-address":  {JoinsPerAddress: 30, JoinsPerIdentity: -1},
		"joins-per-identity": {JoinsPerIdentity: 30},
	} {
		r := newRig(t, Config{Accounts: NewAccounts(limits)})
		joined, refused := 0, 0
		for range 600 { // a minute of ten ticks a second
			l := r.from("10.0.0.1:1000", "ann")
			r.tick(1 << 20)
			if l.state != linkPlaying {
				r.wantRefusal(l, wirepb.Reason_REASON_TOO_MANY_JOINS, name)
				refused++
				continue
			}
			joined++
			r.h.leave(l)
		}
		if joined < 50 || joined > 62 || refused == 0 {
			t.Errorf("%s: %d joins in a minute of 30, with a burst of 30; %d refused", name, joined, refused)
		}
	}
}

func TestWhatOneIdentityWritesIntoTheLogIsBounded(t *testing.T) {
	const rate = 2000
	r := newRig(t, Config{Accounts: NewAccounts(netcode.Limits{LogBytesPerIdentity: rate})})
	greedy, modest := r.from("10.0.0.1:1000", "greedy"), r.from("10.0.0.2:1000", "modest")
	r.tick(1 << 20)
	r.sent(greedy)
	r.sent(modest)
	written, told, refused := 0, 0, 0
	for seq := range uint64(300) { // 30 s
		r.receive(greedy, wirepb.IDCommand, &wirepb.Command{Seq: 2 + 2*seq, Kind: kindBuy, Payload: make([]byte, 200)})
		r.receive(greedy, wirepb.IDCommand, &wirepb.Command{Seq: 3 + 2*seq, Kind: kindBuy, Payload: make([]byte, 200)})
		if seq%5 == 0 {
			r.receive(modest, wirepb.IDCommand, &wirepb.Command{Seq: 2 + seq/5, Kind: kindBuy, Payload: make([]byte, 200)})
		}
		f := r.tick(1 << 20)
		for _, c := range f.Commands {
			if c.Source.ID == greedy.session.id {
				written += len(c.Payload)
			}
		}
		for _, m := range r.sent(greedy) {
			switch m := m.(type) {
			case *wirepb.Wait:
				if m.Reason == wirepb.Reason_REASON_LOG_BYTES {
					told++
				}
			case *wirepb.Reply:
				if m.Rejected && strings.Contains(m.Reason, "from one identity") {
					refused++
				}
			}
		}
	}
	if written > 32*rate || written < 20*rate {
		t.Errorf("%d bytes in 30 s at %d per second", written, rate)
	}
	for _, m := range r.sent(modest) {
		if m, ok := m.(*wirepb.Reply); ok && m.Rejected {
			t.Errorf("the modest one is refused: %v", m)
		}
	}
	if told == 0 || refused == 0 {
		t.Errorf("%d Waits, %d commands refused", told, refused)
	}
}

func TestASessionThatNeverSaysAnythingEndsSoon(t *testing.T) {
	r := newRig(t, Config{})
	silent, lost, talks := r.from("10.0.0.1:1", "silent"), r.from("10.0.0.1:2", "lost"), r.from("10.0.0.1:3", "talks")
	r.tick(1 << 20)
	for _, l := range []*link{silent, lost, talks} {
		r.sent(l)
	}
	r.h.lost(lost)
	for range 120 { // 12 s
		wireOf(talks).seen = r.h.now // it pings
		r.h.expire()
		r.tick(1 << 20)
	}
	if got, _ := r.refusal(silent); got != wirepb.Reason_REASON_SILENT {
		t.Errorf("the silent one ended with %v", got)
	}
	if talks.state != linkPlaying || len(r.h.sessions) != 1 {
		t.Errorf("%d sessions, the talking one is in state %d", len(r.h.sessions), talks.state)
	}
	// Once it has sent something it keeps its grace, and only stops getting updates.
	for range 100 {
		r.h.expire()
		r.tick(1 << 20)
	}
	if talks.state != linkPlaying || len(r.h.targets(r.w, nil)) != 0 {
		t.Errorf("state %d; updates go to %d clients that were silent for 10 s", talks.state, len(r.h.targets(r.w, nil)))
	}
	wireOf(talks).seen = r.h.now // it pings
	if len(r.h.targets(r.w, nil)) != 1 {
		t.Error("no update for a client that is back")
	}
}

// TestTheShardsOfANodeShareTheLimits: what one uses, the others lack, until its players leave or it ends.
func TestTheShardsOfANodeShareTheLimits(t *testing.T) {
	all := NewAccounts(netcode.Limits{SessionsPerAddress: 3})
	one, two := newRig(t, Config{Accounts: all}), newRig(t, Config{Accounts: all})
	one.from("10.0.0.1:1000", "ann")
	one.from("10.0.0.1:1001", "bob")
	one.tick(1 << 20)
	two.from("10.0.0.1:1002", "cid")
	late := two.from("10.0.0.1:1003", "dan")
	two.tick(1 << 20)
	two.wantRefusal(late, wirepb.Reason_REASON_ADDRESS_FULL, "sessions-per-address")
	one.h.end("the room is over")
	again := two.from("10.0.0.1:1004", "dan")
	if two.tick(1 << 20); again.state != linkPlaying {
		t.Errorf("state %d although a room has ended", again.state)
	}
}

// TestRoomsThatComeAndGoLeaveNoAccounts: of players, of those who are away, and of those who still wait.
func TestRoomsThatComeAndGoLeaveNoAccounts(t *testing.T) {
	all := NewAccounts(netcode.Limits{})
	for i := range 100 {
		r := newRig(t, Config{Accounts: all})
		r.from(fmt.Sprintf("10.0.0.%d:1000", i), fmt.Sprint("plays ", i))
		away := r.from(fmt.Sprintf("10.0.1.%d:1000", i), fmt.Sprint("is away ", i))
		r.tick(1 << 20)
		r.h.lost(away)
		r.from(fmt.Sprintf("10.0.2.%d:1000", i), fmt.Sprint("waits ", i))
		if i%2 == 0 {
			r.h.end("the room is over")
		} else {
			r.h.disown("another node has it")
		}
	}
	if n := len(all.addresses.all); n < 300 {
		t.Errorf("%d addresses have accounts", n)
	}
	all.forget(time.Unix(1000, 0).Add(time.Hour))
	if a, b := len(all.addresses.all), len(all.identities.all); a != 0 || b != 0 {
		t.Errorf("the accounts of %d addresses and %d identities are left", a, b)
	}
}
