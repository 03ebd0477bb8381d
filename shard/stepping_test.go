package shard

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/ecs"
)

// TestAStepThatDoesNotEndIsTold: other goroutines see a hung step while it lasts.
func TestAStepThatDoesNotEndIsTold(t *testing.T) {
	var s stepping
	now := time.Now()
	if _, ok := s.condition("main", now.Add(time.Hour)); ok {
		t.Error("no step has begun")
	}
	s.begin(nil, 7)
	if _, ok := s.condition("main", now.Add(time.Second)); ok {
		t.Error("a second is no hang")
	}
	c, ok := s.condition("main", now.Add(5*time.Second))
	if !ok || c.Kind != Hung || !c.Stops || Healthy([]Condition{c}) || !strings.HasPrefix(c.Text, "the step of tick 7 of shard main has run since ") {
		t.Errorf("%+v, %v", c, ok)
	}
	s.end()
	if _, ok := s.condition("main", now.Add(time.Hour)); ok {
		t.Error("the step has ended")
	}
}

// hanging returns the game walk with a system that waits in a tick until the gate opens.
func hanging(tick uint64, gate chan struct{}) ecs.Game {
	game := walk(0)
	setup := game.Setup
	game.Setup = func(w *ecs.World) {
		setup(w)
		ecs.System(w, "hang", func(t *ecs.Tick) {
			if t.Now() == tick {
				<-gate
			}
		})
	}
	return game
}

// TestAStopEndsAHostWhoseStepHangs: it waits StopTimeout, names the tick and the system, and hands the shard over. What the step
// does when it ends after all reaches nobody.
func TestAStopEndsAHostWhoseStepHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, gate := newTestbed(t), make(chan struct{})
		game := hanging(10, gate)
		with := func(c *HostConfig) { c.Game = game }
		h, p, _ := b.host("a", with)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- h.Run(ctx) }()
		time.Sleep(4 * time.Second)
		if all := h.Stats().Conditions; len(all) == 0 || all[0].Kind != Hung || !strings.Contains(all[0].Text, "the step of tick 10 of shard main has run since ") || !strings.Contains(all[0].Text, ", now in system hang: ") {
			t.Errorf("while it hangs: %+v", all)
		}
		err := <-done
		if took := time.Since(began) - time.Second; took < DefaultStopTimeout || took > DefaultStopTimeout+time.Second {
			t.Errorf("it ended %s after the stop", took)
		}
		for _, part := range []string{"tick 10 of shard main", "now in system hang", "within 5s of the stop", "every committed tick is in the log"} {
			if !errors.Is(err, ErrHung) || !strings.Contains(err.Error(), part) {
				t.Errorf("the reason is %v, without %q", err, part)
			}
		}
		if n := p.count(); n != 9 || len(p.disowned) != 1 {
			t.Errorf("%d ticks were released, and the frontend was told %v", n, p.disowned)
		}

		game = walk(0) // the mended build
		h2, p2, _ := b.host("b", with)
		done2 := make(chan error, 1)
		ctx2, cancel2 := context.WithCancel(t.Context())
		defer cancel2()
		go func() { done2 <- h2.Run(ctx2) }()
		time.Sleep(100 * time.Millisecond) // in less than the lease lasts
		p2.mu.Lock()
		released := slices.Clone(p2.released)
		p2.mu.Unlock()
		if len(released) == 0 || released[0] != 10 {
			t.Errorf("the successor released %v", released)
		}
		close(gate)
		time.Sleep(time.Second)
		cancel2()
		if err := <-done2; err != nil {
			t.Errorf("the successor: %v", err)
		}
		if n := p.count(); n != 9 {
			t.Errorf("the step that was given up had effects: %d ticks", n)
		}
		b.check(walk(0))
	})
}

// hangingLatch is a frontend that waits, in a tick, until the gate opens.
type hangingLatch struct {
	Frontend
	tick uint64
	gate chan struct{}
}

func (f hangingLatch) Latch(w *ecs.World, tick uint64, dst []ecs.Command, budgetBytes int) []ecs.Command {
	if tick == f.tick {
		<-f.gate
	}
	return f.Frontend.Latch(w, tick, dst, budgetBytes)
}

// TestAStopEndsAHostWhoseCommandsHang: the game's check of a command may hang like its systems.
func TestAStopEndsAHostWhoseCommandsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, gate := newTestbed(t), make(chan struct{})
		h, p, _ := b.host("a", func(c *HostConfig) { c.Frontend = hangingLatch{c.Frontend, 10, gate} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		time.Sleep(4 * time.Second)
		if all := h.Stats().Conditions; len(all) == 0 || all[0].Kind != Hung || !strings.Contains(all[0].Text, "the step of tick 10 of shard main has run since ") {
			t.Errorf("while it hangs: %+v", all)
		}
		if err := <-done; !errors.Is(err, ErrHung) || len(p.disowned) != 1 {
			t.Errorf("it ended with %v, and the frontend was told %v", err, p.disowned)
		}
		close(gate)
		time.Sleep(time.Second)
		if n := p.count(); n != 9 {
			t.Errorf("the tick that was given up had effects: %d ticks", n)
		}
		b.check(walk(0))
	})
}

// TestAStepThatEndsAfterTheStopIsCommitted: a stop waits for a step that is slow.
func TestAStepThatEndsAfterTheStopIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, gate := newTestbed(t), make(chan struct{})
		h, p, _ := b.host("a", func(c *HostConfig) { c.Game = hanging(10, gate) })
		time.AfterFunc(time.Second+DefaultStopTimeout-100*time.Millisecond, func() { close(gate) })
		if err := b.run(h, time.Second); err != nil {
			t.Fatal(err)
		}
		if p.count() != 10 {
			t.Errorf("%d ticks were released, want 10", p.count())
		}
	})
}

// TestAStopEndsARecoveryThatHangs: another build hangs in a tick that is in the log.
func TestAStopEndsARecoveryThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, gate := newTestbed(t), make(chan struct{})
		h, _, _ := b.host("a", func(c *HostConfig) { c.Game = hanging(0, gate) })
		if err := b.run(h, time.Second); err != nil {
			t.Fatal(err)
		}
		h, _, _ = b.host("b", func(c *HostConfig) { c.Game = hanging(10, gate) })
		if err := b.run(h, time.Second); !errors.Is(err, ErrHung) || !strings.Contains(err.Error(), "tick 10 of shard main") {
			t.Errorf("the reason is %v", err)
		}
		close(gate)
		h, p, _ := b.host("c", func(c *HostConfig) { c.Game = hanging(0, gate) })
		if err := b.run(h, time.Second); err != nil || p.count() == 0 {
			t.Errorf("the successor: %v, %d ticks", err, p.count())
		}
	})
}
