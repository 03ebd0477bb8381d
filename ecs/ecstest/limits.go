package ecstest

import (
	"fmt"
	"slices"

	"github.com/ferris1/wind/ecs"
)

// nearLimit is the share of a limit above which a test fails: a real game has more players and runs longer than a test.
const nearLimit = 0.5

// Limits checks that the game stays below half of every limit of a world: those of World.Usage, and the size of a
// snapshot. It logs how close the game came to each.
func Limits(tb TB, g ecs.Game, c Config) {
	tb.Helper()
	c = start(tb, c)
	w := newWorld(tb, g, c, 7)
	play := newTraffic(c, 7)
	var peaks []ecs.Usage
	note := func(u ecs.Usage) {
		i := slices.IndexFunc(peaks, func(p ecs.Usage) bool { return p.Name == u.Name })
		if i < 0 {
			peaks = append(peaks, u)
		} else {
			peaks[i].Used = max(peaks[i].Used, u.Used)
		}
	}
	for i := range c.Ticks {
		w.Step(play.frame(w))
		for _, u := range w.Usage() {
			note(u)
		}
		if i%32 == 31 || i == c.Ticks-1 {
			note(ecs.Usage{Name: "bytes of a snapshot", Used: uint64(len(w.AppendSnapshot(nil))), Most: ecs.MaxSnapshotBytes})
		}
	}
	for _, p := range peaks {
		told := fmt.Sprintf("%s: %d of %d in %d ticks (%.3g %%)", p.Name, p.Used, p.Most, c.Ticks, 100*p.Share())
		if p.Share() > nearLimit {
			tb.Errorf("the game comes near a limit: %s; the test fails above %.0f %%", told, 100*nearLimit)
		} else {
			tb.Logf("%s", told)
		}
	}
}
