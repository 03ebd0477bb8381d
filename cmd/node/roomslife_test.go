package node

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ferris1/wind/cmd/node/nodetest"
	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/room"
)

// TestANodeForRoomsAloneAnswersForThem: it has no standing shard, and its rooms are asked for like any others.
func TestANodeForRoomsAloneAnswersForThem(t *testing.T) {
	t.Parallel() // mostly waits
	at := nodetest.Addr(t)
	n := startRooms(t, func(c *Config) { c.NoShard, c.HTTP = true, at })
	c := n.cluster.Rooms("")
	made, err := c.Create(soon(t), asked(rpc.RoomSpec{Options: []byte(`{"ticks":20}`)}))
	if err != nil {
		t.Fatal(err)
	}
	if r := over(t, c, made.ID); r.End.Reason != "result" {
		t.Errorf("it ended with %+v", r.End)
	}
	for name, want := range map[string]string{"": "no shard of its own: name one", "main": `no shard "main"`, "r-never": `no shard "r-never"`} {
		p, err := client.Dial(soon(t), client.Config{Addr: n.UDPAddr(), Shard: name, Identity: "eve"})
		if err == nil {
			_ = p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a client of shard %q hears %v", name, err)
		}
	}
	if code, h := healthOf(t, at); code != http.StatusOK || h.Rooms == nil || h.ShardHealth != nil {
		t.Errorf("/healthz answers %d, %+v", code, h)
	}
	answer, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	metrics, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`wind_condition{cluster="dev",kind="waiting-for-nats"} 0`, `wind_client_bytes_in_total{cluster="dev"}`, `wind_rooms_ended_total{cluster="dev"} 1`} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(string(metrics), "wind_tick") {
		t.Error("/metrics has a standing shard")
	}
}

// TestANodeForRoomsIsUnhealthyUntilItAnswersForThem: while it waits for its servers, nobody can ask it.
func TestANodeForRoomsIsUnhealthyUntilItAnswersForThem(t *testing.T) {
	t.Parallel() // mostly waits
	at := nodetest.Addr(t)
	ctx := soon(t)
	ended := make(chan error, 1)
	go func() {
		_, err := Start(ctx, Config{
			Game: match, NoShard: true, Capacity: 1000, UDP: "127.0.0.1:0", HTTP: at, Patience: time.Second,
			NATS: "nats://" + nodetest.Addr(t), Etcd: "http://" + nodetest.Addr(t), Logger: slog.New(slog.DiscardHandler),
		})
		ended <- err
	}()
	eventually(t, "/healthz answers", func() bool {
		code, h := healthOf(t, at)
		if code != 0 && (code != http.StatusServiceUnavailable || h.Healthy) {
			t.Fatalf("/healthz answers %d, %+v", code, h)
		}
		return code != 0
	})
	if err := <-ended; err == nil {
		t.Error("it starts without servers")
	}
}

// healthOf asks a node for its health. The code is 0 if it does not answer.
func healthOf(t *testing.T, addr string) (code int, h Health) {
	t.Helper()
	answer, err := http.Get("http://" + addr + "/healthz")
	if err != nil {
		return 0, h
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&h); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, h
}

// TestRoomsAreHandedOverThoughTheirNodeGoesOn: a start that fails after the node has begun to host rooms is tried again, and must
// not wait for rooms that nobody ends.
func TestRoomsAreHandedOverThoughTheirNodeGoesOn(t *testing.T) {
	t.Parallel() // mostly waits
	n := startRooms(t, nil)
	made, err := n.cluster.Rooms("").Create(soon(t), asked(rpc.RoomSpec{}))
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		n.rooms.close()
	}()
	select {
	case <-closed:
	case <-soon(t).Done():
		t.Fatal("the rooms do not end")
	}
	if x, err := (&roomService{node: n}).read(soon(t), made.ID); err != nil || x.Owner != "" || x.End != nil {
		t.Errorf("after that: %+v, %v", x, err)
	}
}

