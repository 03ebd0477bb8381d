package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/client"
)

// create asks for rooms and returns them.
func (c *cluster) create(count int, options string, more ...string) []listed {
	c.t.Helper()
	var made struct{ Rooms []listed }
	run(c.t, 0, &made, append([]string{
		"room", "create", "--nats", c.nats, "--etcd", c.etcd, "--count", fmt.Sprint(count), "--options", options, "--timeout", "2m", "--json",
	}, more...)...)
	if len(made.Rooms) != count {
		c.t.Fatalf("%d rooms were made, want %d", len(made.Rooms), count)
	}
	return made.Rooms
}

// TestACrowdOfRoomsOutlivesItsNode kills one of two nodes that run 40 rooms (WIND_LONG: 500) with a player in every tenth. All
// rooms run on the other node soon, from their last committed ticks, and the players resume by themselves.
func TestACrowdOfRoomsOutlivesItsNode(t *testing.T) {
	count := long(40, 500)
	c := startCluster(t)
	anna, bert := c.node(0, "--shard", "", "--capacity", "4000"), c.node(1, "--shard", "", "--capacity", "4000")
	for i, node := range []*process{anna, bert} {
		node.until("answers", func() bool { return healthOf(c.http[i]).Healthy })
	}
	made := c.create(count, `{"monsters":4,"size":60,"tick-rate":10}`)
	before := on(c.rooms())
	if before["anna"] < count/4 || before["bert"] < count/4 || before["anna"]+before["bert"] != count {
		t.Errorf("the rooms are spread as %v", before)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	players, seen := map[string]*client.Client{}, map[string]uint64{}
	for i := 0; i < count; i += 10 {
		id := made[i].Room
		p, err := client.Dial(ctx, client.Config{Addr: c.udp[i/10%2], More: c.udp[:], Shard: id, Identity: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		players[id] = p
	}
	hers := map[string]bool{}
	for _, r := range c.rooms() {
		hers[r.Room] = r.Node == "anna"
	}
	for id, p := range players {
		seen[id] = p.Stats().LastTick
	}

	killed := time.Now()
	anna.kill()
	bert.until("runs all rooms", func() bool { return on(c.rooms())["bert"] == count })
	took := time.Since(killed)
	resumed := 0
	bert.until("has all players", func() bool {
		resumed = 0
		for id, p := range players {
			s := p.Stats()
			if s.LastTick <= seen[id]+10 {
				return false
			}
			if hers[id] {
				if s.Resumes == 0 {
					return false
				}
				resumed++
			}
		}
		return true
	})
	for id, p := range players {
		if s := p.Stats(); s.Rejoins > 0 || !hers[id] && s.Resumes > 0 {
			t.Errorf("the player of room %s: %+v", id, s)
		}
	}
	t.Logf("%d of %d rooms ran on the killed node; all run %v after the kill (lease %s); %d players resumed, the last within %v", before["anna"], count, took.Round(100*time.Millisecond), c.lease, resumed, time.Since(killed).Round(100*time.Millisecond))
	bert.stop()
	if code := c.infra.stop(); code != 0 {
		t.Fatalf("infra ends with %d", code)
	}
	for i := 0; i < count; i += count / 4 {
		run(t, 0, nil, "log", "check", "--data", c.dir, "--shard", made[i].Room)
	}
}

// TestRoomsBeyondTheCapacityWait: a node that is full does not take the rooms of one that has died. They wait, room show says
// why, and they go on as soon as a third node comes.
func TestRoomsBeyondTheCapacityWait(t *testing.T) {
	const count = 12
	c := startCluster(t)
	anna := c.node(0, "--shard", "", "--capacity", "4000")
	anna.until("answers", func() bool { return healthOf(c.http[0]).Healthy })
	made := c.create(count, `{"monsters":40,"size":100}`)
	bert := c.node(1, "--shard", "", "--capacity", "5")
	bert.until("answers", func() bool { return healthOf(c.http[1]).Healthy })
	reached := map[string]uint64{}
	for _, r := range made {
		var shown struct{ Occupancy struct{ Tick uint64 } }
		run(t, 0, &shown, "room", "show", r.Room, "--nats", c.nats, "--etcd", c.etcd, "--json")
		reached[r.Room] = shown.Occupancy.Tick
	}
	anna.kill()
	bert.until("takes what it can", func() bool { by := on(c.rooms()); return by["bert"] > 0 && by["anna"] == 0 })
	bert.until("says why", func() bool {
		all := c.rooms()
		i := slices.IndexFunc(all, func(r listed) bool { return r.State == "wanted" }) // it may take that one the next moment
		if i < 0 {
			return false
		}
		var shown struct{ Why string }
		run(t, 0, &shown, "room", "show", all[i].Room, "--nats", c.nats, "--etcd", c.etcd, "--json")
		return strings.Contains(shown.Why, "node bert is full")
	})
	if by := on(c.rooms()); by["bert"] > count/2 {
		t.Errorf("a node that is full has taken %v", by)
	}
	cleo := wind(t, "serve", "--shard", "", "--nats", c.nats, "--etcd", c.etcd, "--node", "cleo", "--udp", "127.0.0.1:0", "--tcp", "", "--http", "", "--capacity", "4000")
	cleo.until("runs the rest", func() bool { by := on(c.rooms()); return by["cleo"] > 0 && by["bert"]+by["cleo"] == count })
	for _, r := range made {
		var shown struct{ Occupancy struct{ Tick uint64 } }
		cleo.until("goes on with room "+r.Room, func() bool {
			run(t, 0, &shown, "room", "show", r.Room, "--nats", c.nats, "--etcd", c.etcd, "--json")
			return shown.Occupancy.Tick > reached[r.Room]
		})
	}
}
