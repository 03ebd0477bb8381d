package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// roomSteps are the steps of a room's life: who takes it, in words, and the name under which a trap sees it.
var roomSteps = []struct{ who, does, call string }{
	{"asker", "asks for the room", "ask"},

	{"owner", "writes the spec", "put spec"},
	{"owner", "writes the lineage", "put lineage"},
	{"owner", "creates the stream of logs", "create the log"},
	{"owner", "sets the limit of logs", "update the log"},
	{"owner", "creates the stream of deltas", "create deltas"},
	{"owner", "sets the limit of deltas", "update deltas"},
	{"owner", "creates the bucket of snapshots", "create snapshots"},
	{"owner", "sets the limit of snapshots", "update snapshots"},
	{"owner", "claims the room", "put owner, put epoch"},
	{"owner", "appends the genesis", "append genesis"},
	{"owner", "appends its epoch", "append epoch"},
	{"owner", "notes that it attempts the first tick", "put high, put attempt"},
	{"owner", "appends a tick", "append ticks"},
	{"owner", "publishes a delta", "append delta"},
	{"owner", "removes the note of its attempt", "remove attempt"},
	{"owner", "seals the log", "append seal"},
	{"owner", "notes the sequence of the seal", "put high"},
	{"owner", "notes that the room is sealed, and leaves it", "put state sealed"},

	{"keeper", "claims the room that has ended", "put keeper"},
	{"keeper", "writes the second half of the archive", "write on at the archive"},
	{"keeper", "names the archive", "name the archive"},
	{"keeper", "stores the archive", "store the archive"},
	{"keeper", "notes that the room is archived", "put state archived"},
	{"keeper", "removes the deltas", "purge deltas"},
	{"keeper", "removes the snapshots", "purge snapshots"},
	{"keeper", "notes that the log begins with its seal", "note"},
	{"keeper", "removes the log", "purge the log"},
	{"keeper", "removes the log's notes", "purge notes"},
	{"keeper", "notes that the room is gone", "put state gone"},
	{"keeper", "notes that no other archive is left", "put state gone swept"},
	{"keeper", "gives its claim back", "remove keeper"},

	{"sweeper", "removes what a killed keeper left", "remove an archive"}, // a keeper, too
}

// TestEachStepOfARoomsLifeIsKilled kills a process (kill -9) at each step of a room's life: before the server hears of the step, and
// once the server has taken it, before the process hears the answer. Another node, or the asker that asks again, goes on. Each
// time there is one room in the end. Its result counts each of its ticks once, and so does its log, or the one archive that is left.
// Each step is killed in one of the two ways, and in both with WIND_LONG.
func TestEachStepOfARoomsLifeIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred processes")
	}
	s := setStage(t)
	var group sync.WaitGroup
	turns := make(chan struct{}, 24) // most of the time they wait for a lease to end
	rooms := 0
	play := func(name string, f func(*life)) {
		rooms++
		cluster := fmt.Sprint("c-", rooms)
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			t.Run(name, func(t *testing.T) { f(s.life(t, cluster)) })
		})
	}
	play("no step is missing", (*life).undisturbed)
	play("the asker dies while the room begins", (*life).askerLeaves)
	kills := map[string]func(*life, *trap){"asker": (*life).killAsker, "owner": (*life).killOwner, "keeper": (*life).killKeeper, "sweeper": (*life).killSweeper}
	for i, step := range roomSteps {
		for way, name := range []string{"unheard", "unanswered"} {
			if long(0, 1) == 1 || (i+way)%2 == 1 {
				play(fmt.Sprintf("the %s %s, %s", step.who, step.does, name), func(l *life) { kills[step.who](l, newTrap(step.call, name == "unanswered")) })
			}
		}
	}
	group.Wait()
}

// stage is what all lives share: the servers, and the test's own connections to them.
type stage struct {
	nats, etcd string
	client     *etcd.Client
	conn       *jetstream.Conn
}

