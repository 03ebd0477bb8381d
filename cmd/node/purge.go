package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
)

// Purge says when a shard's log drops the records before its two newest proven snapshots. It is a flag's value.
type Purge string

// The values of Purge. Without a purge, a full log refuses records.
const (
	PurgeWhenFull Purge = "when-full" // at 80 % of its limit, down to 60 %: the default
	PurgeAlways   Purge = "always"    // with each snapshot
	PurgeNever    Purge = "never"
)

// String implements pflag.Value.
func (p *Purge) String() string { return string(*p) }

// Set implements pflag.Value.
func (p *Purge) Set(s string) error {
	switch Purge(s) {
	case PurgeWhenFull, PurgeAlways, PurgeNever:
		*p = Purge(s)
		return nil
	}
	return fmt.Errorf("%q is not one of when-full, always or never", s)
}

// Type implements pflag.Value.
func (p *Purge) Type() string { return "when" }

// purgeRequest is the body of a shard's operation purge.
type purgeRequest struct {
	DryRun bool `json:"dry_run"`
}

// PurgeLog removes the records before the two newest proven snapshots from a shard's log. The shard's owner does it. If
// no node serves the shard, for example because its log is full and no node claims it, this process purges.
func (c *Cluster) PurgeLog(ctx context.Context, game ecs.Game, name string, dry bool) (p shard.Purged, err error) {
	body, err := json.Marshal(purgeRequest{dry})
	if err != nil {
		return p, err
	}
	answer, err := c.Bus.Shard(ctx, name, "purge", "", body)
	if e := rpc.ErrorOf(err); e != nil && e.Code == rpc.Unavailable && !e.Maybe {
		return c.purgeUnserved(ctx, game, name, dry)
	}
	if err != nil {
		return p, fmt.Errorf("shard %s: %w", name, err)
	}
	if err := json.Unmarshal(answer, &p); err != nil {
		return p, fmt.Errorf("cannot read the answer of shard %s: %w", name, err)
	}
	return p, nil
}

// purgeUnserved purges over the cluster's own connection. It does no harm if a node claims the shard meanwhile.
func (c *Cluster) purgeUnserved(ctx context.Context, game ecs.Game, name string, dry bool) (p shard.Purged, err error) {
	owned, err := etcd.Look(c.Etcd, c.Name, name)
	if err != nil {
		return p, err
	}
	standing, err := owned.Read(ctx)
	if err != nil {
		return p, err
	}
	s, err := jetstream.Open(ctx, c.NATS, c.Name, name, standing.Lineage, jetstream.Options{})
	if err != nil {
		return p, fmt.Errorf("no node serves shard %s: %w", name, err)
	}
	defer s.Close()
	p, err = shard.PurgeUnserved(ctx, game, name, standing, s.Log(), s.Deltas(), s.Snapshots(), dry)
	if err != nil {
		return p, fmt.Errorf("no node serves shard %s: %w", name, err)
	}
	return p, nil
}

// PurgeStopped is like PurgeLog, but for a data directory that no process has open. It does not change a store that lost history.
// A dry run opens a copy.
func PurgeStopped(ctx context.Context, dir string, game ecs.Game, cluster, name string, dry bool, logger *slog.Logger) (p shard.Purged, err error) {
	data, err := OpenData(dir)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	if dry {
		return purgeCopy(ctx, data, game, cluster, name, logger)
	}
	states, err := jetstream.CheckStore(ctx, data.NATS())
	if err != nil {
		return p, err
	}
	for _, s := range states {
		if s.Cluster == cluster && s.Shard == name && s.Damage != nil {
			return p, s.Damage
		}
	}
	server, err := jetstream.StartServer(jetstream.ServerConfig{Dir: data.NATS(), Port: -1, Logger: logger})
	if err != nil {
		return p, err
	}
	defer server.Close()
	conn, err := server.Connect(ctx)
	if err != nil {
		return p, err
	}
	defer conn.Close()
	s, err := jetstream.Open(ctx, conn, cluster, name, "", jetstream.Options{})
	if err != nil {
		return p, err
	}
	defer s.Close()
	return shard.PurgeBehind(ctx, game, s.Log(), s.Snapshots(), dry)
}

// purgeCopy returns what a purge would remove.
func purgeCopy(ctx context.Context, data *Data, game ecs.Game, cluster, name string, logger *slog.Logger) (p shard.Purged, err error) {
	held, err := jetstream.OpenCopy(ctx, data.NATS(), jetstream.CopyOptions{Cluster: cluster, Shard: name, Logger: logger})
	if err != nil {
		return p, err
	}
	defer held.Close()
	s, _, err := held.Open(ctx, cluster, name)
	if err != nil {
		return p, err
	}
	return shard.PurgeBehind(ctx, game, s.Log(), s.Snapshots(), true)
}
