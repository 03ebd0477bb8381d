package arena

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/netsim"
	"github.com/ferris1/wind/netcode/session"
	"github.com/ferris1/wind/systems/motion"
)

// served is an arena that runs at its rate, for clients over UDP.
type served struct {
	door  *netcode.Door
	world *ecs.World
}

func serveArena(t *testing.T, o Options) *served {
	options, err := Game.EncodeOptions(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{}
	if s.world, err = ecs.New(Game, ecs.Config{Seed: 1, Options: options}); err != nil {
		t.Fatal(err)
	}
	if s.door, err = netcode.Listen(netcode.Config{UDP: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.door.Close() })
	server, err := session.New(s.door, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server.Own(s.world, 1)
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		pace := time.NewTicker(time.Second / TickRate)
		defer pace.Stop()
		for {
			select {
			case <-stop:
				return
			case <-pace.C:
			}
			f := ecs.Frame{Tick: s.world.Tick() + 1}
			f.Commands = server.Latch(s.world, f.Tick, nil, 256<<10)
			s.world.Order(f.Tick, f.Commands)
			out := s.world.Step(f)
			server.Release(s.world, f.Tick, 1, []ecs.Output{out})
		}
	}()
	return s
}

// TestAPlayerWalksAsItsClientSays: with 120 ms of round trip, 25 ms of jitter and 5 % of the packets lost in bursts, a client shows its own
// player where the server will have it, a few ticks before it knows. Nobody sees what is corrected, and no other player jumps. On a busy
// machine inputs come too late, so that a few seconds of several must be as on an idle one.
func TestAPlayerWalksAsItsClientSays(t *testing.T) {
	t.Parallel() // mostly waits
	s := serveArena(t, Options{Monsters: 5, Size: 100, Respawn: 1, TickRate: TickRate})
	bad, err := netsim.Parse("120ms,25ms,5%,burst=3")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dial := func(who string, seed uint64) *client.Client {
		d := netsim.Dialer{Conditions: bad, Seed: seed}
		c, err := client.Dial(ctx, client.Config{Addr: s.door.UDPAddr().String(), Identity: who, Game: &Game, DialUDP: d.Dial, Redundancy: client.RedundancyAlways})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Abandon() })
		return c
	}
	ann, bob := dial("ann", 1), dial("bob", 2)
	began := time.Now()
	for window := 1; ; window++ {
		f := watch(t, ann, bob, began, 4*time.Second)
		t.Logf("%+v", f)
		if f.drawn > 100 && f.others > 100 && f.right > 50 && f.wrong == 0 && f.visible == 0 && f.jumps == 0 && f.ahead > 0.5 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("in %d times four seconds the pictures were never smooth", window)
		}
	}
}

// picture is what somebody sees for some seconds.
type picture struct {
	drawn, others int     // positions of the own player, and of all others
	jumps         int     // moves by more than a player makes, and by less than one who rises again
	visible       uint64  // corrections
	ahead         float64 // metres between where the client shows its player and where the server has it, on average
	right, wrong  int     // ticks for which the client said within 5 cm where its player would be, before it knew
}

// watch lets two clients walk in circles, and draws what one of them sees sixty times a second.
func watch(t *testing.T, ann, bob *client.Client, began time.Time, span time.Duration) (p picture) {
	t.Helper()
	walk := func(c *client.Client, angle float64) {
		if err := c.SetInput(client.Do("arena.input", Input{MoveX: int8(70 * math.Cos(angle)), MoveY: int8(70 * math.Sin(angle))})); err != nil {
			t.Fatal(err)
		}
	}
	type place struct{ x, y float64 }
	last, said, confirmed := map[ecs.Entity]place{}, map[uint64]place{}, uint64(0)
	from := ann.Stats().VisibleCorrections
	frame := time.NewTicker(time.Second / 60)
	defer frame.Stop()
	for start := time.Now(); time.Since(start) < span; <-frame.C {
		now := time.Now()
		walk(ann, now.Sub(began).Seconds())
		walk(bob, now.Sub(began).Seconds()*2)
		ann.View(func(v *client.View) {
			for e := range v.Each {
				x, y, ok := v.Position(e, now)
				if _, isPlayer := client.Get[Player](v, e, "player"); !ok || !isPlayer {
					continue
				}
				if before, has := last[e]; has {
					if d := math.Hypot(x-before.x, y-before.y); d > 1 && d < 8 {
						p.jumps++
					}
				}
				last[e] = place{x, y}
				if e != v.Self() {
					p.others++
					continue
				}
				p.drawn++
				mine, _ := client.Own[motion.Position](v, "position")
				known, _ := client.Get[motion.Position](v, e, "position")
				p.ahead += math.Hypot(mine.X-known.X, mine.Y-known.Y)
				if tick, ok := v.Ahead(); ok && said[tick] == (place{}) {
					said[tick] = place{mine.X, mine.Y}
				}
				if tick, _ := v.Mirror().Known(e); tick > confirmed {
					confirmed = tick
					if then, ok := said[tick]; ok && math.Hypot(then.x-known.X, then.y-known.Y) <= client.Visible {
						p.right++
					} else if ok {
						p.wrong++
					}
				}
			}
		})
	}
	p.ahead /= float64(max(p.drawn, 1))
	p.visible = ann.Stats().VisibleCorrections - from
	return p
}
