package node

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

type ailingOptions struct {
	Ail int32 `usage:"what is wrong with the game: see ailing"`
}

// What can be wrong with a room of the game ailing.
const (
	ailNot = iota
	ailSetupPanics
	ailSetupHangs
	ailInitPanics
	ailInitHangs
	ailPanics // in every tick
	ailHangs  // in tick 30
)

// ailing returns a game that its options make ill. What hangs waits for the gate.
func ailing(gate chan struct{}) ecs.Game {
	return ecs.Game{Name: "ailing", TickRate: 20, Options: ailingOptions{}, Setup: func(w *ecs.World) {
		ail := ecs.OptionsOf[ailingOptions](w).Ail
		when := func(is int32, f func()) {
			if ail == is {
				f()
			}
		}
		breaks, hangs := func() { panic("no such map") }, func() { <-gate }
		when(ailSetupPanics, breaks)
		when(ailSetupHangs, hangs)
		ecs.Init(w, func(*ecs.Tick) {
			when(ailInitPanics, breaks)
			when(ailInitHangs, hangs)
		})
		ecs.System(w, "ail", func(t *ecs.Tick) {
			when(ailPanics, breaks)
			if t.Now() == 30 {
				when(ailHangs, hangs)
			}
		})
	}}
}

// TestABadRoomStopsAlone: a room whose game panics in Setup, or hangs in Setup, in Init or in a tick, is halted by its second start
// of that kind. One whose game panics in Init or in each tick goes on without what panicked. The others lose no tick.
func TestABadRoomStopsAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for what hangs, twice")
	}
	t.Parallel() // mostly waits
	gate := make(chan struct{})
	opened := sync.OnceFunc(func() { close(gate) })
	n := startRooms(t, func(c *Config) {
		c.Game, c.patience = ailing(gate), patience{setup: 3 * time.Second, step: 3 * time.Second, stop: 200 * time.Millisecond, again: 200 * time.Millisecond}
	})
	t.Cleanup(opened) // before the node stops
	stalled := stalls(t)
	ask := func(ail int) string {
		key := fmt.Sprint("room-", ail)
		if ail == ailNot {
			key = ""
		}
		id := room.ID(n.cluster.Name, key)
		spec := room.Spec{Game: "ailing", Key: key, Options: fmt.Appendf(nil, `{"ail":%d}`, ail), Seed: 1, At: time.Now()}
		if _, _, err := etcd.CreateRoom(soon(t), n.cluster.Etcd, n.cluster.Name, id, spec); err != nil {
			t.Fatal(err)
		}
		return id
	}
	var well []string
	bad := map[int]string{}
	for range 5 {
		well = append(well, ask(ailNot))
	}
	for ail := ailSetupPanics; ail <= ailHangs; ail++ {
		bad[ail] = ask(ail)
	}
	for _, ail := range []int{ailSetupPanics, ailSetupHangs, ailInitHangs, ailHangs} {
		eventually(t, fmt.Sprintf("room %d is halted", ail), func() bool {
			x := n.rooms.registry.Room(bad[ail])
			return x != nil && x.Halted && x.Phase() == room.Wanted
		})
	}
	for _, id := range append(well, bad[ailInitPanics], bad[ailPanics]) {
		eventually(t, "room "+id+" goes on", func() bool { return n.roomTick(id) > 100 })
		s := n.roomStats(id)
		if s.Host.Skipped > 0 && stalled() < mostStall {
			t.Errorf("room %s has lost %d ticks; this process never stood still for longer than %v", id, s.Host.Skipped, stalled())
		}
		want := ""
		switch id {
		case bad[ailInitPanics]:
			want = "init"
		case bad[ailPanics]:
			want = "ail"
		}
		if got := strings.Join(failing(s.Host.Failures), ","); got != want {
			t.Errorf("in room %s %q fails, want %q", id, got, want)
		}
	}
	eventually(t, "the halted ones are let go", func() bool { return n.RoomStats().Hosted == len(well)+2 })
	if s := n.RoomStats(); s.Failed < 8 {
		t.Errorf("%+v", s)
	}
	c := n.cluster.Rooms("")
	if r, err := c.Close(soon(t), bad[ailSetupPanics]); err != nil || r.End == nil || r.End.Tick != 0 {
		t.Errorf("a halted room that never ran is closed: %+v, %v", r, err)
	}
	_, err := c.Close(soon(t), bad[ailHangs])
	refused(t, err, rpc.FailedPrecondition, false, "is halted", "wind shard resume "+bad[ailHangs])
}

func failing(by map[string]uint64) (names []string) {
	for name := range by {
		names = append(names, name)
	}
	return names
}

// roomStats returns the statistics of a room on this node, and nothing for one that it does not host.
func (n *Node) roomStats(id string) (s Stats) {
	n.rooms.mu.Lock()
	h := n.rooms.hosted[id]
	n.rooms.mu.Unlock()
	if h != nil {
		s, _ = h.stats()
	}
	return s
}

func (n *Node) roomTick(id string) uint64 { return n.roomStats(id).Host.Tick }
