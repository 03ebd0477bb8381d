package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

type (
	yardOptions struct {
		Burn   float64 `usage:"seconds that a system takes in each tick" min:"0" max:"10"`
		Panics bool    `usage:"a system panics in each tick"`
	}
	yardStep struct{ X, Y float64 }
	yardBody struct{ X, Y float64 }
	yardMove struct{ Body *yardBody }
)

// yard is a game of little work, unless its options make it run amok.
var yard = ecs.Game{Name: "yard", TickRate: 20, Options: yardOptions{}, Setup: func(w *ecs.World) {
	ecs.Component[yardBody](w, "body")
	ecs.Handle[yardStep](w, "step", func(t *ecs.Tick, c *ecs.Cmd[yardStep], q *ecs.Query[yardMove]) {})
	o := ecs.OptionsOf[yardOptions](w)
	ecs.Init(w, func(t *ecs.Tick, s *ecs.Spawner[struct{ Body yardBody }]) {
		for range 50 {
			s.New(struct{ Body yardBody }{})
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

// TestABadRoomLeavesItsNeighboursAlone: beside twenty rooms that behave (two have players) are one whose system takes ten times its
// budget, one that panics in each tick, and one that a client floods. The others go on and lose no tick, and the log names the bad ones.
// The measurement of the ratio is in the test's output; a loaded machine says little about it.
func TestABadRoomLeavesItsNeighboursAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs for a quarter of a minute")
	}
	const good = 20
	log := &logged{}
	n := startRooms(t, func(c *Config) {
		c.Game, c.Capacity = yard, 4000
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
	want := func(options string) string {
		id := room.ID(n.cluster.Name, "")
		if _, _, err := etcd.CreateRoom(soon(t), n.cluster.Etcd, n.cluster.Name, id, room.Spec{Game: "yard", Options: []byte(options), Seed: 1, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	group := func() (ids []string) {
		for range good {
			ids = append(ids, want(""))
		}
		for _, id := range ids {
			eventually(t, "room "+id+" runs", func() bool { return n.roomTick(id) > 20 })
		}
		return ids
	}
	stalled := stalls(t)
	flooding, done := context.WithCancel(t.Context())
	defer done()
	play := func(ids []string, ticks uint64) (p99 []float64) {
		var players []*client.Client
		for i := range 4 {
			p, err := client.Dial(soon(t), client.Config{Addr: n.UDPAddr(), Identity: fmt.Sprint(ids[i/2], i), Shard: ids[i/2]})
			if err != nil {
				t.Fatal(err)
			}
			players = append(players, p)
		}
		from := map[string]uint64{}
		for _, id := range ids {
			from[id] = n.roomTick(id)
		}
		for _, id := range ids {
			eventually(t, "room "+id+" goes on", func() bool { return n.roomTick(id) >= from[id]+ticks })
			s := n.roomStats(id)
			if p99 = append(p99, s.Host.TickMS.P99); s.Host.Skipped > 0 && stalled() < mostStall {
				t.Errorf("room %s has lost %d ticks; this process never stood still for longer than %v", id, s.Host.Skipped, stalled())
			}
		}
		for _, p := range players {
			if s := p.Stats(); s.Resumes > 0 || s.Rejoins > 0 || p.Err() != nil {
				t.Errorf("a player of a room that behaves: %+v, %v", s, p.Err())
			}
			p.Close()
		}
		slices.Sort(p99)
		return p99
	}
	before := play(group(), 100)

	amok, panics, flooded := want(`{"burn":0.5}`), want(`{"panics":true}`), want("")
	eventually(t, "the flooded room runs", func() bool { return n.roomTick(flooded) > 20 })
	go flood(flooding, n.UDPAddr(), flooded)
	after := play(group(), 100)
	done()
	t.Logf("p99 of a tick's work, median of %d rooms: %.3f ms alone, %.3f ms beside the bad ones: ratio %.2f; stalls up to %v", good, before[good/2], after[good/2], after[good/2]/before[good/2], stalled())

	eventually(t, "the log names the one that runs amok", func() bool { return log.has("condition=behind", "room="+amok) })
	eventually(t, "the log names the one that panics", func() bool { return log.has("a system failed", "shard="+panics, "name=amok", "no way") })
	if s := n.roomStats(panics); s.Host.Failures["amok"] == 0 || s.Host.Tick < 100 {
		t.Errorf("the room that panics: %+v", s.Host)
	}
	eventually(t, "the flooded room goes on", func() bool { return n.roomTick(flooded) > 100 })
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

// flood sends a room's clients' datagrams as fast as it can, most of them nonsense.
func flood(ctx context.Context, addr, id string) {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return
	}
	defer c.Close()
	player, err := client.Dial(ctx, client.Config{Addr: addr, Identity: "mad", Shard: id})
	if err == nil {
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
