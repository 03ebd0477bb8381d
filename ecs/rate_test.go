package ecs_test

import (
	"strings"
	"testing"

	"github.com/ferris1/wind/ecs"
)

type rated struct {
	TickRate int32 `usage:"ticks per second" min:"0" max:"500"`
}

func TestAnOptionSetsTheTickRate(t *testing.T) {
	var seen []int
	g := ecs.Game{
		Name: "rated", TickRate: 30, Options: rated{30}, Rate: func(o any) int { return int(o.(rated).TickRate) },
		Setup: func(w *ecs.World) { seen = append(seen, w.Game().TickRate) },
	}
	for options, want := range map[string]int{"": 30, `{}`: 30, `{"tick-rate":128}`: 128} {
		w, err := ecs.New(g, ecs.Config{Options: []byte(options)})
		if err != nil {
			t.Fatal(err)
		}
		again, err := ecs.Restore(g, w.AppendSnapshot(nil))
		if err != nil {
			t.Fatal(err)
		}
		with, err := g.With([]byte(options))
		if err != nil || with.TickRate != want || w.Game().TickRate != want || again.Game().TickRate != want {
			t.Errorf("options %s: %d, %d and %d ticks per second, %v, want %d", options, with.TickRate, w.Game().TickRate, again.Game().TickRate, err, want)
		}
		if len(seen) < 2 || seen[0] != want || seen[1] != want {
			t.Errorf("options %s: Setup saw %v, want %d", options, seen, want)
		}
		seen = nil
	}
	for _, bad := range []string{`{"tick-rate":0}`, `{"tick-rate":241}`} {
		if _, err := ecs.New(g, ecs.Config{Options: []byte(bad)}); err == nil || !strings.Contains(err.Error(), "want 1 to 240") {
			t.Errorf("options %s: %v", bad, err)
		}
	}
}

// TestARateThatPanicsIsAnError: options come from whoever asks for a room.
func TestARateThatPanicsIsAnError(t *testing.T) {
	g := ecs.Game{
		Name: "rated", TickRate: 30, Options: rated{30}, Rate: func(o any) int { return int(60 / o.(rated).TickRate) }, Setup: func(*ecs.World) {},
	}
	if _, err := g.With([]byte(`{"tick-rate":0}`)); err == nil || !strings.Contains(err.Error(), "Rate panics for options") {
		t.Error(err)
	}
}
