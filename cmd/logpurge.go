package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/shard"
)

func (a *app) logPurge() *cobra.Command {
	f := &clusterFlags{}
	var dry bool
	c := &cobra.Command{
		Use:   "purge SHARD",
		Short: "Remove the records of a shard's log that two proven snapshots replace",
		Long: `Removes the records before the older of the two newest proven snapshots. A proven snapshot can be read, matches its record
in the log, and restores to a world with its checksum. Without two of them it removes nothing and exits with 1. Purged
records can no longer be replayed; no recovery needs them.

While a node owns the shard, the owner purges, even if it waits for room in a full log. If no node owns it, as with a full
log that no node with --purge=never claims, this verb purges, and the waiting node continues unaided. It also works on a
stopped data directory. It removes nothing while the shard is halted or its log has lost history: an operator must look first.`,
		Example: "  wind log purge main --dry-run\n  wind log purge main --data ./wind-data\n  wind log purge main --nats nats://node:PASSWORD@10.0.0.5:4222 --etcd http://10.0.0.5:2379",
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&dry, "dry-run", false, "print what would be removed, and remove nothing")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) error {
		if err := first(checkName("shard", args[0]), checkName("--cluster", f.cluster)); err != nil {
			return err
		}
		p, err := a.purge(ctx, f, args[0], dry)
		if err != nil {
			return found(err)
		}
		return a.print(p, purgeLines(p)...)
	})
	return c
}

// purge asks the shard's owner to purge, or does it itself if the shard has no owner or no process has the data directory open.
func (a *app) purge(ctx context.Context, f *clusterFlags, name string, dry bool) (p shard.Purged, err error) {
	if f.nats == "" {
		if _, err := os.Stat(node.StoreDir(f.data)); errors.Is(err, fs.ErrNotExist) {
			return p, fmt.Errorf("%s holds no data of a node: name another directory with --data, or servers with --nats and --etcd", filepath.Clean(f.data))
		}
		p, err := node.PurgeStopped(ctx, f.data, a.game, f.cluster, name, dry, a.log)
		if !errors.Is(err, node.ErrInUse) {
			return p, err
		}
	}
	cluster, err := f.connect(ctx, a)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	return cluster.PurgeLog(ctx, a.game, name, dry)
}

func purgeLines(p shard.Purged) []string {
	lines := []string{fmt.Sprintf("log        sequences %d to %d, %s of %s", p.First, p.Last, size(float64(p.UsedBytes)), size(float64(p.Limit)))}
	for _, s := range p.Snapshots {
		lines = append(lines, fmt.Sprintf("proven     snapshot %s of tick %d", s.Name, s.Tick))
	}
	for _, s := range p.Skipped {
		lines = append(lines, "not proven snapshot "+s)
	}
	switch {
	case p.Records == 0:
		lines = append(lines, fmt.Sprintf("no records before sequence %d", p.Below))
	case p.DryRun:
		lines = append(lines, fmt.Sprintf("would remove %s before sequence %d", plural(p.Records, "record"), p.Below))
	default:
		lines = append(lines, fmt.Sprintf("removed %s before sequence %d", plural(p.Records, "record"), p.Below))
	}
	return lines
}
