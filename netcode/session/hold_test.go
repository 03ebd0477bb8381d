package session

import (
	"fmt"
	"math"
	"testing"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

// held renders the sampled commands that a tick uses as text: value and flags.
func held(f ecs.Frame) (got []string) {
	for _, c := range f.Commands {
		if c.Kind == kindAim {
			got = append(got, fmt.Sprintf("%d flags %d seq %d", c.Payload[0], c.Flags, c.Seq))
		}
	}
	return got
}

func TestAHeldInputIsLetGoAfterTheGamesHold(t *testing.T) {
	r := newRig(t, Config{})
	l := r.join()
	r.aim(l, 1, 7)
	expect(t, held(r.tick(1000)), "7 flags 0 seq 1")
	for range hubGame.Hold() {
		expect(t, held(r.tick(1000)), "7 flags 1 seq 1")
	}
	for range 3 {
		expect(t, held(r.tick(1000)), "0 flags 3 seq 1")
	}
	r.aim(l, 2, 8)
	expect(t, held(r.tick(1000)), "8 flags 0 seq 2")
	if s := r.h.stats; s.InputsRepeated != hubGame.Hold() || s.InputsNeutral != 3 {
		t.Errorf("%d repeated, %d neutral", s.InputsRepeated, s.InputsNeutral)
	}
}

// TestALateInputIsHeldFromItsArrival: a client whose inputs are all late still controls its player.
func TestALateInputIsHeldFromItsArrival(t *testing.T) {
	r := newRig(t, Config{})
	l := r.join()
	for seq := range uint64(8) {
		r.receive(l, wirepb.IDInput, &wirepb.Input{Samples: []*wirepb.Sample{{Tick: 1, Seq: seq + 1, Kind: kindAim, Payload: []byte{9, 0, 0, 0}}}})
		expect(t, held(r.tick(1000)), fmt.Sprintf("9 flags 1 seq %d", seq+1))
	}
}

func TestASessionThatLosesItsConnectionLetsGoOnce(t *testing.T) {
	r := newRig(t, Config{})
	l := r.join()
	r.aim(l, 1, 7)
	r.tick(1000)
	r.h.lost(l)
	expect(t, held(r.tick(10))) // no room: it waits
	expect(t, held(r.tick(1000)), "0 flags 3 seq 1")
	expect(t, held(r.tick(1000)))
}

func TestASuccessorLetsGoOfWhatItsPredecessorHeld(t *testing.T) {
	r := newRig(t, Config{})
	r.aim(r.join(), 1, 7)
	r.tick(1000)
	next := r.successor()
	expect(t, held(next.tick(1000)), "0 flags 3 seq 1")
	expect(t, held(next.tick(1000)))
}

// TestAbsurdTicksAreCountedAndLeaveTheClockItsFeedback: the client's clock gets feedback about the newest plausible sample.
func TestAbsurdTicksAreCountedAndLeaveTheClockItsFeedback(t *testing.T) {
	for _, absurd := range []uint64{1 << 63, math.MaxUint64, 1 << 40, 10_000} {
		r := newRig(t, Config{})
		l := r.join()
		r.tick(1000)
		r.receive(l, wirepb.IDInput, &wirepb.Input{Samples: []*wirepb.Sample{{Tick: absurd, Seq: 1, Kind: kindAim, Payload: make([]byte, 4)}}})
		if s := l.session.slack; s < 1000 || math.IsInf(s, 0) || math.IsNaN(s) {
			t.Errorf("tick %d has a slack of %v ticks", absurd, s)
		}
		r.aim(l, 2, 7)
		want := r.w.Tick() + 1
		if got := l.session.inputTick; got != want || math.Abs(l.session.slack) > 2 {
			t.Errorf("after tick %d the feedback is about %d (slack %v), want %d", absurd, got, l.session.slack, want)
		}
		expect(t, held(r.tick(1000)), "7 flags 0 seq 2")
		if r.h.stats.InputsEarly != 1 {
			t.Errorf("%d inputs counted as early", r.h.stats.InputsEarly)
		}
	}
}

// TestAnAbsurdNumberOfASampleIsForgotten: if a tick used it, every later sample would be a duplicate.
func TestAnAbsurdNumberOfASampleIsForgotten(t *testing.T) {
	r := newRig(t, Config{})
	l := r.join()
	r.receive(l, wirepb.IDInput, &wirepb.Input{Samples: []*wirepb.Sample{{Tick: r.w.Tick() + 1, Seq: math.MaxUint64, Kind: kindAim, Payload: make([]byte, 4)}}})
	r.tick(1000)
	r.aim(l, 1, 7)
	expect(t, held(r.tick(1000)), "7 flags 0 seq 1")
}
