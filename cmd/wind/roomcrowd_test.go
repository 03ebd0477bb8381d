package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// create asks for rooms and returns them.
func (c *cluster) create(count int, options string, more ...string) []listed {
	c.t.Helper()
	var made struct{ Rooms []listed }
	run(c.t, 0, &made, append([]string{
		"room", "create", "--nats", c.nats, "--etcd", c.etcd, "--count", fmt.Sprint(count), "--options", options, "--timeout", "2m", "--json",
	}, more...)...)
	if len(made.Rooms) != count {
		c.t.Fatalf("%d rooms were made, want %d", len(made.Rooms), count)
	}
	return made.Rooms
}

// connect connects the test itself.
func (c *cluster) connect() *node.Cluster {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	link, err := node.Connect(ctx, "dev", c.nats, c.etcd, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = link.Close() }) // its servers may have ended
	return link
}

// movers sees which rooms move to a node, and when each goes on there.
type movers struct {
	link     *node.Cluster
	to       string
	registry *room.Registry
	ctx      context.Context
	group    sync.WaitGroup

	mu    sync.Mutex
	asked map[string]bool
	owned map[string]time.Time // when the room had its new owner
	goOn  map[string]time.Time // when that one had made a tick
	ticks map[string]uint64    // which tick that was
}

// follow begins to see what moves to a node.
func follow(ctx context.Context, t *testing.T, link *node.Cluster, to string) *movers {
	t.Helper()
	m := &movers{link: link, to: to, asked: map[string]bool{}, owned: map[string]time.Time{}, goOn: map[string]time.Time{}, ticks: map[string]uint64{}}
	ctx, cancel := context.WithCancel(ctx)
	m.ctx = ctx
	source, err := etcd.Rooms(link.Etcd, "dev")
	if err == nil {
		m.registry, err = room.Follow(ctx, source, m.changed, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		m.registry.Close()
		m.group.Wait()
	})
	return m
}

func (m *movers) changed(x *room.Room, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if x == nil || x.Owner != m.to || m.asked[id] {
		return
	}
	m.asked[id], m.owned[id] = true, time.Now()
	m.group.Go(func() { m.await(id) })
}

// await asks a room for its next tick until it answers.
func (m *movers) await(id string) {
	for m.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(m.ctx, time.Second)
		b, err := m.link.Bus.Shard(ctx, id, "enter", "", []byte("{}"))
		cancel()
		var o rpc.Occupancy
		if err == nil && json.Unmarshal(b, &o) == nil {
			m.mu.Lock()
			m.goOn[id], m.ticks[id] = time.Now(), o.Tick
			m.mu.Unlock()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (m *movers) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.goOn)
}

// spread is how long after a moment the first, the middle and the last of some events came.
type spread struct{ first, middle, last time.Duration }

