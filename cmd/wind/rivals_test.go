package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/persistence/jetstream"
)

// rival is one of several sessions of the same player.
type rival struct {
	c   *client.RPC
	err error // of its login
}

// lives reports whether the session is logged in and has not been ended.
func (r *rival) lives() bool {
	select {
	case <-r.c.Done():
		return false
	default:
		return r.err == nil
	}
}

// race connects n clients to each gateway, and has all of them log in as the player at once. It returns when all have been
// answered. A failed login is reported unless it may fail.
func (s *services) race(player string, n int, mayFail bool) (all []*rival) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for range n {
		for _, addr := range s.addrs() {
			c, err := client.DialRPC(ctx, client.RPCConfig{Addr: addr, Transport: client.TCP})
			if err != nil {
				s.t.Fatal(err)
			}
			all = append(all, &rival{c: c})
		}
	}
	var group sync.WaitGroup
	for _, r := range all {
		group.Go(func() { r.err = r.c.Call(ctx, &speakpb.PlayerLoginRequest{PlayerId: player}, nil) })
	}
	group.Wait()
	for _, r := range all {
		if r.err != nil && !mayFail && r.c.Err() == nil { // otherwise it was replaced before its answer came
			s.t.Errorf("%s: a login fails: %v", player, r.err)
		}
	}
	return all
}

// settles waits until exactly one of a player's sessions lives, and proves that it is the one that the player's record names
// and that it works.
func (s *services) settles(player string, all []*rival) (took time.Duration) {
	s.t.Helper()
	began := time.Now()
	living := func() (left []*rival) {
		for _, r := range all {
			if r.lives() {
				left = append(left, r)
			}
		}
		return left
	}
	for len(living()) != 1 {
		if time.Since(began) > patience {
			s.t.Fatalf("%s has %d living sessions, the record says %+v", player, len(living()), s.record(player))
		}
		time.Sleep(time.Millisecond)
	}
	took = time.Since(began)
	last := living()[0]
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := last.c.Call(ctx, &speakpb.RoleRequest{}, &speakpb.RoleResponse{}); err != nil {
		s.t.Errorf("%s: the last session is not answered: %v", player, err)
	}
	if record := s.record(player); record.Left || !strings.HasPrefix(record.Session, last.c.Gateway()+"/") {
		s.t.Errorf("%s: the last session is at %s, the record says %+v", player, last.c.Gateway(), record)
	}
	if len(living()) != 1 {
		s.t.Errorf("%s has %d living sessions after one was left", player, len(living()))
	}
	return took
}

// record is what the gateways know of a player.
func (s *services) record(player string) gateway.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	kv, err := jetstream.OpenKV(ctx, s.link.NATS, "dev", "players", jetstream.KVOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	value, _, err := kv.Get(ctx, gateway.RecordKey(player))
	if err != nil {
		s.t.Fatal(err)
	}
	record, err := gateway.ParseRecord(value)
	if err != nil {
		s.t.Fatal(err)
	}
	return record
}

// TestOfRacingLoginsOneLives has two gateways race for the same players, again and again: exactly one session is left. In every
// second round the player has a session already.
func TestOfRacingLoginsOneLives(t *testing.T) {
	s := startServices(t, 2, "game-1", "game-2")
	longest := time.Duration(0)
	rounds := long(25, 1000)
	for round := range rounds {
		player := fmt.Sprint("rival-", round)
		all := s.race(player, 1, false)
		if longest = max(longest, s.settles(player, all)); round%2 == 1 {
			all = append(all, s.race(player, 2, false)...)
			longest = max(longest, s.settles(player, all))
		}
		for _, r := range all {
			r.c.Close()
		}
	}
	t.Logf("after %d races the others had ended within %v", rounds, longest)
	if longest > maxWait {
		t.Errorf("two sessions of one player lived for %v", longest)
	}
}

