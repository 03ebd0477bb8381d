package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/room"
)

// removal is what room remove was asked to remove.
type removal struct {
	labels      labelsFlag
	game        string
	endedBefore time.Duration
	unarchived  bool
	dryRun      bool
	timeout     time.Duration
}

func (a *app) roomRemove() *cobra.Command {
	f, q := &clusterFlags{}, &removal{labels: labelsFlag{}}
	c := &cobra.Command{
		Use:   "remove [ROOM...]",
		Short: "Remove the logs of rooms that have ended",
		Long: `Removes the logs of rooms that have ended, with their deltas and snapshots, and returns once they are gone. Name the rooms, or
select with --ended-before, and narrow that down with --game and --label. Archives stay. The rooms stay listed, with their results,
for a day; then the cluster forgets them, and their keys make new rooms.

A room that runs is refused: close it first. A room that asked for an archive (--keep archive) is left to the nodes, which remove
its log once they have proven the archive; --unarchived removes it without.`,
		Example: "  wind room remove r-7h3k5qzv\n  wind room remove --ended-before 72h --dry-run\n  wind room remove --ended-before 24h --label region=eu",
	}
	f.add(c.Flags())
	c.Flags().DurationVar(&q.endedBefore, "ended-before", 0, "remove the rooms that ended at least this long ago (0s: all that have ended)")
	c.Flags().StringVar(&q.game, "game", "", "of those, only rooms of this game")
	c.Flags().Var(q.labels, "label", "of those, only rooms that asked for this label, such as region=eu; repeatable")
	c.Flags().BoolVar(&q.unarchived, "unarchived", false, "also remove rooms that asked for an archive and have none yet")
	c.Flags().BoolVar(&q.dryRun, "dry-run", false, "print which logs would be removed, and remove none")
	c.Flags().DurationVar(&q.timeout, "timeout", 10*time.Second, "how long to wait for each room until its log is gone")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) (err error) {
		selects := c.Flags().Changed("ended-before")
		switch {
		case selects && q.endedBefore < 0:
			return usagef("room remove: --ended-before %s is negative", q.endedBefore)
		case selects && len(args) > 0:
			return usagef("room remove: name rooms, or select them with --ended-before, not both")
		case !selects && len(args) == 0:
			return usagef("room remove: name rooms, or select them with --ended-before, such as --ended-before 72h")
		case !selects && (q.game != "" || len(q.labels) > 0):
			return usagef("room remove: --game and --label narrow --ended-before, which is not given")
		case q.timeout <= 0:
			return usagef("room remove: --timeout %s: want more than 0", q.timeout)
		}
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		rooms := cluster.Rooms("")
		filter := rpc.RoomFilter{Rooms: args}
		if selects {
			filter = rpc.RoomFilter{State: string(room.Sealed), Game: q.game, Labels: q.labels}
		}
		found, err := rooms.List(ctx, filter)
		if err != nil {
			return err
		}
		for _, id := range args {
			if !listed(found, id) {
				return noRoom(cluster, id)
			}
		}
		if selects {
			found = q.selected(found, time.Now())
		}
		if q.dryRun {
			return a.wouldRemove(found, q.unarchived)
		}
		gone, err := askEach(len(found), "are not removed", func(i int) (*rpc.Room, error) {
			ctx, cancel := context.WithTimeout(ctx, q.timeout)
			defer cancel()
			return rooms.Remove(ctx, rpc.RoomRemoval{Room: found[i].ID, Unarchived: q.unarchived})
		})
		return errors.Join(err, a.printRemoved(gone, len(found)))
	})
	return c
}

// listed reports whether a list has a room.
func listed(all []rpc.Room, id string) bool {
	for i := range all {
		if all[i].ID == id {
			return true
		}
	}
	return false
}

// selected returns those of the sealed rooms that ended long enough ago and whose logs would stay.
func (q *removal) selected(all []rpc.Room, now time.Time) (some []rpc.Room) {
	for _, r := range all {
		stays := r.Spec.Keep == "" || r.Spec.Keep == string(room.KeepLog) || q.unarchived && r.Spec.Keep == string(room.KeepArchive)
		if stays && r.End != nil && !r.End.At.After(now.Add(-q.endedBefore)) {
			some = append(some, r)
		}
	}
	return some
}

func (a *app) wouldRemove(all []rpc.Room, unarchived bool) error {
	lines := []string{fmt.Sprintf("would remove the logs of %s", plural(len(all), "room"))}
	for i := range all {
		if err := removable(&all[i], unarchived); err != nil {
			return err
		}
		lines = append(lines, lineOf(&all[i]))
	}
	if all == nil {
		all = []rpc.Room{}
	}
	return a.print(map[string]any{"dry_run": true, "rooms": all}, lines...)
}

// removable returns the error with which a node would refuse to remove a room's log.
func removable(r *rpc.Room, unarchived bool) error {
	x := &room.Room{ID: r.ID, Spec: &room.Spec{Keep: room.Keep(r.Spec.Keep)}, Owner: r.Node}
	if r.End != nil {
		x.End = &room.End{Phase: room.Phase(r.State)}
	}
	return x.Removable(unarchived)
}

func (a *app) printRemoved(gone []*rpc.Room, asked int) error {
	var lines []string
	for _, r := range gone {
		lines = append(lines, lineOf(r))
	}
	switch {
	case asked == 0:
		lines = []string{"no room has ended that long ago with a log that stays"}
	case len(gone) == 0:
		return nil // the error says why
	}
	if gone == nil {
		gone = []*rpc.Room{}
	}
	return a.print(map[string]any{"rooms": gone}, lines...)
}
