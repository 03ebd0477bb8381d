package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

func (a *app) logVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Inspect, check, purge, export and import a shard's log",
		Long: `Reads a data directory, an export file or archive, or a running NATS server. While a node runs on the directory it asks the node's
server; otherwise it opens a copy and leaves the directory unchanged. Only purge and import change anything.`,
		Example: "  wind log tail -n 20\n  wind log check --data ./wind-data\n  wind log export match.wind",
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("log: choose a verb: tail, check, stat, purge, export or import (see %s --help)", c.CommandPath())
		},
	}
	c.AddCommand(a.logTail(), a.logCheck(), a.logStat(), a.logPurge(), a.logExport(), a.logImport())
	return c
}

// checkReport is the result of `log check --json`.
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
	Sound       []soundJSON   `json:"sound"` // ticks that can be replayed
	Findings    []findingJSON `json:"findings"`
	Unlisted    int           `json:"unlisted,omitempty"`
	Unproven    string        `json:"unproven,omitempty"` // why the game could not re-simulate all of it
	Error       string        `json:"error,omitempty"`    // why the check ended early
}

type findingJSON struct {
	Where     string `json:"where"`
	Invariant string `json:"invariant,omitempty"`
	Warning   bool   `json:"warning,omitempty"`
	Seq       uint64 `json:"seq"`
	Tick      uint64 `json:"tick"`
	What      string `json:"what"`

	Then []string `json:"then,omitempty"` // what only follows from it
}

type soundJSON struct {
	First uint64 `json:"first_tick"`
	Last  uint64 `json:"last_tick"`
}

func (a *app) logCheck() *cobra.Command {
	src := &sourceFlags{}
	var formOnly bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Prove every invariant of a log, of its delta stream and of its snapshots",
		Long: `Proves from the stored bytes alone that each tick has one value, epochs increase, records chain, a re-simulation reaches
the same checksums, deltas and snapshots agree with the log, and the log's end was not cut off. Every finding names its
sequence and tick, and lists after "so:" what only follows from it. For a broken log it says which ticks can still be
replayed, and what to do. Exits with 3 if an invariant is broken; warnings do not count. If another game, or a build with other
components, recorded the log, it proves what needs no game, names what it could not prove, and exits with 1.`,
		Example: "  wind log check --data ./wind-data\n  wind log check --file match.wind --json",
	}
	src.add(c.Flags())
	c.Flags().BoolVar(&formOnly, "form-only", false, "do not re-simulate: for the log of another game or build")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		return src.read(ctx, a, func(s persistence.Source) error {
			o := persistence.CheckOptions{Game: &a.game}
			if formOnly {
				o.Game = nil
			}
			r, err := persistence.Check(ctx, s, o)
			if broken, ok := errors.AsType[*ecs.SetupPanic](err); ok && !a.json {
				return fmt.Errorf("log check: nothing was proved (--form-only checks without the game): %w", broken)
			}
			out := reportOf(r)
			if err != nil {
				out.OK, out.Error = false, err.Error()
			}
			if err := a.print(out, append(checkLines(out), wayOut(out, src.file != "")...)...); err != nil {
				return err
			}
			if err != nil {
				return err
			}
			if !out.OK {
				return checkf("log check: %s: %s", damaged(out), plural(len(out.Findings)+out.Unlisted, "finding"))
			}
			if r.Unproven != nil {
				return fmt.Errorf("log check: everything that needs no game is in order, but this game could not re-simulate the log (--form-only does not try): %w", r.Unproven)
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
		Deltas: r.Deltas, Gaps: r.Gaps, Snapshots: r.Snapshots, Resimulated: r.Resimulated, Sound: []soundJSON{}, Findings: []findingJSON{}, Unlisted: r.Unlisted,
	}
	for _, s := range r.Sound {
		out.Sound = append(out.Sound, soundJSON(s))
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, findingJSON{f.Where, f.Invariant, f.Warning, uint64(f.Seq), f.Tick, f.What, f.Then})
	}
	if r.Unproven != nil {
		out.Unproven = r.Unproven.Error()
	}
	return out
}

