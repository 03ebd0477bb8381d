package node

import (
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/systems/script"
)

// sources combines everything that sends a shard commands: clients, services, operators and, for a new world, the
// game's scripts. It implements shard.Frontend.
type sources struct {
	clients *eventCounter
	port    *bus.Port // commands of services and operators
	node    *Node
	genesis []ecs.Command // a new world's first scripts that are not in force yet
}

// newSources returns the sources of the node's shard.
func (n *Node) newSources() *sources {
	return &sources{clients: n.clients, port: bus.NewPort(n.config.Logger), node: n}
}

// Own implements shard.Frontend. A world that never had scripts gets the game's initial ones.
func (s *sources) Own(w *ecs.World, epoch uint64) {
	s.node.conditions.Clear(shard.Fenced)
	s.genesis = nil
	status, err := script.InForce(w)
	if err == nil && status.Generation == 0 {
		s.genesis, err = script.Genesis(w)
	}
	if err != nil {
		s.node.config.Logger.Error("the shard starts without its scripts", "error", err)
	}
	s.port.Own(w, epoch)
	s.clients.Own(w, epoch)
}

// Latch implements shard.Frontend.
func (s *sources) Latch(w *ecs.World, tick uint64, dst []ecs.Command, budgetBytes int) []ecs.Command {
	dst, budgetBytes = s.begin(dst, budgetBytes)
	begin := len(dst)
	dst = s.port.Latch(w, tick, dst, budgetBytes)
	for _, c := range dst[begin:] {
		budgetBytes -= c.Weight()
	}
	return s.clients.Latch(w, tick, dst, max(0, budgetBytes))
}

// begin appends as many of the first scripts as the tick has room for.
func (s *sources) begin(dst []ecs.Command, budgetBytes int) ([]ecs.Command, int) {
	for len(s.genesis) > 0 && budgetBytes >= s.genesis[0].Weight() {
		budgetBytes -= s.genesis[0].Weight()
		dst, s.genesis = append(dst, s.genesis[0]), s.genesis[1:]
	}
	return dst, budgetBytes
}

// Release implements shard.Frontend.
func (s *sources) Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
	s.port.Release(w, seq, epoch, outputs)
	s.clients.Release(w, seq, epoch, outputs)
}

// Disown implements shard.Frontend.
func (s *sources) Disown(reason error) {
	s.port.Disown(reason)
	s.clients.Disown(reason)
}