func spreadOf(since time.Time, at map[string]time.Time, of map[string]bool) spread {
	var all []time.Duration
	for id, when := range at {
		if of[id] {
			all = append(all, when.Sub(since).Round(10*time.Millisecond))
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return spread{}
	}
	return spread{all[0], all[len(all)/2], all[len(all)-1]}
}

func (s spread) String() string {
	return fmt.Sprintf("%v to %v (median %v)", s.first, s.last, s.middle)
}

// checkRooms proves the logs of rooms. Those that moved had two owners.
func (c *cluster) checkRooms(ctx context.Context, link *node.Cluster, made []listed, moved map[string]bool) {
	c.t.Helper()
	game := arena.Game
	for _, r := range made {
		s, err := jetstream.Open(ctx, link.NATS, "dev", r.Room, "", jetstream.Options{})
		if err != nil {
			c.t.Fatal(err)
		}
		report, err := persistence.Check(ctx, s.Source(), persistence.CheckOptions{Game: &game})
		s.Close()
		epochs := 1
		if moved[r.Room] {
			epochs = 2
		}
		if err != nil || report.Broken() || report.Epochs != epochs || report.FirstTick != 1 {
			c.t.Fatalf("the log of room %s, moved %v: %+v, %v", r.Room, moved[r.Room], report, err)
		}
	}
}

// TestACrowdOfRoomsOutlivesItsNode kills one of two nodes that run 40 rooms (WIND_LONG: 500) with a player in every tenth (every
// second one). All rooms go on on the other node soon, from their last committed ticks, and the players resume by themselves. The bounds
// of WIND_LONG are for a machine with nothing else to do.
func TestACrowdOfRoomsOutlivesItsNode(t *testing.T) {
	count, every := long(40, 500), long(10, 2)
	c := startCluster(t)
	anna, bert := c.node(0, "--shard", "", "--capacity", "4000"), c.node(1, "--shard", "", "--capacity", "4000")
	for i, node := range []*process{anna, bert} {
		node.until("answers", func() bool { return healthOf(c.http[i]).Healthy })
	}
	began := time.Now()
	made := c.create(count, `{"monsters":4,"size":60,"tick-rate":10}`)
	creating := time.Since(began)
	before := on(c.rooms())
	if before["anna"] < count/4 || before["bert"] < count/4 || before["anna"]+before["bert"] != count {
		t.Errorf("the rooms are spread as %v", before)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	players := map[string]*client.Client{}
	for i := 0; i < count; i += every {
		id := made[i].Room
		p, err := client.Dial(ctx, client.Config{Addr: c.udp[i/every%2], More: c.udp[:], Shard: id, Identity: fmt.Sprint("ann-", i), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		players[id] = p
	}
	link := c.connect()
	hers, reached, seen := map[string]bool{}, map[string]uint64{}, map[string]uint64{}
	all, err := link.Rooms("").List(ctx, rpc.RoomFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if hers[r.ID] = r.Node == "anna"; r.Occupancy != nil {
			reached[r.ID] = r.Occupancy.Tick
		}
	}
	moved := follow(ctx, t, link, "bert")
	bert.until("has its own rooms", func() bool { return moved.count() == before["bert"] })
	theirs := 0
	for id, p := range players {
		if seen[id] = p.Stats().LastTick; hers[id] {
			theirs++
		}
	}

	killed := time.Now()
	anna.kill()
	back := map[string]time.Time{} // when a player of hers saw a tick again
	bert.until("runs all rooms, with all players", func() bool {
		for id, p := range players {
			if s := p.Stats(); hers[id] && s.Resumes > 0 && s.LastTick > seen[id] && back[id].IsZero() {
				back[id] = time.Now()
			}
		}
		return moved.count() == count && len(back) == theirs
	})
	owned, goOn, resumed := spreadOf(killed, moved.owned, hers), spreadOf(killed, moved.goOn, hers), spreadOf(killed, back, hers)
	for id, was := range hers {
		if was && moved.ticks[id] <= reached[id] {
			t.Errorf("room %s was at tick %d, and goes on at %d", id, reached[id], moved.ticks[id])
		}
	}
	for id, p := range players {
		s := p.Stats()
		if s.Rejoins > 0 || !hers[id] && s.Resumes > 0 {
			t.Errorf("the player of room %s: %+v", id, s)
		}
	}
	t.Logf("%d rooms were made in %.1f s; %d ran on the killed node, whose lease was %s; after the kill they have an owner after %v, and go on after %v; their %d players go on after %v",
		count, creating.Seconds(), before["anna"], c.lease, owned, goOn, theirs, resumed)
	if lease, _ := time.ParseDuration(c.lease); long(0, 1) == 1 && (goOn.last > lease+2*time.Second || creating > 20*time.Second) {
		t.Errorf("want all rooms made in 20 s, and those of the killed node to go on within its lease and 2 s")
	}
	bert.stop()
	c.checkRooms(ctx, link, made, hers)
	if code := c.infra.stop(); code != 0 {
		t.Fatalf("infra ends with %d", code)
	}
}

// metric reads a value of a node's metrics.
func metric(t *testing.T, addr, name string) float64 {
	t.Helper()
	answer, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + `\{[^}]*\} (\S+)$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("there is no %s among the metrics", name)
	}
	v, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRoomsBeyondTheCapacityWait: a node that is full does not take the rooms of one that has died. They wait, the node's log, its metrics
// and room show say so and why, and they go on as soon as a third node comes.
func TestRoomsBeyondTheCapacityWait(t *testing.T) {
	t.Parallel() // mostly waits
	const count = 12
	c := startCluster(t)
	anna := c.node(0, "--shard", "", "--capacity", "4000")
	anna.until("answers", func() bool { return healthOf(c.http[0]).Healthy })
	made := c.create(count, `{"monsters":40,"size":100}`)
	bert := c.node(1, "--shard", "", "--capacity", "5")
	bert.until("answers", func() bool { return healthOf(c.http[1]).Healthy })
	reached := map[string]uint64{}
	for _, r := range made {
		var shown struct{ Occupancy struct{ Tick uint64 } }
		run(t, 0, &shown, "room", "show", r.Room, "--nats", c.nats, "--etcd", c.etcd, "--json")
		reached[r.Room] = shown.Occupancy.Tick
	}
	anna.kill()
	bert.until("takes what it can", func() bool { by := on(c.rooms()); return by["bert"] > 0 && by["anna"] == 0 })
	bert.until("says why", func() bool {
		all := c.rooms()
		i := slices.IndexFunc(all, func(r listed) bool { return r.State == "wanted" }) // it may take that one the next moment
		if i < 0 {
			return false
		}
		var shown struct{ Why string }
		run(t, 0, &shown, "room", "show", all[i].Room, "--nats", c.nats, "--etcd", c.etcd, "--json")
		return strings.Contains(shown.Why, "node bert is full")
	})
	bert.says("rooms wait, and this node does not take them")
	bert.until("counts them", func() bool { // but for a moment in which it bids for them
		n := metric(t, c.http[1], "wind_rooms_waiting")
		return n >= count/2 && n < count
	})
	if by := on(c.rooms()); by["bert"] > count/2 {
		t.Errorf("a node that is full has taken %v", by)
	}
	began := time.Now()
	cleo := wind(t, "serve", "--shard", "", "--nats", c.nats, "--etcd", c.etcd, "--node", "cleo", "--udp", "127.0.0.1:0", "--tcp", "", "--http", "", "--capacity", "4000")
	cleo.until("runs the rest", func() bool { by := on(c.rooms()); return by["cleo"] > 0 && by["bert"]+by["cleo"] == count })
	t.Logf("the rooms that waited run %v after the third node began", time.Since(began).Round(100*time.Millisecond))
	bert.says("no room waits any more")
	for _, r := range made {
		var shown struct{ Occupancy struct{ Tick uint64 } }
		cleo.until("goes on with room "+r.Room, func() bool {
			run(t, 0, &shown, "room", "show", r.Room, "--nats", c.nats, "--etcd", c.etcd, "--json")
			return shown.Occupancy.Tick > reached[r.Room]
		})
	}
}
