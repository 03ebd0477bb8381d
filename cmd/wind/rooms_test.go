package main

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/client"
)

// listed is what room list prints of one room.
type listed struct {
	Room, State, Node string
	End               *struct {
		Tick    uint64
		Reason  string
		Archive *struct{ Place string }
	}
}

// rooms returns the cluster's rooms, as a person would list them.
func (c *cluster) rooms() (all []listed) {
	c.t.Helper()
	var list struct{ Rooms []listed }
	run(c.t, 0, &list, "room", "list", "--nats", c.nats, "--etcd", c.etcd, "--json")
	return list.Rooms
}

// on counts the running rooms by node.
func on(all []listed) map[string]int {
	by := map[string]int{}
	for _, r := range all {
		by[r.Node]++
	}
	return by
}

// TestRoomsSurviveTheKillOfTheirNode: the rooms of two nodes are spread over both. When one is killed, the other takes its
// rooms over, and each goes on from what its log holds. A player in one of them resumes by itself.
func TestRoomsSurviveTheKillOfTheirNode(t *testing.T) {
	c := startCluster(t)
	anna := c.node(0)
	anna.owns(c.http[0], 10) // the standing shard, beside the rooms
	bert := c.node(1)
	bert.says("waiting")

	const count = 24
	var made struct{ Rooms []listed }
	run(t, 0, &made, "room", "create", "--nats", c.nats, "--etcd", c.etcd, "--count", "24", "--options", `{"monsters":5,"size":60}`, "--timeout", "1m", "--json")
	if len(made.Rooms) != count {
		t.Fatalf("%d rooms were made", len(made.Rooms))
	}
	before := c.rooms()
	if by := on(before); len(before) != count || by["anna"] < count/6 || by["bert"] < count/6 {
		t.Errorf("%d rooms are spread as %v", len(before), by)
	}
	hers := before[slices.IndexFunc(before, func(r listed) bool { return r.Node == "anna" })].Room
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	player, err := client.Dial(ctx, client.Config{Addr: c.udp[1], More: c.udp[:1], Shard: hers, Identity: "ann"}) // bert sends her to anna
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	session, seen := player.Session(), player.Stats().LastTick

	killed := time.Now()
	anna.kill()
	bert.until("runs all rooms", func() bool { return on(c.rooms())["bert"] == count })
	t.Logf("all rooms run on the other node %v after the kill, lease 5 s", time.Since(killed).Round(100*time.Millisecond))
	bert.owns(c.http[1], 10)
	bert.until("has its player back", func() bool { s := player.Stats(); return s.Resumes == 1 && s.LastTick > seen+30 })
	if s := player.Stats(); player.Session() != session || s.Rejoins > 0 {
		t.Errorf("session %d became %d: %+v", session, player.Session(), s)
	}

	for _, r := range before[:3] {
		var closed listed
		run(t, 0, &closed, "room", "close", r.Room, "--nats", c.nats, "--etcd", c.etcd, "--json")
		if closed.State != "sealed" || closed.End == nil || closed.End.Reason != "closed" || closed.End.Tick == 0 {
			t.Errorf("closed: %+v", closed)
		}
	}
	bert.stop()
	if code := c.infra.stop(); code != 0 {
		t.Fatalf("infra ends with %d", code)
	}
	for _, r := range before {
		run(t, 0, nil, "log", "check", "--data", c.dir, "--shard", r.Room)
	}
}

// TestRoomsAreMeasured: the benchmark runs nodes without a standing shard, and rooms with bots in them, all of which end.
func TestRoomsAreMeasured(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what a process takes")
	}
	var r struct {
		Rooms, Sealed  int
		Ticks, Skipped float64
		Inputs         uint64
		Processes      []struct{ Name string }
	}
	run(t, 0, &r, "bench", "rooms", "--rooms", "6", "--bots", "1", "--for", "2s", "--options", `{"monsters":2,"size":40,"tick-rate":10}`, "--json")
	if r.Rooms != 6 || r.Sealed != 6 || r.Ticks < 30 || r.Inputs == 0 || len(r.Processes) != 4 {
		t.Errorf("%+v", r)
	}
}
