package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/bench"
)

func (a *app) benchDeltas() *cobra.Command {
	var o bench.DeltaOptions
	c := &cobra.Command{
		Use:   "deltas",
		Short: "Compare the size of packed deltas with the same deltas unpacked",
		Long: `Runs four games (an arena with bots, one whose entities keep changing their effects, one whose entities come and go, one
where everything moves in straight lines) and packs their deltas as a shard does before it publishes them. It unpacks every
delta again and compares it with the original. Exits with 3 if packing saves less than half of a game's bytes.`,
		Example: "  wind bench deltas --ticks 1000 --json",
	}
	c.Flags().IntVar(&o.Ticks, "ticks", 600, "ticks of each game, not counting its start")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of the games")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		if o.Ticks < 1 || o.Ticks > mostRounds {
			return usagef("bench deltas: --ticks %d: want 1 to %d", o.Ticks, mostRounds)
		}
		p, stop := a.showProgress()
		o.Progress = p.rounds
		r, err := bench.Deltas(ctx, o)
		stop()
		if err != nil {
			return err
		}
		var lines []string
		for _, s := range r.Scenarios {
			lines = append(lines, fmt.Sprintf("%-8s %9.0f B/tick not packed  %9.0f B/tick packed  %5.3f x  target %.2f %s  %6.0f us/tick  %s",
				s.Name, s.Plain, s.Packed, s.Ratio, s.TargetRatio, passed(s.Pass), s.PackMicros, s.About))
		}
		if err := a.print(r, lines...); err != nil {
			return err
		}
		if !r.Pass {
			return checkf("bench deltas: missed: %v", r.Failed)
		}
		return nil
	})
	return c
}
