package shard

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/ecs"
)

// callers is a Frontend in which hardly anything happens, and which says when something does.
type callers struct {
	players
	comes  atomic.Pointer[func()]
	wants  atomic.Int32 // commands that wait
	taken  []uint64     // ticks that took them
	latest []time.Time  // of each release
	loud   func()       // called once, at the first release with a message to others
}

func (c *callers) OnArrival(f func()) { c.comes.Store(&f) }

func (c *callers) Latch(w *ecs.World, tick uint64, dst []ecs.Command, _ int) []ecs.Command {
	for ; c.wants.Load() > 0; c.wants.Add(-1) {
		c.seq++
		dst = append(dst, ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceOperator, ID: 1}, c.seq, tPush{By: 1}))
		c.taken = append(c.taken, tick)
	}
	return dst
}

func (c *callers) Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output) {
	c.players.Release(w, seq, epoch, outputs)
	c.latest = append(c.latest, time.Now())
	if c.loud != nil && len(outputs[len(outputs)-1].Outbox) > 0 {
		c.loud()
		c.loud = nil
	}
}

// push makes a command arrive.
func (c *callers) push() {
	c.wants.Add(1)
	if f := c.comes.Load(); f != nil && *f != nil {
		(*f)()
	}
}

// dozer returns a host that may doze.
func dozer(b *testbed, change func(*HostConfig)) (*Host, *callers) {
	c := &callers{}
	h, _, _ := b.host("a", func(cfg *HostConfig) {
		cfg.Frontend, cfg.Doze = c, true
		if change != nil {
			change(cfg)
		}
	})
	return h, c
}

// TestAnIdleRoomCommitsSeveralTicksAtOnce: after a second without anybody a record has the ticks of half as long as nobody has been
// there, of four seconds in the end. No tick is lost, none counts as overdue, and the log is as good as any.
func TestAnIdleRoomCommitsSeveralTicksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, c := dozer(b, nil)
		go func() {
			for range 290 {
				time.Sleep(100 * time.Millisecond)
				if s := h.Stats(); s.Debt > 0 || len(s.Conditions) > 0 {
					t.Errorf("at tick %d: debt %d, %v", s.Tick, s.Debt, s.Conditions)
				}
			}
		}()
		if err := b.run(h, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		if n := c.count(); n < 780 || n > 901 { // the last doze ends with the host
			t.Errorf("%d ticks in thirty seconds", n)
		}
		before := 0
		for i, n := range c.sizes {
			if i < 30 && n != 1 || n > before/2+1 || n > 4*30+1 {
				t.Fatalf("record %d has %d ticks: %v", i, n, c.sizes)
			}
			before += n
		}
		if slices.Max(c.sizes) < 4*30-1 || len(c.sizes) > 50 {
			t.Errorf("it does not doze for four seconds: %v", c.sizes)
		}
		if s := h.Stats(); s.MaxDebt > 0 || s.Late > 0 || s.Skipped > 0 {
			t.Errorf("debt %d, %d late, skipped %d", s.MaxDebt, s.Late, s.Skipped)
		}
		b.check(walk(0))
	})
}

// TestWhatArrivesWakesARoom: a command is in the last tick that is due, or in the next, at whatever moment of the doze it comes, and is
// committed in its time; then the room is awake for a second.
func TestWhatArrivesWakesARoom(t *testing.T) {
	const period = time.Second / 30
	for after := range 10 {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			h, c := dozer(b, nil)
			var asked time.Time
			time.AfterFunc(3*time.Second+time.Duration(after)*31*time.Millisecond+time.Millisecond, func() {
				asked = time.Now()
				c.push()
			})
			if err := b.run(h, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			if len(c.taken) != 1 {
				t.Fatalf("the command is in the ticks %v", c.taken)
			}
			at := slices.IndexFunc(c.latest, func(x time.Time) bool { return !x.Before(asked) })
			if took := c.latest[at].Sub(asked); took > period+time.Millisecond {
				t.Errorf("a command that came %d × 31 ms into the fourth second was committed %v later", after, took)
			}
			first := c.released[0]
			for _, n := range c.sizes[:at] {
				first += uint64(n)
			}
			if last := first + uint64(c.sizes[at]) - 1; c.taken[0] != last {
				t.Errorf("it is in tick %d, but the next record has %d to %d", c.taken[0], first, last)
			}
			for i, n := range c.sizes[at+1 : at+23] {
				if n != 1 {
					t.Errorf("record %d after it has %d ticks", i, n)
				}
			}
			if slices.Max(c.sizes[at+1:]) < 2 {
				t.Errorf("it does not doze again: %v", c.sizes)
			}
			if s := h.Stats(); s.MaxDebt > 0 || s.Late > 0 {
				t.Errorf("it was woken with ticks that were due, and calls %d of them late, debt %d", s.Late, s.MaxDebt)
			}
			b.check(walk(0))
		})
	}
}

