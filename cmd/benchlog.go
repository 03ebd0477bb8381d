package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/bench"
)

func (a *app) benchLog() *cobra.Command {
	var o bench.LogOptions
	c := &cobra.Command{
		Use:   "log",
		Short: "Compare commits with a bare fenced JetStream publish of the same bytes",
		Long: `Commits records of several sizes to an embedded server through Wind, alternating with a bare publish of as many bytes with
the same fence, and measures how much of a tick the log and the delta stream take when 10,000 entities move, and apart
from that what packing their deltas takes: a shard packs them beside its ticks. Exits with 3 if a target is missed.`,
		Example: "  wind bench log --json",
	}
	c.Flags().IntVar(&o.Rounds, "rounds", 1000, "commits per size")
	c.Flags().IntVar(&o.Ticks, "ticks", 150, "paced ticks, 30 per second; -1 for none")
	c.Flags().StringVar(&o.Dir, "dir", "", "where to make the temporary store (default: the folder for temporary files)")
	c.Flags().BoolVar(&o.SyncAlways, "sync-always", false, "have the server sync to disk before each acknowledgement")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		if o.Rounds < 1 || o.Rounds > mostRounds || o.Ticks < -1 || o.Ticks > mostRounds {
			return usagef("bench log: --rounds %d, --ticks %d: want 1 to %d, -1 to %d", o.Rounds, o.Ticks, mostRounds, mostRounds)
		}
		p, stop := a.showProgress()
		o.Progress = p.rounds
		r, err := bench.Log(ctx, o)
		stop()
		if err != nil {
			return err
		}
		var lines []string
		for _, s := range r.Sizes {
			target := ""
			if s.TargetRatio > 0 {
				target = fmt.Sprintf("  target %.2f %s", s.TargetRatio, passed(s.Pass))
			}
			lines = append(lines, fmt.Sprintf("%7d B  wind p50 %7.1f us, p99 %8.1f  bare p50 %7.1f us, p99 %8.1f  %5.2f x%s", s.Bytes, s.WindP50, s.WindP99, s.BareP50, s.BareP99, s.Ratio, target))
		}
		if t := r.Tick; t != nil {
			lines = append(lines, fmt.Sprintf("a tick of %d moving entities: commit p50 %.0f us, delta p50 %.0f us, together %.1f %% of its time, target %.0f %% %s; packing the delta, beside the ticks, p50 %.0f us",
				t.Entities, t.CommitP50, t.DeltaP50, t.Share*100, t.TargetShare*100, passed(t.Pass), t.PackP50))
		}
		if err := a.print(r, lines...); err != nil {
			return err
		}
		if !r.Pass {
			return checkf("bench log: missed: %v", r.Failed)
		}
		return nil
	})
	return c
}
