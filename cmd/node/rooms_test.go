package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/room"
)

type (
	matchOptions struct {
		Ticks int32 `usage:"the match ends after so many ticks; 0: never"`
	}
	matchScore struct {
		Red, Blue int32
		Seed      uint64
	}
)

// match is a game that ends its room.
var match = ecs.Game{Name: "match", TickRate: 50, Options: matchOptions{}, Setup: func(w *ecs.World) {
	ecs.Outgoing[matchScore](w, "score")
	o, seed := ecs.OptionsOf[matchOptions](w), w.Seed()
	ecs.System(w, "whistle", func(t *ecs.Tick) {
		if o.Ticks > 0 && t.Now() == uint64(o.Ticks) {
			t.End(matchScore{3, 2, seed})
		}
	})
}}

// startRooms starts a node that hosts rooms of match; change may be nil.
func startRooms(t testing.TB, change func(*Config)) *Node {
	t.Helper()
	c := Config{
		Game: match, Data: t.TempDir(), UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", Fast: true, Capacity: 1000,
		Logger: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if change != nil {
		change(&c)
	}
	n, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// testLog shows errors in the test's output.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestARoomWhoseOwnerDiedBeforeItsFirstRecordRuns: the room has an epoch and a lineage, and no log.
func TestARoomWhoseOwnerDiedBeforeItsFirstRecordRuns(t *testing.T) {
	t.Parallel() // mostly waits
	n := startRooms(t, nil)
	id := room.ID(n.cluster.Name, "match")
	s, err := n.member.Shard(id)
	if err != nil {
		t.Fatal(err)
	}
	lineage, err := s.AgreeLineage(soon(t), "0197e1a0-0000-7000-8000-000000000002")
	if err != nil {
		t.Fatal(err)
	}
	if granted, err := s.Claim(soon(t), shard.Bid{Node: n.config.ID, Lease: n.member.State().ID, Epoch: 1, Lineage: lineage}); err != nil || !granted {
		t.Fatal(granted, err)
	}
	if err := s.Release(soon(t), 1, true); err != nil {
		t.Fatal(err)
	}
	r, err := n.cluster.Rooms("").Create(soon(t), asked(rpc.RoomSpec{Options: []byte(`{"ticks":10}`), Key: "match", Seed: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != id || r.State == string(room.Wanted) {
		t.Errorf("%+v", r)
	}
	if st, err := s.Read(soon(t)); err != nil || st.Epoch != 2 || st.Lineage != lineage {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestRoomsAreMadePlayedAndEnded: thirty rooms run on one node, each ends by its game, and its entry repeats what its log
// says.
func TestRoomsAreMadePlayedAndEnded(t *testing.T) {
	t.Parallel() // mostly waits
	n := startRooms(t, nil)
	c := n.cluster.Rooms("")
	ids := map[string]bool{}
	for i := range 30 {
		r, err := c.Create(soon(t), asked(rpc.RoomSpec{Options: []byte(`{"ticks":40}`), Key: fmt.Sprint("match-", i), Seed: uint64(i + 1)}))
		if err != nil {
			t.Fatal(err)
		}
		if r.State == "running" && (r.Node != n.ID() || r.Addresses["udp"] != n.UDPAddr()) {
			t.Errorf("room %s runs on %s at %v", r.ID, r.Node, r.Addresses)
		}
		ids[r.ID] = true
	}
	again, err := c.Create(soon(t), asked(rpc.RoomSpec{Options: []byte(`{"ticks":40}`), Key: "match-7"}))
	if err != nil || !ids[again.ID] || len(ids) != 30 {
		t.Errorf("30 keys made %d rooms, and one of them again %v, %v", len(ids), again, err)
	}
	if _, err := c.Create(soon(t), asked(rpc.RoomSpec{Options: []byte(`{"ticks":41}`), Key: "match-7"})); err == nil || !strings.Contains(err.Error(), "choose another key") {
		t.Errorf("another room under a key: %v", err)
	}
	for id := range ids {
		r := over(t, c, id)
		if e := r.End; r.State != "sealed" || e.Tick != 40 || e.Reason != "result" || string(e.Result) != fmt.Sprintf(`{"red":3,"blue":2,"seed":%d}`, r.Spec.Seed) {
			t.Errorf("room %s ended with %+v, %s", id, e, e.Result)
		}
	}
	eventually(t, "no room is hosted", func() bool { s := n.RoomStats(); return s.Hosted == 0 && s.Waiting == 0 })
	if s := n.Stats(); s.Host.Phase != "own" {
		t.Errorf("the standing shard is in phase %s", s.Host.Phase)
	}
}

// TestARoomHasItsOwnPlayers: two rooms and the standing shard behind one front door; nobody's being there ends a room.
func TestARoomHasItsOwnPlayers(t *testing.T) {
	t.Parallel() // mostly waits
	n := startRooms(t, nil)
	c := n.cluster.Rooms("")
	var rooms []*rpc.Room
	for range 2 {
		r, err := c.Create(soon(t), asked(rpc.RoomSpec{Idle: rpc.Duration(2 * time.Second)}))
		if err != nil {
			t.Fatal(err)
		}
		rooms = append(rooms, r)
	}
	player, err := client.Dial(soon(t), client.Config{Addr: n.UDPAddr(), Identity: "ann", Shard: rooms[0].ID})
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	if r := over(t, c, rooms[1].ID); r.End.Reason != "idle" {
		t.Errorf("the empty room ended with %+v", r.End)
	}
	all, err := c.List(soon(t), rpc.RoomFilter{Players: true})
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	for _, r := range all {
		switch {
		case r.ID == rooms[1].ID && r.State == "sealed" && r.Occupancy == nil:
		case r.ID == rooms[0].ID && r.State == "running" && r.Occupancy != nil && r.Occupancy.Sessions == 1 && r.Occupancy.Players[0] == "ann":
		default:
			t.Errorf("room %s is %s, with %+v", r.ID, r.State, r.Occupancy)
		}
	}
	if r, err := c.Close(soon(t), rooms[0].ID); err != nil || r.End.Reason != "closed" {
		t.Errorf("closed: %+v, %v", r, err)
	}
	<-player.Done()
	if err := player.Err(); err == nil || !strings.Contains(err.Error(), "REASON_ENDED") {
		t.Errorf("the player hears %v", err)
	}
	if _, err := client.Dial(soon(t), client.Config{Addr: n.UDPAddr(), Identity: "eve", Shard: rooms[1].ID}); err == nil {
		t.Error("somebody joined a room that is over")
	}
}

// asked returns a request for a room of match.
func asked(s rpc.RoomSpec) rpc.RoomRequest {
	s.Game = "match"
	return rpc.RoomRequest{RoomSpec: s}
}

// over waits until a room is over.
func over(t *testing.T, c rpc.Rooms, id string) *rpc.Room {
	t.Helper()
	ctx := soon(t)
	for after := int64(0); ; {
		changed, next, err := c.Changes(ctx, rpc.RoomFilter{Rooms: []string{id}}, after)
		if err != nil || ctx.Err() != nil {
			t.Fatal(id, err, ctx.Err())
		}
		if after = next; len(changed) > 0 && changed[0].End != nil {
			return &changed[0]
		}
	}
}

// eventually waits until ok, for at most a minute.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
