package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// TestMain lets the test binary be the process that floods a room.
func TestMain(m *testing.M) {
	if at, id, floods := strings.Cut(os.Getenv("WIND_TEST_FLOOD"), " "); floods {
		flood(at, id)
		return
	}
	os.Exit(m.Run())
}

type (
	yardOptions struct {
		Burn   float64 `usage:"seconds that a system takes in each tick" min:"0" max:"10"`
		Panics bool    `usage:"a system panics in each tick"`
		Bodies int32   `usage:"how many move" min:"0" max:"100000"`
		Watch  int32   `usage:"the number under which the times of its ticks are noted; 0: none" min:"0" max:"63"`
	}
	yardStep  struct{ X, Y float64 }
	yardCargo struct{ Bytes [4096]uint8 }
	yardBody  struct{ X, Y float64 }
	yardMove  struct{ Body *yardBody }
)

// yardTimes are when the ticks of a watched room began and were simulated. Only a measurement reads them.
var yardTimes [64]struct {
	mu sync.Mutex
	at []yardTime
}

type yardTime struct {
	tick     uint64
	at, done time.Time
}

// yard is a game of little work, unless its options make it run amok.
var yard = ecs.Game{Name: "yard", TickRate: 20, Options: yardOptions{}, Setup: func(w *ecs.World) {
	ecs.Component[yardBody](w, "body")
	ecs.Handle[yardStep](w, "step", func(t *ecs.Tick, c *ecs.Cmd[yardStep], q *ecs.Query[yardMove]) {})
	ecs.Handle[yardCargo](w, "cargo", func(t *ecs.Tick, c *ecs.Cmd[yardCargo], q *ecs.Query[yardMove]) {})
	o := ecs.OptionsOf[yardOptions](w)
	ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[struct{ Body yardBody }]) {
		for range max(50, o.Bodies) {
			s.New(struct{ Body yardBody }{})
		}
	})
	ecs.System(w, "watch", func(t *ecs.Tick) {
		if o.Watch > 0 {
			times := &yardTimes[o.Watch]
			times.mu.Lock()
			times.at = append(times.at, yardTime{tick: t.Now(), at: time.Now()})
			times.mu.Unlock()
		}
	})
	ecs.System(w, "walk", func(t *ecs.Tick, q *ecs.Query[yardMove]) {
		for m := range q.Each {
			m.Body.X += 0.25
		}
	})
	ecs.System(w, "amok", func(t *ecs.Tick) {
		for began := time.Now(); time.Since(began).Seconds() < o.Burn; { // only the time that it takes depends on the clock
		}
		if o.Panics {
			panic("no way")
		}
	})
	ecs.System(w, "watch the end", func(t *ecs.Tick) {
		if o.Watch > 0 {
			times := &yardTimes[o.Watch]
			times.mu.Lock()
			if n := len(times.at); n > 0 { // else the list was emptied within this tick
				times.at[n-1].done = time.Now()
			}
			times.mu.Unlock()
		}
	})
}}

// logged collects what a node logs.
type logged struct {
	mu  sync.Mutex
	all []string
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *logged) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.all, func(line string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) })
	})
}

// street is a node with rooms that behave, each with a player, and with bad ones beside them.
type street struct {
	testing.TB
	*Node
	log *logged
}

const (
	streetRooms = 20
	streetBytes = 1 << 20 // that the log of a room may take
)

func startStreet(t testing.TB) *street {
	s := &street{TB: t, log: &logged{}}
	s.Node = startRooms(t, func(c *Config) {
		c.Game, c.Capacity, c.Purge, c.roomBytes = yard, 4000, PurgeNever, streetBytes
		c.Limits = netcode.Limits{SessionsPerAddress: -1, JoinsPerAddress: -1, ConnectionsPerAddress: -1}
		c.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	})
	return s
}

// want asks for a room.
func (s *street) want(options string) string {
	s.Helper()
	id := room.ID(s.cluster.Name, "")
	if _, _, err := etcd.CreateRoom(soon(s), s.cluster.Etcd, s.cluster.Name, id, room.Spec{Game: "yard", Options: []byte(options), Seed: 1, At: time.Now()}); err != nil {
		s.Fatal(err)
	}
	return id
}

