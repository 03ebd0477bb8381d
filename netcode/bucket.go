package netcode

import "time"

// bucket is a token bucket: it fills with rate tokens per second up to twice
// the rate, and starts full. A negative rate is no limit.
type bucket struct {
	rate, level float64
	last        time.Time
}

func newBucket(rate int, now time.Time) bucket {
	return bucket{rate: float64(rate), level: 2 * float64(rate), last: now}
}

// take removes n tokens; false means that there were not as many.
func (b *bucket) take(n int, now time.Time) bool {
	if b.rate < 0 {
		return true
	}
	if d := now.Sub(b.last).Seconds(); d > 0 {
		b.level = min(b.level+d*b.rate, 2*b.rate)
		b.last = now
	}
	if b.level < float64(n) {
		return false
	}
	b.level -= float64(n)
	return true
}
