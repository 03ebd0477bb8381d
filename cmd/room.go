package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/shard/room"
)

// roomInfo is one room as the verbs of room print it.
type roomInfo struct {
	Room      string            `json:"room"`
	State     room.Phase        `json:"state"`
	Halted    bool              `json:"halted,omitempty"` // no node may claim it until an operator has looked
	Node      string            `json:"node,omitempty"`
	Addresses map[string]string `json:"addresses,omitempty"` // of the node's front door, by transport
	Spec      *room.Spec        `json:"spec"`
	End       *room.End         `json:"end,omitempty"`
}

func infoOfRoom(r *room.Room) roomInfo {
	return roomInfo{Room: r.ID, State: r.Phase(), Halted: r.Halted, Node: r.Owner, Addresses: r.Addresses, Spec: r.Spec, End: r.End}
}

// line describes the room in one line.
func (i *roomInfo) line() string {
	switch {
	case i.End != nil && len(i.End.Result) > 0:
		return fmt.Sprintf("room %s ended after tick %d with %s %s", i.Room, i.End.Tick, i.End.Name, i.End.Result)
	case i.End != nil:
		return fmt.Sprintf("room %s ended after tick %d: %s", i.Room, i.End.Tick, i.End.Reason)
	case i.Node != "":
		return fmt.Sprintf("room %s runs on node %s (udp %s, tcp %s)", i.Room, i.Node, cmp.Or(i.Addresses["udp"], "none"), cmp.Or(i.Addresses["tcp"], "none"))
	}
	return fmt.Sprintf("room %s is wanted; no node has taken it", i.Room)
}

func (a *app) roomVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "room",
		Short: "Create, list, show and close rooms: shards that end",
		Long: `A room is a shard that somebody asks for and that ends: by its game, by its time, because nobody is there, or because it is
closed. The nodes of the cluster that run its game (dev, serve) take it, the emptiest first. Its log keeps how it ended.`,
		Example: "  wind room create --idle 1m\n  wind room list --state running\n  wind room close r-7h3k5qzv",
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("room: choose a verb: create, list, show, watch or close (see %s --help)", c.CommandPath())
		},
	}
	c.AddCommand(a.roomCreate(), a.roomList(), a.roomShow(), a.roomWatch(), a.roomClose())
	return c
}

func (a *app) roomCreate() *cobra.Command {
	f := &clusterFlags{}
	var s room.Spec
	var options string
	var count int
	var timeout time.Duration
	labels := labelsFlag{}
	c := &cobra.Command{
		Use:   "create",
		Short: "Ask for rooms, and wait until they run",
		Long: `Asks the cluster's nodes for rooms and returns once they run, with the addresses of their nodes. If no node takes one within
--timeout, it stays wanted, and the call fails and says so. A key makes one room: the same call again, from anywhere, returns that
room instead of another.`,
		Example: "  wind room create --options '{\"monsters\":50}' --for 10m --idle 1m\n  wind room create --key match-4711 --label region=eu\n  wind room create --count 100 --json",
	}
	f.add(c.Flags())
	c.Flags().StringVar(&s.Game, "game", a.game.Name, "the game to play")
	c.Flags().StringVar(&options, "options", "", "the game's options, a JSON object (default: the game's own)")
	c.Flags().Uint64Var(&s.Seed, "seed", 0, "seed of the room's world (default: any)")
	c.Flags().StringVar(&s.Key, "key", "", "make one room, however often this key is asked for")
	c.Flags().Var(labels, "label", "label that a node must have to take the room, such as region=eu; repeatable")
	c.Flags().DurationVar((*time.Duration)(&s.Idle), "idle", 0, "end the room when nobody has been there for this long (default: never)")
	c.Flags().DurationVar((*time.Duration)(&s.Limit), "for", 0, "end the room after this long (default: never)")
	c.Flags().IntVar(&count, "count", 1, "how many rooms")
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait until they run")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) (err error) {
		s.Options, s.Labels = json.RawMessage(options), labels
		switch {
		case count < 1 || count > 10_000:
			return usagef("room create: --count %d: want 1 to 10000", count)
		case s.Key != "" && count > 1:
			return usagef("room create: --key %s makes one room, not %d: omit --count or --key", s.Key, count)
		case s.Idle < 0:
			return usagef("room create: --idle %s is negative; 0 means never", s.Idle)
		case s.Limit < 0:
			return usagef("room create: --for %s is negative; 0 means never", s.Limit)
		case timeout <= 0:
			return usagef("room create: --timeout %s: want more than 0", timeout)
		}
		err = s.Validate()
		if err == nil && s.Game == a.game.Name { // only its own nodes know the options of another binary's game
			_, err = a.game.DecodeOptions(s.Options)
		}
		if err != nil {
			return usagef("room create: %v", err)
		}
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		made, err := createRooms(ctx, cluster, s, count)
		var lines []string
		for i := range made {
			lines = append(lines, made[i].line())
		}
		if len(made) == 0 {
			return err
		}
		return errors.Join(err, a.print(map[string]any{"rooms": made}, lines...))
	})
	return c
}

