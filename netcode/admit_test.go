package netcode

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/frame"
	"github.com/ferris1/wind/netcode/wirepb"
)

// entrance is a door without sockets, with a manual clock.
type entrance struct {
	t   *testing.T
	d   *Door
	now time.Time
}

func newEntrance(t *testing.T, c Config) *entrance {
	e := &entrance{t: t, now: time.Unix(1000, 0)}
	e.d = newDoor(c, func() time.Time { return e.now })
	return e
}

func (e *entrance) open(addr string) *Conn {
	return e.d.open(netip.MustParseAddrPort(addr), cameTCP, nil, func(bool) {})
}

func (e *entrance) later(d time.Duration) {
	e.now = e.now.Add(d)
	e.d.expire(e.now)
}

// wantBye checks the reason and the text with which a connection has ended.
func (e *entrance) wantBye(c *Conn, want wirepb.Reason, text string) {
	e.t.Helper()
	if !c.closed.Load() {
		e.t.Fatal("the connection is open")
	}
	r := frame.NewReader(frame.MaxFromServer)
	r.Feed(c.out)
	id, payload, ok, err := r.Next()
	var m wirepb.Bye
	if !ok || err != nil || id != wirepb.IDBye || proto.Unmarshal(payload, &m) != nil || m.Reason != want || !strings.Contains(m.Text, text) {
		e.t.Errorf("message %d %v (%v), want a Bye with %v and %q", id, &m, err, want, text)
	}
}

func (e *entrance) wantCounts(conns, halfOpen, addresses int) {
	e.t.Helper()
	if len(e.d.conns) != conns || e.d.halfOpen[cameTCP] != halfOpen || len(e.d.addresses) != addresses {
		e.t.Errorf("%d connections, %d half open, %d addresses, want %d, %d and %d", len(e.d.conns), e.d.halfOpen[cameTCP], len(e.d.addresses), conns, halfOpen, addresses)
	}
}

func TestIdleAndHalfOpenConnectionsEnd(t *testing.T) {
	e := newEntrance(t, Config{})
	half, in := e.open("127.0.0.1:1001"), e.open("127.0.0.1:1000")
	in.Admit()
	e.wantCounts(2, 1, 1)
	if e.later(4 * time.Second); half.closed.Load() {
		t.Fatal("closed after 4 s")
	}
	e.later(2 * time.Second)
	e.wantBye(half, wirepb.Reason_REASON_HANDSHAKE_TIMEOUT, "5s")
	in.heard(e.now)
	if e.later(29 * time.Second); in.closed.Load() {
		t.Fatal("idle after 29 s")
	}
	e.later(2 * time.Second)
	e.wantBye(in, wirepb.Reason_REASON_IDLE, "30s")
	e.wantCounts(0, 0, 0)
	if s := e.d.Stats(); s.Refused != 1 || s.RefusedBy["REASON_HANDSHAKE_TIMEOUT"] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestConnectionsOfAnAddressAreBounded(t *testing.T) {
	e := newEntrance(t, Config{Limits: Limits{ConnectionsPerAddress: 8, HalfOpenPerAddress: 4}})
	open := func() *Conn { return e.open("[2001:db8::1:2:3:4]:1000") }
	for range 4 {
		open()
	}
	e.wantBye(open(), wirepb.Reason_REASON_ADDRESS_FULL, "half-open-per-address")
	for c := range e.d.conns {
		c.Admit()
	}
	for range 4 {
		open()
	}
	e.wantBye(open(), wirepb.Reason_REASON_ADDRESS_FULL, "connections-per-address")
	// A neighbour in the same /64 counts as the same address, one elsewhere does not.
	if c := e.open("[2001:db8::9]:1"); !c.closed.Load() {
		t.Error("another address of the same /64 has a count of its own")
	}
	if c := e.open("[2001:db8:0:1::9]:1"); c.closed.Load() {
		t.Error("an address of another /64 is refused")
	}
}

func TestASlowClientIsLeftBehind(t *testing.T) {
	e := newEntrance(t, Config{})
	c := e.open("127.0.0.1:1000")
	for sent := 0; sent <= outBacklog; sent += 4096 {
		c.SendFrame(wirepb.IDEvent, make([]byte, 4096))
	}
	e.wantBye(c, wirepb.Reason_REASON_SLOW, "does not read")
}

func TestLimitsAreSetByTheirNames(t *testing.T) {
	var l Limits
	if err := l.Set("sessions-per-address", 7); err != nil || l.SessionsPerAddress != 7 {
		t.Error(err, l)
	}
	if err := l.Set("sessions", 7); err == nil || !strings.Contains(err.Error(), "sessions-per-address=256") {
		t.Error(err)
	}
}

func TestCookieProvesItsAddressForAWhile(t *testing.T) {
	b, other := newBaker(), newBaker()
	a := netip.MustParseAddrPort("127.0.0.1:1000")
	now := time.Unix(1000, 0)
	c := b.cookie(a, now)
	if !b.proves(c, a, now.Add(cookieLife)) {
		t.Error("refused within its life")
	}
	for name, wrong := range map[string]bool{
		"after its life":    b.proves(c, a, now.Add(cookieLife+time.Second)),
		"before its time":   b.proves(c, a, now.Add(-time.Second)),
		"from another port": b.proves(c, netip.MustParseAddrPort("127.0.0.1:1001"), now),
		"from another host": b.proves(c, netip.MustParseAddrPort("127.0.0.2:1000"), now),
		"of another server": other.proves(c, a, now),
		"cut":               b.proves(c[:19], a, now),
		"changed":           b.proves(append(bytes.Clone(c[:19]), c[19]^1), a, now),
	} {
		if wrong {
			t.Errorf("a cookie %s was taken", name)
		}
	}
}
