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
		if text := find(h.Stats().Conditions, Behind).Text; strings.Contains(text, "the rest") {
			t.Errorf("systems took the time, and it says %q", text)
		}
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

// TestALostProcessorIsNotBlamedOnSystems: if systems took little of a tick's work, the condition says so and names the rest.
func TestALostProcessorIsNotBlamedOnSystems(t *testing.T) {
	l := lag{ticks: 10, work: 696 * time.Millisecond, commit: 10 * time.Millisecond}
	said := l.explain([]ecs.Spent{{Name: "chase", Nanoseconds: 3e6}, {Name: "rise", Nanoseconds: 1e6}, {Name: "a"}, {Name: "b"}}, 30)
	want := "a tick's work takes 69.6 ms and its commit 1.0 ms, and a tick has 33.3 ms; the slowest systems are chase (0.3 ms), rise (0.1 ms), a (0.0 ms); " +
		"all systems took 0.4 ms: the rest is change detection, encoding and collecting garbage, or time in which the process got no processor"
	if said != want {
		t.Errorf("got  %s\nwant %s", said, want)
	}
}