// TestWhoOnlyAsksDoesNotKeepARoomAwake: a list of rooms, each second, costs each of them a few records, not one for each tick.
func TestWhoOnlyAsksDoesNotKeepARoomAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, c := dozer(b, nil)
		var late atomic.Int64
		go func() {
			time.Sleep(10 * time.Second)
			for range 20 {
				asked, before := time.Now(), h.Stats().Tick
				(*c.comes.Load())()
				for h.Stats().Tick == before {
					time.Sleep(time.Millisecond)
				}
				late.Store(max(late.Load(), int64(time.Since(asked))))
				time.Sleep(time.Second - time.Since(asked))
			}
		}()
		if err := b.run(h, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		if late := time.Duration(late.Load()); late > 2*time.Second/30 {
			t.Errorf("who asked has waited for %v", late)
		}
		if n := len(c.sizes); n > 30+20+5*20 {
			t.Errorf("%d records in thirty seconds, in twenty of them it was asked: %v", n, c.sizes)
		}
		b.check(walk(0))
	})
}

// TestAHeavyRoomDozesShortly: what arrives waits for the ticks that are due, so they take ten milliseconds at most, if eight ticks do.
func TestAHeavyRoomDozesShortly(t *testing.T) {
	for work, most := range map[time.Duration]int{100 * time.Microsecond: 61, 300 * time.Microsecond: 31, time.Millisecond: 10, 5 * time.Millisecond: 8} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			game := walk(0)
			setup := game.Setup
			game.Setup = func(w *ecs.World) {
				setup(w)
				ecs.System(w, "work", func(t *ecs.Tick) { time.Sleep(work) })
			}
			h, c := dozer(b, func(c *HostConfig) { c.Game = game })
			if err := b.run(h, 20*time.Second); err != nil {
				t.Fatal(err)
			}
			if n := slices.Max(c.sizes); n > most || n < most/2 {
				t.Errorf("ticks of %v: records of up to %d ticks, want %d", work, n, most)
			}
		})
	}
}

// TestARoomThatChangesMuchDozesShortly: of many rooms each has a small ring, and no delta is lost because a doze fills it.
func TestARoomThatChangesMuchDozesShortly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		crew := NewCrew()
		defer crew.Close()
		crew.hosts.Add(crewRings / leastRing)
		h, c := dozer(b, func(cfg *HostConfig) { cfg.Crew, cfg.Config.Options = crew, []byte(`{"walkers":150}`) })
		if err := b.run(h, 20*time.Second); err != nil {
			t.Fatal(err)
		}
		if _, lost := h.ring.len(); lost > 0 || slices.Max(c.sizes) <= catchUp {
			t.Errorf("the delta stream lacks %d ticks; records of %v ticks", lost, c.sizes)
		}
	})
}

// tNews is a long message.
type tNews struct{ Bytes [20 << 10]uint8 }

