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
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/room"
)

// lineOf describes a room in one line.
func lineOf(r *rpc.Room) string {
	if r.Note != "" {
		return stateLine(r) + "; " + r.Note
	}
	return stateLine(r)
}

func stateLine(r *rpc.Room) string {
	switch {
	case r.End != nil:
		return endLine("room "+r.ID, r.End.Tick, r.End.Reason, r.End.Name, r.End.Result) + kept(r)
	case r.Node != "":
		return fmt.Sprintf("room %s runs on node %s (udp %s, tcp %s)%s", r.ID, r.Node, cmp.Or(r.Addresses["udp"], "none"), cmp.Or(r.Addresses["tcp"], "none"), inside(r.Occupancy))
	}
	if r.Halted {
		return fmt.Sprintf("room %s is halted: no node takes it until an operator has looked; shard list says why", r.ID)
	}
	if r.Why != "" {
		return fmt.Sprintf("room %s is wanted; no node has taken it: %s", r.ID, r.Why)
	}
	return fmt.Sprintf("room %s is wanted; no node has taken it", r.ID)
}

// inside describes who is in a room that runs, or returns "" if its owner has not said.
func inside(o *rpc.Occupancy) string {
	switch {
	case o == nil:
		return ""
	case len(o.Players) > 0:
		return fmt.Sprintf(", at tick %d, with %s", o.Tick, strings.Join(o.Players, ", "))
	}
	return fmt.Sprintf(", at tick %d, with %s", o.Tick, plural(o.Sessions, "session"))
}

// endLine says how a room, or what who names, has ended: by its game, with a result of the type with that name, or for another
// reason.
func endLine(who string, tick uint64, reason, name string, result json.RawMessage) string {
	if len(result) > 0 {
		return fmt.Sprintf("%s ended after tick %d with %s %s", who, tick, name, result)
	}
	return fmt.Sprintf("%s ended after tick %d: %s", who, tick, reason)
}

// kept says where the archive of a room that is over is, or that nothing is left of its log.
func kept(r *rpc.Room) string {
	switch {
	case r.End.Archive != "" && r.State == string(room.Archived):
		return "; its archive is " + r.End.Archive + ", and its log goes"
	case r.End.Archive != "":
		return "; its archive is " + r.End.Archive
	case r.State == string(room.Sealed) && r.Spec.Keep == string(room.KeepArchive):
		return "; it waits for its archive"
	case r.State == string(room.Gone):
		return "; its log was removed"
	}
	return ""
}

func (a *app) roomVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "room",
		Short: "Create, list, show, watch, close and remove rooms: shards that end",
		Long: `A room is a shard that somebody asks for, such as a match, and that ends: when its game says so, after a time, when nobody has been
there for a while, or when somebody closes it. The cluster's nodes that run its game (dev, serve) take it, the emptiest first. Its
log says how it ended.`,
		Example: "  wind room create --idle 1m\n  wind room list --state running\n  wind room close r-7h3k5qzv",
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("room: choose a verb: create, list, show, watch, close or remove (see %s --help)", c.CommandPath())
		},
	}
	c.AddCommand(a.roomCreate(), a.roomList(), a.roomShow(), a.roomWatch(), a.roomClose(), a.roomRemove())
	return c
}

