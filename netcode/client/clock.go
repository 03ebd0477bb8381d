package client

import (
	"math"
	"time"
)

// Clock determines the tick for which a client should sample its input, so that
// the input arrives a little before the server latches that tick. The server
// reports how many ticks early inputs were (their slack); the clock speeds up or
// slows down until the slack suits the jitter. It is pure: time is an argument.
// See PROTOCOL.md, Clock.
type Clock struct {
	rate    float64 // ticks per second at speed 1
	tick    float64
	at      time.Time
	speed   float64
	drift   float64 // learned difference between the server's rate and ours
	slack   float64 // smoothed
	jitter  float64 // smoothed deviation of slack
	samples int
	skip    int // reports still to come about inputs from before the last step
}

// The clock's constants. Targets and stepBeyond are in ticks, speeds relative to
// the server's rate.
const (
	minTarget, maxTarget = 0.5, 3.0
	minSpeed, maxSpeed   = 0.9, 1.1
	stepBeyond           = 10.0
	gain                 = 0.02 // change of speed per tick of error
	driftGain            = gain / 100
	smoothing            = 0.2 // weight of a new report
)

// Start sets the clock to tick at the time now. rate is in ticks per second.
func (c *Clock) Start(tick float64, rate int, now time.Time) {
	*c = Clock{rate: float64(rate), tick: tick, at: now, speed: 1}
}

// Now returns the tick at the time now, with its fraction.
func (c *Clock) Now(now time.Time) float64 {
	if d := now.Sub(c.at); d > 0 {
		c.tick += d.Seconds() * c.rate * c.speed
		c.at = now
	}
	return c.tick
}

// When returns the time at which the clock will reach tick if its speed stays the
// same.
func (c *Clock) When(tick float64) time.Time {
	return c.at.Add(time.Duration((tick - c.tick) / (c.rate * c.speed) * float64(time.Second)))
}

// Target returns the slack that the clock aims for, in ticks.
func (c *Clock) Target() float64 {
	return math.Max(minTarget, math.Min(maxTarget, minTarget+3*c.jitter))
}

// Speed returns the clock's speed; 1 is the server's rate.
func (c *Clock) Speed() float64 { return c.speed }

// Slack returns the smoothed slack of the inputs, in ticks.
func (c *Clock) Slack() float64 { return c.slack }

// Report adjusts the clock by the slack of an input, in ticks. delay is how many
// ticks have passed since that input was sampled: after a step, Report ignores that
// many reports, which still describe inputs from before it.
func (c *Clock) Report(slack float64, delay int, now time.Time) {
	c.Now(now)
	if c.skip > 0 {
		c.skip--
		return
	}
	c.samples++
	if c.samples == 1 {
		c.slack = slack
	}
	deviation := math.Abs(slack - c.slack)
	c.jitter += (math.Min(deviation, maxTarget) - c.jitter) * smoothing
	c.slack += (slack - c.slack) * smoothing
	missing := c.Target() - c.slack
	if c.samples == 1 || math.Abs(missing) > stepBeyond {
		c.tick += missing
		c.slack = c.Target()
		c.speed = 1
		c.skip = max(delay, 0)
		return
	}
	c.drift = math.Max(minSpeed-1, math.Min(maxSpeed-1, c.drift+missing*driftGain))
	c.speed = math.Max(minSpeed, math.Min(maxSpeed, 1+c.drift+missing*gain))
}