// creators is how many rooms are asked for at once.
const creators = 16

// createRooms asks for rooms and waits for all of them.
func createRooms(ctx context.Context, cluster *node.Cluster, s room.Spec, count int) (made []roomInfo, err error) {
	type answer struct {
		room *room.Room
		err  error
	}
	answers, turns := make(chan answer), make(chan struct{}, creators)
	for range count {
		go func() {
			turns <- struct{}{}
			r, err := cluster.CreateRoom(ctx, s)
			<-turns
			answers <- answer{r, err}
		}()
	}
	failed := 0
	for range count {
		switch x := <-answers; {
		case x.err == nil:
			made = append(made, infoOfRoom(x.room))
		case failed == 0:
			failed, err = 1, x.err
		default:
			failed++
		}
	}
	if failed > 1 {
		err = fmt.Errorf("%d of %d rooms do not run; of the first: %w", failed, count, err)
	}
	slices.SortFunc(made, func(a, b roomInfo) int { return cmp.Compare(a.Room, b.Room) })
	return made, err
}

// roomFilter says which rooms a list shows.
type roomFilter struct {
	state, game string
	labels      labelsFlag
}

func (f *roomFilter) add(c *cobra.Command) {
	f.labels = labelsFlag{}
	c.Flags().StringVar(&f.state, "state", "", "only rooms in this state: wanted, running or sealed")
	c.Flags().StringVar(&f.game, "game", "", "only rooms of this game")
	c.Flags().Var(f.labels, "label", "only rooms that ask for this label, such as region=eu; repeatable")
}

func (f *roomFilter) check() error {
	if f.state != "" && !slices.Contains([]room.Phase{room.Wanted, room.Running, room.Sealed}, room.Phase(f.state)) {
		return usagef("--state %s is not wanted, running or sealed", f.state)
	}
	return nil
}

func (f *roomFilter) matches(r *room.Room) bool {
	if f.state != "" && r.Phase() != room.Phase(f.state) || f.game != "" && r.Spec.Game != f.game {
		return false
	}
	for name, value := range f.labels {
		if r.Spec.Labels[name] != value {
			return false
		}
	}
	return true
}

func (a *app) roomList() *cobra.Command {
	f, filter := &clusterFlags{}, &roomFilter{}
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the cluster's rooms, with the results of those that are over",
		Long:    "Prints what etcd knows of each room. A room's end and result repeat what its log says.",
		Example: "  wind room list\n  wind room list --state sealed --json",
	}
	f.add(c.Flags())
	filter.add(c)
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) (err error) {
		if err := filter.check(); err != nil {
			return err
		}
		cluster, err := f.observe(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		all, err := cluster.Rooms(ctx)
		if err != nil {
			return err
		}
		rooms := []roomInfo{}
		for _, r := range all {
			if filter.matches(r) {
				rooms = append(rooms, infoOfRoom(r))
			}
		}
		return a.print(map[string]any{"cluster": f.cluster, "rooms": rooms}, roomTable(rooms))
	})
	return c
}

