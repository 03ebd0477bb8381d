package ecstest

import (
	"bytes"
	"slices"

	"github.com/ferris1/wind/ecs"
)

// Setup checks that the game registers the same every time: a range over a map in Setup would not.
func Setup(tb TB, g ecs.Game, c Config) {
	tb.Helper()
	c = start(tb, c)
	first := newWorld(tb, g, c, 0).Schema().JSON()
	for range 12 {
		if again := newWorld(tb, g, c, 0).Schema().JSON(); !bytes.Equal(first, again) {
			tb.Errorf("Setup registers differently from one call to the next:\n%s\n%s", first, again)
			return
		}
	}
}

// Replay checks that a game's log reproduces it: tick by tick beside the live world, and all at once after it, as after
// a crash.
func Replay(tb TB, g ecs.Game, c Config) {
	tb.Helper()
	c = start(tb, c)
	live, beside := newWorld(tb, g, c, 1), newWorld(tb, g, c, 1)
	play := newTraffic(c, 1)
	var log [][]byte
	var sums []uint64
	var frame ecs.Frame
	for range c.Ticks {
		f := play.frame(live)
		record := live.AppendFrame(nil, f)
		log = append(log, record)
		out := live.Step(f)
		sums = append(sums, out.Checksum)
		if err := beside.DecodeFrame(record, &frame); err != nil {
			tb.Fatalf("tick %d: the record cannot be decoded: %v", f.Tick, err)
		}
		again := beside.Step(frame)
		if again.Checksum != out.Checksum {
			tb.Errorf("tick %d: a replay beside the live world differs: %s", f.Tick, words(difference(live, beside, "live", "replayed")))
			return
		}
		if d := outputDifference(out, again); d != "" {
			tb.Errorf("tick %d: a replay beside the live world has the same state but different %s", f.Tick, d)
			return
		}
	}
	play.report(tb, live)

	after := newWorld(tb, g, c, 1)
	for i, record := range log {
		if err := after.DecodeFrame(record, &frame); err != nil {
			tb.Fatalf("tick %d: the record cannot be decoded: %v", i+1, err)
		}
		if got := after.Step(frame).Checksum; got != sums[i] {
			tb.Errorf("tick %d: a replay after the live world ended differs: checksum %016x live, %016x replayed; the likely cause is state that one world leaves behind for the next, such as a package variable", i+1, sums[i], got)
			return
		}
	}
}

// Restore checks that a restored world has the same future as the world that was saved.
func Restore(tb TB, g ecs.Game, c Config) {
	tb.Helper()
	c = start(tb, c)
	live := newWorld(tb, g, c, 2)
	play := newTraffic(c, 2)
	type saved struct {
		w    *ecs.World
		tick uint64
	}
	var worlds []saved
	save := func() {
		snapshot := live.AppendSnapshot(nil)
		w, err := ecs.Restore(g, snapshot)
		if err != nil {
			tb.Fatalf("tick %d: the snapshot cannot be restored: %v", live.Tick(), err)
		}
		if w.Checksum() != live.Checksum() || !bytes.Equal(w.AppendSnapshot(nil), snapshot) {
			tb.Fatalf("tick %d: the restored world differs: %s", live.Tick(), words(difference(live, w, "saved", "restored")))
		}
		worlds = append(worlds, saved{w, live.Tick()})
		if len(worlds) > 4 {
			worlds = worlds[1:]
		}
	}
	save() // before the first tick
	for range c.Ticks {
		f := play.frame(live)
		out := live.Step(f)
		for _, s := range worlds {
			again := s.w.Step(f)
			if again.Checksum != out.Checksum {
				tb.Errorf("tick %d: the world restored at tick %d diverged: %s", f.Tick, s.tick, words(difference(live, s.w, "live", "restored")))
				return
			}
			if d := outputDifference(out, again); d != "" {
				tb.Errorf("tick %d: the world restored at tick %d has the same state but different %s", f.Tick, s.tick, d)
				return
			}
		}
		if f.Tick == 1 || f.Tick == 40 || play.r.IntN(max(1, c.Ticks/6)) == 0 {
			save()
		}
	}
}

// Apply checks that a world that only applies deltas equals the one that ran the systems and can take over from it.
func Apply(tb TB, g ecs.Game, c Config) {
	tb.Helper()
	c = start(tb, c)
	live, follower := newWorld(tb, g, c, 3), newWorld(tb, g, c, 3)
	play := newTraffic(c, 3)
	for range c.Ticks {
		f := play.frame(live)
		out := live.Step(f)
		if err := follower.Apply(out.Delta.AppendTo(nil)); err != nil {
			tb.Errorf("tick %d: the delta does not reproduce the tick: %v: %s", f.Tick, err, words(difference(live, follower, "live", "applied")))
			return
		}
		switch play.r.IntN(40) {
		case 0:
			if !bytes.Equal(live.AppendSnapshot(nil), follower.AppendSnapshot(nil)) {
				tb.Errorf("tick %d: the world that applied deltas has a different snapshot: %s", f.Tick, words(difference(live, follower, "live", "applied")))
				return
			}
		case 1: // a takeover
			live, follower = follower, live
		}
	}
}

// Recompute checks in each tick that the incremental checksum equals that of the live values. If not, change detection
// missed a write.
func Recompute(tb TB, g ecs.Game, c Config) {
	tb.Helper()
	c = start(tb, c)
	live, follower := newWorld(tb, g, c, 4), newWorld(tb, g, c, 4)
	play := newTraffic(c, 4)
	for range c.Ticks {
		f := play.frame(live)
		out := live.Step(f)
		delta := out.Delta.AppendTo(nil)
		whole := live.Recompute()
		if err := follower.Apply(delta); err != nil && whole == out.Checksum {
			return // the Apply test reports this
		}
		if whole != out.Checksum {
			tb.Errorf("tick %d: change detection missed a write, through a field tagged read or a pointer kept beyond its system: %s",
				f.Tick, words(difference(live, follower, "in memory", "by the deltas")))
			return
		}
	}
}

// words returns the difference, or what differs if no value does.
func words(difference string) string {
	if difference == "" {
		return "every value is equal; the order of free slots, replies or inputs differs"
	}
	return difference
}

// outputDifference names the part in which two outputs differ, checksums apart; it is empty if they are equal.
func outputDifference(a, b ecs.Output) string {
	if !bytes.Equal(a.Delta.AppendTo(nil), b.Delta.AppendTo(nil)) {
		return "delta"
	}
	if len(a.Events) != len(b.Events) {
		return "events"
	}
	for i, e := range a.Events {
		if o := b.Events[i]; e.Kind != o.Kind || e.Count != o.Count || !bytes.Equal(e.Values, o.Values) {
			return "events " + e.Name
		}
	}
	if len(a.Outbox) != len(b.Outbox) {
		return "messages to others"
	}
	for i, m := range a.Outbox {
		if o := b.Outbox[i]; m.To != o.To || m.Name != o.Name || m.N != o.N || !bytes.Equal(m.Payload, o.Payload) {
			return "messages to others, " + m.Name
		}
	}
	if !slices.Equal(a.Replies, b.Replies) {
		return "replies"
	}
	if !slices.Equal(a.Failures, b.Failures) {
		return "failures"
	}
	return ""
}
