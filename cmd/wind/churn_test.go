package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/wirepb"
)

// TestChurn kills, stops, drains and starts two gateways and four services in a loop, under load. Clients meet nothing that
// the page calls final and wait 4 s at most, nothing is executed twice or behind its caller's back, and at the end everybody is
// bound to an instance that is there.
func TestChurn(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		t.Skip("two minutes: set WIND_LONG")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s := startServices(t, 0, "game-1", "game-2", "game-3", "game-4")
	doors := []*door{{addr: freeAddr(t)}, {addr: freeAddr(t)}}
	for i := range doors {
		s.open(doors, i)
	}
	s.doors = doors
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
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		game := rng.IntN(len(ids))
		switch what := rng.IntN(10); {
		case what < 3:
			s.games[ids[game]].kill()
			replace(game)
		case what < 5:
			s.games[ids[game]].signal(syscall.SIGTERM)
			replace(game)
		case what < 7:
			run(t, 0, nil, "drain", "game", ids[game], "--nats", s.nats, "--etcd", s.etcd)
			s.games[ids[game]].signal(syscall.SIGTERM)
			replace(game)
		case what < 9:
			i := rng.IntN(len(doors))
			doors[i].signal(syscall.SIGTERM)
			doors[i].exit()
			s.open(doors, i)
		default:
			i := rng.IntN(len(doors))
			doors[i].kill()
			s.open(doors, i)
		}
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond) // the churn's pace
	}
	quiet := time.Now()
	c.all("plays on", c.players, func(p *player) bool { _, ok := p.since(quiet); return ok })
	for _, p := range c.players {
		if at := s.bound(p.name); !s.link.Directory.Alive("game", at) {
			t.Errorf("%s is bound to %s, which is gone", p.name, at)
		}
	}
	c.stop()
	ok, maybe, failed := s.balance(c)
	longest, sessions := time.Duration(0), 0
	for _, p := range c.players {
		sessions += p.sessions
		for _, text := range p.problems {
			if final(text) {
				t.Errorf("%s was sent away for good: %s", p.name, text)
			}
		}
		for i, o := range p.outcomes {
			took := o.told.Sub(o.sent)
			if longest = max(longest, took); took > 4*time.Second {
				t.Errorf("%s waited %v for request %d: %v", p.name, took, i+1, o.err)
			}
		}
	}
	t.Logf("%d requests answered, %d failed with maybe, %d without; %d sessions; nobody waited longer than %v", ok, maybe, failed, sessions, longest)
}

// open starts a gateway at its address.
func (s *services) open(doors []*door, i int) {
	s.t.Helper()
	id := fmt.Sprintf("gateway-%d", i+1)
	doors[i] = &door{process: wind(s.t, append([]string{"gateway", "--id", id, "--tcp", doors[i].addr}, s.flags(id)...)...), addr: doors[i].addr}
	doors[i].listens(`TCP\s+(\S+)`)
}

// final reports whether what a client was told names a reason that the page calls final.
func final(text string) bool {
	for number, name := range wirepb.Reason_name {
		if !strings.Contains(text, "("+name+")") {
			continue
		}
		switch wirepb.Reason(number) {
		case wirepb.Reason_REASON_SHUTDOWN, wirepb.Reason_REASON_NOT_OWNER, wirepb.Reason_REASON_FULL, wirepb.Reason_REASON_TOO_MUCH,
			wirepb.Reason_REASON_HANDSHAKE_TIMEOUT, wirepb.Reason_REASON_IDLE, wirepb.Reason_REASON_SLOW:
			return false
		}
		return true
	}
	return false
}
