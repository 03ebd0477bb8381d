package main

import (
	"context"
	"runtime"
	"slices"
	"strings"
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
		Archive string
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
	for _, r := range before[:long(6, count)] { // each takes a process
		run(t, 0, nil, "log", "check", "--data", c.dir, "--shard", r.Room)
	}
}

// TestRoomsAreMeasured: the benchmark starts nodes without a standing shard, plays rooms with bots, and ends them all.
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

// TestARoomsLifeByHand: room create, list, show, watch and close, over the protocol that services use.
func TestARoomsLifeByHand(t *testing.T) {
	c := startCluster(t)
	type shown struct {
		Room, State, Node string
		Spec              struct {
			Game    string
			Options struct{ Monsters int }
			Limit   string
		}
		Occupancy *struct {
			Tick     uint64
			Sessions int
			Players  []string
		}
		End *struct{ Reason string }
	}
	verb := func(code int, result any, args ...string) {
		t.Helper()
		run(t, code, result, append(args, "--nats", c.nats, "--etcd", c.etcd, "--json")...)
	}
	verb(1, nil, "room", "list") // no node hosts rooms
	anna := c.node(0)
	anna.owns(c.http[0], 10)

	var made, again struct{ Rooms []shown }
	create := []string{"room", "create", "--key", "match-1", "--options", `{"monsters":5,"size":60}`, "--for", "1h", "--timeout", "1m"}
	verb(0, &made, create...)
	verb(0, &again, create...)
	if len(made.Rooms) != 1 || len(again.Rooms) != 1 || made.Rooms[0].Room != again.Rooms[0].Room || made.Rooms[0].Spec.Limit != "1h0m0s" {
		t.Fatalf("%+v, then %+v", made, again)
	}
	id := made.Rooms[0].Room
	verb(1, nil, "room", "create", "--key", "match-1", "--options", `{"monsters":6}`)             // another room under its key
	verb(1, nil, "room", "create", "--key", "match-2", "--label", "region=eu", "--timeout", "2s") // no such node
	verb(2, nil, "room", "list", "--state", "ended")                                              // no such state
	verb(1, nil, "room", "show", "r-nowhere")

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	player, err := client.Dial(ctx, client.Config{Addr: c.udp[0], Shard: id, Identity: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	var one shown
	verb(0, &one, "room", "show", id)
	if o := one.Occupancy; o == nil || o.Sessions != 1 || len(o.Players) != 1 || o.Players[0] != "ann" || o.Tick == 0 || one.Spec.Options.Monsters != 5 {
		t.Errorf("%+v, %+v", one, one.Occupancy)
	}
	for filter, want := range map[string]int{"": 2, "--state running": 1, "--state wanted": 1, "--label region=eu": 1, "--label region=us": 0, "--game arena": 2, "--game speak": 0} {
		var list struct{ Rooms []shown }
		if verb(0, &list, append([]string{"room", "list"}, strings.Fields(filter)...)...); len(list.Rooms) != want {
			t.Errorf("room list %s has %d rooms, want %d", filter, len(list.Rooms), want)
		}
		if filter == "--state running" && (list.Rooms[0].Occupancy == nil || list.Rooms[0].Occupancy.Sessions != 1) {
			t.Errorf("%+v", list)
		}
	}

	watch := wind(t, "room", "watch", "--nats", c.nats, "--etcd", c.etcd, "--for", "5m")
	watch.until("shows both rooms", func() bool {
		return strings.Contains(string(watch.output()), "room "+id+" runs on node anna") && strings.Contains(string(watch.output()), "is wanted; no node has taken it")
	})
	verb(0, &one, "room", "close", id)
	if one.End == nil || one.End.Reason != "closed" || one.State != "sealed" {
		t.Errorf("closed: %+v", one)
	}
	watch.until("shows the end", func() bool { return strings.Contains(string(watch.output()), "room "+id+" ended after tick") })
	watch.kill()
	verb(0, &again, create...) // it stays over
	if len(again.Rooms) != 1 || again.Rooms[0].Room != id || again.Rooms[0].State != "sealed" {
		t.Errorf("asked for again: %+v", again)
	}
	if code := anna.stop(); code != 0 {
		t.Errorf("anna ends with %d", code)
	}
}