func roomTable(rooms []roomInfo) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROOM\tSTATE\tGAME\tNODE\tLABELS\tEND")
	for _, r := range rooms {
		end := ""
		if r.End != nil {
			end = fmt.Sprintf("%s, tick %d %s", r.End.Reason, r.End.Tick, r.End.Result)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Room, r.State, r.Spec.Game, r.Node, labelsFlag(r.Spec.Labels), strings.TrimSpace(end))
	}
	_ = t.Flush() // into memory
	return strings.TrimRight(b.String(), "\n")
}

func (a *app) roomShow() *cobra.Command {
	f := &clusterFlags{}
	c := &cobra.Command{
		Use:     "show ROOM",
		Short:   "Show one room: where it runs, or how it ended",
		Example: "  wind room show r-7h3k5qzv --json",
	}
	f.add(c.Flags())
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) (err error) {
		cluster, err := f.observe(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		all, err := cluster.Rooms(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(r *room.Room) bool { return r.ID == args[0] })
		if i < 0 {
			return noRoom(f.cluster, args[0], all)
		}
		info := infoOfRoom(all[i])
		return a.print(info, info.line())
	})
	return c
}

// noRoom returns the error for a room that does not exist.
func noRoom(cluster, id string, all []*room.Room) error {
	if len(all) == 0 {
		return fmt.Errorf("cluster %s has no room %s: it has no rooms at all", cluster, id)
	}
	return fmt.Errorf("cluster %s has no room %s; wind room list shows the %s that it has", cluster, id, plural(len(all), "room"))
}

func (a *app) roomWatch() *cobra.Command {
	f, filter := &clusterFlags{}, &roomFilter{}
	var span time.Duration
	c := &cobra.Command{
		Use:     "watch",
		Short:   "Print each room as it is asked for, taken and ended",
		Example: "  wind room watch --for 1m\n  wind room watch --state sealed --json",
	}
	f.add(c.Flags())
	filter.add(c)
	spanFlag(c.Flags(), &span, "how long to watch")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) (err error) {
		if err := filter.check(); err != nil {
			return err
		}
		cluster, err := f.observe(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		if span > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, span)
			defer cancel()
		}
		var last map[string]string
		return cluster.WatchRooms(ctx, func(r *room.Room) error {
			if r.Spec == nil || !filter.matches(r) {
				return nil
			}
			info := infoOfRoom(r)
			if last == nil {
				last = map[string]string{}
			}
			if line := info.line(); line != last[r.ID] { // many changes are of no interest
				last[r.ID] = line
				return a.print(info, line)
			}
			return nil
		})
	})
	return c
}

func (a *app) roomClose() *cobra.Command {
	f := &clusterFlags{}
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "close ROOM",
		Short: "End a room that runs",
		Long: `Ends the room after the tick in progress and returns once its log is sealed. Its players hear that the room is over. The log keeps
that it was closed, and its game has no part in it: to let the game finish, send it a command (wind call shard:ROOM).`,
		Example: "  wind room close r-7h3k5qzv",
	}
	f.add(c.Flags())
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait until its log is sealed")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) (err error) {
		if timeout <= 0 {
			return usagef("room close: --timeout %s: want more than 0", timeout)
		}
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		all, err := cluster.Rooms(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(r *room.Room) bool { return r.ID == args[0] })
		if i < 0 {
			return noRoom(f.cluster, args[0], all)
		}
		r := all[i]
		if r.End == nil {
			if r, err = cluster.CloseRoom(ctx, r.ID); err != nil {
				return err
			}
		}
		info := infoOfRoom(r)
		return a.print(info, info.line())
	})
	return c
}

// labelsFlag collects --label NAME=VALUE.
type labelsFlag map[string]string

// Set implements pflag.Value.
func (f labelsFlag) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(one, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=VALUE, such as region=eu", one)
		}
		if err := room.ValidLabel(name, value); err != nil {
			return err
		}
		if before, ok := f[name]; ok && before != value {
			return fmt.Errorf("the label %s is given as %s and as %s", name, before, value)
		}
		f[name] = value
	}
	return nil
}

// String implements pflag.Value.
func (f labelsFlag) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		all = append(all, name+"="+f[name])
	}
	return strings.Join(all, ",")
}

// Type implements pflag.Value.
func (f labelsFlag) Type() string { return "NAME=VALUE" }
