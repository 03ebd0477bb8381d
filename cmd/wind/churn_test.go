package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/wirepb"
)

// TestChurn kills, stops, drains and starts two gateways and four services in a loop, under load. Clients meet nothing that
// the page calls final and wait 4 s at most, for a connection, a login or an answer. Nothing is executed twice or behind its
// caller's back. At the end nobody is bound to an instance that is gone, in the players' records or in the directory.
func TestChurn(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		t.Skip("two minutes: set WIND_LONG")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s := startServices(t, 0, "game-1", "game-2", "game-3", "game-4")
	for i := range 2 {
		s.doors = append(s.doors, s.begin(gatewayName(i), nodetest.Addr(t)).open())
	}
	reopen := func(i int) { s.doors[i] = s.begin(gatewayName(i), s.doors[i].addr).open() }
	c := newCrowd(t, s.addrs(), 100*time.Millisecond, counted)
	for range 40 {
		c.add()
	}
	c.all("plays", c.players, func(p *player) bool { return p.answered(3) })

	next := 5
	ids := []string{"game-1", "game-2", "game-3", "game-4"}
	replace := func(i int) {
		ids[i] = fmt.Sprint("game-", next)
		next++
		s.game(ids[i])
		s.infra.until("has "+ids[i]+" in its directory", func() bool { return s.link.Directory.Alive("game", ids[i]) })
	}
	stopped := func(p *process) {
		p.signal(syscall.SIGTERM)
		t.Cleanup(func() {
			if code := p.exit(); code != 0 {
				t.Errorf("a stopped instance ends with %d:\n%s", code, p.log())
			}
		})
	}
	did := map[string]int{}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		game, door := rng.IntN(len(ids)), rng.IntN(len(s.doors))
		switch what := rng.IntN(10); {
		case what < 3:
			did["service killed"]++
			s.games[ids[game]].kill()
			replace(game)
		case what < 5:
			did["service stopped"]++
			stopped(s.games[ids[game]])
			replace(game)
		case what < 7:
			did["service drained"]++
			run(t, 0, nil, "drain", "game", ids[game], "--nats", s.nats, "--etcd", s.etcd)
			stopped(s.games[ids[game]])
			replace(game)
		case what < 9:
			did["gateway stopped"]++
			s.doors[door].signal(syscall.SIGTERM)
			if code := s.doors[door].exit(); code != 0 {
				t.Errorf("a stopped gateway ends with %d:\n%s", code, s.doors[door].log())
			}
			reopen(door)
		default:
			did["gateway killed"]++
			s.doors[door].kill()
			reopen(door)
		}
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond) // the churn's pace
	}
	t.Logf("%v", did)
	if len(did) < 5 {
		t.Error("not everything has happened")
	}
	quiet := time.Now()
	c.all("plays on", c.players, func(p *player) bool { _, ok := p.since(quiet); return ok })
	for _, p := range c.players {
		if at := s.bound(p.name); !s.link.Directory.Alive("game", at) {
			t.Errorf("%s is bound to %s, which is gone", p.name, at)
		}
	}
	s.infra.until("counts everybody at an instance that is there, once", func() bool { return s.everybodyIsSomewhere(len(c.players)) })
	c.stop()
	ok, maybe, failed := s.balance(c)
	sessions, longest, worst := 0, map[string]time.Duration{}, outcome{}
	for _, p := range c.players {
		sessions += p.sessions
		for _, err := range p.ends {
			if final(err) {
				t.Errorf("%s was sent away for good: %v", p.name, err)
			}
		}
		for i, o := range p.outcomes {
			p.steps = append(p.steps, step{"answer", o.took()})
			if o.took() > worst.took() {
				worst = o
			}
			if o.took() > maxWait {
				t.Errorf("%s, request %d: %v", p.name, i+1, o.err)
			}
		}
		for _, step := range p.steps {
			if longest[step.what] = max(longest[step.what], step.took); step.took > maxWait {
				t.Errorf("%s waited %v for its %s", p.name, step.took, step.what)
			}
		}
	}
	t.Logf("%d requests answered, %d failed with maybe, %d without; %d sessions; the longest waits: %v, for an answer %v before the end (%v)",
		ok, maybe, failed, sessions, longest, quiet.Sub(worst.sent).Round(time.Millisecond), worst.err)
}

func gatewayName(i int) string { return fmt.Sprint("gateway-", i+1) }

// maxWait is the longest that a client may wait for anything while instances come and go.
const maxWait = 4 * time.Second

// everybodyIsSomewhere reports whether the gateways count so many players, each at a service that is there.
func (s *services) everybodyIsSomewhere(players int) bool {
	for _, g := range s.link.Directory.Instances(node.GatewayType) {
		for at, n := range g.Bound {
			if kind, id, _ := strings.Cut(at, "/"); !s.link.Directory.Alive(kind, id) {
				return false
			}
			players -= n
		}
	}
	return players == 0
}

// final reports whether what ended a session, or refused one, is a reason that the page calls final.
func final(err error) bool {
	var bye *client.ByeError
	if !errors.As(err, &bye) {
		return false // the connection broke
	}
	switch bye.Reason {
	case wirepb.Reason_REASON_SHUTDOWN, wirepb.Reason_REASON_NOT_OWNER, wirepb.Reason_REASON_FULL, wirepb.Reason_REASON_TOO_MUCH,
		wirepb.Reason_REASON_IDLE, wirepb.Reason_REASON_SLOW, wirepb.Reason_REASON_HANDSHAKE_TIMEOUT,
		wirepb.Reason_REASON_ADDRESS_FULL, wirepb.Reason_REASON_IDENTITY_FULL, wirepb.Reason_REASON_TOO_MANY_JOINS:
		return false
	}
	return true
}
