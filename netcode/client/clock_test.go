package client

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var seed = flag.Uint64("seed", 1, "seed of the simulated network")

// link simulates a connection that carries inputs to a server and reports back.
type link struct {
	clock   Clock
	rng     *rand.Rand
	start   time.Time
	rate    float64       // of the server, ticks per second
	delay   time.Duration // one way
	jitter  time.Duration
	reports []report
}

type report struct {
	at    time.Time
	slack float64
	tick  int
}

// run plays ticks ticks and returns the slack of each input.
func (l *link) run(ticks int) []float64 {
	var slacks []float64
	now := l.start
	next := int(l.clock.Now(now)) + 1
	for range ticks {
		at := l.clock.When(float64(next))
		for len(l.reports) > 0 && l.reports[0].at.Before(at) {
			r := l.reports[0]
			l.reports = l.reports[1:]
			l.clock.Report(r.slack, next-r.tick, r.at)
			if jumped := int(l.clock.Now(r.at)) + 1; jumped > next {
				next = jumped
			}
			at = l.clock.When(float64(next))
		}
		if at.After(now) {
			now = at
		}
		l.clock.Now(now)
		arrival := now.Add(l.delay + time.Duration(l.rng.Float64()*float64(l.jitter)))
		latch := l.start.Add(time.Duration(float64(next) / l.rate * float64(time.Second)))
		slack := latch.Sub(arrival).Seconds() * l.rate
		slacks = append(slacks, slack)
		l.reports = append(l.reports, report{arrival.Add(l.delay + 20*time.Millisecond), slack, next})
		next++
	}
	l.start = l.start.Add(0)
	return slacks
}

func newLink(rate int, startTick float64, delay, jitter time.Duration) *link {
	l := &link{rng: rand.New(rand.NewPCG(*seed, 2)), start: time.Unix(1000, 0), rate: float64(rate), delay: delay, jitter: jitter}
	l.clock.Start(startTick, rate, l.start)
	return l
}

func TestClockFindsTheTargetFromAnyStart(t *testing.T) {
	t.Logf("-seed %d", *seed)
	for _, start := range []float64{0, 3, 8, 100, 5000} {
		for _, delay := range []time.Duration{0, 20 * time.Millisecond, 150 * time.Millisecond} {
			l := newLink(30, start, delay, 10*time.Millisecond)
			slacks := l.run(600)
			late, sum := 0, 0.0
			for _, s := range slacks[300:] {
				if s < 0 {
					late++
				}
				sum += s
			}
			mean := sum / 300
			if late > 6 || mean < 0.2 || mean > 3.5 {
				t.Errorf("start %v, delay %v: mean slack %.2f ticks, %d of 300 late, target %.2f", start, delay, mean, late, l.clock.Target())
			}
		}
	}
}

func TestClockFollowsAServerThatRunsFastOrSlow(t *testing.T) {
	for _, rate := range []float64{28.5, 31.5} {
		l := newLink(30, 3, 30*time.Millisecond, 5*time.Millisecond)
		l.rate = rate
		slacks := l.run(1200)
		if s := slacks[len(slacks)-1]; s < 0 || s > 6 {
			t.Errorf("server at %v instead of 30: slack %.2f after 1,200 ticks, speed %.3f", rate, s, l.clock.Speed())
		}
	}
}

func TestClockStaysWithinItsSpeedsAndSteps(t *testing.T) {
	var c Clock
	now := time.Unix(1000, 0)
	c.Start(100, 30, now)
	c.Report(0.5, 0, now)
	for i, slack := range []float64{-9, -9, -9, -9, 9, 9, 9, 9, 9} {
		c.Report(slack, 0, now)
		if c.Speed() < minSpeed || c.Speed() > maxSpeed {
			t.Fatalf("report %d: speed %v", i, c.Speed())
		}
	}
	before := c.Now(now)
	for range 30 {
		c.Report(-40, 5, now)
	}
	if jump := c.Now(now) - before; jump < stepBeyond {
		t.Errorf("40 ticks late moved the clock by %.1f", jump)
	}
	if math.IsNaN(c.Now(now)) {
		t.Error("the clock is not a number")
	}
}
