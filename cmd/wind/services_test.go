package main

import (
	"testing"
	"time"
)

// TestKilledInstancesCostTheirPlayersAMoment kills a service, then a gateway, under load: those who were not there notice
// nothing, the others go on elsewhere, and nothing is executed twice or behind its caller's back.
func TestKilledInstancesCostTheirPlayersAMoment(t *testing.T) {
	s := startServices(t, 3, "game-1", "game-2", "game-3")
	c := newCrowd(t, s.addrs(), 60*time.Millisecond, counted)
	for range long(45, 150) {
		c.add()
	}
	c.all("plays", c.players, func(p *player) bool { return p.answered(3) })

	begun := time.Now()
	var victims, others []*player
	for _, p := range c.players {
		if s.bound(p.name) == "game-1" {
			victims = append(victims, p)
		} else {
			others = append(others, p)
		}
	}
	if len(victims) < len(c.players)/6 {
		t.Fatalf("%d of %d players are bound to game-1", len(victims), len(c.players))
	}
	killed := time.Now()
	s.games["game-1"].kill()
	c.all("is bound anew", victims, func(p *player) bool { _, ok := p.since(killed); return ok })
	t.Logf("%d players of a dead service were answered again after %v at most", len(victims), c.longest(victims, killed))
	for _, p := range victims {
		if at := s.bound(p.name); at == "game-1" {
			t.Errorf("%s was answered and is still bound to game-1", p.name)
		}
	}
	c.unhurt("bound to another service", others, begun.Add(-time.Hour))

	guests, rest := c.split(0)
	killed = time.Now()
	s.doors[0].kill()
	c.all("goes on at another gateway", guests, func(p *player) bool { _, ok := p.since(killed); return ok && p.sessions == 2 })
	t.Logf("%d players of a dead gateway were answered again after %v at most", len(guests), c.longest(guests, killed))
	c.all("plays on", c.players, func(p *player) bool { return p.answered(50) })
	c.stop()
	c.unhurt("at another gateway", rest, killed)
	for _, p := range rest {
		if p.sessions != 1 {
			t.Errorf("%s, at another gateway, had %d sessions", p.name, p.sessions)
		}
	}
	ok, maybe, failed := s.balance(c)
	t.Logf("%d requests answered, %d failed with maybe, %d without", ok, maybe, failed)
	if maybe == 0 {
		t.Log("no request was under way when its service died: the balance proves little")
	}
}

// longest is how long after a moment the last of some players had a good answer to a request sent after it.
func (c *crowd) longest(players []*player, from time.Time) (most time.Duration) {
	for _, p := range players {
		p.mu.Lock()
		if told, ok := p.since(from); ok {
			most = max(most, told.Sub(from))
		}
		p.mu.Unlock()
	}
	if most > 10*time.Second {
		c.t.Errorf("that took %v", most)
	}
	return most.Round(time.Millisecond)
}

// split are the players that began at a gateway, and the others.
func (c *crowd) split(door int) (there, elsewhere []*player) {
	for _, p := range c.players {
		if p.door1 == door {
			there = append(there, p)
		} else {
			elsewhere = append(elsewhere, p)
		}
	}
	return there, elsewhere
}
