package session

import (
	"math"
	"testing"
	"time"
)

func TestScheduleIsNotMovedByAStallThatIsCaughtUp(t *testing.T) {
	start := time.Unix(1000, 0)
	s := schedule{period: 50 * time.Millisecond}
	at := func(tick uint64) time.Time { return start.Add(time.Duration(tick) * s.period) }
	expect := func(what string, tick uint64, now time.Time, want float64) {
		t.Helper()
		if got := s.slack(tick, now); math.Abs(got-want) > 0.01 {
			t.Errorf("%s: slack %.2f, want %.2f", what, got, want)
		}
	}
	if s.slack(7, start) != 0 {
		t.Error("slack before the first latch")
	}
	for tick := uint64(1); tick <= 100; tick++ {
		s.latched(tick, at(tick))
	}
	expect("in step", 103, at(101), 2)
	expect("in step, late", 99, at(101), -2)
	// Twenty ticks late, then all of them at once.
	expect("in the stall", 123, at(120), 3)
	for tick := uint64(101); tick <= 120; tick++ {
		s.latched(tick, at(120))
		expect("while it catches up", 123, at(120), 3)
	}
	expect("after the stall", 123, at(121), 2)
	for tick := uint64(121); tick <= 200; tick++ {
		s.latched(tick, at(tick))
	}
	expect("long after", 203, at(201), 2)
}

func TestScheduleFollowsAHostThatStaysBehind(t *testing.T) {
	start := time.Unix(1000, 0)
	s := schedule{period: 50 * time.Millisecond}
	at := func(tick float64) time.Time { return start.Add(time.Duration(tick * float64(s.period))) }
	for tick := uint64(1); tick <= 100; tick++ {
		s.latched(tick, at(float64(tick)))
	}
	for tick := uint64(101); tick <= 300; tick++ { // ten ticks behind for good
		s.latched(tick, at(float64(tick+10)))
	}
	if got := s.slack(303, at(311)); math.Abs(got-2) > 0.01 {
		t.Errorf("slack %.2f, want 2", got)
	}
	// The schedule also follows a host that is slower than its rate.
	at2 := at(310)
	for tick := uint64(301); tick <= 600; tick++ {
		at2 = at2.Add(s.period + 2*time.Millisecond)
		s.latched(tick, at2)
	}
	if got := s.slack(602, at2); got > 2.1 || got < -2 {
		t.Errorf("slack %.2f of an input that is two ticks early", got)
	}
}
