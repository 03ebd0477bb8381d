package shard

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ferris1/wind/ecs"
)

// TestASlowShardSaysSo: ticks that take too long raise the condition behind, which names the slowest systems. It ends when
// ticks are on time again and none is overdue.
func TestASlowShardSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t)
		slow := time.Now().Add(time.Second)
		fast := slow.Add(10 * time.Second)
		game := walk(0)
		setup := game.Setup
		game.Setup = func(w *ecs.World) {
			setup(w)
			ecs.System(w, "ponder", func(*ecs.Tick) {
				if now := time.Now(); now.After(slow) && now.Before(fast) {
					time.Sleep(40 * time.Millisecond)
				}
			})
			ecs.System(w, "blink", func(*ecs.Tick) { time.Sleep(time.Millisecond) })
		}
		h, _, _ := b.host("a", func(cfg *HostConfig) { cfg.Game = game })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()

		time.Sleep(time.Second)
		if all := h.Stats().Conditions; len(all) != 0 {
			t.Errorf("all is well, and it says %+v", all)
		}
		time.Sleep(6 * time.Second)
		is := find(h.Stats().Conditions, Behind)
		for _, part := range []string{"shard main is behind by ", "a tick's work takes 41.0 ms", "and a tick has 33.3 ms", "the slowest systems are ponder (40.0 ms), blink (1.0 ms)"} {
			if !strings.Contains(is.Text, part) {
				t.Errorf("no %q in %q", part, is.Text)
			}
		}
		if since := is.Since.Sub(slow); since < 0 || since > time.Second {
			t.Errorf("it began %s after the first slow tick", since)
		}
		for range 20 { // it does not come and go
			time.Sleep(100 * time.Millisecond)
			if find(h.Stats().Conditions, Behind).Text == "" {
				t.Fatal("the condition is gone while ticks are slow")
			}
		}
		time.Sleep(8 * time.Second)
		if s := h.Stats(); len(s.Conditions) != 0 || s.Debt != 0 || s.MaxDebt < 15 {
			t.Errorf("ticks are fast again, and it says %+v (debt %d, %d at worst)", s.Conditions, s.Debt, s.MaxDebt)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