// TestLoginsAcrossACutLeaveOneSession takes NATS away for 5 s while players log in at two gateways. When it is back, each player
// has at most one session, and exactly one after another login. When all have left, no record is left.
func TestLoginsAcrossACutLeaveOneSession(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		t.Skip("a minute: set WIND_LONG")
	}
	for _, how := range []string{"killed", "standing still"} {
		t.Run(how, func(t *testing.T) {
			sites := startSites(t, "5s")
			sites.infra = sites.etcdSeat.process
			s := startServicesOn(t, &sites.cluster, 2, "game-1", "game-2")
			const players = 60
			all := make([][]*rival, players)
			name := func(i int) string { return fmt.Sprint("cut-", i) }
			var group sync.WaitGroup
			began := time.Now()
			waits := make([]time.Duration, players)
			for i := range players {
				group.Go(func() {
					for time.Since(began) < time.Duration(i)*7*time.Second/players {
						time.Sleep(5 * time.Millisecond) // the logins' pace
					}
					asked := time.Now()
					all[i] = s.race(name(i), 1, true)
					waits[i] = time.Since(asked)
				})
			}
			time.Sleep(time.Second) // some log in before the cut
			sites.natsSeat.gone(5*time.Second, how != "killed")
			group.Wait()
			failed, longest := 0, time.Duration(0)
			for i := range players {
				longest = max(longest, waits[i])
				for _, r := range all[i] {
					if r.err != nil {
						failed++
					}
				}
			}
			t.Logf("%d of %d logins failed, the longest took %v", failed, 2*players, longest)
			s.infra.until("reaches NATS again", func() bool { return s.link.NATS.Connected() })
			reached := time.Now()
			for i := range players {
				s.infra.within(30*time.Second, "has one session of "+name(i)+" at most", func() bool {
					return !all[i][0].lives() || !all[i][1].lives()
				})
			}
			t.Logf("nobody had two sessions %v after NATS was back", time.Since(reached).Round(time.Millisecond))
			for i := range players {
				all[i] = append(all[i], s.race(name(i), 1, false)...)
				s.settles(name(i), all[i])
			}
			for _, p := range all {
				for _, r := range p {
					r.c.Close()
				}
			}
			left := time.Now()
			s.infra.within(gone, "has no records", func() bool { return s.footprint().records == 0 })
			t.Logf("the records were gone %v after the last had left", time.Since(left).Round(time.Second))
		})
	}
}

// TestRecordsOfAKilledGatewayEnd kills a gateway that has players. If another is there, it gives their records up, and these end
// after the lease, the grace and 15 s. Without another they end after 5 minutes. A player that logs in meanwhile keeps the
// record of its new session.
func TestRecordsOfAKilledGatewayEnd(t *testing.T) {
	if os.Getenv("WIND_LONG") == "" {
		t.Skip("some minutes: set WIND_LONG")
	}
	const players = 300
	for name, c := range map[string]struct {
		gateways int
		soonest  time.Duration
		latest   time.Duration
	}{
		"another is there": {2, 15 * time.Second, 5*time.Second + time.Second + gone},
		"no other":         {1, 3 * time.Minute, 5*time.Minute + gone - 15*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServices(t, c.gateways, "game-1", "game-2")
			doors := s.doors
			s.doors = doors[:1]
			g := newGuests(t, s, players)
			g.each(func(int) time.Duration { return 0 }, g.enter)
			if n := s.footprint().records; n != players {
				t.Fatalf("%d records of %d players", n, players)
			}
			killed := time.Now()
			doors[0].kill()
			stay := 0
			if c.gateways > 1 {
				s.doors = doors[1:]
				back := newGuests(t, s, 20) // the first 20 come back at once
				back.each(func(int) time.Duration { return 0 }, back.enter)
				stay = 20
			}
			s.infra.within(c.latest, "has no records of those who are gone", func() bool {
				return s.footprint().records == stay
			})
			took := time.Since(killed).Round(time.Second)
			t.Logf("the records of %d players were gone %v after the gateway", players-stay, took)
			if took < c.soonest {
				t.Errorf("the records were gone after %v, before %v", took, c.soonest)
			}
			if record := s.record(g.names[0]); stay > 0 && (record.Left || record.Session == "") {
				t.Errorf("the record of a player that came back says %+v", record)
			}
		})
	}
}
