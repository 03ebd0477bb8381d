package cmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
)

func (a *app) logImport() *cobra.Command {
	var data, cluster, shard string
	logBytes := byteSize{least: jetstream.MinLogBytes}
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Import an exported log into a data directory",
		Long: `Proves an export's records, deltas and snapshots, then stores them in a data directory that does not have the shard yet.
A node started on that directory continues from the last tick.`,
		Example: "  wind log import match.wind --data ./restored && wind dev --data ./restored",
	}
	c.Flags().StringVar(&data, "data", "./wind-data", "data directory to import into")
	c.Flags().StringVar(&cluster, "cluster", "", "cluster name there (must be that of the export)")
	c.Flags().StringVar(&shard, "shard", "", "shard name there (must be that of the export)")
	c.Flags().Var(&logBytes, "log-bytes", "limit of the shard's log there, such as 8GiB (default: 8GiB, or a quarter of a small store)")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) error {
		f, err := a.openExport(ctx, args[0])
		if err != nil {
			return found(err)
		}
		defer func() { _ = f.Close() }()
		info := f.Info()
		if cluster != "" && cluster != info.Cluster || shard != "" && shard != info.Shard {
			return usagef("log import: the records in %s belong to shard %s of cluster %s: they cannot be imported under another name", args[0], info.Shard, info.Cluster)
		}
		p, stop := a.showProgress()
		defer stop()
		if err := proveFile(ctx, p.through(f.Source())); err != nil {
			return found(err)
		}
		sum, err := a.importFile(ctx, f, data, logBytes.bytes, p)
		stop()
		if err != nil {
			return found(err)
		}
		return a.printCarried("imported", args[0], sum)
	})
	return c
}

// proveFile reads a whole export before any of it is stored, so that half of a damaged export never becomes a shard.
func proveFile(ctx context.Context, s persistence.Source) error {
	r, err := persistence.Check(ctx, s, persistence.CheckOptions{})
	if err == nil && r.Broken() {
		err = checkf("log import: the file is damaged; nothing was stored: %s", r.Findings[0])
	}
	return err
}

func (a *app) importFile(ctx context.Context, f *persistence.File, data string, logBytes int64, p *progress) (sum persistence.Exported, err error) {
	d, err := node.OpenData(data)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if _, err := jetstream.CheckStore(ctx, d.NATS()); err != nil {
		return sum, err // opening a damaged store would destroy evidence
	}
	server, err := jetstream.StartServer(jetstream.ServerConfig{Dir: d.NATS(), Port: -1, Logger: a.log})
	if err != nil {
		return sum, err
	}
	defer server.Close()
	conn, err := server.Connect(ctx)
	if err != nil {
		return sum, err
	}
	defer conn.Close()
	info := f.Info()
	if s, err := jetstream.Open(ctx, conn, info.Cluster, info.Shard, "", jetstream.Options{}); err == nil {
		s.Close()
		return sum, fmt.Errorf("log import: %s already has a log of shard %s: name another directory with --data", data, info.Shard)
	} else if !errors.Is(err, persistence.ErrNotFound) {
		return sum, err
	}
	s, err := jetstream.Create(ctx, conn, info.Cluster, info.Shard, info.Lineage, jetstream.Options{LogBytes: logBytes})
	if err != nil {
		return sum, err
	}
	defer s.Close()
	last, err := f.Log().Last(ctx)
	if err != nil {
		return sum, err
	}
	return persistence.Import(ctx, f, progressWriter{s.Log(), p, uint64(last)}, s.Deltas(), s.Snapshots())
}