func (a *app) roomCreate() *cobra.Command {
	f := &clusterFlags{}
	var q rpc.RoomRequest
	var options string
	var count int
	var timeout time.Duration
	labels := labelsFlag{}
	c := &cobra.Command{
		Use:   "create",
		Short: "Ask for rooms, and wait until they run",
		Long: `Asks the cluster's nodes for rooms, and prints them with the addresses of their nodes once they run. If no node takes a room within
--timeout, the call fails and says why; the room stays wanted, and a node takes it when it can. One key makes one room: the same
call again, from anywhere, finds that room instead of making another.`,
		Example: "  wind room create --options '{\"monsters\":50}' --for 10m --idle 1m\n  wind room create --key match-4711 --label region=eu\n  wind room create --count 100 --json",
	}
	f.add(c.Flags())
	c.Flags().StringVar(&q.Game, "game", a.game.Name, "the game to play")
	c.Flags().StringVar(&options, "options", "", "the game's options, a JSON object (default: the game's own)")
	c.Flags().Uint64Var(&q.Seed, "seed", 0, "seed of the room's world (default: a random one)")
	c.Flags().StringVar(&q.Key, "key", "", "make one room, however often this key is asked for")
	c.Flags().Var(labels, "label", "label that a node must have to take the room, such as region=eu; repeatable")
	c.Flags().DurationVar((*time.Duration)(&q.Idle), "idle", 0, "end the room when nobody has been there for this long (default: never)")
	c.Flags().DurationVar((*time.Duration)(&q.Limit), "for", 0, "end the room after this long (default: never)")
	c.Flags().StringVar(&q.Keep, "keep", "", "what to keep of the room once it has ended: log, archive (needs a node with --archive) or none (default: log)")
	c.Flags().IntVar(&q.Standbys, "standbys", 0, "how many other nodes follow the room, ready to take it over (0 to 2); this version notes the number and runs none")
	c.Flags().IntVar(&count, "count", 1, "how many rooms to ask for")
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait until a node answers and the rooms run")
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) (err error) {
		q.Options, q.Labels = json.RawMessage(options), labels
		switch {
		case count < 1 || count > 10_000:
			return usagef("room create: --count %d: want 1 to 10000", count)
		case q.Key != "" && count > 1:
			return usagef("room create: --key %s makes one room, not %d: omit --count or --key", q.Key, count)
		case q.Key == "" && c.Flags().Changed("key"):
			return usagef("room create: --key is empty: name a key, or omit --key to make a new room with each call")
		case q.Idle < 0:
			return usagef("room create: --idle %s is negative; 0 means never", q.Idle)
		case q.Limit < 0:
			return usagef("room create: --for %s is negative; 0 means never", q.Limit)
		case timeout <= 0:
			return usagef("room create: --timeout %s: want more than 0", timeout)
		}
		spec := room.Spec{Game: q.Game, Options: q.Options, Labels: q.Labels, Key: q.Key, Idle: room.Duration(q.Idle), Limit: room.Duration(q.Limit), Keep: room.Keep(q.Keep), Standbys: q.Standbys}
		err = spec.Validate()
		if err == nil && q.Game == a.game.Name { // only its own nodes know the options of another binary's game
			_, err = a.game.With(q.Options)
		}
		if err != nil {
			return usagef("room create: %v", err)
		}
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		within, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		made, err := createRooms(within, cluster.Rooms(""), q, count)
		if err != nil {
			err = uncreated(ctx, err, len(made), count)
		}
		var lines []string
		for _, r := range made {
			lines = append(lines, lineOf(r))
		}
		if len(made) == 0 {
			return err
		}
		return errors.Join(err, a.print(map[string]any{"rooms": made}, lines...))
	})
	return c
}

// uncreated says what became of the rooms that were asked for; running are those known to run.
func uncreated(ctx context.Context, err error, running, count int) error {
	switch {
	case ctx.Err() != nil && count == 1:
		return errors.New("room create: interrupted before the answer came: wind room list shows the room if it was made")
	case ctx.Err() != nil:
		return fmt.Errorf("room create: interrupted after %d of %d answers: wind room list shows which other rooms were made", running, count)
	case count == 1 && rpc.ErrorOf(err).NotBegun:
		return fmt.Errorf("%w; no room was asked for", err)
	case count == 1:
		return err
	}
	return fmt.Errorf("%w; wind room list --state wanted shows the rooms that wait", err)
}

// askedAtOnce is how many rooms are asked for at once.
const askedAtOnce = 256

// createRooms asks for rooms and waits for all of them.
func createRooms(ctx context.Context, rooms rpc.Rooms, q rpc.RoomRequest, count int) (made []*rpc.Room, err error) {
	return askEach(count, "do not run", func(int) (*rpc.Room, error) { return createRoom(ctx, rooms, q) })
}

