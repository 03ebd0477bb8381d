package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/shard/discovery"
)

// drainResult is what drain prints.
type drainResult struct {
	Type     string `json:"type"`
	Instance string `json:"instance"`
	State    string `json:"state"`
	Warning  string `json:"warning,omitempty"` // what clients meet now
}

func (a *app) drain() *cobra.Command {
	f := &clusterFlags{}
	var undo bool
	c := &cobra.Command{
		Use:   "drain SERVICE INSTANCE",
		Short: "Stop assigning new players to an instance of a service",
		Long: `The instance keeps its players until they log out and gets no new ones; wind ps shows how many remain. Calls of other services
go to other instances, unless all drain. Use it to wait until nobody remains: an instance that is stopped at once (SIGTERM, or
wind stop) also drains, but only finishes running requests.

If no other instance of the service takes players, new players get the fault unavailable after 3 seconds: start another one
first.`,
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
			if len(ids) == 0 {
				return cluster.Missing(args[0])
			}
			return fmt.Errorf("service %s has no instance %s; it has %s", args[0], args[1], some(ids))
		}
		op, state := "drain", "draining"
		if undo {
			op, state = "undrain", "up"
		}
		if _, err := cluster.Bus.Admin(ctx, args[0], args[1], op, nil); err != nil {
			return err
		}
		r := drainResult{Type: args[0], Instance: args[1], State: state}
		lines := []string{fmt.Sprintf("%s %s is %s", args[0], args[1], state)}
		if !undo && !takesPlayers(cluster.Directory.Instances(args[0]), args[1]) {
			r.Warning = fmt.Sprintf("no other instance of %s takes players: new players get a fault until one does: start one, or let this one have players again with --undo", args[0])
			lines = append(lines, r.Warning)
		}
		return a.print(r, lines...)
	})
	return c
}

// takesPlayers reports whether an instance other than one takes new players.
func takesPlayers(all []discovery.Instance, other string) bool {
	return slices.ContainsFunc(all, func(i discovery.Instance) bool { return i.ID != other && i.Answers() && !i.Full() })
}
