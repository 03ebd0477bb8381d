package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/bench"
)

func (a *app) bench() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Run tick, log, delta, RPC and room benchmarks",
		Long: `All but rooms measure Wind and the library below it alternately, in one run, and compare the two as ratios: absolute times on
a shared machine mean little. rooms runs a small cluster and says what its processes take.`,
		Example: "  wind bench tick --entities 100000 --ticks 300 --json\n  wind bench log\n  wind bench deltas\n  wind bench rpc\n  wind bench rooms --rooms 100",
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("bench: choose a benchmark: tick, log, deltas, rpc or rooms (see %s --help)", c.CommandPath())
		},
	}
	c.AddCommand(a.benchTick(), a.benchLog(), a.benchDeltas(), a.benchRPC(), a.benchRooms())
	return c
}

func (a *app) benchTick() *cobra.Command {
	var o bench.TickOptions
	c := &cobra.Command{
		Use:   "tick",
		Short: "Compare query loops and whole ticks with arche's loop and with plain arrays",
		Long: `Moves every entity (two components of two float64) with plain arrays, with arche, with Wind's queries and in whole ticks
(systems, change detection, delta, checksum), both without a log and committed to one on disk. Ratios are relative to
arche's faster loop. Exits with 3 if a target is missed.`,
		Example: "  wind bench tick --entities 100000 --ticks 300 --json",
	}
	c.Flags().IntVar(&o.Entities, "entities", 100_000, "entities in each world")
	c.Flags().IntVar(&o.Ticks, "ticks", 300, "rounds; every loop runs once in each")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of the worlds")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		if o.Entities < 1 || o.Entities > 10_000_000 || o.Ticks < 1 || o.Ticks > mostRounds {
			return usagef("bench tick: --entities %d, --ticks %d: want 1 to 10000000, 1 to %d", o.Entities, o.Ticks, mostRounds)
		}
		p, stop := a.showProgress()
		o.Progress = p.rounds
		r, err := bench.Tick(ctx, o)
		stop()
		if err != nil {
			return err
		}
		lines := []string{fmt.Sprintf("%s, %s, base: %s", plural(r.Entities, "entity"), plural(r.Ticks, "round"), r.Base)}
		for _, l := range r.Loops {
			target := ""
			if l.TargetRatio > 0 {
				target = fmt.Sprintf("  target %.2f %s", l.TargetRatio, passed(l.Pass))
			}
			lines = append(lines, fmt.Sprintf("%-28s %6.2f ns per entity  %5.2f x%s", l.Name, l.MinNs, l.Ratio, target))
		}
		lines = append(lines, fmt.Sprintf("%s per tick, %.1f delta bytes per entity", plural(r.AllocsPerTick, "allocation"), r.DeltaBytes))
		if err := a.print(r, lines...); err != nil {
			return err
		}
		if !r.Pass {
			return checkf("bench tick: missed: %v", r.Failed)
		}
		return nil
	})
	return c
}

// mostRounds bounds the rounds of a benchmark, whose times are kept.
const mostRounds = 1_000_000

func passed(ok bool) string {
	if ok {
		return "met"
	}
	return "MISSED"
}
