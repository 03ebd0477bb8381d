package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// openStorage opens a shard's streams. A shard without an earlier owner gets a lineage, on which all nodes agree
// through etcd, and new streams. A shard that had an owner must still have its log: a missing log is lost history,
// never a new start.
func openStorage(ctx context.Context, conn *jetstream.Conn, s *etcd.Shard, cluster, name string, o jetstream.Options) (*jetstream.Shard, error) {
	standing, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	lineage := standing.Lineage
	if lineage == "" {
		if lineage, err = firstLineage(ctx, conn, s, cluster, name, o); err != nil {
			return nil, err
		}
	}
	st, err := jetstream.Open(ctx, conn, cluster, name, lineage, o)
	if !errors.Is(err, persistence.ErrNotFound) {
		return st, err
	}
	if err := LogGone(name, standing, o.Shared); err != nil {
		return nil, err
	}
	return jetstream.Create(ctx, conn, cluster, name, lineage, o)
}

// LogGone returns the error for a shard that has no log: nil if it never had an owner, and lost history otherwise. A log that
// shares its stream begins to exist with its first record: if its owner died before that, nothing was lost. Had anything been
// released, the high-water mark would say so.
func LogGone(name string, standing shard.Standing, shared bool) error {
	if standing.Epoch == 0 || shared && standing.High.Seq == 0 {
		return nil
	}
	return fmt.Errorf("%w: shard %s was owned before (epoch %d) and its log is gone: restore the log, or name a new shard with --shard",
		persistence.ErrLost, name, standing.Epoch)
}

// firstLineage proposes a lineage for a shard that etcd does not know: that of an existing log (an import, or an etcd
// that lost its data), otherwise a new one. Every node uses the one that etcd returns.
func firstLineage(ctx context.Context, conn *jetstream.Conn, s *etcd.Shard, cluster, name string, o jetstream.Options) (string, error) {
	found, err := jetstream.Find(ctx, conn, cluster, name, o)
	if errors.Is(err, persistence.ErrNotFound) {
		return s.AgreeLineage(ctx, uuid.NewString())
	}
	if err != nil {
		return "", err
	}
	return s.AgreeLineage(ctx, found.Lineage)
}
