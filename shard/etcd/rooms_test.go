package etcd

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/room"
)

// registry follows the rooms of the cluster "test" and counts what it is told of each.
func registry(t *testing.T, c *clientv3.Client) (*room.Registry, func(id string) int) {
	t.Helper()
	source, err := Rooms(c, "test")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	told := map[string]int{}
	r, err := room.Follow(t.Context(), source, func(_ *room.Room, id string) {
		mu.Lock()
		defer mu.Unlock()
		told[id]++
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, func(id string) int {
		mu.Lock()
		defer mu.Unlock()
		return told[id]
	}
}

func TestManyAskersWithOneKeyGetOneRoom(t *testing.T) {
	c := cluster(t)
	id := room.ID("test", "match-1")
	var made, same atomic.Int64
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			s, created, err := CreateRoom(t.Context(), c, "test", id, room.Spec{Game: "arena", Key: "match-1", By: fmt.Sprint("game/", i%2)})
			if err != nil {
				t.Error(err)
			}
			if created {
				made.Add(1)
			}
			if s.Game == "arena" {
				same.Add(1)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 || same.Load() != 16 {
		t.Errorf("%d made it, %d of 16 got it", made.Load(), same.Load())
	}
}

// TestTheRegistryFollowsARoom from its wish to its end, and reads what happened before it looked.
func TestTheRegistryFollowsARoom(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	if _, _, err := CreateRoom(t.Context(), c, "test", "r-early", room.Spec{Game: "arena"}); err != nil {
		t.Fatal(err)
	}
	r, told := registry(t, c)
	if x := r.Room("r-early"); x == nil || x.Phase() != room.Wanted || told("r-early") != 1 {
		t.Errorf("%+v, told %d times", x, told("r-early"))
	}
	phase := func(id string, want room.Phase) {
		t.Helper()
		eventually(t, fmt.Sprint(id, " is ", want), func() bool { x := r.Room(id); return x != nil && x.Phase() == want })
	}
	if _, _, err := CreateRoom(t.Context(), c, "test", "r-1", room.Spec{Game: "arena", Labels: map[string]string{"region": "eu"}}); err != nil {
		t.Fatal(err)
	}
	phase("r-1", room.Wanted)
	s, err := n.Shard("r-1")
	if err != nil {
		t.Fatal(err)
	}
	st := read(t, s)
	if granted, err := s.Claim(t.Context(), shard.Bid{Node: "a", Lease: n.State().ID, Epoch: 1, EpochRevision: st.EpochRevision, Lineage: "lineage-1"}); err != nil || !granted {
		t.Fatal(granted, err)
	}
	phase("r-1", room.Running)
	if err := EndRoom(t.Context(), c, "test", "r-1", "lineage-1", room.End{Phase: room.Sealed, Tick: 7, Reason: "result", Result: []byte(`{"red":3}`)}, 0); err != nil {
		t.Fatal(err)
	}
	phase("r-1", room.Sealed)
	if err := EndRoom(t.Context(), c, "test", "r-1", "lineage-1", room.End{Phase: room.Sealed, Tick: 8}, 0); err != nil { // by a node that had not heard of it
		t.Fatal(err)
	}
	if err := s.Release(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody owns it", func() bool { return r.Room("r-1").Owner == "" })
	if x := r.Room("r-1"); x.End == nil || x.End.Tick != 7 || string(x.End.Result) != `{"red":3}` || x.Spec.Labels["region"] != "eu" {
		t.Errorf("%+v, %+v", x, x.End)
	}
	if all, err := Shards(t.Context(), c, "test"); err != nil || len(all) != 2 || all[0].Name != "r-1" || !all[0].Over || all[1].Over {
		t.Errorf("%+v, %v", all, err)
	}
	if all, _ := r.Changes(-1); len(all) != 2 {
		t.Errorf("%d rooms", len(all))
	}
}

// TestARoomIsCanceledOnlyBeforeItIsClaimed: once a node has claimed it, its log says how it ends; and what is canceled cannot be
// claimed.
func TestARoomIsCanceledOnlyBeforeItIsClaimed(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	closed := room.End{Phase: room.Sealed, Reason: "closed"}
	cancel := func(id string) bool {
		t.Helper()
		ok, err := CancelRoom(t.Context(), c, "test", id, closed)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	claim := func(id string) bool {
		t.Helper()
		s, err := n.Shard(id)
		if err != nil {
			t.Fatal(err)
		}
		st := read(t, s)
		granted, err := s.Claim(t.Context(), shard.Bid{Node: "a", Lease: n.State().ID, Epoch: st.Epoch + 1, EpochRevision: st.EpochRevision, Lineage: "lineage-1"})
		if err != nil {
			t.Fatal(err)
		}
		if granted {
			if err := s.Release(t.Context(), st.Epoch+1, true); err != nil {
				t.Fatal(err)
			}
		}
		return granted
	}
	for _, id := range []string{"r-1", "r-2"} {
		if cancel(id) {
			t.Errorf("%s, which nobody asked for, is canceled", id)
		}
		if x, err := ReadRoom(t.Context(), c, "test", id); err != nil || x != nil {
			t.Errorf("%+v, %v", x, err)
		}
		if _, _, err := CreateRoom(t.Context(), c, "test", id, room.Spec{Game: "arena"}); err != nil {
			t.Fatal(err)
		}
	}
	if !cancel("r-1") || cancel("r-1") || claim("r-1") {
		t.Error("r-1 is not canceled, or is claimed nevertheless")
	}
	if x, err := ReadRoom(t.Context(), c, "test", "r-1"); err != nil || x.Phase() != room.Sealed || x.Revision == 0 {
		t.Errorf("%+v, %v", x, err)
	}
	if !claim("r-2") || cancel("r-2") || !claim("r-2") {
		t.Error("r-2 is canceled although a node has had it")
	}
	if s, err := Look(c, "test", "r-1"); err != nil || !read(t, s).Ended {
		t.Error("the standing does not say that r-1 is over:", err)
	}
}
