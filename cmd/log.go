package cmd

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/persistence"
)

func (a *app) logVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Look at a shard's log, prove it, purge it, carry it elsewhere",
		Long: `Reads a data directory (of a running node, or a copy of a stopped one, which stays as it is), an export file, or a running
NATS server. purge and import change what they work on.`,
		Example: "  wind log tail -n 20\n  wind log check --data ./wind-data\n  wind log export match.wind",
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("log: say what to do: tail, check, stat, purge, export or import (see %s --help)", c.CommandPath())
		},
	}
	c.AddCommand(a.logTail(), a.logCheck(), a.logStat(), a.logPurge(), a.logExport(), a.logImport())
	return c
}

// checkReport is what `log check --json` prints.
type checkReport struct {
	OK          bool          `json:"ok"`
	First       uint64        `json:"first_seq"`
	Last        uint64        `json:"last_seq"`
	Records     int           `json:"records"`
	Ticks       uint64        `json:"ticks"`
	FirstTick   uint64        `json:"first_tick"`
	LastTick    uint64        `json:"last_tick"`
	Epochs      int           `json:"epochs"`
	Epoch       uint64        `json:"epoch"`
	Checksum    string        `json:"checksum"`
	Deltas      int           `json:"deltas"`
	Gaps        int           `json:"delta_gaps"`
	Snapshots   int           `json:"snapshots"`
	Resimulated uint64        `json:"resimulated"`
	Findings    []findingJSON `json:"findings"`
	Unlisted    int           `json:"unlisted,omitempty"`
	Unproven    string        `json:"unproven,omitempty"` // why the game was not held against all of it
	Error       string        `json:"error,omitempty"`    // why the check ended early
}

type findingJSON struct {
	Where     string `json:"where"`
	Invariant string `json:"invariant,omitempty"`
	Warning   bool   `json:"warning,omitempty"`
	Seq       uint64 `json:"seq"`
	Tick      uint64 `json:"tick"`
	What      string `json:"what"`
}

func (a *app) logCheck() *cobra.Command {
	src := &sourceFlags{}
	var formOnly bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Prove every invariant of a log, of its delta stream and of its snapshots",
		Long: `Proves, from the stored bytes alone: one value per tick, epochs that increase, records that chain, checksums that a
re-simulation reaches, deltas and snapshots that agree with the log, and that the log's end was not cut. Every finding
names its sequence and its tick. Ends with 3 when an invariant is broken; warnings do not count. Of a log of another game,
or of a build with other components, what needs no game is proven and the rest is said: then it ends with 1.`,
		Example: "  wind log check --data ./wind-data\n  wind log check --file match.wind --json",
	}
	src.add(c.Flags())
	c.Flags().BoolVar(&formOnly, "form-only", false, "do not re-simulate: for a log of another game or build")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		return src.read(ctx, a, func(s persistence.Source) error {
			o := persistence.CheckOptions{Game: &a.game}
			if formOnly {
				o.Game = nil
			}
			r, err := persistence.Check(ctx, s, o)
			out := reportOf(r)
			if err != nil {
				out.OK, out.Error = false, err.Error()
			}
			if err := a.print(out, checkLines(out)...); err != nil {
				return err
			}
			if err != nil {
				return err
			}
			if !out.OK {
				return checkf("log check: the log is not in order: %s", plural(len(out.Findings)+out.Unlisted, "finding"))
			}
			if r.Unproven != nil {
				return fmt.Errorf("log check: what needs no game is in order, but the game could not be held against it (--form-only does not try): %w", r.Unproven)
			}
			return nil
		})
	})
	return c
}

func reportOf(r persistence.Report) checkReport {
	out := checkReport{
		OK: !r.Broken(), First: uint64(r.First), Last: uint64(r.Last), Records: r.Records, Ticks: r.Ticks,
		FirstTick: r.FirstTick, LastTick: r.LastTick, Epochs: r.Epochs, Epoch: uint64(r.Epoch), Checksum: fmt.Sprintf("%016x", r.Checksum),
		Deltas: r.Deltas, Gaps: r.Gaps, Snapshots: r.Snapshots, Resimulated: r.Resimulated, Findings: []findingJSON{}, Unlisted: r.Unlisted,
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, findingJSON{f.Where, f.Invariant, f.Warning, uint64(f.Seq), f.Tick, f.What})
	}
	if r.Unproven != nil {
		out.Unproven = r.Unproven.Error()
	}
	return out
}

