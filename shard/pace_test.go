package shard

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacerNeverSkipsAndNeverRuns(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, rate := range []int{1, 7, 30, 60, 144, 240} {
		p := NewPacer(start, rate)
		now := start
		for made := 0; made < 10*rate; made++ {
			if now = p.Next(); p.Due(now) != 1 || p.Due(now.Add(-time.Nanosecond)) != 0 {
				t.Fatalf("%d per second, tick %d at %s: %d due, %d a moment before", rate, made, now.Sub(start), p.Due(now), p.Due(now.Add(-time.Nanosecond)))
			}
			p.Did(1)
		}
		if last := now.Sub(start); last > 10*time.Second || last < 10*time.Second-2*time.Second/time.Duration(rate) {
			t.Errorf("%d per second: tick %d at %s", rate, 10*rate, last)
		}
		if due := p.Due(now.Add(time.Hour)); due != 3600*rate {
			t.Errorf("%d per second: %d due after an hour's pause", rate, due)
		}
		later := now.Add(time.Hour)
		if skipped := p.Skip(later, rate); skipped != 3599*rate || p.Due(later) != rate || p.Skip(later, rate) != 0 {
			t.Errorf("%d per second: after an hour's pause %d are skipped, and %d still due", rate, skipped, p.Due(later))
		}
		p.Did(rate)
		if next := p.Next().Sub(later); next <= 0 || next > time.Second/time.Duration(rate)+1 {
			t.Errorf("%d per second: caught up, the next tick is due in %s", rate, next)
		}
	}
}

func TestHistogramIsWithinThreePercent(t *testing.T) {
	var h histogram
	for i := range 10000 {
		h.record(time.Duration(i+1) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 5 * time.Millisecond, 0.99: 9900 * time.Microsecond, 1: 10 * time.Millisecond} {
		if got := h.quantile(q); got < want*97/100 || got > want*104/100 {
			t.Errorf("quantile %v is %s, want about %s", q, got, want)
		}
	}
	for v := uint64(0); v < 1<<20; v += 1 + v/100 {
		if i := bucket(v); v >= upper(i) || i > 0 && v < upper(i-1) {
			t.Fatalf("%d units are in bucket %d, which ends at %d", v, i, upper(i))
		}
	}
	h.record(100 * time.Hour)
	if h.quantiles().Max != 100*3600*1000 {
		t.Errorf("max %v", h.quantiles().Max)
	}
}

// TestTheFirstTickFallsIntoThePhase: whenever a shard is owned, its first tick is due within a period, at its phase.
func TestTheFirstTickFallsIntoThePhase(t *testing.T) {
	origin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, rate := range []int{1, 7, 30, 128, 240} {
		period := float64(time.Second) / float64(rate)
		for _, phase := range []float64{0.001, 0.25, 0.999} {
			for _, after := range []time.Duration{0, 1, 7 * time.Millisecond, 999_999_999, time.Second, 100*time.Hour + 12345678} {
				now := origin.Add(after)
				first := firstTick(origin, now, phase, rate)
				if wait := first.Sub(now); wait < -time.Microsecond || float64(wait) > period+1000 {
					t.Errorf("%d per second: owned at %v, first tick %v later", rate, after, wait)
				}
				at := math.Mod(float64(first.Sub(origin)), float64(time.Second)) / period
				if at -= math.Floor(at); math.Abs(at-phase) > 1e-4 {
					t.Errorf("%d per second: owned at %v, its first tick falls at %.4f of the period, want %.3f", rate, after, at, phase)
				}
			}
		}
		if now := origin.Add(12345); !firstTick(origin, now, 0, rate).Equal(now) {
			t.Error("a shard without a phase waits")
		}
	}
}

// TestATickKeepsToItsPhase: each tick of a host falls into its phase of the crew's clock, as does that of the host that takes
// over, and of the other host of the crew into its own.
func TestATickKeepsToItsPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crew := NewCrew()
		defer crew.Close()
		for _, phase := range []float64{0.25, 0.75} {
			b := newTestbed(t)
			for range 2 {
				var at []time.Duration
				h, p, _ := b.host("a", func(c *HostConfig) { c.Crew, c.Phase = crew, phase })
				p.latch = func(uint64) { at = append(at, time.Since(crew.origin)) }
				if err := b.run(h, 2*time.Second+7*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				if len(at) < 50 {
					t.Fatalf("%d ticks", len(at))
				}
				for i, d := range at {
					if got := math.Mod(d.Seconds()*30, 1); math.Abs(got-phase) > 1e-4 {
						t.Fatalf("tick %d at %v falls at %.4f of its period, want %.2f", i, d, got, phase)
					}
				}
			}
		}
	})
}