func checkLines(r checkReport) []string {
	lines := []string{
		fmt.Sprintf("log        sequences %d to %d, %s, %s (now %d)", r.First, r.Last, plural(r.Records, "record"), plural(r.Epochs, "epoch"), r.Epoch),
		"ticks      none",
		fmt.Sprintf("deltas     %d compared with the log, %s", r.Deltas, plural(r.Gaps, "gap")),
		fmt.Sprintf("snapshots  %d verified", r.Snapshots),
	}
	if r.Ticks > 0 {
		lines[1] = fmt.Sprintf("ticks      %d to %d, %d re-simulated, last checksum %s", r.FirstTick, r.LastTick, r.Resimulated, r.Checksum)
	}
	for _, f := range r.Findings {
		kind := "BROKEN"
		if f.Warning {
			kind = "warning"
		}
		place := persistence.Finding{Seq: persistence.Seq(f.Seq), Tick: f.Tick}.Place()
		lines = append(lines, fmt.Sprintf("%s %s: %s%s", strings.TrimRight(kind+" "+f.Invariant, " "), f.Where, place, f.What))
		for _, then := range f.Then {
			lines = append(lines, "  so: "+then)
		}
	}
	if r.Unlisted > 0 {
		lines = append(lines, fmt.Sprintf("and %s more", plural(r.Unlisted, "finding")))
	}
	switch {
	case r.OK && r.Unproven != "":
		lines = append(lines, "in order, as far as can be proven without its game")
	case r.OK:
		lines = append(lines, "in order")
	}
	return lines
}

// damaged names what is broken: "damage in the log and the snapshots".
func damaged(r checkReport) string {
	names := map[string]string{"log": "the log", "deltas": "the delta stream", "snapshots": "the snapshots"}
	var where []string
	for _, f := range r.Findings {
		if name := cmp.Or(names[f.Where], f.Where); !f.Warning && !slices.Contains(where, name) {
			where = append(where, name)
		}
	}
	return "damage in " + cmp.Or(strings.Join(where, " and "), "the log")
}

// wayOut says what a broken log is still good for.
func wayOut(r checkReport, file bool) (lines []string) {
	if r.OK {
		return nil
	}
	broken := map[string]bool{}
	for _, f := range r.Findings {
		broken[f.Where] = broken[f.Where] || !f.Warning
	}
	switch {
	case broken["log"] && file:
		lines = append(lines, "next: export the log again from its shard; this file cannot be imported")
	case broken["log"]:
		lines = append(lines, "next: keep this log as it is, and continue with an earlier export of it in another folder (log import)")
	case file:
		lines = append(lines, "next: export the log again from its shard; the log itself is whole here")
	default:
		lines = append(lines, "next: the log is whole, and it alone decides: its shard recovers")
	}
	if !broken["log"] && !broken["snapshots"] {
		lines[0] += "; log export --no-deltas leaves the deltas out"
	}
	var sound []string
	later := false
	for _, s := range r.Sound {
		sound = append(sound, persistence.TickRange(s).String())
		later = later || s.First > 1
	}
	switch {
	case len(sound) == 1 && r.Sound[0] == soundJSON{r.FirstTick, r.LastTick}:
		lines = append(lines, "replay works for all "+sound[0])
	case len(sound) == 0:
		lines = append(lines, "no tick can be replayed")
	case later:
		lines = append(lines, "replay works for "+strings.Join(sound, ", ")+": with --to, and with --from-snapshot for those after the first")
	default:
		lines = append(lines, "replay works for "+sound[0]+": with --to")
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
		Long: `Writes a compressed file that replay, log check and log import can read on any machine. It proves the chain as it reads and
exports no damaged log. With --from and --to the file has those ticks and enough before them to be read alone: it begins with
the older of the two newest snapshots before --from, or with genesis. Only a file with genesis can be imported.`,
		Example: "  wind log export match.wind --data ./wind-data\n  wind log export moment.wind --from 54000 --to 54300",
	}
	src.add(c.Flags())
	c.Flags().BoolVar(&noDeltas, "no-deltas", false, "omit the delta stream: it can be rebuilt")
	c.Flags().Uint64Var(&from, "from", 0, "first tick (0: the first one stored)")
	c.Flags().Uint64Var(&to, "to", 0, "last tick (0: the last one stored)")
	c.Flags().BoolVar(&force, "force", false, "overwrite FILE if it exists")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) error {
		if to > 0 && from > to {
			return usagef("--from %d is after --to %d", from, to)
		}
		if err := canWrite(args[0]); err != nil {
			return fmt.Errorf("log export: %w", err)
		}
		if _, err := os.Stat(args[0]); err == nil && !force {
			return fmt.Errorf("log export: %s exists: name another file, or overwrite it with --force", args[0])
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
		fmt.Sprintf("%s %s: shard %s of game %s, %s up to tick %d, %s, %s", verb, file, sum.Info.Shard, cmp.Or(sum.Info.Game, "(unknown)"),
			plural(sum.Records, "record"), sum.LastTick, plural(sum.Deltas, "delta"), plural(sum.Snapshots, "snapshot")))
}