// setStage starts the servers that wind infra has, in this process. A limit beyond the disk's leaves room for what so many clusters
// reserve and never write.
func setStage(t *testing.T) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	messages, err := jetstream.StartServer(jetstream.ServerConfig{Dir: filepath.Join(t.TempDir(), "nats"), User: "node", Password: "secret", MaxBytes: 1 << 40, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(messages.Close)
	coordination, err := etcd.StartServer(ctx, etcd.ServerConfig{Dir: filepath.Join(t.TempDir(), "etcd"), Development: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { coordination.Close() })
	s := &stage{nats: "nats://node:secret@" + messages.Addr(), etcd: "http://" + strings.TrimPrefix(coordination.Addr(), "http://")}
	if s.client, err = etcd.Dial(ctx, s.etcd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.client.Close() })
	if s.conn, err = jetstream.Connect(ctx, jetstream.ConnectConfig{URL: s.nats, ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.conn.Close)
	return s
}

// life is that of one room, in a cluster of its own on the servers of the stage.
type life struct {
	*stage
	t        *testing.T
	cluster  string
	id       string
	archives string // a folder
	keep     string
}

const roomKey = "match-1"

func (s *stage) life(t *testing.T, cluster string) *life {
	return &life{stage: s, t: t, cluster: cluster, id: room.ID(cluster, roomKey), archives: t.TempDir(), keep: "log"}
}

// counting starts a process of a binary with the game count.
func (l *life) counting(args ...string) *process {
	l.t.Helper()
	return windWith(l.t, "WIND_TEST_GAME=count", args...)
}

// on starts a process that speaks to the servers by a trap, or directly.
func (l *life) on(x *trap, args ...string) *process {
	l.t.Helper()
	nats, coordination := l.nats, l.etcd
	if x != nil {
		nats, coordination = x.nats(l.t, nats), x.etcd(l.t, coordination)
	}
	return l.counting(append(args, "--cluster", l.cluster, "--nats", nats, "--etcd", coordination)...)
}

// node starts a node.
func (l *life) node(x *trap, name string, more ...string) *process {
	l.t.Helper()
	return l.on(x, append([]string{"serve", "--node", name, "--shard", "", "--lease", "2s", "--udp", "127.0.0.1:0", "--tcp", "", "--http", ""}, more...)...)
}

// player starts a node that may own the room, and keeps none.
func (l *life) player(x *trap, name string) *process {
	l.t.Helper()
	return l.node(x, name, "--label", "plays=yes")
}

// keeper starts a node that archives rooms and owns none.
func (l *life) keeper(x *trap, name string) *process {
	l.t.Helper()
	if x == nil {
		return l.node(nil, name, "--archive", l.archives)
	}
	return l.node(x, name, "--archive", x.archives(l.t, l.archives))
}

// ask starts a process that asks for the room.
func (l *life) ask(x *trap) *process {
	l.t.Helper()
	return l.asks(x, roomKey)
}

func (l *life) asks(x *trap, key string) *process {
	l.t.Helper()
	return l.on(x, "room", "create", "--key", key, "--keep", l.keep, "--label", "plays=yes", "--timeout", "50s", "--json")
}

// hears waits for the answer to one who asks: it is this room.
func (l *life) hears(asker *process) {
	l.t.Helper()
	var made struct{ Rooms []listed }
	if asker.ends(0, &made); len(made.Rooms) != 1 || made.Rooms[0].Room != l.id {
		l.t.Errorf("the asker got %+v, and the key makes %s", made, l.id)
	}
}

// waits waits for a condition.
func (l *life) waits(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("never: %s; the room is %+v", what, l.reads())
		}
	}
}

