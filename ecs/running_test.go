package ecs_test

import (
	"testing"

	"github.com/ferris1/wind/ecs"
)

// TestOthersSeeWhatAStepRuns: while a function of the game does not return, another goroutine learns its name.
func TestOthersSeeWhatAStepRuns(t *testing.T) {
	type nudge struct{}
	in, open := make(chan struct{}), make(chan struct{})
	wait := func() { in <- struct{}{}; <-open }
	w, err := ecs.New(ecs.Game{Name: "g", TickRate: 30, Setup: func(w *ecs.World) {
		ecs.Init(w, func(*ecs.Tick) { wait() })
		ecs.Handle[nudge](w, "nudge", func(*ecs.Tick, *ecs.Cmd[nudge]) { wait() })
		ecs.System(w, "first", func(*ecs.Tick) { wait() })
		ecs.System(w, "breaks", func(*ecs.Tick) { defer wait(); panic("oh") })
	}}, ecs.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if s := w.Running(); s != "" {
		t.Errorf("before the step it runs %q", s)
	}
	done := make(chan struct{})
	f := ecs.Frame{Tick: 1, Commands: []ecs.Command{ecs.NewCommand(w, ecs.Source{Kind: ecs.SourceOperator, ID: 1}, 1, nudge{})}}
	go func() { w.Step(f); close(done) }()
	for _, want := range []string{"init", "command nudge", "system first", "system breaks"} {
		<-in
		if s := w.Running(); s != want {
			t.Errorf("it runs %q, want %q", s, want)
		}
		open <- struct{}{}
	}
	<-done
	if s := w.Running(); s != "" {
		t.Errorf("after the step it runs %q", s)
	}
}
