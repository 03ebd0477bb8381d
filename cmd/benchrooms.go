package cmd

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/bench"
)

func (a *app) benchRooms() *cobra.Command {
	var o bench.RoomsOptions
	var span time.Duration
	c := &cobra.Command{
		Use:   "rooms",
		Short: "Measure what rooms cost on several nodes, idle or with bots in them",
		Long: `Starts NATS, etcd and nodes as processes of this machine, makes rooms, lets bots play in them, and ends all rooms. It prints
how long that takes, how many ticks were late, and the processor time and memory of each process before there were rooms and
while they played. The bots run in this process. Rooms without bots (--bots 0) show what an idle room costs.

A tick is late if it was simulated a tick or more after it was due.`,
		Example: "  wind bench rooms --rooms 500 --for 20s\n  wind bench rooms --rooms 500 --options '{\"tick-rate\":10,\"match\":60}' --until-end --archives\n  wind bench rooms --rooms 200 --bots 0 --options '{\"tick-rate\":10,\"monsters\":0}' --json",
	}
	c.Flags().IntVar(&o.Rooms, "rooms", 100, "how many rooms")
	c.Flags().IntVar(&o.Bots, "bots", 4, "bots in each room")
	c.Flags().IntVar(&o.Nodes, "nodes", 2, "processes that host the rooms")
	c.Flags().StringVar(&o.Options, "options", "", "the game's options, a JSON object (default: the game's own)")
	c.Flags().DurationVar(&span, "for", 10*time.Second, "how long to measure while they play")
	c.Flags().BoolVar(&o.Wait, "until-end", false, "wait until the rooms have ended by themselves, as their options say, instead of closing them")
	c.Flags().BoolVar(&o.Archive, "archives", false, "archive each room's log once the room has ended, and replay every archive")
	c.Flags().StringVar(&o.Dir, "dir", "", "where to make the servers' temporary store (default: the folder for temporary files)")
	c.Flags().BoolVar(&o.Keep, "keep-store", false, "keep the store, for log check and replay with --data")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) (err error) {
		switch {
		case o.Rooms < 1 || o.Rooms > 100_000 || o.Bots < 0 || o.Bots > 1000 || o.Nodes < 1 || o.Nodes > 16:
			return usagef("bench rooms: --rooms %d, --bots %d, --nodes %d: want 1 to 100000, 0 to 1000, 1 to 16", o.Rooms, o.Bots, o.Nodes)
		case span < time.Second || span > time.Hour:
			return usagef("bench rooms: --for %s: want 1s to 1h", span)
		}
		if _, err := a.game.DecodeOptions([]byte(o.Options)); err != nil {
			return usagef("bench rooms: %v", err)
		}
		if o.Exe, err = os.Executable(); err != nil {
			return fmt.Errorf("bench rooms: %w", err)
		}
		o.Game, o.For, o.NewBot = a.game.Name, span, a.bot
		p, stop := a.showProgress()
		o.Progress = func(what string, done, total int) { p.at(what, uint64(done), uint64(total)) }
		r, err := bench.Rooms(ctx, o)
		stop()
		if err != nil {
			return err
		}
		lines := []string{
			fmt.Sprintf("%s on %s, %s in each", plural(r.Rooms, "room"), plural(r.Nodes, "node"), plural(r.Bots, "bot")),
			fmt.Sprintf("all run after %.1f s, all bots play after %.1f s more", r.CreateSeconds, r.JoinSeconds),
			fmt.Sprintf("%.0f ticks per second, %.3f %% late, %.3f %% skipped; %.0f inputs and %.0f updates per second", r.Ticks/r.PlaySeconds,
				100*r.Late/max(r.Ticks, 1), 100*r.Skipped/max(r.Ticks, 1), float64(r.Inputs)/r.PlaySeconds, float64(r.Updates)/r.PlaySeconds),
			fmt.Sprintf("%-8s %12s %12s %14s %14s %14s %14s", "process", "cores before", "cores", "MiB before", "MiB", "KiB per room", "% per room"),
		}
		for _, p := range r.Parts {
			lines = append(lines, fmt.Sprintf("%-8s %12.3f %12.3f %14.1f %14.1f %14.1f %14.4f", p.Name, p.CoresBefore, p.Cores, p.MiBBefore, p.MiB, p.PerRoomKiB, p.PerRoomPercent))
		}
		lines = append(lines, fmt.Sprintf("%d of %d ends are listed after %.1f s, %d with a result of the game", r.Sealed, r.Rooms, r.SealSeconds, r.ByGame))
		if o.Archive {
			lines = append(lines, fmt.Sprintf("%d of %d rooms are archived and removed after %.1f s more; %d archives replay, which took %.1f s", r.Archived, r.Rooms, r.ArchiveSeconds, r.Replayed, r.ReplaySeconds))
		}
		if r.Data != "" {
			lines = append(lines, "the store is in "+r.Data)
		}
		if err := a.print(r, lines...); err != nil {
			return err
		}
		if r.Sealed < r.Rooms {
			return checkf("bench rooms: %d of %d rooms have not ended", r.Rooms-r.Sealed, r.Rooms)
		}
		if o.Archive && r.Archived < r.Rooms {
			return checkf("bench rooms: %d of %d rooms are not archived", r.Rooms-r.Archived, r.Rooms)
		}
		return nil
	})
	return c
}
