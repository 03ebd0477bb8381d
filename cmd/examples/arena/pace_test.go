package arena

import (
	"math"
	"testing"
)

func TestAnotherTickRateKeepsTheSpeeds(t *testing.T) {
	for _, v := range []float64{playerSpeed, monsterSpeed, strollSpeed, Rifle.spec().speed, Shotgun.spec().speed, Cannon.spec().speed} {
		if got := (pace{TickRate}).speed(v); got != v {
			t.Errorf("at %d ticks per second %v metres per tick became %v", TickRate, v, got)
		}
		for _, rate := range []int{10, 64, 128} {
			if got := (pace{rate}).speed(v) * float64(rate); math.Abs(got-v*TickRate) > 1e-9 {
				t.Errorf("at %d ticks per second %v metres per second became %v", rate, v*TickRate, got)
			}
		}
	}
	for _, c := range []struct {
		rate    int
		n, want uint64
	}{{30, 6, 6}, {10, 6, 2}, {10, 1, 1}, {128, 30, 128}, {64, 45, 96}} {
		if got := (pace{c.rate}).ticks(c.n); got != c.want {
			t.Errorf("at %d ticks per second %d ticks became %d, want %d", c.rate, c.n, got, c.want)
		}
	}
}
