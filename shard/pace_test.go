package shard

import (
	"testing"
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
