package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
)

var killSeed = flag.Uint64("kills.seed", 0, "seed of the moments at which TestKillsLoseNoRoomAndDoubleNone kills; 0: another each time")

// TestKillsLoseNoRoomAndDoubleNone kills those who ask for rooms and the nodes that run them, at random moments: while a room
// is created, claimed, played, ended, sealed and noted. Whoever was killed comes back. In the end one key has made one room,
// whoever asked; each has ended by its limit, once; and etcd says of it what its log says.
func TestKillsLoseNoRoomAndDoubleNone(t *testing.T) {
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	rounds := max(1, kills()/2)
	t.Logf("%d rounds, again with -kills.seed %d", rounds, seed)
	random := rand.New(rand.NewPCG(seed, 2))
	moment := func(most time.Duration) time.Duration { return time.Duration(random.Int64N(int64(most))) }

	c := startCluster(t)
	c.lease = "3s"
	nodes := []*process{c.node(0), c.node(1)}
	nodes[0].until("or the other node owns the standing shard", func() bool { return healthOf(c.http[0]).Phase == "own" || healthOf(c.http[1]).Phase == "own" })
	ask := func(key string) *process {
		return wind(t, "room", "create", "--nats", c.nats, "--etcd", c.etcd, "--key", key, "--for", "2s",
			"--options", `{"monsters":5,"size":60}`, "--timeout", "40s", "--json")
	}
	told := map[string]map[string]bool{} // by key: the ids that anyone heard
	hear := func(key string, asker *process) {
		var made struct{ Rooms []listed }
		asker.ends(0, &made)
		for _, r := range made.Rooms {
			told[key][r.Room] = true
		}
	}

	for round := range rounds {
		type deed struct {
			at time.Duration
			do func()
		}
		var deeds []deed
		askers := map[string]*process{}
		for i := range 3 {
			key := fmt.Sprintf("match %d of round %d", i, round)
			told[key], askers[key] = map[string]bool{}, ask(key)
			if i > 0 { // the first one lives
				at := moment(500 * time.Millisecond)
				deeds = append(deeds, deed{at, func() { askers[key].kill(); askers[key] = ask(key) }})
			}
		}
		i, at := random.IntN(2), moment(2800*time.Millisecond)
		deeds = append(deeds, deed{at, func() { nodes[i].kill(); nodes[i] = c.node(i) }})
		slices.SortFunc(deeds, func(a, b deed) int { return int(a.at - b.at) })
		begun := time.Now()
		for _, d := range deeds {
			time.Sleep(d.at - time.Since(begun)) // the moments are random, nothing waits for them
			d.do()
		}
		for key, asker := range askers {
			hear(key, asker)
		}
	}
	for key := range told {
		hear(key, ask(key)) // of rooms that have ended, most of them
	}
	var all []listed
	nodes[0].until("or the other node ends the rooms", func() bool {
		all = c.rooms()
		return !slices.ContainsFunc(all, func(r listed) bool { return r.State != "sealed" })
	})
	if len(all) != len(told) {
		t.Errorf("%d keys made %d rooms", len(told), len(all))
	}
	for key, ids := range told {
		if len(ids) != 1 {
			t.Errorf("%q made %v", key, slices.Collect(maps.Keys(ids)))
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := jetstream.Connect(ctx, jetstream.ConnectConfig{URL: c.nats, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	logs, err := jetstream.Streams(ctx, conn, "dev")
	if err != nil || len(logs) != len(told)+1 {
		t.Errorf("%d rooms and a standing shard have the logs %v: %v", len(told), logs, err)
	}
	for i, r := range all {
		epochs := sealOf(ctx, t, conn, r)
		t.Logf("room %s: %d epochs, sealed after tick %d", r.Room, epochs, r.End.Tick)
		if i < 3 { // it takes a process
			run(t, 0, nil, "log", "check", "--nats", c.nats, "--shard", r.Room)
		}
	}
	for _, node := range nodes {
		if code := node.stop(); code != 0 {
			t.Errorf("a node ends with %d", code)
		}
	}
	if code := c.infra.stop(); code != 0 {
		t.Fatalf("infra ends with %d", code)
	}
}

// sealOf proves a room's log as far as that needs no game: one genesis, one seal, and that as the listing says. It returns the
// number of epochs.
func sealOf(ctx context.Context, t *testing.T, conn *jetstream.Conn, r listed) (epochs int) {
	t.Helper()
	s, err := jetstream.Open(ctx, conn, "dev", r.Room, "", jetstream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	last, err := s.Log().Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	chain := persistence.NewChain(s.Ref().Lineage)
	var kinds []string
	for m, err := range s.Log().Read(ctx, 1, last) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := chain.Next(m)
		if err != nil {
			t.Fatalf("room %s: %v", r.Room, err)
		}
		if rec.Kind == persistence.KindEpoch {
			epochs++
		}
		if kind := rec.Kind.String(); len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
		if rec.Seal != nil && (r.End == nil || rec.Seal.Tick != r.End.Tick || string(rec.Seal.Reason) != r.End.Reason || r.End.Reason != "limit") {
			t.Errorf("room %s is sealed after tick %d (%s), and listed with %+v", r.Room, rec.Seal.Tick, rec.Seal.Reason, r.End)
		}
	}
	if text := strings.Join(kinds, " "); !strings.HasPrefix(text, "genesis epoch") || !strings.HasSuffix(text, "ticks seal") && !strings.HasSuffix(text, "epoch seal") {
		t.Errorf("room %s has the records %s", r.Room, text)
	}
	return epochs
}