func checkLines(r checkReport) []string {
	lines := []string{
		fmt.Sprintf("log        sequences %d to %d, %d records, %d epochs (now %d)", r.First, r.Last, r.Records, r.Epochs, r.Epoch),
		fmt.Sprintf("ticks      %d to %d, %d re-simulated, last checksum %s", r.FirstTick, r.LastTick, r.Resimulated, r.Checksum),
		fmt.Sprintf("deltas     %d compared with the log, %d gaps", r.Deltas, r.Gaps),
		fmt.Sprintf("snapshots  %d verified", r.Snapshots),
	}
	for _, f := range r.Findings {
		kind := "BROKEN"
		if f.Warning {
			kind = "warning"
		}
		place := persistence.Finding{Seq: persistence.Seq(f.Seq), Tick: f.Tick}.Place()
		lines = append(lines, fmt.Sprintf("%s %s: %s%s", strings.TrimRight(kind+" "+f.Invariant, " "), f.Where, place, f.What))
	}
	switch {
	case r.OK && r.Unproven != "":
		lines = append(lines, "in order, as far as it can be told without its game")
	case r.OK:
		lines = append(lines, "in order")
	}
	return lines
}

func (a *app) logExport() *cobra.Command {
	src := &sourceFlags{}
	var noDeltas, force bool
	var from, to uint64
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write a log, its deltas and its snapshots to one file",
		Long: `Writes a compressed file that replay, log check and log import read, on any machine. The chain is proven on the way: a
damaged log is not exported. With --from and --to the file has those ticks, and before them what is needed to read it alone:
it begins with the older of the two newest snapshots before --from, or with genesis. Only a file with genesis can be imported.`,
		Example: "  wind log export match.wind --data ./wind-data\n  wind log export moment.wind --from 54000 --to 54300",
	}
	src.add(c.Flags())
	c.Flags().BoolVar(&noDeltas, "no-deltas", false, "leave the delta stream out: it can be rebuilt")
	c.Flags().Uint64Var(&from, "from", 0, "first tick (0: the first that is stored)")
	c.Flags().Uint64Var(&to, "to", 0, "last tick (0: the last)")
	c.Flags().BoolVar(&force, "force", false, "write over FILE when it exists")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) error {
		if to > 0 && from > to {
			return usagef("--from %d lies behind --to %d", from, to)
		}
		if _, err := os.Stat(args[0]); err == nil && !force {
			return fmt.Errorf("log export: %s exists: name another file, or write over it with --force", args[0])
		}
		return src.read(ctx, a, func(s persistence.Source) error {
			if noDeltas {
				s.Deltas = nil
			}
			if from > 0 || to > 0 {
				var err error
				if s, err = persistence.Slice(ctx, s, from, to); err != nil {
					return err
				}
			}
			sum, err := persistence.Export(ctx, args[0], s)
			if err != nil {
				return err
			}
			return a.printCarried("exported", args[0], sum)
		})
	})
	return c
}

func (a *app) printCarried(verb, file string, sum persistence.Exported) error {
	return a.print(map[string]any{
		"file": file, "shard": sum.Info.Shard, "cluster": sum.Info.Cluster, "game": sum.Info.Game, "lineage": sum.Info.Lineage,
		"first_seq": sum.First, "last_seq": sum.Last, "last_tick": sum.LastTick, "records": sum.Records, "deltas": sum.Deltas, "snapshots": sum.Snapshots,
	},
		fmt.Sprintf("%s %s: shard %s of game %s, %d records up to tick %d, %d deltas, %d snapshots", verb, file, sum.Info.Shard, sum.Info.Game,
			sum.Records, sum.LastTick, sum.Deltas, sum.Snapshots))
}
