package intake

import (
	"cmp"
	"log/slog"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/systems/script"
)

// Clients are the clients of a shard; netcode/session implements them. Their methods
// are those of shard.Frontend.
type Clients interface {
	Own(w *ecs.World, epoch uint64)
	Latch(w *ecs.World, tick uint64, dst []ecs.Command, budgetBytes int) []ecs.Command
	Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output)
	Disown(reason error)
	OnArrival(f func())
}

// Sources joins everything that sends a shard commands. It implements
// shard.Frontend, and so is for one goroutine, like the tick loop.
type Sources struct {
	Port *Port // commands of services and operators

	clients Clients
	logger  *slog.Logger
	genesis []ecs.Command // a new world's first scripts that are not in force yet
}

// NewSources returns the sources of a shard that this node does not own yet. A nil
// logger means slog.Default().
func NewSources(clients Clients, logger *slog.Logger) *Sources {
	logger = cmp.Or(logger, slog.Default())
	return &Sources{Port: NewPort(logger), clients: clients, logger: logger}
}

// Own implements shard.Frontend. A world that never had scripts gets the game's initial ones.
func (s *Sources) Own(w *ecs.World, epoch uint64) {
	s.genesis = nil
	status, err := script.InForce(w)
	if err == nil && status.Generation == 0 {
		s.genesis, err = script.Genesis(w)
	}
	if err != nil {
		s.logger.Error("the shard starts without its scripts", "error", err)
	}
	s.Port.Own(w, epoch)
	s.clients.Own(w, epoch)
}

// Latch implements shard.Frontend.
func (s *Sources) Latch(w *ecs.World, tick uint64, dst []ecs.Command, budgetBytes int) []ecs.Command {
	b := Batch{Tick: tick, Commands: dst, Left: budgetBytes}
	for len(s.genesis) > 0 && b.Fits(&s.genesis[0]) {
		b.Add(s.genesis[0])
		s.genesis = s.genesis[1:]
	}
	s.Port.Latch(w, &b)
	return s.clients.Latch(w, tick, b.Commands, b.Left)
}

// Release implements shard.Frontend.
func (s *Sources) Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
	s.Port.Release(outputs)
	s.clients.Release(w, seq, epoch, outputs)
}

// Disown implements shard.Frontend.
func (s *Sources) Disown(reason error) {
	s.Port.Disown(reason)
	s.clients.Disown(reason)
}

// OnArrival makes f be called, from any goroutine, whenever a submission or a client arrives; nil ends it.
func (s *Sources) OnArrival(f func()) {
	s.Port.OnArrival(f)
	s.clients.OnArrival(f)
}