// end ends a room.
func (s *street) end(id string) {
	s.Helper()
	if _, err := s.cluster.Rooms("").Close(soon(s), id); err != nil {
		s.Error(err)
	}
}

// figures are what the rooms that behave have gone through.
type figures struct {
	work     float64 // p99 of a tick's work, of the median room, in milliseconds
	late     float64 // p99 of how late a tick begins, of all rooms' ticks, in milliseconds
	done     float64 // p99 of how long after it was due a tick is simulated: what a player waits for
	lateMost float64 // of one tick
	skipped  uint64  // ticks lost
}

func (f figures) String() string {
	return fmt.Sprintf("work p99 %.3f ms, late p99 %.2f ms, done p99 %.2f ms, late by at most %.0f ms, %d ticks lost", f.work, f.late, f.done, f.lateMost, f.skipped)
}

// play lets new rooms with a player each make some ticks.
func (s *street) play(ticks uint64) (f figures) {
	s.Helper()
	var ids []string
	var players []*client.Client
	for i := range streetRooms {
		ids = append(ids, s.want(fmt.Sprintf(`{"bodies":%d,"watch":%d}`, 2000/slowdown, i+1)))
	}
	for i, id := range ids {
		eventually(s, "room "+id+" runs", func() bool { return s.roomTick(id) > 0 })
		p, err := client.Dial(soon(s), client.Config{Addr: s.UDPAddr(), Identity: fmt.Sprint("player-", i), Shard: id, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			s.Fatal(err)
		}
		players = append(players, p)
	}
	from := map[string]uint64{}
	for i, id := range ids {
		from[id] = s.roomTick(id)
		yardTimes[i+1].mu.Lock()
		yardTimes[i+1].at = nil
		yardTimes[i+1].mu.Unlock()
	}
	var work, late, done []float64
	for i, id := range ids {
		eventually(s, "room "+id+" goes on", func() bool { return s.roomTick(id) >= from[id]+ticks })
		stats := s.roomStats(id)
		work = append(work, stats.Host.TickMS.P99)
		f.skipped += stats.Host.Skipped
		l, d := delays(i + 1)
		late, done = append(late, l...), append(done, d...)
	}
	for i, p := range players {
		if st := p.Stats(); st.Resumes > 0 || st.Rejoins > 0 || p.Err() != nil {
			s.Errorf("the player of room %s, which behaves: %+v, %v", ids[i], st, p.Err())
		}
		p.Close()
	}
	for _, id := range ids {
		s.end(id)
	}
	slices.Sort(work)
	slices.Sort(late)
	slices.Sort(done)
	f.work, f.late, f.lateMost, f.done = work[len(work)/2], late[len(late)*99/100], late[len(late)-1], done[len(done)*99/100]
	return f
}

// delays returns how many milliseconds after it was due each tick of a watched room began, and was simulated. The one that began in time
// is the first that the others' times make due.
func delays(watch int) (late, done []float64) {
	times := &yardTimes[watch]
	times.mu.Lock()
	defer times.mu.Unlock()
	period := time.Second / time.Duration(yard.TickRate)
	due := times.at[0].at
	for _, x := range times.at {
		if first := x.at.Add(-time.Duration(x.tick-times.at[0].tick) * period); first.Before(due) {
			due = first
		}
	}
	for _, x := range times.at {
		was := due.Add(time.Duration(x.tick-times.at[0].tick) * period)
		late = append(late, x.at.Sub(was).Seconds()*1e3)
		if !x.done.IsZero() { // else it is being simulated
			done = append(done, x.done.Sub(was).Seconds()*1e3)
		}
	}
	return late, done
}

// bad begins a bad room, and returns its id and what ends it.
func (s *street) bad(kind string) (id string, end func()) {
	s.Helper()
	options, stop := map[string]string{"amok": `{"burn":0.5}`, "panics": `{"panics":true}`}[kind], func() {}
	id = s.want(options)
	eventually(s, "the room that "+kind+" runs", func() bool { return s.roomTick(id) > 0 })
	switch kind {
	case "full":
		s.fill(id)
	case "flood":
		stop = s.flood(s.UDPAddr(), id)
	case "elsewhere":
		stop = s.flood("", "")
	}
	return id, func() { stop(); s.end(id) }
}

var badKinds = []string{"amok", "panics", "full", "flood"}

// fill fills the log of a room.
func (s *street) fill(id string) {
	s.Helper()
	var group sync.WaitGroup
	var sent atomic.Int64
	for range 8 {
		group.Go(func() {
			for sent.Add(4096) <= 2*streetBytes && !s.full(id) {
				var c yardCargo
				_, _ = rand.Read(c.Bytes[:]) // it never fails
				cargo, err := json.Marshal(c)
				if err != nil {
					s.Error(err)
					return
				}
				ctx, cancel := context.WithTimeout(s.Context(), 2*time.Second)
				_, _ = s.cluster.Command(ctx, id, "cargo", cargo) // the one that fills the log has no answer
				cancel()
			}
		})
	}
	group.Wait()
	eventually(s, "the log of room "+id+" is full", func() bool { return s.full(id) })
}

// full reports whether a room waits because its log is full.
func (s *street) full(id string) bool {
	return slices.ContainsFunc(s.roomStats(id).Host.Conditions, func(c shard.Condition) bool { return c.Kind == shard.LogFull && c.Stops })
}

// flood lets another process flood a room, or without one itself. It ends when this one does. A real sender has a
// machine of its own, so where there is nice, this one takes only the processor time that the node leaves.
func (s *street) flood(at, id string) (stop func()) {
	c := exec.Command(os.Args[0])
	if nice, err := exec.LookPath("nice"); err == nil {
		c = exec.Command(nice, "-n", "19", os.Args[0])
	}
	c.Env, c.Stderr = append(os.Environ(), "WIND_TEST_FLOOD="+at+" "+id), os.Stderr
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		s.Fatal(err)
	}
	return func() {
		in.Close()
		_ = c.Wait()
	}
}

