package cmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/bench"
)

func (a *app) benchRPC() *cobra.Command {
	var o bench.RPCOptions
	var handler string
	var seconds int
	c := &cobra.Command{
		Use:   "rpc",
		Short: "Measure requests from clients through a gateway to a service and back",
		Long: `Runs a gateway, a service, NATS and etcd in this process, with clients that each keep a number of requests in flight over
TCP: client, gateway, NATS, service, and all the way back. Between the measurements, as many requests go over a bare NATS server, from one
connection to another; the ratio says how many of those one request through a gateway costs.

bench/pitaya in the sources compares the same path with Pitaya's, with the servers on a core of their own.`,
		Example: "  wind bench rpc\n  wind bench rpc --connections 500 --depth 1 --handler star --json",
	}
	c.Flags().IntVar(&o.Connections, "connections", 100, "clients")
	c.Flags().IntSliceVar(&o.Depths, "depth", []int{1, 16}, "requests that each client keeps in flight; give several to measure them one after another")
	c.Flags().IntVar(&o.Bytes, "bytes", 64, "length of each request and answer")
	c.Flags().StringVar(&handler, "handler", "go", "language of the handler: go or star")
	c.Flags().IntVar(&o.Rounds, "rounds", 3, "how often to measure each, alternating; the median counts")
	c.Flags().IntVar(&seconds, "seconds", 2, "length of each measurement")
	c.Flags().StringVar(&o.Dir, "dir", "", "where to make the servers' temporary store (default: the folder for temporary files)")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		switch {
		case handler != "go" && handler != "star":
			return usagef("bench rpc: --handler %q is neither go nor star", handler)
		case o.Connections < 1 || o.Connections > 10_000 || o.Bytes < 4 || o.Bytes > 1024:
			return usagef("bench rpc: --connections %d, --bytes %d: want 1 to 10000, 4 to 1024", o.Connections, o.Bytes)
		case o.Rounds < 1 || o.Rounds > mostRounds || seconds < 1 || seconds > 60:
			return usagef("bench rpc: --rounds %d, --seconds %d: want 1 to %d, 1 to 60", o.Rounds, seconds, mostRounds)
		}
		for _, depth := range o.Depths {
			if depth < 1 || depth > 256 {
				return usagef("bench rpc: --depth %d: want 1 to 256, the most that a gateway allows one client", depth)
			}
		}
		o.Script, o.For = handler == "star", time.Duration(seconds)*time.Second
		p, stop := a.showProgress()
		o.Progress = p.rounds
		r, err := bench.RPC(ctx, o)
		stop()
		if err != nil {
			return err
		}
		lines := []string{fmt.Sprintf("%s, %s, handler in %s, median of %s", plural(o.Connections, "client"), plural(r.Bytes, "byte"), r.Handler, plural(r.Rounds, "round"))}
		var failed uint64
		for _, d := range r.Depths {
			lines = append(lines, fmt.Sprintf("depth %3d  %8.0f requests per second, p50 %8.0f us, p99 %8.0f us  bare NATS %8.0f per second  %5.2f x",
				d.Wind.Depth, d.Wind.PerSecond, d.Wind.P50, d.Wind.P99, d.Bare.PerSecond, d.Ratio))
			if d.Wind.Failed > 0 {
				failed += d.Wind.Failed
				lines = append(lines, fmt.Sprintf("           %d failed: %s", d.Wind.Failed, d.Wind.Failure))
			}
		}
		if err := a.print(r, lines...); err != nil {
			return err
		}
		if failed > 0 {
			return checkf("bench rpc: %s failed", plural(failed, "request"))
		}
		return nil
	})
	return c
}
