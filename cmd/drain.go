package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
)

// drainResult is what drain prints.
type drainResult struct {
	Type     string `json:"type"`
	Instance string `json:"instance"`
	State    string `json:"state"`
}

func (a *app) drain() *cobra.Command {
	f := &clusterFlags{}
	var undo bool
	c := &cobra.Command{
		Use:   "drain SERVICE INSTANCE",
		Short: "Stop assigning new players to an instance of a service",
		Long: `The instance keeps its players until they log out and gets no new ones; wind ps shows how many remain. Use it to wait until
nobody remains: an instance that is stopped at once (SIGTERM, or wind stop) also drains, but only finishes running requests.`,
		Example: "  wind drain game game-1\n  wind drain game game-1 --undo",
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&undo, "undo", false, "assign new players to it again")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) (err error) {
		if args[0] == node.GatewayType {
			return usagef("drain: a gateway cannot be drained: stop it (SIGTERM, or wind stop); it ends its sessions, and their clients continue at another gateway")
		}
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		if !cluster.Directory.Alive(args[0], args[1]) {
			var ids []string
			for _, i := range cluster.Directory.Instances(args[0]) {
				ids = append(ids, i.ID)
			}
			return fmt.Errorf("service %s has no instance %s; it has: %s", args[0], args[1], strings.Join(ids, ", "))
		}
		op, state := "drain", "draining"
		if undo {
			op, state = "undrain", "up"
		}
		if _, err := cluster.Bus.Admin(ctx, args[0], args[1], op, nil); err != nil {
			return err
		}
		return a.print(drainResult{args[0], args[1], state}, fmt.Sprintf("%s %s is %s", args[0], args[1], state))
	})
	return c
}
