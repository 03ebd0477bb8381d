package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
)

// psResult is the result of ps: what runs in a cluster.
type psResult struct {
	Cluster  string      `json:"cluster"`
	Nodes    []psNode    `json:"nodes"`
	Services []psService `json:"services"`
}

type psNode struct {
	ID        string            `json:"id"`
	Addresses map[string]string `json:"addresses,omitempty"`
	Build     string            `json:"build"`
	Since     string            `json:"since"`
	Hung      string            `json:"hung,omitempty"` // what keeps its shard from going on
}

// psService is an instance with its fullness, which follows from its load and its players.
type psService struct {
	discovery.Instance
	Fullness float64 `json:"fullness"`
}

func (a *app) ps() *cobra.Command {
	f := &clusterFlags{}
	c := &cobra.Command{
		Use:     "ps",
		Short:   "List what runs in a cluster: nodes, gateways and services, with their load",
		Example: "  wind ps\n  wind ps --nats URL --etcd URL --json",
	}
	f.add(c.Flags())
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) (err error) {
		cluster, err := f.observe(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		nodes, err := etcd.Nodes(ctx, cluster.Etcd, cluster.Name)
		if err != nil {
			return err
		}
		r := psResult{Cluster: cluster.Name, Nodes: []psNode{}, Services: []psService{}}
		for _, n := range nodes {
			r.Nodes = append(r.Nodes, psNode{ID: n.Node, Addresses: n.Addresses, Build: n.Build.ID, Since: n.Since.Format("2006-01-02 15:04:05Z"), Hung: n.Hung})
		}
		for _, t := range cluster.Services() {
			for _, i := range cluster.Directory.Instances(t) {
				if bound, ok := cluster.Directory.Bound(node.GatewayType, t, i.ID); ok && t != node.GatewayType {
					i.Players = bound // the instance's own count may include players who have moved
				}
				r.Services = append(r.Services, psService{i, i.Fullness()})
			}
		}
		return a.print(r, psLines(r)...)
	})
	return c
}

func psLines(r psResult) []string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KIND\tID\tSTATE\tPLAYERS\tLOAD\tNODE\tADDRESSES")
	for _, n := range r.Nodes {
		state := "up"
		if n.Hung != "" {
			state = "hung"
		}
		fmt.Fprintf(t, "node\t%s\t%s\t\t\t\t%s\n", n.ID, state, addresses(n.Addresses))
	}
	for _, s := range r.Services {
		players := fmt.Sprint(s.Players)
		if s.Capacity > 0 {
			players = fmt.Sprintf("%d/%d", s.Players, s.Capacity)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.2f\t%s\t%s\n", s.Type, s.ID, stateOf(&s.Instance), players, s.Fullness, s.Node, addresses(s.Addresses))
	}
	_ = t.Flush() // into memory
	return []string{strings.TrimRight(b.String(), "\n")}
}

// stateOf is the STATE of an instance: up, draining, or hung, which is graver than both.
func stateOf(i *discovery.Instance) string {
	if i.Hung != "" {
		return "hung"
	}
	return string(i.State)
}

// addresses formats addresses as "tcp 127.0.0.1:7777, udp 127.0.0.1:7777": TCP, then UDP, then HTTP.
func addresses(all map[string]string) string {
	var out []string
	for _, name := range []string{"tcp", "udp", "http"} {
		if all[name] != "" {
			out = append(out, name+" "+all[name])
		}
	}
	return strings.Join(out, ", ")
}
