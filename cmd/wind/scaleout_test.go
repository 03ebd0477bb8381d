package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/client"
)

// guests are players that log in and out when the test says so.
type guests struct {
	t     *testing.T
	s     *services
	names []string
	door  chan struct{} // those who log in now: a gateway takes 128 of one address
	mu    sync.Mutex
	in    map[string]*client.RPC
}

func newGuests(t *testing.T, s *services, n int) *guests {
	g := &guests{t: t, s: s, door: make(chan struct{}, 50), in: map[string]*client.RPC{}}
	for i := range n {
		g.names = append(g.names, fmt.Sprint("guest-", i))
	}
	t.Cleanup(func() {
		for _, c := range g.in {
			c.Close()
		}
	})
	return g
}

// enter logs a player in.
func (g *guests) enter(name string) {
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	g.door <- struct{}{}
	defer func() { <-g.door }()
	addrs := g.s.addrs()
	c, err := client.DialRPC(ctx, client.RPCConfig{Addr: addrs[rand.IntN(len(addrs))], Transport: client.TCP})
	if err == nil {
		err = c.Call(ctx, &speakpb.PlayerLoginRequest{PlayerId: name}, nil)
	}
	if err != nil {
		g.t.Errorf("%s cannot log in: %v", name, err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in[name] = c
}

// leave logs a player out.
func (g *guests) leave(name string) {
	g.mu.Lock()
	c := g.in[name]
	delete(g.in, name)
	g.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

// each calls f for every player, after a pause of its own, and waits for all.
func (g *guests) each(pause func(i int) time.Duration, f func(name string)) {
	var group sync.WaitGroup
	for i, name := range g.names {
		group.Go(func() {
			time.Sleep(pause(i))
			f(name)
		})
	}
	group.Wait()
}

// where counts the players by their instances.
func (g *guests) where() map[string]int {
	at := map[string]int{}
	for _, name := range g.names {
		at[g.s.bound(name)]++
	}
	return at
}

// even reports whether each instance has at least half of its share of the players.
func (g *guests) even(at map[string]int, instances ...string) bool {
	for _, id := range instances {
		if at[id]*len(instances)*2 < len(g.names) {
			return false
		}
	}
	return true
}

// TestPlayersSpreadAfterAScaleOut fills two services, starts two more, and has all players log out and in again, at once or
// one after the other, soon or later. The new services get their share. WIND_LONG has more players and more ways.
func TestPlayersSpreadAfterAScaleOut(t *testing.T) {
	type way struct {
		name string
		out  func(i, n int) time.Duration // when a player leaves
		away func() time.Duration
	}
	atOnce := func(int, int) time.Duration { return 0 }
	inTurn := func(i, n int) time.Duration { return time.Duration(i) * 30 * time.Second / time.Duration(n) }
	after := func(pause time.Duration) func() time.Duration { return func() time.Duration { return pause } }
	ways, players := []way{{"all leave and come back at once", atOnce, after(0)}}, 40
	if os.Getenv("WIND_LONG") != "" {
		players = 200
		ways = append(ways,
			way{"all leave, back after 1 s", atOnce, after(time.Second)},
			way{"all leave, back after 3 s", atOnce, after(3 * time.Second)},
			way{"all leave, back after 17 s", atOnce, after(17 * time.Second)},
			way{"in turn over 30 s, back at once", inTurn, after(0)},
			way{"in turn over 30 s, away for up to 25 s", inTurn, func() time.Duration { return rand.N(25 * time.Second) }})
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := startServices(t, 2)
			start := func(ids ...string) {
				for _, id := range ids {
					s.game(id, "--capacity", fmt.Sprint(players/2))
				}
				for _, id := range ids {
					s.infra.until("has "+id, func() bool { return s.link.Directory.Alive("game", id) })
				}
			}
			start("game-1", "game-2")
			g := newGuests(t, s, players)
			g.each(func(int) time.Duration { return 0 }, g.enter)
			s.infra.until("counts all players", func() bool {
				n := 0
				for _, i := range s.link.Directory.Instances("game") {
					n += i.Players
				}
				return n == players
			})
			before := g.where()
			start("game-3", "game-4")
			began := time.Now()
			for round := 1; ; round++ {
				g.each(func(i int) time.Duration { return w.out(i, players) }, func(name string) {
					g.leave(name)
					time.Sleep(w.away())
					g.enter(name)
				})
				now, took := g.where(), time.Since(began)
				if g.even(now, "game-1", "game-2", "game-3", "game-4") {
					t.Logf("%v before, %v after %d rounds of logins, %v after the scale-out", before, now, round, took.Round(100*time.Millisecond))
					break
				}
				if took > time.Minute {
					t.Fatalf("%v before, %v after %d rounds of logins in a minute", before, now, round)
				}
			}
		})
	}
}
