package shard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

type tResult struct{ Ticks uint64 }

// ending is the game of the other tests, which ends its room in a tick; 0: never.
func ending(tick uint64) ecs.Game {
	g := walk(0)
	setup := g.Setup
	g.Setup = func(w *ecs.World) {
		setup(w)
		ecs.Outgoing[tResult](w, "walked")
		ecs.System(w, "end", func(t *ecs.Tick) {
			if t.Now() == tick {
				t.End(tResult{t.Now()})
			}
		})
	}
	return g
}

// TestARoomEndsInItsLog: whatever ends it, its last tick is released, its deltas are complete, and the seal says why. No other
// host claims it.
func TestARoomEndsInItsLog(t *testing.T) {
	for name, c := range map[string]struct {
		game   uint64 // ends it in this tick
		limits Limits
		close  time.Duration // somebody closes it then
		reason persistence.EndReason
		tick   uint64 // 0: any
	}{
		"by its game":          {game: 40, reason: persistence.EndResult, tick: 40},
		"by its game, at last": {game: 40, limits: Limits{Ticks: 40, IdleTicks: 40}, reason: persistence.EndResult, tick: 40},
		"by its time":          {limits: Limits{Ticks: 45}, reason: persistence.EndLimit, tick: 45},
		"because nobody came":  {limits: Limits{Ticks: 45, IdleTicks: 30}, reason: persistence.EndIdle, tick: 30},
		"by an operator":       {close: time.Second, reason: persistence.EndClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestbed(t)
				with := func(h *HostConfig) { h.Game, h.Limits = ending(c.game), c.limits }
				h, p, _ := b.host("a", with)
				if c.close > 0 {
					time.AfterFunc(c.close, func() { h.Close(t.Context(), "game/game-1") })
				}
				if err := b.run(h, time.Minute); !errors.Is(err, ErrEnded) {
					t.Fatalf("the host ended with %v", err)
				}
				last := p.released[len(p.released)-1]
				log := b.store.Log()
				end, err := log.Last(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				m, err := log.Get(t.Context(), end)
				if err != nil {
					t.Fatal(err)
				}
				r, err := persistence.DecodeRecord(m.Body)
				if err != nil || r.Seal == nil {
					t.Fatalf("the log ends with %+v, %v", r, err)
				}
				if s := r.Seal; s.Reason != c.reason || s.Tick != last || c.tick > 0 && last != c.tick || s.Node != "a" || (s.By != "") != (c.close > 0) {
					t.Errorf("after tick %d the log is sealed with %+v", last, s)
				}
				if s := r.Seal; c.game > 0 && (s.Result == nil || s.Result.Name != "walked" || s.Result.Payload[0] != 40) {
					t.Errorf("the result is %+v", s.Result)
				}
				if d, _, err := b.store.Deltas().Last(t.Context()); err != nil || d.Tick != last {
					t.Errorf("the last delta is of tick %d, %v", d.Tick, err)
				}
				if st := b.coord.Standing(); st.Owner != "" || st.High.Seq != end || st.Attempt.Tick != 0 {
					t.Errorf("the service knows %+v; the log ends at %d", st, end)
				}
				if len(p.disowned) != 1 || !errors.Is(p.disowned[0], ErrEnded) {
					t.Errorf("the clients were told %v", p.disowned)
				}
				next, np, _ := b.host("b", with)
				if err := b.run(next, time.Minute); !errors.Is(err, ErrEnded) || len(np.owned) > 0 || b.coord.Standing().Epoch != 1 {
					t.Errorf("another host: %v, owned %v, epoch %d", err, np.owned, b.coord.Standing().Epoch)
				}
				if h.Close(context.Background(), "") {
					t.Error("a room that is over is closed again")
				}
				b.check(ending(c.game))
			})
		})
	}
}

// TestASuccessorSealsWhatHasEnded: the first owner dies between the last tick and the seal.
func TestASuccessorSealsWhatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		with := func(h *HostConfig) { h.Game = ending(40) }
		h, p, _ := b.host("a", func(c *HostConfig) { with(c); c.Log = &noSeal{b.store.Log()} })
		if err := b.run(h, 3*time.Second); err != nil {
			t.Fatalf("the host whose seal finds no room ended with %v", err)
		}
		next, np, _ := b.host("b", with)
		if err := b.run(next, time.Minute); !errors.Is(err, ErrEnded) {
			t.Fatal(err)
		}
		if len(np.owned) > 0 || len(p.released) != 40 {
			t.Errorf("the successor served %v; %d ticks were released", np.owned, len(p.released))
		}
		b.check(ending(40))
	})
}

