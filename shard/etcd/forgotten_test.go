package etcd

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/room"
)

// TestASleeperTakesNoPartInAForgottenRoom: a node's process slept while another one ended its room, and the room was forgotten. What it
// still wants to note, or to claim, leaves nothing behind, and does not meet the next room of the same key.
func TestASleeperTakesNoPartInAForgottenRoom(t *testing.T) {
	c := cluster(t)
	n, _ := member(t, c, "a", 5*time.Second)
	ctx := t.Context()
	create := func() {
		t.Helper()
		if _, created, err := CreateRoom(ctx, c, "test", "r-1", room.Spec{Game: "arena"}); err != nil || !created {
			t.Fatal(created, err)
		}
	}
	claim := func(s *Shard, lineage string) bool {
		t.Helper()
		st := read(t, s)
		granted, err := s.Claim(ctx, shard.Bid{Node: "a", Lease: n.State().ID, Epoch: st.Epoch + 1, EpochRevision: st.EpochRevision, Lineage: lineage})
		if err != nil {
			t.Fatal(err)
		}
		return granted
	}
	keys := func() int64 {
		t.Helper()
		got, err := c.Get(ctx, shardPrefix("test", "r-1"), clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return got.Count
	}
	create()
	sleeper, err := n.Room("r-1")
	if err != nil {
		t.Fatal(err)
	}
	if !claim(sleeper, "lineage-1") {
		t.Fatal("the room cannot be claimed")
	}
	if err := sleeper.Note(ctx, shard.Note{High: persistence.Mark{Seq: 500, Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := EndRoom(ctx, c, "test", "r-1", "lineage-1", room.End{Phase: room.Gone, Tick: 9}, n.State().ID); err != nil {
		t.Fatal(err)
	}
	_, revision, err := LookRoom(ctx, c, "test", "r-1")
	if err != nil {
		t.Fatal(err)
	}
	if forgot, err := ForgetRoom(ctx, c, "test", "r-1", revision); err != nil || !forgot {
		t.Fatal(forgot, err)
	}
	late := persistence.Mark{Seq: 600, Epoch: 1}
	wakes := func() {
		t.Helper()
		done := make(chan error, 1)
		sleeper.NoteSoon(late, func(err error) { done <- err })
		if err := <-done; err == nil {
			t.Error("a mark of the forgotten room was noted together with others")
		}
		for what, note := range map[string]shard.Note{
			"a mark": {High: late}, "a halt": {Halted: "it is lost"}, "an attempt": {Attempt: shard.Attempt{Tick: 3, Count: 1, Epoch: 1}},
		} {
			if err := sleeper.Note(ctx, note); err == nil {
				t.Errorf("%s of the forgotten room was noted", what)
			}
		}
	}
	wakes()
	if claim(sleeper, "lineage-1") {
		t.Error("a room that nobody asks for was claimed")
	}
	if n := keys(); n != 0 {
		t.Errorf("the forgotten room has %d keys", n)
	}

	create()
	next, err := n.Room("r-1")
	if err != nil {
		t.Fatal(err)
	}
	if !claim(next, "lineage-2") {
		t.Fatal("the room cannot be made again")
	}
	if err := next.Note(ctx, shard.Note{High: persistence.Mark{Seq: 3, Epoch: 1}}); err != nil {
		t.Fatal(err)
	}
	wakes()
	if st := read(t, next); st.High.Seq != 3 || st.Halted != "" || st.Attempt.Tick != 0 {
		t.Errorf("the room that was made again has the sleeper's notes: %+v", st)
	}
}
