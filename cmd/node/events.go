package node

import (
	"maps"
	"sync"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
)

// eventCounter is the server of a node's clients. It counts the game's events on their way out, so that a person sees what
// happens in a world without being one of its clients.
type eventCounter struct {
	*netcode.Server

	mu     sync.Mutex
	events map[string]uint64
}

func newEventCounter(s *netcode.Server) *eventCounter {
	return &eventCounter{Server: s, events: map[string]uint64{}}
}

// Release implements shard.Frontend.
func (c *eventCounter) Release(world *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
	c.count(outputs)
	c.Server.Release(world, seq, epoch, outputs)
}

func (c *eventCounter) count(outputs []ecs.Output) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range outputs {
		for _, e := range outputs[i].Events {
			c.events[e.Name] += uint64(e.Count)
		}
	}
}

// counts returns how many events of each name were released so far.
func (c *eventCounter) counts() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.events)
}
