package netcode_test

import (
	"errors"
	"flag"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/session"
)

var seed = flag.Uint64("seed", 0, "seed of the lossy link; 0 picks one")

func TestMain(m *testing.M) {
	flag.Parse()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m,
		// kcp-go starts these goroutines on import and never stops them.
		goleak.IgnoreAnyFunction("github.com/xtaci/kcp-go/v5.(*TimedSched).prepend"),
		goleak.IgnoreAnyFunction("github.com/xtaci/kcp-go/v5.(*TimedSched).sched"))
}

// These tests play a small game. Each player is a body that moves by its input,
// sums up its add commands, and disappears when the player leaves.
type (
	Position struct{ X, Y float64 }
	Body     struct {
		Session uint64
		Sum     int64
		Presses int64 // ticks with a new input, not a repeat
	}
	Steer struct{ X, Y float64 } // metres per tick
	Add   struct{ N int64 }
	Added struct {
		Session uint64
		N       int64
	}
	bodySpawn struct {
		P Position
		B Body
	}
	player struct {
		ecs.Entity
		P *Position
		B *Body
	}
)

func (s Steer) Validate() error {
	if s.X > 10 || s.X < -10 || s.Y > 10 || s.Y < -10 {
		return errors.New("too fast")
	}
	return nil
}

func (a Add) Validate() error {
	if a.N < 0 {
		return errors.New("negative")
	}
	return nil
}

var game = ecs.Game{Name: "netcode-test", TickRate: 60, Setup: func(w *ecs.World) {
	ecs.Component[Position](w, "position", ecs.Replicated, ecs.Spatial)
	ecs.Component[Body](w, "body", ecs.Replicated)
	ecs.Event[Added](w, "added")
	ecs.Handle[ecs.Join](w, "wind.join", func(t *ecs.Tick, c *ecs.Cmd[ecs.Join], s *ecs.Spawner[bodySpawn]) {
		if c.Value.Identity.String() == "banned" {
			c.Reject("you are banned")
		}
		t.Control(c.From(), s.New(bodySpawn{B: Body{Session: c.From()}}))
	})
	ecs.Handle[ecs.Leave](w, "wind.leave", func(t *ecs.Tick, c *ecs.Cmd[ecs.Leave], players *ecs.Query[player]) {
		for p := range players.Each {
			if p.B.Session == c.From() {
				t.Despawn(p.Entity)
			}
		}
	})
	ecs.Handle[Steer](w, "steer", func(t *ecs.Tick, c *ecs.Cmd[Steer], players *ecs.Query[player], all *ecs.Sessions) {
		s, _ := all.Get(c.From())
		if p, ok := players.Get(s.View); ok {
			p.P.X += c.Value.X
			p.P.Y += c.Value.Y
			if !c.Repeated() {
				p.B.Presses++
			}
		}
	}, ecs.Sampled)
	ecs.Handle[Add](w, "add", func(t *ecs.Tick, c *ecs.Cmd[Add], players *ecs.Query[player], all *ecs.Sessions, e *ecs.Events[Added]) {
		if c.Value.N == 13 {
			c.Reject("unlucky")
		}
		s, _ := all.Get(c.From())
		if p, ok := players.Get(s.View); ok {
			p.B.Sum += c.Value.N
			e.Emit(Added{c.From(), c.Value.N})
		}
	})
}}

// host is a minimal shard around a server: it latches, steps and releases at the
// game's rate. A successor starts from its log.
type host struct {
	t      testing.TB
	server server
	world  *ecs.World
	epoch  uint64
	seq    uint64
	log    *memory
	stop   chan struct{}
	done   chan struct{}

	mu        sync.Mutex
	checksums map[uint64]uint64
	late      int           // ticks that began more than half a tick late
	worst     time.Duration // between two ticks
	hold      bool
}

// server is a front door and the sessions of the one shard behind it.
type server struct {
	*netcode.Door
	*session.Sessions
}