// TestASuccessorOfARoomWhoseTimeWasOverSealsIt: the first owner dies between the tick that the limit names and the seal. Not one more
// tick is played.
func TestASuccessorOfARoomWhoseTimeWasOverSealsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		with := func(h *HostConfig) { h.Limits = Limits{Ticks: 40} }
		h, p, _ := b.host("a", func(c *HostConfig) { with(c); c.Log = &noSeal{b.store.Log()} })
		if err := b.run(h, 3*time.Second); err != nil {
			t.Fatalf("the host whose seal finds no room ended with %v", err)
		}
		next, np, _ := b.host("b", with)
		if err := b.run(next, time.Minute); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "after tick 40: its time was over") {
			t.Error(err)
		}
		if len(p.released) != 40 || len(np.released) > 0 {
			t.Errorf("%d ticks, and %d of the successor", len(p.released), len(np.released))
		}
		b.check(walk(0))
	})
}

// TestARoomIsClosedWhileItsLogIsFull: the record that finds no room is given up. Nothing of it was released.
func TestARoomIsClosedWhileItsLogIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", func(c *HostConfig) { c.Log = &onlySeals{b.store.Log(), 60} })
		time.AfterFunc(5*time.Second, func() {
			if !h.Close(t.Context(), "") {
				t.Error("it cannot be closed")
			}
		})
		if err := b.run(h, time.Minute); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "after tick 59: it was closed") {
			t.Fatal(err)
		}
		if last := p.released[len(p.released)-1]; last != 59 {
			t.Errorf("the last tick released is %d", last)
		}
		next, _, _ := b.host("b", nil)
		if err := b.run(next, time.Minute); !errors.Is(err, ErrEnded) {
			t.Error(err)
		}
		b.check(walk(0))
	})
}

// onlySeals is a log that is full from a tick on, but for a seal: that of a room in a partition.
type onlySeals struct {
	persistence.LogWriter
	from uint64
}

func (l *onlySeals) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	if m.Header.Kind == persistence.KindTicks.String() && m.Header.LastTick >= l.from {
		return persistence.ErrFull
	}
	return l.LogWriter.Append(ctx, m, expect)
}

// TestARoomIsClosedByItsOwnerAlone: a host that waits or recovers has nothing to close. Whoever asks must hear that.
func TestARoomIsClosedByItsOwnerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		a, _, _ := b.host("a", nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		time.Sleep(time.Second)
		waits, _, _ := b.host("b", nil)
		time.AfterFunc(time.Second, func() {
			if waits.Close(t.Context(), "") {
				t.Error("a host that waits for the owner claims to close the room")
			}
		})
		if err := b.run(waits, 2*time.Second); err != nil {
			t.Error(err)
		}
		if !a.Close(t.Context(), "") {
			t.Error("the owner does not close it")
		}
		if err := <-done; !errors.Is(err, ErrEnded) {
			t.Error(err)
		}
		stop()
	})
}

// noSeal is a log in which a seal never finds room.
type noSeal struct{ persistence.LogWriter }

func (l *noSeal) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	if m.Header.Kind == persistence.KindSeal.String() {
		return persistence.ErrFull
	}
	return l.LogWriter.Append(ctx, m, expect)
}

// TestAHostThatDoesNotWaitGivesUp while another node owns the shard, without a claim.
func TestAHostThatDoesNotWaitGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		a, _, _ := b.host("a", nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		time.Sleep(time.Second)
		c, pc, _ := b.host("c", func(c *HostConfig) { c.NoWait = true })
		if err := b.run(c, time.Minute); !errors.Is(err, ErrOwned) || len(pc.owned) > 0 || b.coord.Standing().Epoch != 1 {
			t.Errorf("%v, owned %v", err, pc.owned)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAHostThatDoesNotWaitGivesUpAHaltedShard, and says how the halt is lifted.
func TestAHostThatDoesNotWaitGivesUpAHaltedShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		b.coord.Edit(func(s *Standing) { s.Halted = "two starts died" })
		a, p, _ := b.host("a", func(c *HostConfig) { c.NoWait = true })
		err := b.run(a, time.Minute)
		if !errors.Is(err, ErrHalted) || !strings.Contains(err.Error(), "two starts died") || len(p.owned) > 0 || b.coord.Standing().Epoch != 0 {
			t.Errorf("%v, owned %v", err, p.owned)
		}
	})
}

// TestARoomThatIsOverIsNotClaimed: its end is noted, even if its log has no seal because no node ever ran it.
func TestARoomThatIsOverIsNotClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		b.coord.Edit(func(s *Standing) { s.Ended = true })
		a, p, _ := b.host("a", nil)
		if err := b.run(a, time.Minute); !errors.Is(err, ErrEnded) || len(p.owned) > 0 || b.coord.Standing().Epoch != 0 {
			t.Errorf("%v, owned %v", err, p.owned)
		}
	})
}