// reads returns what etcd has of the room, or nil.
func (l *life) reads() *room.Room {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	r, err := etcd.ReadRoom(ctx, l.client, l.cluster, l.id)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// springs sets a trap for a process and waits until it has been killed.
func (l *life) springs(x *trap, p *process) {
	l.t.Helper()
	x.victim <- p
	select {
	case <-x.sprung:
	case <-time.After(patience):
		l.t.Fatalf("never: %q; the process asked for %q, and the room is %+v", x.at, x.seen(), l.reads())
	}
	state := "unknown"
	if r := l.reads(); r != nil {
		state = string(r.Phase())
	}
	l.t.Logf("%s was killed; the room is %s", p.name, state)
}

// answers waits until a node answers for the cluster's rooms.
func (l *life) answers() {
	l.t.Helper()
	l.waits("a node answers", func() bool {
		p := l.on(nil, "room", "list", "--json")
		<-p.done
		return p.cmd.ProcessState.ExitCode() == 0
	})
}

// killAsker kills the asker, who asks again.
func (l *life) killAsker(x *trap) {
	l.player(nil, "anna")
	l.answers()
	l.springs(x, l.ask(x))
	l.hears(l.ask(nil))
	l.sealed()
}

// askerLeaves kills the asker when a node that it has asked is about to write the spec. The node goes on.
func (l *life) askerLeaves() {
	x := newTrap("put spec", false)
	x.other = true
	l.player(x, "anna")
	l.answers()
	l.springs(x, l.ask(nil))
	l.waits("the node goes on with the room of an asker who has died", func() bool { return l.reads() != nil })
	l.hears(l.ask(nil))
	l.sealed()
}

// killOwner kills the only node. Another one comes, while the asker goes on to ask.
func (l *life) killOwner(x *trap) {
	if x.after {
		l.keep = "archive"
	}
	anna := l.player(x, "anna")
	l.answers() // so that the asker asks this node by its name, and hears of its death
	asker := l.ask(nil)
	l.springs(x, anna)
	l.node(nil, "bert", "--label", "plays=yes", "--archive", l.archives)
	l.hears(asker)
	if x.after {
		l.gone()
		return
	}
	l.sealed()
}

// killKeeper kills a keeper that never owned the room. Another one comes.
func (l *life) killKeeper(x *trap) {
	l.keep = "archive"
	l.player(nil, "anna")
	carl := l.keeper(x, "carl")
	l.hears(l.ask(nil))
	l.springs(x, carl)
	l.whole()
	l.keeper(nil, "dora")
	l.gone()
}

// killSweeper kills a keeper whose archive is whole and not noted yet, then the next one, which sweeps that up.
func (l *life) killSweeper(x *trap) {
	l.keep = "archive"
	l.player(nil, "anna")
	first := newTrap("put state archived", false)
	carl := l.keeper(first, "carl")
	l.hears(l.ask(nil))
	l.springs(first, carl)
	l.springs(x, l.keeper(x, "dora"))
	l.keeper(nil, "emil")
	l.gone()
}

// undisturbed lets a room live, and compares what the processes ask of the servers with roomSteps. Whoever watches the rooms is told of
// each state once.
func (l *life) undisturbed() {
	l.keep = "archive"
	all := map[string]*trap{"asker": newTrap("", false), "owner": newTrap("", false), "keeper": newTrap("", false)}
	l.player(all["owner"], "anna")
	l.answers()
	watch := l.on(nil, "room", "watch", "--json", "--for", "5m")
	l.hears(l.ask(all["asker"]))
	l.keeper(all["keeper"], "carl")
	l.ended(room.Gone)
	l.asks(nil, "match-2").ends(0, nil)
	watch.until("shows what came after the room", func() bool { return bytes.Contains(watch.output(), []byte(room.ID(l.cluster, "match-2"))) })
	for _, state := range []room.Phase{room.Running, room.Sealed, room.Archived, room.Gone} {
		n := bytes.Count(watch.output(), fmt.Appendf(nil, `"room":"%s","state":"%s"`, l.id, state))
		if n > 1 || n == 0 && state == room.Gone { // it may miss one that lasts a moment
			l.t.Errorf("the watch shows the room %d times as %s:\n%s", n, state, watch.output())
		}
	}
	for who, x := range all {
		var steps []string
		for _, step := range roomSteps {
			if step.who == who {
				steps = append(steps, step.call)
			}
		}
		seen := slices.DeleteFunc(x.seen(), func(call string) bool {
			// The keeper may hear the last asker, too. The owner, some 20 s after its start, removes again what a killed server could have
			// brought back of rooms that are gone.
			return who == "keeper" && call == "put spec" || who == "owner" && strings.HasPrefix(call, "purge ")
		})
		l.t.Logf("the %s: %q", who, seen)
		slices.Sort(steps)
		if slices.Sort(seen); !slices.Equal(seen, steps) {
			l.t.Errorf("the %s takes the steps\n%q,\nand those of roomSteps are\n%q", who, seen, steps)
		}
	}
}

// counts is a room as it is listed in the end.
type counts struct {
	Room, State string
	Spec        struct{ Seed uint64 }
	End         *struct {
		Tick         uint64
		Reason, Name string
		Archive      string
		Result       count
	}
}

// ended waits until the room is in its last phase, and proves that it is the only one and that its result counts each tick once. Whoever asks
// for it again gets it.
func (l *life) ended(phase room.Phase) counts {
	l.t.Helper()
	l.waits("the room is "+string(phase), func() bool {
		r := l.reads()
		return r != nil && r.Phase() == phase && r.Owner == "" && r.Keeper == "" && r.End.Swept == (phase == room.Gone)
	})
	l.answers()
	var list struct{ Rooms []counts }
	if l.on(nil, "room", "list", "--json").ends(0, &list); len(list.Rooms) != 1 {
		l.t.Fatalf("the cluster has the rooms %+v", list.Rooms)
	}
	r := list.Rooms[0]
	want := count{lastTick, lastTick * (lastTick + 1) / 2, r.Spec.Seed}
	if r.Room != l.id || r.State != string(phase) || r.End == nil || r.End.Tick != lastTick || r.End.Reason != "result" || r.End.Result != want || want.Seed == 0 {
		l.t.Fatalf("room %s ended as %+v, %+v", l.id, r, r.End)
	}
	l.hears(l.ask(nil))
	return r
}

// sealed waits for the end of a room whose log is kept, and proves the log.
func (l *life) sealed() {
	l.t.Helper()
	l.ended(room.Sealed)
	if logs := l.logs(); len(logs) != 1 || logs[0].Shard != l.id {
		l.t.Errorf("there are the logs %v", logs)
	}
	l.proves("--nats", l.nats, "--cluster", l.cluster, "--shard", l.id)
}

// gone waits for the end of a room that is archived, and proves the archive, which is all that is left.
func (l *life) gone() {
	l.t.Helper()
	r := l.ended(room.Gone)
	if logs := l.logs(); len(logs) > 0 {
		l.t.Errorf("there are still the logs %v", logs)
	}
	l.waits("the archive alone is left", func() bool {
		files, err := filepath.Glob(filepath.Join(l.archives, "*", "*"))
		return err == nil && slices.Equal(files, []string{r.End.Archive})
	})
	l.proves("--file", r.End.Archive)
}

// whole proves that what has the name of an archive is one.
func (l *life) whole() {
	l.t.Helper()
	folder, err := persistence.NewFolder(l.archives)
	if err != nil {
		l.t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(l.archives, "*", "*.wind"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, file := range files {
		if sum, _, err := persistence.ProveArchive(l.t.Context(), folder, l.cluster+"/"+filepath.Base(file)); err != nil || sum.LastTick != lastTick {
			l.t.Errorf("a killed keeper left %s: it has %d ticks: %v", file, sum.LastTick, err)
		}
	}
}

// logs returns the logs that are left in the cluster.
func (l *life) logs() []jetstream.Ref {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	logs, err := jetstream.Streams(ctx, l.conn, l.cluster)
	if err != nil {
		l.t.Fatal(err)
	}
	return logs
}

// proves proves that a log or an archive is in order and has all ticks, and that they can be played again.
func (l *life) proves(where ...string) {
	l.t.Helper()
	var checked struct {
		OK                               bool
		FirstTick, LastTick, Resimulated uint64
		Epochs                           int
	}
	l.counting(append([]string{"log", "check", "--json"}, where...)...).ends(0, &checked)
	var replayed struct{ To uint64 }
	l.counting(append([]string{"replay", "--verify", "--json"}, where...)...).ends(0, &replayed)
	if !checked.OK || checked.Resimulated != lastTick || replayed.To != lastTick {
		l.t.Errorf("the check says %+v, the replay %+v", checked, replayed)
	}
	l.t.Logf("%d epochs", checked.Epochs)
}

// count is the state of the game that these rooms play, and their result: it tells of every tick.
type count struct{ Ticks, Sum, Seed uint64 }

// lastTick ends a room of count.
const lastTick = 40

// runCount runs the verbs for the game count, with archives that a trap sees.
func runCount() {
	cmd.Main(ecs.Game{Name: "count", TickRate: 50, Setup: func(w *ecs.World) {
		ecs.Resource[count](w, "count")
		ecs.Outgoing[count](w, "counted")
		seed := w.Seed()
		ecs.System(w, "count", func(t *ecs.Tick, state *ecs.Res[count]) {
			c := state.Get()
			c.Ticks, c.Sum, c.Seed = c.Ticks+1, c.Sum+t.Now(), seed
			if t.Now() == lastTick {
				t.End(*c)
			}
		})
	}}, cmd.WithArchives(openTrapped, "trapped"))
}
