package node

import (
	"maps"
	"sync"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
)

// watch is the clients' side of a node as the shard sees it, and counts the game's events on their way out, so that a
// person can see what happens in a world without being one of its clients.
type watch struct {
	*netcode.Server

	mu     sync.Mutex
	events map[string]uint64
}

func newWatch(s *netcode.Server) *watch { return &watch{Server: s, events: map[string]uint64{}} }

// Release implements shard.Clients.
func (w *watch) Release(world *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
	w.count(outputs)
	w.Server.Release(world, seq, epoch, outputs)
}

func (w *watch) count(outputs []ecs.Output) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range outputs {
		for _, e := range outputs[i].Events {
			w.events[e.Name] += uint64(e.Count)
		}
	}
}

// counts returns how many events of each name were released so far.
func (w *watch) counts() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.events)
}
