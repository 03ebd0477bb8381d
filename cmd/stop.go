package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// stopResult is the result of stop.
type stopResult struct {
	Node  string `json:"node"`
	State string `json:"state"`
}

func (a *app) stop() *cobra.Command {
	f := &clusterFlags{}
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "stop NODE",
		Short: "Stop a node, gateway or service, on any machine and system",
		Long: `Ends a process of the cluster as SIGTERM does, even on systems without signals: a node hands its shard over, a gateway ends
its sessions, a service finishes running requests. A tick's step that does not end within 5 s, and a handler that does not
within 10 s, are given up: the process then ends with exit code 1. NODE is a name from the column NODE of wind ps. Returns when the process
has left the cluster.`,
		Example: "  wind ps\n  wind stop game-host-4711 --nats URL --etcd URL",
	}
	f.add(c.Flags())
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the process to leave")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) (err error) {
		if timeout <= 0 {
			return usagef("stop: --timeout %s: want more than 0", timeout)
		}
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if err := cluster.StopNode(ctx, args[0]); err != nil {
			return err
		}
		return a.print(stopResult{args[0], "stopped"}, fmt.Sprintf("node %s has stopped", args[0]))
	})
	return c
}
