package cmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
)

func (a *app) serve() *cobra.Command {
	f := &nodeFlags{roomsAlone: true}
	var span time.Duration
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a node: it owns its shard, or waits to own it",
		Long: `Runs one shard on the NATS and etcd servers that --nats and --etcd name, or on embedded ones in --data. If several nodes
serve one shard, one owns it and the others wait. A node that stops hands the shard over at once; if it dies, another takes
over after the lease. An owner that was paused, or could not reach etcd for the length of a lease, commits nothing more,
reports that it was fenced, and waits for its next turn. A node also waits while NATS or etcd does not answer, and while the
shard is halted; its log and /healthz say what it waits for. It exits with 1 if waiting cannot help: the shard has another
game or other options, a port is taken, the data directory is damaged, or a server refuses its credentials.

Beside its shard, a node hosts rooms of its game, up to --capacity (see wind room).`,
		Example: "  wind serve --nats nats://node:PASSWORD@127.0.0.1:4222 --etcd http://127.0.0.1:2379\n  wind serve --data ./wind-data",
	}
	f.add(c.Flags(), a)
	f.addServers(c.Flags())
	c.Flags().Lookup("shard").Usage = "shard to run; empty: none, only rooms"
	spanFlag(c.Flags(), &span, "how long to run")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		config, err := f.config(a)
		if err == nil {
			err = f.admits()
		}
		if err == nil {
			err = f.tls.make(&config, f.data, a.log)
		}
		if err == nil {
			config.Archives, err = f.archives(ctx, a)
		}
		if err != nil {
			return err
		}
		return a.runNode(ctx, config, f, span, func(context.Context, *node.Node) (players, error) { return nil, nil })
	})
	return c
}
