package node

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// haltDamaged halts the rooms that lost history, so that no node claims one before an operator has looked. Their logs
// share streams with those of other rooms, which go on.
func haltDamaged(ctx context.Context, states []jetstream.StoreState, url string, logger *slog.Logger) error {
	var client *etcd.Client
	for _, s := range states {
		if s.Damage == nil {
			continue
		}
		if client == nil {
			var err error
			if client, err = etcd.Dial(ctx, url); err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
		}
		if err := haltRoom(ctx, client, s, logger); err != nil {
			return fmt.Errorf("%w; room %s was to be halted: %w", err, s.Shard, s.Damage)
		}
	}
	return nil
}

func haltRoom(ctx context.Context, client *etcd.Client, s jetstream.StoreState, logger *slog.Logger) error {
	room, err := etcd.Look(client, s.Cluster, s.Shard)
	if err != nil {
		return err
	}
	standing, err := room.Read(ctx)
	if err != nil {
		return err
	}
	reason := fmt.Sprintf("%v from record %d on (tick %d): %v", persistence.ErrLost, s.Damage.Seq, s.Damage.Tick, s.Damage.Err)
	logger.Error("a room lost history: no node claims it until an operator has looked; the other rooms go on", "room", s.Shard, "cluster", s.Cluster, "reason", reason, "do", shard.WayOut(shard.HistoryLost, s.Shard))
	if standing.Halted != "" {
		return nil
	}
	return room.Note(ctx, shard.Note{Halted: reason})
}
