package ecs

import "testing"

// TestMeasureTimesSystemsAndHandlers: the slowest comes first, what was not called is not listed, and measuring does
// not change the world.
func TestMeasureTimesSystemsAndHandlers(t *testing.T) {
	now := int64(0)
	game := Game{Name: "timed", TickRate: 30, Setup: func(w *World) {
		System(w, "short", func(*Tick) { now += 10 })
		System(w, "long", func(*Tick) { now += 300 })
	}}
	plain, err := New(game, Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(game, Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.Step(Frame{Tick: 1}) // not measured
	w.Measure(func() int64 { return now })
	w.Step(Frame{Tick: 2})
	w.Step(Frame{Tick: 3})
	got := w.Slowest(5)
	want := []Spent{{"long", 2, 600}, {"short", 2, 20}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("measured %v, want %v", got, want)
	}
	w.Measure(nil)
	w.Step(Frame{Tick: 4})
	if left := w.Slowest(5); len(left) != 0 {
		t.Errorf("after the measurement: %v", left)
	}
	for tick := uint64(1); tick <= 4; tick++ {
		plain.Step(Frame{Tick: tick})
	}
	if plain.Checksum() != w.Checksum() {
		t.Error("a measured world computes something else")
	}
}