// flood sends datagrams as fast as a player and somebody else can, most of them nonsense, until its standard input ends.
func flood(addr, id string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if addr == "" {
		far, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return
		}
		defer far.Close()
		addr = far.LocalAddr().String()
		go func() {
			for b, err := make([]byte, 2048), error(nil); err == nil; _, _, err = far.ReadFrom(b) {
			}
		}()
	}
	c, err := net.Dial("udp", addr)
	if err != nil {
		return
	}
	defer c.Close()
	var player *client.Client
	if id != "" {
		if player, err = client.Dial(ctx, client.Config{Addr: addr, Identity: "mad", Shard: id, Logger: slog.New(slog.DiscardHandler)}); err != nil {
			return
		}
		defer player.Close()
	}
	for b := make([]byte, 1200); ctx.Err() == nil; time.Sleep(time.Millisecond) { // bounded: some 20,000 datagrams per second
		for range 20 {
			b[0]++
			_, _ = c.Write(b)
		}
		if player != nil {
			for range 20 {
				_, _ = player.Post(client.Do("step", yardStep{1, 1}))
			}
		}
	}
}

// TestABadRoomLeavesItsNeighboursAlone: beside twenty rooms that behave are one whose system takes ten times its budget, one that
// panics in each tick, one whose log is full, and one that a client floods. The others go on and lose no tick, and the log names the bad
// ones. The figures are in the test's output; BenchmarkNeighbours measures them.
func TestABadRoomLeavesItsNeighboursAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs for a quarter of a minute")
	}
	s := startStreet(t)
	stalled := stalls(t)
	before := s.play(100)
	bad := map[string]string{}
	for _, kind := range badKinds {
		id, end := s.bad(kind)
		bad[kind] = id
		defer end()
	}
	reached := s.roomTick(bad["full"])
	after := s.play(100)
	t.Logf("alone: %v; beside the bad ones: %v; stalls up to %v", before, after, stalled())
	if before.skipped+after.skipped > 0 && stalled() < mostStall {
		t.Errorf("the rooms that behave have lost %d and %d ticks; this process never stood still for longer than %v", before.skipped, after.skipped, stalled())
	}

	eventually(t, "the log names the one that runs amok", func() bool { return s.log.has("condition=behind", "room="+bad["amok"]) })
	eventually(t, "the log names the one that panics", func() bool { return s.log.has("a system failed", "shard="+bad["panics"], "name=amok", "no way") })
	eventually(t, "the log names the one whose log is full", func() bool { return s.log.has("condition=log-full", "room="+bad["full"]) })
	if x := s.roomStats(bad["panics"]); x.Host.Failures["amok"] == 0 || x.Host.Tick < 100 {
		t.Errorf("the room that panics: %+v", x.Host)
	}
	if x := s.roomStats(bad["full"]); x.Host.Tick > reached+shard.CatchUpSeconds*20 || !s.full(bad["full"]) {
		t.Errorf("the room whose log is full went on from tick %d: %+v", reached, x.Host)
	}
	eventually(t, "the flooded room goes on", func() bool { return s.roomTick(bad["flood"]) > 100 })
}