// askEach asks for count rooms, many at once, and returns those that were answered, by id. The error is that of the first room
// that failed; fate says what became of all that did.
func askEach(count int, fate string, ask func(i int) (*rpc.Room, error)) (answered []*rpc.Room, err error) {
	type answer struct {
		room *rpc.Room
		err  error
	}
	answers, turns := make(chan answer), make(chan struct{}, askedAtOnce)
	for i := range count {
		go func() {
			turns <- struct{}{}
			r, err := ask(i)
			<-turns
			answers <- answer{r, err}
		}()
	}
	failed := 0
	for range count {
		switch x := <-answers; {
		case x.err == nil:
			answered = append(answered, x.room)
		case failed == 0:
			failed, err = 1, x.err
		default:
			failed++
		}
	}
	if failed > 1 {
		err = fmt.Errorf("%d of %d rooms %s; the first: %w", failed, count, fate, err)
	}
	slices.SortFunc(answered, func(a, b *rpc.Room) int { return cmp.Compare(a.ID, b.ID) })
	return answered, err
}

// askAgain is the pause before a room is asked for again that nobody answered for.
const askAgain = 250 * time.Millisecond

// createRoom asks for a room until ctx ends: again if no node answers, or if the one that was asked has stopped and the room has a key.
func createRoom(ctx context.Context, rooms rpc.Rooms, q rpc.RoomRequest) (*rpc.Room, error) {
	for {
		r, err := rooms.Create(ctx, q)
		if err == nil {
			return r, nil
		}
		if e := rpc.ErrorOf(err); e.Code != rpc.Unavailable || !e.NotBegun && q.Key == "" {
			return nil, certain(err)
		}
		if pause(ctx, askAgain); ctx.Err() != nil {
			return nil, certain(err)
		}
	}
}

// certain drops the doubt from the error of a node that says what became of the room.
func certain(err error) error {
	e := rpc.ErrorOf(err)
	if !strings.HasPrefix(e.Text, "room r-") {
		return err
	}
	said := *e
	said.Maybe = false
	return &said
}

// roomStates names the states of a room, in the order of its life.
const roomStates = "wanted, running, sealed, archived or gone"

// roomFilter says which rooms a list shows.
type roomFilter struct {
	state, game string
	labels      labelsFlag
}

func (f *roomFilter) add(c *cobra.Command) {
	f.labels = labelsFlag{}
	c.Flags().StringVar(&f.state, "state", "", "only rooms in this state: "+roomStates)
	c.Flags().StringVar(&f.game, "game", "", "only rooms of this game")
	c.Flags().Var(f.labels, "label", "only rooms that ask for this label, such as region=eu; repeatable")
}

func (f *roomFilter) check() error {
	if f.state != "" && room.ValidPhase(f.state) != nil {
		return usagef("--state %s is not %s", f.state, roomStates)
	}
	return nil
}

func (f *roomFilter) given() rpc.RoomFilter {
	return rpc.RoomFilter{State: f.state, Game: f.game, Labels: f.labels}
}

func (a *app) roomList() *cobra.Command {
	f, filter := &clusterFlags{}, &roomFilter{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List the cluster's rooms, with the results of those that are over",
		Long: `Lists the cluster's rooms. The sessions of a room that runs are read from its world, and the end of a room that is over repeats
what its log says.`,
		Example: "  wind room list\n  wind room list --state sealed --json",
	}
	f.add(c.Flags())
	filter.add(c)
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, _ []string) (err error) {
		if err := filter.check(); err != nil {
			return err
		}
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		rooms, err := cluster.Rooms("").List(ctx, filter.given())
		if err != nil {
			return err
		}
		return a.print(map[string]any{"cluster": f.cluster, "rooms": rooms}, roomTable(rooms))
	})
	return c
}

func roomTable(rooms []rpc.Room) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROOM\tSTATE\tGAME\tNODE\tSESSIONS\tLABELS\tEND")
	for _, r := range rooms {
		end, sessions := "", ""
		if r.Occupancy != nil {
			sessions = fmt.Sprint(r.Occupancy.Sessions)
		}
		if r.End != nil {
			end = strings.TrimSpace(fmt.Sprintf("%s, tick %d %s", r.End.Reason, r.End.Tick, r.End.Result)) + kept(&r)
		}
		state := r.State
		if r.Halted && state == string(room.Wanted) {
			state = "halted"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, state, r.Spec.Game, r.Node, sessions, labelsFlag(r.Spec.Labels), end)
	}
	_ = t.Flush() // into memory
	return strings.TrimRight(b.String(), "\n")
}

