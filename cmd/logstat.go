package cmd

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/persistence"
)

type distributionJSON struct {
	Kind  string `json:"kind,omitempty"`
	Count int    `json:"count"`
	Sum   int64  `json:"sum"`
	P50   int    `json:"p50"`
	P99   int    `json:"p99"`
	Max   int    `json:"max"`
}

func distribution(kind string, d persistence.Distribution) distributionJSON {
	return distributionJSON{kind, d.Count, d.Sum, d.P50, d.P99, d.Max}
}

// statReport is the result of `log stat --json`; sizes are in bytes.
type statReport struct {
	First                 uint64             `json:"first_seq"`
	Last                  uint64             `json:"last_seq"`
	Ticks                 uint64             `json:"ticks"`
	TickRate              int                `json:"tick_rate"`
	Epochs                int                `json:"epochs"`
	Records               []distributionJSON `json:"records"`
	LogBytes              int64              `json:"log_bytes"`
	BodyBytes             int64              `json:"body_bytes"`
	InputTicks            int                `json:"input_ticks"`
	Clients               int                `json:"clients"`
	BytesPerTickAndClient distributionJSON   `json:"bytes_per_tick_and_client"`
	Commands              []commandJSON      `json:"commands"`
	Uncounted             string             `json:"uncounted,omitempty"` // why clients and commands are not counted to the end
	LogBytesPerHour       float64            `json:"log_bytes_per_hour"`
	Deltas                distributionJSON   `json:"deltas"`
	DeltaBytesPerHour     float64            `json:"delta_bytes_per_hour"`
	Snapshots             distributionJSON   `json:"snapshots"`
}

type commandJSON struct {
	Name    string `json:"name"`
	Count   int    `json:"count"`
	Payload int64  `json:"payload_bytes"`
}

func (a *app) logStat() *cobra.Command {
	src := &sourceFlags{}
	var formOnly bool
	var plotFile string
	c := &cobra.Command{
		Use:   "stat",
		Short: "Print how large a log is, and why",
		Long: `Counts records, deltas and snapshots by size, commands by kind, and the bytes that a tick with input costs per client: all
that its record occupies, including headers and the server's framing, divided by the number of clients with a command in it.`,
		Example: "  wind log stat --data ./wind-data --json\n  wind log stat --plot growth.svg",
	}
	src.add(c.Flags())
	c.Flags().BoolVar(&formOnly, "form-only", false, "do not re-simulate: clients and commands are not counted")
	c.Flags().StringVar(&plotFile, "plot", "", "SVG file for a plot of how log and deltas grew over the ticks")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) error {
		if plotFile != "" {
			if err := canWrite(plotFile); err != nil {
				return fmt.Errorf("log stat: --plot: %w", err)
			}
		}
		return src.read(ctx, a, func(s persistence.Source) error {
			var growth growth
			if plotFile != "" {
				s = growth.through(s)
			}
			o := persistence.StatOptions{Game: &a.game}
			if formOnly {
				o.Game = nil
			}
			st, err := persistence.Stat(ctx, s, o)
			if err != nil {
				return err
			}
			out := statOf(st)
			if plotFile != "" {
				if err := os.WriteFile(plotFile, growth.svg(st.TickRate), 0o644); err != nil {
					return fmt.Errorf("--plot: %w", err)
				}
			}
			return a.print(out, statLines(out)...)
		})
	})
	return c
}

func statOf(st persistence.Stats) statReport {
	out := statReport{
		First: uint64(st.First), Last: uint64(st.Last), Ticks: st.Ticks, TickRate: st.TickRate, Epochs: st.Epochs,
		LogBytes: st.LogBytes, BodyBytes: st.BodyBytes, InputTicks: st.InputTicks, Clients: st.Clients,
		BytesPerTickAndClient: distribution("", st.BytesPerTickAndClient), LogBytesPerHour: st.BytesPerHour,
		Deltas: distribution("", st.Deltas.Distribution), DeltaBytesPerHour: st.DeltaPerHour, Snapshots: distribution("", st.Snapshots.Distribution),
	}
	for _, r := range st.Records {
		out.Records = append(out.Records, distribution(r.Kind, r.Distribution))
	}
	if st.Uncounted != nil {
		out.Uncounted = st.Uncounted.Error()
	}
	for _, c := range st.Commands {
		out.Commands = append(out.Commands, commandJSON{c.Name, c.Count, c.Payload})
	}
	return out
}

func statLines(r statReport) []string {
	lines := []string{fmt.Sprintf("log        sequences %d to %d, %s, %s, %s (%s per hour at %s per second)",
		r.First, r.Last, plural(r.Ticks, "tick"), plural(r.Epochs, "epoch"), size(float64(r.LogBytes)), size(r.LogBytesPerHour), plural(r.TickRate, "tick"))}
	for _, k := range r.Records {
		lines = append(lines, fmt.Sprintf("  %-9s %s, bytes p50 %d, p99 %d, max %d", k.Kind, plural(k.Count, "record"), k.P50, k.P99, k.Max))
	}
	if r.InputTicks > 0 {
		lines = append(lines, fmt.Sprintf("inputs     %s with up to %s: %d bytes per tick and client at the median, p99 %d",
			plural(r.InputTicks, "tick"), plural(r.Clients, "client"), r.BytesPerTickAndClient.P50, r.BytesPerTickAndClient.P99))
	}
	if r.Uncounted != "" {
		lines = append(lines, "inputs     not counted to the end: "+r.Uncounted)
	}
	for _, c := range r.Commands {
		lines = append(lines, fmt.Sprintf("  %-16s %d", c.Name, c.Count))
	}
	return append(lines,
		fmt.Sprintf("deltas     %d, bytes p50 %d, p99 %d (%s per hour)", r.Deltas.Count, r.Deltas.P50, r.Deltas.P99, size(r.DeltaBytesPerHour)),
		fmt.Sprintf("snapshots  %d, %s together", r.Snapshots.Count, size(float64(r.Snapshots.Sum))))
}

// size formats a number of bytes for people.
func size(n float64) string {
	for _, u := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 {
			return fmt.Sprintf("%.4g %s", n, u)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.4g TiB", n)
}
