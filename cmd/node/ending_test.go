package node

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// TestARoomThatEndsIsNotWantedAgain: its owner leaves it with the note of its end. Whoever watches would otherwise believe that its
// node has died, and other nodes would offer to take it.
func TestARoomThatEndsIsNotWantedAgain(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	s.opens(t, s.host("anna"))
	s.opens(t, s.host("bert"))
	const rooms = 12
	var mu sync.Mutex
	lives, sealed := map[string][]room.Phase{}, make(chan string, rooms)
	source, err := etcd.Rooms(s.cluster.Etcd, s.cluster.Name)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := room.Follow(soon(t), source, func(x *room.Room, id string) {
		mu.Lock()
		defer mu.Unlock()
		if x != nil && x.Spec != nil {
			if lives[id] = append(lives[id], x.Phase()); x.Phase() == room.Sealed && x.Owner == "" {
				sealed <- id
			}
		}
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	for i := range rooms {
		if _, err := s.cluster.Rooms("").Create(soon(t), asked(rpc.RoomSpec{Options: []byte(`{"ticks":20}`), Seed: uint64(i + 1)})); err != nil {
			t.Fatal(err)
		}
	}
	for range rooms {
		id := <-sealed
		mu.Lock()
		life := slices.Compact(lives[id])
		mu.Unlock()
		if life[0] == room.Wanted { // a watch may show a room first when a node has it already
			life = life[1:]
		}
		if want := []room.Phase{room.Running, room.Sealed}; !slices.Equal(life, want) {
			t.Errorf("after it was wanted, room %s was %v, want %v", id, life, want)
		}
	}
}

// TestARoomThatHasBegunComesFirst: its players wait. A node that has place for one room takes that of a node that has stopped,
// and not one of those that never ran.
func TestARoomThatHasBegunComesFirst(t *testing.T) {
	t.Parallel() // mostly waits
	s := startServers(t)
	c := s.cluster.Rooms("")
	small := func(id string) *Node {
		config := s.host(id)
		config.Capacity = 0.001
		return s.opens(t, config)
	}
	anna := small("anna")
	begun, err := c.Create(soon(t), asked(rpc.RoomSpec{Key: "begun"}))
	if err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "anna is full", func() bool { return anna.rooms.load.Used() > 0 })
	for i := range 20 {
		if _, err := c.Create(soon(t), rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "match", Key: fmt.Sprint("new-", i)}, Wait: new(rpc.Duration(0))}); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually(t, "they wait", func() bool { return anna.RoomStats().Waiting == 20 })
	if err := anna.Stop(); err != nil {
		t.Fatal(err)
	}
	small("bert")
	var running []rpc.Room
	s.eventually(t, "bert runs a room", func() bool {
		running, err = c.List(soon(t), rpc.RoomFilter{State: "running"})
		return err == nil && len(running) > 0
	})
	if len(running) != 1 || running[0].ID != begun.ID || running[0].Node != "bert" {
		t.Errorf("%+v run, not %s", running, begun.ID)
	}
}