// TestARoomThatCannotRunIsLeftAloneForAWhile: whatever is told of it meanwhile.
func TestARoomThatCannotRunIsLeftAloneForAWhile(t *testing.T) {
	n := startRooms(t, func(c *Config) {
		c.Game, c.patience, c.Logger = ailing(nil), patience{again: time.Hour}, slog.New(slog.DiscardHandler)
	})
	_, err := n.cluster.Rooms("").Create(soon(t), rpc.RoomRequest{RoomSpec: rpc.RoomSpec{Game: "ailing", Key: "bad", Options: []byte(`{"ail":1}`)}, Wait: new(rpc.Duration(0))})
	if err != nil {
		t.Fatal(err)
	}
	id := room.ID(n.cluster.Name, "bad")
	eventually(t, "it is tried", func() bool { s := n.RoomStats(); return s.Failed == 1 && s.Hosted == 0 })
	n.rooms.consider(id)
	n.rooms.mu.Lock()
	defer n.rooms.mu.Unlock()
	if n.rooms.bids[id] != nil || n.rooms.hosted[id] != nil {
		t.Error("the node tries again at once")
	}
}

// TestAConditionThatComesAndGoesIsToldOnce: again only if it was over for a while.
func TestAConditionThatComesAndGoesIsToldOnce(t *testing.T) {
	log := &logged{}
	n := startRooms(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	h, err := n.newHosted("r-1", match, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	told := func() (lines int) {
		log.mu.Lock()
		defer log.mu.Unlock()
		for _, line := range log.all {
			if strings.Contains(line, "room=r-1") {
				lines++
			}
		}
		return lines
	}
	r, now := &rooms{node: n}, time.Now()
	look := func(holds bool, after time.Duration, want int, what string) {
		t.Helper()
		if h.conditions.Clear(shard.LogFull); holds {
			h.conditions.Raise(shard.LogFull, true, "its log is full")
		}
		now = now.Add(after)
		if r.tellAilments([]*hosted{h}, now); told() != want {
			t.Errorf("%s: told %d times, want %d", what, told(), want)
		}
	}
	look(true, 0, 1, "the log is full")
	look(true, 10*overAfter, 1, "still")
	look(false, lookEvery, 1, "not now")
	look(true, lookEvery, 1, "it is again")
	look(false, 2*overAfter, 1, "it is over")
	look(true, overAfter, 2, "full again")
}

// TestANodeWithItsOwnServersTakesNoRoomFromAnother: other nodes may use its servers, and claim a room a moment before it opens it.
func TestANodeWithItsOwnServersTakesNoRoomFromAnother(t *testing.T) {
	n := startRooms(t, nil)
	n.rooms.close() // it takes none by itself
	infra := n.Infra()
	bert, err := Start(t.Context(), Config{
		Game: match, NATS: infra.NATSURL(), Etcd: infra.EtcdURL(), ID: "bert", NoShard: true, UDP: "127.0.0.1:0", Capacity: 1000, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	q := asked(rpc.RoomSpec{})
	q.Wait = new(rpc.Duration(0)) // whichever node answers
	made, err := bert.cluster.Rooms("").Create(soon(t), q)
	if err != nil {
		t.Fatal(err)
	}
	owner := func() string {
		x, err := (&roomService{node: n}).read(soon(t), made.ID)
		if err != nil {
			t.Fatal(err)
		}
		return x.Owner
	}
	eventually(t, "bert has the room", func() bool { return owner() == "bert" })
	h, err := n.newHosted(made.ID, match, ecs.Config{Seed: made.Spec.Seed})
	if err != nil {
		t.Fatal(err)
	}
	h.noWait = true
	first, err := h.open(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if owner() != "bert" {
		t.Errorf("the room belongs to %q now", owner())
	}
	first.close()
	h.close()
	if err := bert.Stop(); err != nil {
		t.Error(err)
	}
}