// TestADozeThatSpeaksFitsIntoItsRecords: a room may begin to send long messages in the midst of a doze. Its record takes as many ticks
// as a record may, and the others follow at once. What arrives before is in the last tick that is due; what arrives with the first of
// these records is in one of the next.
func TestADozeThatSpeaksFitsIntoItsRecords(t *testing.T) {
	for _, arrives := range []string{"", "before", "between"} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			game := walk(0)
			setup := game.Setup
			game.Setup = func(w *ecs.World) {
				setup(w)
				ecs.Outgoing[tNews](w, "news")
				ecs.System(w, "tell", func(t *ecs.Tick, o *ecs.Outbox[tNews]) {
					if t.Now() >= 400 && t.Now() < 700 {
						o.Send("lobby", tNews{})
					}
				})
			}
			h, c := dozer(b, func(cfg *HostConfig) { cfg.Game = game })
			switch arrives {
			case "before":
				time.AfterFunc(13500*time.Millisecond, c.push) // in tick 406
			case "between":
				c.loud = c.push
			}
			if err := b.run(h, 30*time.Second); err != nil {
				t.Fatal(err)
			}
			if s := h.Stats(); c.count() < 780 || s.Skipped > 0 || s.Late > 0 || s.MaxDebt > 0 {
				t.Errorf("%d ticks, %d skipped, %d late, debt %d: %v", c.count(), s.Skipped, s.Late, s.MaxDebt, c.sizes)
			}
			if want := map[string]uint64{"before": 406, "between": 433}[arrives]; want > 0 && !slices.Equal(c.taken, []uint64{want}) {
				t.Errorf("what arrived %s is in the ticks %v", arrives, c.taken)
			}
			b.check(game)
		})
	}
}

// TestDozesEndTogether: the dozes of a crew's rooms end at few moments, evenly spread, and each after its own.
func TestDozesEndTogether(t *testing.T) {
	origin := time.Unix(1000, 0)
	ends := map[time.Time]int{}
	for i := range 800 {
		phase := float64(i) / 800
		for _, after := range []time.Duration{0, time.Nanosecond, 2 * time.Second, 100*time.Second + time.Duration(i)} {
			now := origin.Add(after)
			end := dozeEnd(origin, now, 4*time.Second, phase)
			if end.Before(now) || end.Sub(now) >= 4*time.Second {
				t.Fatalf("a doze of phase %v begins %v after the origin and ends %v later", phase, after, end.Sub(now))
			}
			if after == 0 {
				ends[end]++
			}
		}
	}
	if len(ends) != 80 {
		t.Errorf("dozes end at %d moments", len(ends))
	}
	for end, n := range ends {
		if n != 10 || end.Sub(origin)%(50*time.Millisecond) != 0 {
			t.Errorf("%d dozes end %v after the origin", n, end.Sub(origin))
		}
	}
}

// TestADozingRoomEndsInTime: limits hold to the tick, and an end that is asked for comes at once.
func TestADozingRoomEndsInTime(t *testing.T) {
	for name, l := range map[string]Limits{"its time": {Ticks: 77}, "nobody there": {IdleTicks: 83}} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			h, c := dozer(b, func(cfg *HostConfig) { cfg.Limits = l })
			if err := b.run(h, time.Minute); !errors.Is(err, ErrEnded) {
				t.Fatal(err)
			}
			if n, want := c.count(), int(l.Ticks+l.IdleTicks); n != want || slices.Max(c.sizes) < 8 {
				t.Errorf("%s: it ended after %d ticks, want %d: %v", name, n, want, c.sizes)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _ := dozer(b, nil)
		time.AfterFunc(3*time.Second+50*time.Millisecond, func() { h.Close(t.Context(), "") })
		began := time.Now()
		if err := b.run(h, time.Minute); !errors.Is(err, ErrEnded) {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second+60*time.Millisecond {
			t.Errorf("it was closed after %v", took)
		}
	})
}

// TestADozingRoomIsGivenUpWithItsLease: at once, not at the end of the doze.
func TestADozingRoomIsGivenUpWithItsLease(t *testing.T) {
	for after := range 4 {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			var m *Member
			h, _ := dozer(b, func(cfg *HostConfig) { m = cfg.Lease.(*Member) })
			until := time.Now().Add(20*time.Second + time.Duration(after)*900*time.Millisecond)
			go func() { // renew the lease as a node does, whatever its hosts do
				for ; time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
					m.State()
				}
				m.Cut()
			}()
			if err := b.run(h, time.Minute); !errors.Is(err, ErrLeaseLost) {
				t.Fatal(err)
			}
			held := m.State()
			if late := time.Since(held.Sent.Add(held.TTL - h.margin(held.TTL))); late > 100*time.Millisecond {
				t.Errorf("it was given up %v after its lease was lost", late)
			}
		})
	}
}

