package etcd

import (
	"testing"
	"time"

	"github.com/ferris1/wind/shard/room"
)

// TestOneNodeKeepsARoom: one of two claims it, until it leaves or dies; the notes of both are compared; and what is forgotten
// makes a new room.
func TestOneNodeKeepsARoom(t *testing.T) {
	c := cluster(t)
	a, _ := member(t, c, "a", 5*time.Second)
	b, _ := member(t, c, "b", 5*time.Second)
	if _, _, err := CreateRoom(t.Context(), c, "test", "r-1", room.Spec{Game: "arena", Keep: room.KeepArchive}); err != nil {
		t.Fatal(err)
	}
	keeps := func(n *Node, want bool) (k Kept) {
		t.Helper()
		k, ok, err := n.KeepRoom(t.Context(), "r-1")
		if err != nil || ok != want {
			t.Errorf("node %s keeps it: %v, %v", n.ID(), ok, err)
		}
		return k
	}
	keeps(a, false) // it has not ended
	s, err := a.Shard("r-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AgreeLineage(t.Context(), "lineage-1"); err != nil {
		t.Fatal(err)
	}
	if err := EndRoom(t.Context(), c, "test", "r-1", "lineage-1", room.End{Phase: room.Sealed, Tick: 7, Reason: "idle"}, 0); err != nil {
		t.Fatal(err)
	}
	r, _ := registry(t, c)
	k := keeps(a, true)
	if k.Lineage != "lineage-1" || k.Spec.Keep != room.KeepArchive || k.End.Tick != 7 || k.Revision == 0 {
		t.Errorf("%+v", k)
	}
	eventually(t, "a keeps it", func() bool { x := r.Room("r-1"); return x != nil && x.Keeper == "a" })
	keeps(b, false)
	if err := b.LeaveRoom(t.Context(), "r-1"); err != nil { // which is not its own
		t.Fatal(err)
	}
	keeps(b, false)
	if err := a.LeaveRoom(t.Context(), "r-1"); err != nil {
		t.Fatal(err)
	}
	keeps(b, true)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody keeps it", func() bool { return r.Room("r-1").Keeper == "" })

	end := k.End
	end.Phase, end.Archive = room.Archived, &room.Archive{Name: "x.wind"}
	_, next, moved, err := MoveRoom(t.Context(), c, "test", "r-1", end, k.Revision)
	if err != nil || !moved {
		t.Fatal(moved, err)
	}
	other := end
	other.Archive = &room.Archive{Name: "y.wind"}
	stands, revision, moved, err := MoveRoom(t.Context(), c, "test", "r-1", other, k.Revision)
	if err != nil || moved || stands.Archive.Name != "x.wind" || revision != next {
		t.Errorf("%+v at %d, want %d; %v, %v", stands, revision, next, moved, err)
	}
	if stands, revision, err := LookRoom(t.Context(), c, "test", "r-1"); err != nil || stands.Archive.Name != "x.wind" || revision != next {
		t.Errorf("%+v at %d, %v", stands, revision, err)
	}
	if forgot, err := ForgetRoom(t.Context(), c, "test", "r-1", k.Revision); err != nil || forgot {
		t.Error("a room that has changed is forgotten", err)
	}
	if forgot, err := ForgetRoom(t.Context(), c, "test", "r-1", next); err != nil || !forgot {
		t.Error(forgot, err)
	}
	if stands, _, moved, err := MoveRoom(t.Context(), c, "test", "r-1", end, next); err != nil || moved || stands != nil {
		t.Errorf("a forgotten room is noted again: %+v, %v, %v", stands, moved, err)
	}
	eventually(t, "the room is forgotten", func() bool { return r.Room("r-1") == nil })
	if _, created, err := CreateRoom(t.Context(), c, "test", "r-1", room.Spec{Game: "arena"}); err != nil || !created {
		t.Error("its id makes no new room:", err)
	}
	if lineage, err := s.AgreeLineage(t.Context(), "lineage-2"); err != nil || lineage != "lineage-2" {
		t.Error(lineage, err)
	}
	for _, lineage := range []string{"lineage-1", "lineage-2"} { // a node that has slept knows the former room's log
		if err := EndRoom(t.Context(), c, "test", "r-1", lineage, k.End, 0); err != nil {
			t.Error(err)
		}
		if stands, _, err := LookRoom(t.Context(), c, "test", "r-1"); err != nil || (stands != nil) != (lineage == "lineage-2") {
			t.Errorf("after a note from the log of %s the room's end is %+v, %v", lineage, stands, err)
		}
	}
	// A room that ended before anybody ran it has no log.
	if _, _, err := CreateRoom(t.Context(), c, "test", "r-2", room.Spec{Game: "arena", Keep: room.KeepNone}); err != nil {
		t.Fatal(err)
	}
	if canceled, err := CancelRoom(t.Context(), c, "test", "r-2", room.End{Phase: room.Sealed, Reason: "closed"}); err != nil || !canceled {
		t.Fatal(canceled, err)
	}
	if k, ok, err := a.KeepRoom(t.Context(), "r-2"); err != nil || !ok || k.Lineage != "" || k.Spec.Keep != room.KeepNone {
		t.Errorf("%+v, %v, %v", k, ok, err)
	}
}
