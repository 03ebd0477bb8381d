package node

import (
	"errors"
	"maps"
	"strings"
	"sync"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/session"
	"github.com/ferris1/wind/shard"
)

// eventCounter is the sessions of the node's shard. It also counts the game's events as they are released, so that a
// person sees what happens in a world without a client.
type eventCounter struct {
	*session.Sessions
	owned func() // called when the node begins to own the shard

	mu     sync.Mutex
	events map[string]uint64
}

func newEventCounter(s *session.Sessions, owned func()) *eventCounter {
	return &eventCounter{Sessions: s, owned: owned, events: map[string]uint64{}}
}

// Own implements shard.Frontend. A node that owns the shard is fenced no longer.
func (c *eventCounter) Own(w *ecs.World, epoch uint64) {
	c.owned()
	c.Sessions.Own(w, epoch)
}

// Disown implements shard.Frontend.
func (c *eventCounter) Disown(reason error) {
	if errors.Is(reason, shard.ErrEnded) {
		c.End(strings.TrimPrefix(reason.Error(), "shard: "))
		return
	}
	c.Sessions.Disown(reason)
}

// Release implements shard.Frontend.
func (c *eventCounter) Release(world *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
	c.count(outputs)
	c.Sessions.Release(world, seq, epoch, outputs)
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

// counts returns the number of events released so far, by name.
func (c *eventCounter) counts() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.events)
}