// TestOnlyARoomThatMayDozes: neither a shard that is not asked to, nor one whose frontend cannot wake it, nor one that speaks.
func TestOnlyARoomThatMayDozes(t *testing.T) {
	speaks := walk(0)
	setup := speaks.Setup
	speaks.Setup = func(w *ecs.World) {
		setup(w)
		ecs.Outgoing[tPush](w, "said")
		ecs.System(w, "say", func(t *ecs.Tick, o *ecs.Outbox[tPush]) {
			if t.Now()%29 == 0 {
				o.Send("lobby", tPush{1})
			}
		})
	}
	for name, change := range map[string]func(*HostConfig){
		"not asked to":        func(c *HostConfig) { c.Doze = false },
		"nobody can wake it":  func(c *HostConfig) { c.Frontend = &players{} },
		"it speaks at times":  func(c *HostConfig) { c.Game = speaks },
		"a slow one, of 1 Hz": func(c *HostConfig) { c.Game.TickRate = 1 },
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			var sizes *[]int
			h, c := dozer(b, func(cfg *HostConfig) {
				change(cfg)
				if p, ok := cfg.Frontend.(*players); ok {
					sizes = &p.sizes
				}
			})
			if sizes == nil {
				sizes = &c.sizes
			}
			if err := b.run(h, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			if len(*sizes) < 5 || slices.Max(*sizes) > 1 {
				t.Errorf("%s: records of %v ticks", name, *sizes)
			}
		})
	}
}

// TestARoomThatTakesTooLongRests: it works half of the time at most, and is told; one that only catches up does not rest.
func TestARoomThatTakesTooLongRests(t *testing.T) {
	for _, room := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			game := walk(0)
			setup := game.Setup
			game.Setup = func(w *ecs.World) {
				setup(w)
				ecs.System(w, "amok", func(t *ecs.Tick) {
					if t.Now() > 30 {
						time.Sleep(10 * time.Second / 30)
					}
				})
			}
			h, c := dozer(b, func(c *HostConfig) { c.Game, c.Doze = game, room })
			var told []Condition
			time.AfterFunc(15*time.Second, func() { told = h.Stats().Conditions })
			if err := b.run(h, 31*time.Second); err != nil {
				t.Fatal(err)
			}
			share := h.Work().Seconds() / 30
			if room && (share > 0.7 || share < 0.4) || !room && share < 0.9 {
				t.Errorf("room %v: it works %.0f %% of the time", room, 100*share)
			}
			if last := c.sizes[len(c.sizes)-1]; (last == 1) != room {
				t.Errorf("room %v: in the end its records have %d ticks", room, last)
			}
			if i := slices.IndexFunc(told, func(c Condition) bool { return c.Kind == Behind }); i < 0 {
				t.Errorf("it is not told: %v", told)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		var held atomic.Bool
		game := walk(0)
		setup := game.Setup
		game.Setup = func(w *ecs.World) {
			setup(w)
			ecs.System(w, "stall", func(t *ecs.Tick) {
				time.Sleep(5 * time.Millisecond)
				if t.Now() == 60 && held.CompareAndSwap(false, true) {
					time.Sleep(850 * time.Millisecond)
				}
			})
		}
		h, c := dozer(b, func(c *HostConfig) { c.Game = game })
		if err := b.run(h, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		// The stall is in the record of a doze, and takes the time of twenty-six ticks. The room does not rest for it: that would be
		// more than a host catches up.
		if s := h.Stats(); s.Skipped > 0 || s.Late < 8 || s.Late > 30 || c.count() < 280 {
			t.Errorf("after one stall: %d ticks, %d late, %d skipped", c.count(), s.Late, s.Skipped)
		}
	})
}
