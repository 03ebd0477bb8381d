package rpc_test

import (
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
)

func memoryRooms(t *testing.T) (*rpc.MemoryRooms, rpc.Rooms) {
	t.Helper()
	bus, rooms := rpc.NewMemoryBus(), rpc.NewMemoryRooms()
	bus.Serve(rpc.RoomsType, "rooms-1", rooms.Handle)
	return rooms, rpc.RoomsOver(bus, "lobby/lobby-1")
}

// TestOneKeyInMemoryMakesOneRoom: as in a cluster, whatever else the request has must be the same.
func TestOneKeyInMemoryMakesOneRoom(t *testing.T) {
	_, rooms := memoryRooms(t)
	spec := rpc.RoomSpec{Game: "arena", Options: []byte(`{"size": 4}`), Key: "k", Idle: rpc.Duration(time.Minute), Labels: map[string]string{"region": "eu"}}
	made, err := rooms.Create(t.Context(), rpc.RoomRequest{RoomSpec: spec, Players: []string{"ann"}})
	if err != nil {
		t.Fatal(err)
	}
	again, err := rooms.Create(t.Context(), rpc.RoomRequest{RoomSpec: spec})
	if err != nil || again.ID != made.ID {
		t.Errorf("%+v, %v, want room %s", again, err, made.ID)
	}
	for what, change := range map[string]func(*rpc.RoomSpec){
		"game":     func(s *rpc.RoomSpec) { s.Game = "chess" },
		"options":  func(s *rpc.RoomSpec) { s.Options = nil },
		"idle":     func(s *rpc.RoomSpec) { s.Idle *= 2 },
		"limit":    func(s *rpc.RoomSpec) { s.Limit = 1 },
		"labels":   func(s *rpc.RoomSpec) { s.Labels = nil },
		"standbys": func(s *rpc.RoomSpec) { s.Standbys = 1 },
		"keep":     func(s *rpc.RoomSpec) { s.Keep = "none" },
	} {
		other := spec
		change(&other)
		if r, err := rooms.Create(t.Context(), rpc.RoomRequest{RoomSpec: other}); err == nil || rpc.ErrorOf(err).Code != rpc.AlreadyExists {
			t.Errorf("with another %s: %+v, %v", what, r, err)
		}
	}
}

// TestRoomsInMemoryChangeWhileTheyAreRead. Run it with -race.
func TestRoomsInMemoryChangeWhileTheyAreRead(t *testing.T) {
	memory, rooms := memoryRooms(t)
	q := rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "arena", Key: "k"}}
	made, err := rooms.Create(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for _, f := range []func(){
		func() { memory.Enter(made.ID, "ann"); memory.Leave(made.ID, "ann") },
		func() { _, _ = rooms.Create(t.Context(), q) },
		func() { _, _ = rooms.List(t.Context(), rpc.RoomFilter{Players: true}) },
		func() { _ = memory.Rooms()[0].Occupancy.Sessions },
	} {
		group.Go(func() {
			for range 5000 {
				f()
			}
		})
	}
	group.Wait()
	closed, err := rooms.Close(t.Context(), made.ID)
	if err != nil || closed.End == nil || closed.End.By != "lobby/lobby-1" {
		t.Errorf("%+v, %v", closed, err)
	}
}

// TestALogInMemoryIsRemovedOnceItsRoomHasEnded: not before, and not before the archive that it asked for, unless that is said.
func TestALogInMemoryIsRemovedOnceItsRoomHasEnded(t *testing.T) {
	memory, rooms := memoryRooms(t)
	made, err := rooms.Create(t.Context(), rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "arena", Keep: "archive"}})
	if err != nil {
		t.Fatal(err)
	}
	q := rpc.RoomRemoval{Room: made.ID}
	if r, err := rooms.Remove(t.Context(), q); err == nil || rpc.ErrorOf(err).Code != rpc.FailedPrecondition {
		t.Errorf("of a room that runs: %+v, %v", r, err)
	}
	memory.Finish(made.ID, "score", nil)
	if r, err := rooms.Remove(t.Context(), q); err == nil || rpc.ErrorOf(err).Code != rpc.FailedPrecondition {
		t.Errorf("without its archive: %+v, %v", r, err)
	}
	q.Unarchived = true
	for range 2 {
		if r, err := rooms.Remove(t.Context(), q); err != nil || r.State != "gone" {
			t.Errorf("%+v, %v", r, err)
		}
	}
}