// mostStall is how long a process may stand still whose rooms still lose no tick.
const mostStall = 500 * time.Millisecond

// stalls watches for how long this process stands still at most: other processes, or other tests, may have the processors.
func stalls(t *testing.T) (longest func() time.Duration) {
	var most atomic.Int64
	go func() {
		for last := time.Now(); t.Context().Err() == nil; last = time.Now() {
			time.Sleep(20 * time.Millisecond)
			most.Store(max(most.Load(), int64(time.Since(last))))
		}
	}()
	return func() time.Duration { return time.Duration(most.Load()).Round(time.Millisecond) }
}

// BenchmarkNeighbours measures what the rooms that behave go through while a bad one is beside them, against phases without it in the
// same run. In the phases that a flooded room is compared with, another process receives the same flood, because the machine carries
// it in any case. The tick of tick-p99 and tick-ratio is the time from when a tick is due until it is simulated; work is a part of it. An
// iteration is two phases of seven seconds.
func BenchmarkNeighbours(b *testing.B) {
	for _, kinds := range append([][]string{{}, {"elsewhere"}}, append(each(badKinds), badKinds)...) {
		name := "all"
		switch len(kinds) {
		case 0:
			name = "nothing"
		case 1:
			name = kinds[0]
		}
		var alike []string // beside those that are alone
		if slices.Contains(kinds, "flood") {
			alike = []string{"elsewhere"}
		}
		b.Run(name, func(b *testing.B) {
			s := startStreet(b)
			var alone, beside []figures
			var works, ticks []float64
			phase := func(kinds []string) figures {
				for _, kind := range kinds {
					_, end := s.bad(kind)
					defer end()
				}
				return s.play(140)
			}
			for b.Loop() {
				alone = append(alone, phase(alike))
				beside = append(beside, phase(kinds))
				a, d := alone[len(alone)-1], beside[len(beside)-1]
				works, ticks = append(works, d.work/a.work), append(ticks, d.done/a.done)
				b.Logf("alone %v; beside %v", a, d)
			}
			median := func(v []float64) float64 {
				slices.Sort(v)
				return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
			}
			of := func(all []figures, what func(figures) float64) float64 {
				var v []float64
				for _, f := range all {
					v = append(v, what(f))
				}
				return median(v)
			}
			work, late, done := func(f figures) float64 { return f.work }, func(f figures) float64 { return f.late }, func(f figures) float64 { return f.done }
			b.ReportMetric(of(alone, work), "work-p99-ms-alone")
			b.ReportMetric(median(works), "work-ratio") // of pairs: the machine's speed changes
			b.ReportMetric(of(alone, done), "tick-p99-ms-alone")
			b.ReportMetric(median(ticks), "tick-ratio")
			b.ReportMetric(of(alone, late), "late-p99-ms-alone")
			b.ReportMetric(of(beside, late), "late-p99-ms-beside")
			b.ReportMetric(of(beside, func(f figures) float64 { return float64(f.skipped) }), "lost-ticks")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// each returns a list of one for each element.
func each(all []string) (lists [][]string) {
	for _, x := range all {
		lists = append(lists, []string{x})
	}
	return lists
}