func (a *app) roomShow() *cobra.Command {
	f := &clusterFlags{}
	c := &cobra.Command{
		Use:     "show ROOM",
		Short:   "Show one room: where it runs and who is there, why no node takes it, or how it ended",
		Example: "  wind room show r-7h3k5qzv --json",
	}
	f.add(c.Flags())
	a.jsonFlag(c)
	c.RunE = a.verb(func(ctx context.Context, args []string) (err error) {
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		found, err := cluster.Rooms("").List(ctx, rpc.RoomFilter{Rooms: args, Players: true})
		if err == nil && len(found) == 0 {
			err = noRoom(cluster, args[0])
		}
		if err != nil {
			return err
		}
		return a.print(found[0], lineOf(&found[0]))
	})
	return c
}

// noRoom returns the error for a room that does not exist.
func noRoom(cluster *node.Cluster, id string) error {
	return fmt.Errorf("cluster %s has no room %s: wind room list shows those that it has", cluster.Name, id)
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
		cluster, err := f.connect(ctx, a)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cluster.Close()) }()
		if span > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, span)
			defer cancel()
		}
		return a.watchRooms(ctx, cluster.Rooms(""), filter.given())
	})
	return c
}

// toldGone is how many rooms that are gone a watch remembers, at most: one changes a few times more, as its keeper leaves. A watch may
// go on for days.
const toldGone = 10_000

// watchRooms prints each room whenever it has changed, until ctx ends. Once it has begun, it outlives the nodes that it asks.
func (a *app) watchRooms(ctx context.Context, rooms rpc.Rooms, f rpc.RoomFilter) error {
	told, gone := map[string]toldRoom{}, 0
	begun, silent := false, false
	for after := int64(0); ctx.Err() == nil; {
		changed, next, err := rooms.Changes(ctx, f, after)
		if begun = begun || err == nil || !rpc.ErrorOf(err).NotBegun; err != nil && begun && passes(err) {
			if !silent {
				a.log.Warn("no answer about the rooms: the watch goes on as soon as a node answers", "reason", rpc.ErrorOf(err).Text)
			}
			silent = true
			pause(ctx, askAgain)
			continue
		}
		if err != nil {
			return err
		}
		silent = false
		for i := range changed {
			r := &changed[i]
			r.Occupancy = nil // it changes all the time
			now := toldOf(r)
			if before, known := told[r.ID]; known && before == now {
				continue // what changed is not shown, such as who archives it
			}
			if now.state == string(room.Gone) {
				if gone++; gone > toldGone {
					maps.DeleteFunc(told, func(_ string, t toldRoom) bool { return t.state == string(room.Gone) })
					gone = 1
				}
			}
			told[r.ID] = now
			if err := a.print(r, lineOf(r)); err != nil {
				return err
			}
		}
		after = next
	}
	return nil
}

// passes reports whether another node may answer what one did not.
func passes(err error) bool {
	c := rpc.ErrorOf(err).Code
	return c == rpc.Unavailable || c == rpc.DeadlineExceeded
}

// toldRoom is what a watch shows of a room and what may change.
type toldRoom struct {
	state, node, archive string
	halted               bool
}

func toldOf(r *rpc.Room) toldRoom {
	t := toldRoom{state: r.State, node: r.Node, halted: r.Halted}
	if r.End != nil {
		t.node, t.archive = "", r.End.Archive // who owned it last goes away a moment after its end
	}
	return t
}

func (a *app) roomClose() *cobra.Command {
	f := &clusterFlags{}
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "close ROOM",
		Short: "End a room",
		Long: `Ends the room after the tick in progress and returns once its log is sealed. A room that no node has taken yet ends at once.
Its players hear that it is over. The game has no part in this: to let the game end the room, with a result, send it a command of
the game (wind call shard:ROOM).`,
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
		closed, err := cluster.Rooms("").Close(ctx, args[0])
		if e := rpc.ErrorOf(err); err != nil && e.Code == rpc.NotFound {
			err = noRoom(cluster, args[0])
		}
		if err != nil {
			return err
		}
		return a.print(closed, lineOf(closed))
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