type (
	doorStats    = netcode.Stats
	sessionStats = session.Stats
)

// stats are those of both.
type stats struct {
	doorStats
	sessionStats
}

func (s server) Stats() stats { return stats{s.Door.Stats(), s.Sessions.Stats()} }

// memory is the log: the frames that were committed.
type memory struct{ frames []ecs.Frame }

func serve(t testing.TB, g ecs.Game, cfg netcode.Config, log *memory, epoch uint64, change ...func(*session.Config)) *host {
	t.Helper()
	h := newHost(t, g, log, epoch)
	h.server = listen(t, cfg, change...)
	h.server.Own(h.world, epoch)
	go h.run()
	t.Cleanup(h.end)
	return h
}

// newHost returns a host of what the log holds, without a server.
func newHost(t testing.TB, g ecs.Game, log *memory, epoch uint64) *host {
	t.Helper()
	w, err := ecs.New(g, ecs.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, world: w, epoch: epoch, log: log, stop: make(chan struct{}), done: make(chan struct{}), checksums: map[uint64]uint64{}}
	for _, f := range log.frames {
		w.Step(f)
		h.checksums[w.Tick()] = w.Checksum()
	}
	h.seq = w.Tick()
	return h
}

// listen opens a door, with the sessions of the shard that it is for.
func listen(t testing.TB, cfg netcode.Config, change ...func(*session.Config)) server {
	t.Helper()
	d, err := netcode.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := session.Config{Shard: cfg.Shard, Accounts: session.NewAccounts(cfg.Limits), Logger: cfg.Logger}
	for _, f := range change {
		f(&c)
	}
	s, err := session.New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	return server{d, s}
}

func (h *host) run() {
	defer close(h.done)
	period := time.Second / time.Duration(h.world.Game().TickRate)
	next := time.Now()
	last := next
	for {
		select {
		case <-h.stop:
			return
		case <-time.After(time.Until(next)):
		}
		now := time.Now()
		h.mu.Lock()
		hold := h.hold
		h.worst = max(h.worst, now.Sub(last))
		if now.Sub(next) > period/2 {
			h.late++
		}
		h.mu.Unlock()
		last = now
		next = next.Add(period)
		if next.Before(now) {
			next = now
		}
		if !hold {
			h.tick()
		}
	}
}

func (h *host) tick() {
	f := ecs.Frame{Tick: h.world.Tick() + 1}
	f.Commands = h.server.Latch(h.world, f.Tick, nil, ecs.FrameBytes)
	h.world.Order(f.Tick, f.Commands)
	out := h.world.Step(f)
	for _, failure := range out.Failures {
		if !failure.Rejected {
			h.t.Errorf("tick %d: %+v", f.Tick, failure)
		}
	}
	h.log.frames = append(h.log.frames, f)
	h.seq++
	h.mu.Lock()
	h.checksums[out.Tick] = out.Checksum
	h.mu.Unlock()
	h.server.Release(h.world, h.seq, h.epoch, []ecs.Output{out})
}

// halt stops the ticks but not the server.
func (h *host) halt() {
	select {
	case <-h.stop:
	default:
		close(h.stop)
	}
	<-h.done
}

func (h *host) end() {
	h.halt()
	h.server.Close()
}

func (h *host) checksum(tick uint64) (uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum, ok := h.checksums[tick]
	return sum, ok
}

func (h *host) tally() (late int, worst time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.late, h.worst
}

func dial(t testing.TB, cfg client.Config) *client.Client {
	t.Helper()
	c, err := tryDial(t, cfg)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// eventually waits up to 20 s until ok returns true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// body returns c's own body as c sees it.
func body(c *client.Client) (b Body, p Position, ok bool) {
	c.View(func(v *client.View) {
		b, ok = client.Get[Body](v, v.Self(), "body")
		p, _ = client.Get[Position](v, v.Self(), "position")
	})
	return b, p, ok
}
