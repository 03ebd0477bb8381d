package cmd

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/fleet"
	"github.com/ferris1/wind/cmd/node"
)

func (a *app) serve() *cobra.Command {
	f := &nodeFlags{}
	var span time.Duration
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a node: it owns its shard, or waits until it may",
		Long: `Runs one shard on NATS and etcd servers that --nats and --etcd name (or on embedded ones in --data). Of several nodes
that serve one shard, one owns it and the others wait: a stop hands over at once, a death after the lease. An owner that
was paused, or that could not reach etcd for a lease, commits nothing more, says that it was fenced, and waits for its
next turn. A node also waits for NATS and etcd that do not answer yet, and for a halt to be lifted; the log and /healthz
say what for. It ends with 1 on what waiting cannot mend: a shard of another game or other options, a taken port, a
damaged data directory, credentials that are refused.`,
		Example: "  wind serve --nats nats://node:PASSWORD@127.0.0.1:4222 --etcd http://127.0.0.1:2379\n  wind serve --data ./wind-data",
	}
	f.add(c.Flags(), a)
	f.addServers(c.Flags())
	spanFlag(c.Flags(), &span, "how long to run")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		config, err := f.config(a)
		if err != nil {
			return err
		}
		return a.runNode(ctx, config, f, span, func(context.Context, *node.Node) (*fleet.Fleet, error) { return nil, nil })
	})
	return c
}
