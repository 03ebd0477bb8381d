package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

func TestHostCommitsEveryTickBeforeItReleasesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", nil)
		p.disown = func() {
			if b.coord.Standing().Owner != "a" {
				t.Error("the shard was handed over before its clients were sent away")
			}
		}
		if err := b.run(h, 3*time.Second); err != nil {
			t.Fatal(err)
		}
		s := h.Stats()
		if s.Ticks < 90 || s.Ticks > 91 || s.Committed != s.Ticks || len(p.released) != int(s.Ticks) {
			t.Errorf("%d ticks, %d committed, %d released in 3 s at 30 per second", s.Ticks, s.Committed, len(p.released))
		}
		if !slices.Equal(p.owned, []uint64{1}) || len(p.disowned) != 1 || !errors.Is(p.disowned[0], ErrStopped) {
			t.Errorf("owned %v, disowned %v", p.owned, p.disowned)
		}
		if st := b.coord.Standing(); st.Owner != "" || st.High.Seq != s.LastSeq || st.Attempt.Tick != 0 {
			t.Errorf("after a stop in good order the service knows %+v, last sequence %d", st, s.LastSeq)
		}
		b.check(walk(0))
	})
}

// countedLog counts readings.
type countedLog struct {
	persistence.LogWriter
	reads int
}

func (l *countedLog) Read(ctx context.Context, from, to persistence.Seq) iter.Seq2[persistence.Message, error] {
	l.reads++
	return l.LogWriter.Read(ctx, from, to)
}

func TestSuccessorGoesOnWithAHigherEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", nil)
		if err := b.run(h, time.Second); err != nil {
			t.Fatal(err)
		}
		log := &countedLog{LogWriter: b.store.Log()}
		h2, p2, _ := b.host("b", func(c *HostConfig) { c.Config, c.Log = ecs.Config{}, log })
		if err := b.run(h2, time.Second); err != nil {
			t.Fatal(err)
		}
		if log.reads != 1 {
			t.Errorf("the log was read in %d pieces", log.reads)
		}
		if last := p.released[len(p.released)-1]; p2.released[0] != last+1 {
			t.Errorf("tick %d follows tick %d", p2.released[0], last)
		}
		if h2.Stats().Epoch != 2 {
			t.Errorf("epoch %d follows epoch 1", h2.Stats().Epoch)
		}
		b.check(walk(0))
	})
}

func TestStandbyTakesOverAtAStopAndAfterALostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		a, _, _ := b.host("a", nil)
		c, pc, mc := b.host("c", nil)
		d, pd, _ := b.host("d", nil)
		ctxA, stopA := context.WithCancel(t.Context())
		ctxD, stopD := context.WithCancel(t.Context())
		errA, errC, errD := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() { errA <- a.Run(ctxA) }()
		time.Sleep(time.Second)
		go func() { errC <- c.Run(t.Context()) }()
		time.Sleep(time.Second)
		if pc.count() > 0 {
			t.Fatal("two nodes made ticks at once")
		}
		stop := time.Now()
		stopA()
		if err := <-errA; err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if pc.count() == 0 {
			t.Errorf("no tick %s after the stop of the owner", time.Since(stop))
		}
		go func() { errD <- d.Run(ctxD) }()
		mc.Cut()
		if err := <-errC; !errors.Is(err, ErrLeaseLost) {
			t.Errorf("after its lease was cut: %v", err)
		}
		released := pc.count()
		time.Sleep(3 * time.Second)
		if pc.count() != released || pd.count() == 0 {
			t.Errorf("the owner without a lease released %d more, its successor %d", pc.count()-released, pd.count())
		}
		stopD()
		if err := <-errD; err != nil {
			t.Error(err)
		}
		b.check(walk(0))
	})
}

func TestDebtIsWorkedOffEightTicksAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", nil)
		p.latch = func(tick uint64) {
			if tick == 10 {
				time.Sleep(time.Second)
			}
		}
		if err := b.run(h, 3*time.Second); err != nil {
			t.Fatal(err)
		}
		s := h.Stats()
		if s.Ticks < 90 || s.MaxDebt < 28 || s.Debt != 0 {
			t.Errorf("%d ticks, debt %d, at worst %d", s.Ticks, s.Debt, s.MaxDebt)
		}
		if slices.Max(p.sizes) != catchUp {
			t.Errorf("records of %v ticks", p.sizes)
		}
		b.check(walk(0))
	})
}

// TestSuspendedHostCatchesUpOneSecondAndSkipsTheRest: a process that was suspended for 20 s does not run 600 ticks on repeated
// inputs.
func TestSuspendedHostCatchesUpOneSecondAndSkipsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		var log bytes.Buffer
		h, p, m := b.host("a", func(c *HostConfig) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		p.latch = func(tick uint64) {
			for second := 0; tick == 10 && second < 20; second++ {
				time.Sleep(time.Second)
				m.State() // the lease lives on
			}
		}
		if err := b.run(h, 22*time.Second); err != nil {
			t.Fatal(err)
		}
		s := h.Stats()
		// Two regular seconds and one caught up; no tick number is skipped.
		if s.Ticks < 85 || s.Ticks > 95 || s.Skipped < 565 || s.Skipped > 575 || s.MaxDebt > 30 || s.Tick != s.Ticks {
			t.Errorf("%d ticks to tick %d, %d skipped, debt %d at worst", s.Ticks, s.Tick, s.Skipped, s.MaxDebt)
		}
		if strings.Count(log.String(), "skips the excess time") != 1 || !strings.Contains(log.String(), "skipped=19") {
			t.Errorf("the log says\n%s", &log)
		}
		b.check(walk(0))
	})
}

func TestRecoveryBeginsAtASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", func(c *HostConfig) { c.SnapshotEvery = 25; c.Purge = true })
		if err := b.run(h, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if s := h.Stats(); s.Snapshots < 4 {
			t.Fatalf("%d snapshots in 150 ticks", s.Snapshots)
		}
		first, err := b.store.Log().First(t.Context())
		if err != nil || first == 1 {
			t.Errorf("the log begins at %d after a purge: %v", first, err)
		}
		h2, p2, _ := b.host("b", nil)
		if err := b.run(h2, time.Second); err != nil {
			t.Fatal(err)
		}
		if p2.released[0] != h.Stats().Tick+1 {
			t.Errorf("tick %d follows tick %d", p2.released[0], h.Stats().Tick)
		}
	})
}

// TestNothingIsPurgedBehindASnapshotThatCannotBeRestored: no snapshot restores after it is read back. The log keeps all its
// records, an operator is told, and the shard continues after a crash.
func TestNothingIsPurgedBehindASnapshotThatCannotBeRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		var log bytes.Buffer
		b.snapshots.broken = true
		h, p, _ := b.host("a", func(c *HostConfig) {
			c.SnapshotEvery, c.Purge = 25, true
			c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		})
		if err := b.run(h, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if first, err := b.store.Log().First(t.Context()); err != nil || first != 1 {
			t.Errorf("the log begins at %d: %v", first, err)
		}
		if s := h.Stats(); s.Snapshots != 0 || !strings.Contains(log.String(), "not proven: snapshot main/") {
			t.Errorf("%d snapshots count, the log says %s", s.Snapshots, &log)
		}
		h2, p2, _ := b.host("b", nil)
		if err := b.run(h2, time.Second); err != nil {
			t.Fatal(err)
		}
		if p2.released[0] != p.released[len(p.released)-1]+1 {
			t.Errorf("tick %d follows tick %d", p2.released[0], p.released[len(p.released)-1])
		}
	})
}

func TestAnotherBuildGoesOnWithTheDeltas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", nil)
		if err := b.run(h, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		h2, p2, _ := b.host("b", func(c *HostConfig) { c.Game = walk(31) })
		if err := b.run(h2, time.Second); err != nil {
			t.Fatal(err)
		}
		if s := h2.Stats(); s.Diverged != 31 || p2.released[0] != p.released[len(p.released)-1]+1 {
			t.Errorf("diverged at %d, went on with tick %d", s.Diverged, p2.released[0])
		}
	})
}

func TestDivergenceWithoutDeltasHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", func(c *HostConfig) { c.Deltas = nil })
		if err := b.run(h, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		h2, p2, _ := b.host("b", func(c *HostConfig) { c.Game = walk(31) })
		err := b.run(h2, time.Second)
		if !errors.Is(err, ErrHalted) || !errors.Is(err, persistence.ErrDiverged) || len(p2.released) > 0 {
			t.Errorf("%v, released %v", err, p2.released)
		}
	})
}

func TestNodeWaitsWhileTheShardIsHaltedAndGoesOnWhenTheHaltIsLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		b.coord.Edit(func(s *Standing) { s.Halted = "the roof leaks" })
		var told *alarms
		h, p, _ := b.host("a", func(c *HostConfig) { told = newAlarms(c) })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		time.Sleep(4 * time.Second)
		if p.count() > 0 || told.count("the roof leaks") != 1 || len(told.told) != 1 {
			t.Errorf("%d ticks of a halted shard, told %q", p.count(), told.told)
		}
		b.coord.Edit(func(s *Standing) { s.Halted = "" })
		time.Sleep(time.Second)
		stop()
		if err := <-done; err != nil || p.count() < 28 {
			t.Errorf("%d ticks in the second after the lift, then %v", p.count(), err)
		}
	})
}

func TestOtherOptionsThanGenesisAreRefusedByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", func(c *HostConfig) { c.Config.Options = []byte(`{"walkers":5}`) })
		if err := b.run(h, time.Second); err != nil {
			t.Fatal(err)
		}
		for name, refuse := range map[string]struct {
			config ecs.Config
			want   string
		}{
			"options": {ecs.Config{Options: []byte(`{"walkers":6}`)}, "shard: refused: other options: the shard has had walkers 5 since its genesis, 6 was asked for"},
			"seed":    {ecs.Config{Seed: 8}, "shard: refused: other options: the shard's seed has been 7 since its genesis, 8 was asked for"},
			"same":    {ecs.Config{Seed: 7, Options: []byte(`{"walkers":5}`)}, "<nil>"},
			"unnamed": {ecs.Config{Options: []byte(`{"step":0.5}`)}, "<nil>"},
		} {
			h, _, _ := b.host(name, func(c *HostConfig) { c.Config = refuse.config })
			if err := b.run(h, time.Second); fmt.Sprint(err) != refuse.want {
				t.Errorf("%s: %v, want %s", name, err, refuse.want)
			}
		}
		b.check(walk(0))
	})
}

// TestAnotherGameIsRefusedAndNoSnapshotIsBlamed: another game's start does not make a shard's snapshots bad, and a purged log
// does not count as lost.
func TestAnotherGameIsRefusedAndNoSnapshotIsBlamed(t *testing.T) {
	for _, purge := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestbed(t)
			h, _, _ := b.host("a", func(c *HostConfig) { c.SnapshotEvery, c.Purge = 25, purge })
			if err := b.run(h, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			h2, p2, _ := b.host("b", func(c *HostConfig) {
				c.Game.Name = "run"
				c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			})
			err := b.run(h2, time.Second)
			if fmt.Sprint(err) != "shard: refused: the shard's game is "+walk(0).Name+", but this node runs run: run the binary of that game, or begin another shard with --shard or --data" || p2.count() > 0 {
				t.Errorf("purged %v: it ends with %v after %d ticks", purge, err, p2.count())
			}
			if strings.Contains(log.String(), "alarm") || b.coord.Standing().Halted != "" {
				t.Errorf("purged %v: the shard is halted: %q, the log says:\n%s", purge, b.coord.Standing().Halted, &log)
			}
		})
	}
}

func TestSeedOfANewShardIsOneUnlessGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		for i, start := range []struct {
			seed uint64
			want string
		}{{0, "<nil>"}, {1, "<nil>"}, {0, "<nil>"}, {2, "shard: refused: other options: the shard's seed has been 1 since its genesis, 2 was asked for"}} {
			h, _, _ := b.host(fmt.Sprintf("n%d", i), func(c *HostConfig) { c.Config.Seed = start.seed })
			if err := b.run(h, time.Second); fmt.Sprint(err) != start.want {
				t.Errorf("start %d with seed %d: %v, want %s", i, start.seed, err, start.want)
			}
		}
		m, err := b.store.Log().Get(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := persistence.DecodeRecord(m.Body); err != nil || r.Genesis.Seed != DefaultSeed {
			t.Errorf("genesis %+v, %v", r, err)
		}
	})
}

// deafLog loses acknowledgements: every third append returns an ambiguous error, and half of those stored nothing.
type deafLog struct {
	persistence.LogWriter
	n     int
	found int
}

func (l *deafLog) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	l.n++
	switch l.n % 6 {
	case 2:
		return persistence.ErrAmbiguous
	case 5:
		_ = l.LogWriter.Append(ctx, m, expect)
		return persistence.ErrAmbiguous
	}
	return l.LogWriter.Append(ctx, m, expect)
}

func (l *deafLog) Acknowledged(persistence.Seq, persistence.Message) { l.found++ }

func TestLostAcknowledgementsLoseAndDoubleNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		log := &deafLog{LogWriter: b.store.Log()}
		h, p, _ := b.host("a", func(c *HostConfig) { c.Log = log })
		if err := b.run(h, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		for i, tick := range p.released {
			if tick != uint64(i)+1 {
				t.Fatalf("released %v", p.released)
			}
		}
		if s := h.Stats(); s.Committed != s.Ticks || log.found == 0 {
			t.Errorf("%d of %d ticks committed, %d found by reading", s.Committed, s.Ticks, log.found)
		}
		b.check(walk(0))
	})
}

func TestFencedOwnerReleasesNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", nil)
		h2, p2, _ := b.host("b", nil)
		done := make(chan error, 2)
		go func() { done <- h.Run(t.Context()) }()
		time.Sleep(time.Second)
		b.coord.Edit(func(s *Standing) { s.Owner, s.OwnerLease = "", 0 }) // a takeover; the lease lives on
		ctx, stop := context.WithCancel(t.Context())
		go func() { done <- h2.Run(ctx) }()
		err := <-done
		if !errors.Is(err, ErrFenced) || !errors.Is(p.disowned[0], ErrFenced) {
			t.Errorf("the old owner: %v, told its clients %v", err, p.disowned)
		}
		time.Sleep(time.Second)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if p2.released[0] != p.released[len(p.released)-1]+1 {
			t.Errorf("tick %d follows tick %d", p2.released[0], p.released[len(p.released)-1])
		}
		b.check(walk(0))
	})
}

func TestShorterLogIsHaltedUntilTheLossIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", nil)
		if err := b.run(h, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		cut := persistence.NewMemory()
		for m, err := range b.store.Log().Read(t.Context(), 1, 20) {
			if err == nil {
				err = cut.Log().Append(t.Context(), m, m.Seq-1)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		h2, _, _ := b.host("b", func(c *HostConfig) { c.Log = cut.Log() })
		if err := b.run(h2, 10*time.Second); !errors.Is(err, persistence.ErrLost) || !errors.Is(err, ErrHalted) {
			t.Fatalf("a cut log: %v", err)
		}
		b.coord.Edit(func(s *Standing) { s.Halted, s.Accepted = "", []persistence.Mark{{Seq: 20, Epoch: s.Epoch}} })
		h3, p3, _ := b.host("c", func(c *HostConfig) { c.Log = cut.Log() })
		if err := b.run(h3, time.Second); err != nil {
			t.Fatal(err)
		}
		if p3.released[0] != 19 {
			t.Errorf("after records 1 to 20 came tick %d", p3.released[0])
		}
	})
}

func TestTwoStartsThatDieInTheSameTickHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, _, _ := b.host("a", nil)
		if err := b.run(h, time.Second); err != nil {
			t.Fatal(err)
		}
		die := func(id string) {
			h, p, _ := b.host(id, nil)
			p.latch = func(uint64) { panic("the process dies") }
			defer func() {
				if recover() == nil {
					t.Errorf("%s lived", id)
				}
				time.Sleep(6 * time.Second) // its lease ends
			}()
			_ = h.run(t.Context()) // on this goroutine, which recovers
		}
		die("b")
		die("c")
		h4, _, _ := b.host("d", nil)
		err := b.run(h4, 5*time.Second)
		if !errors.Is(err, ErrHalted) {
			t.Fatalf("the third start: %v", err)
		}
		const way = "wind shard resume main"
		if !strings.Contains(err.Error(), way) || strings.Contains(b.coord.Standing().Halted, way) {
			t.Errorf("the way out is not in %q, or in the note %q", err, b.coord.Standing().Halted)
		}
		var told *alarms
		h4, p4, _ := b.host("d2", func(c *HostConfig) { told = newAlarms(c) })
		if err := b.run(h4, 5*time.Second); err != nil || p4.count() > 0 || told.count(way) != 1 || strings.Count(told.told[0], way) != 1 {
			t.Errorf("the fourth start made %d ticks, was told %q and ended with %v", p4.count(), told.told, err)
		}
		b.coord.Edit(func(s *Standing) { s.Halted = "" })
		h5, _, _ := b.host("e", nil)
		if err := b.run(h5, time.Second); err != nil {
			t.Fatalf("after an operator has looked: %v", err)
		}
	})
}

// deadlyLog kills its process when it should store ticks, like a kill -9 while the record is in flight.
type deadlyLog struct{ persistence.LogWriter }

func (l deadlyLog) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	if m.Header.Kind == persistence.KindTicks.String() {
		time.Sleep(100 * time.Millisecond)
		panic("killed")
	}
	return l.LogWriter.Append(ctx, m, expect)
}

func TestStartsThatAreKilledWhileTheyCommitHaltNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		h, p, _ := b.host("a", nil)
		if err := b.run(h, time.Second); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			func() {
				h, _, _ := b.host(fmt.Sprintf("k%d", i), func(c *HostConfig) { c.Log = deadlyLog{c.Log} })
				defer func() {
					if recover() == nil {
						t.Errorf("start %d lived", i)
					}
					time.Sleep(6 * time.Second) // its lease ends
				}()
				t.Errorf("start %d: %v", i, h.run(t.Context())) // on this goroutine, which recovers
			}()
		}
		h2, p2, _ := b.host("b", nil)
		if err := b.run(h2, time.Second); err != nil || p2.released[0] != p.released[len(p.released)-1]+1 {
			t.Fatalf("after four kills: %v", err)
		}
		b.check(walk(0))
	})
}

// narrowLog has no room while it is full.
type narrowLog struct {
	persistence.LogWriter
	full atomic.Bool
}

func (l *narrowLog) Append(ctx context.Context, m persistence.Message, expect persistence.Seq) error {
	if l.full.Load() {
		return persistence.ErrFull
	}
	return l.LogWriter.Append(ctx, m, expect)
}

func TestFullLogHoldsTheTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		log := &narrowLog{LogWriter: b.store.Log()}
		h, p, _ := b.host("a", func(c *HostConfig) { c.Log = log })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		done := make(chan error)
		go func() { done <- h.Run(ctx) }()
		time.Sleep(5 * time.Second)
		log.full.Store(true)
		time.Sleep(time.Second)
		held := p.count()
		time.Sleep(time.Second)
		if s := h.Stats(); p.count() != held || s.Phase != "own" || s.Committed != uint64(held) {
			t.Errorf("with a full log: %d released, then %d, phase %s", held, p.count(), s.Phase)
		}
		log.full.Store(false)
		time.Sleep(8 * time.Second)
		if s := h.Stats(); s.Debt > 1 || p.count() < 400 {
			t.Errorf("with room again: debt %d, %d ticks", s.Debt, p.count())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
