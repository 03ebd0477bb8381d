package netcode

import "time"

// bucket is a token bucket: it fills with rate tokens per second up to most,
// and starts full. A negative rate is no limit.
type bucket struct {
	rate, most, level float64
	last              time.Time
}

// newBucket is a bucket of rate tokens per second with bursts of twice as much.
func newBucket(rate int, now time.Time) bucket {
	return bucket{rate: float64(rate), most: 2 * float64(rate), level: 2 * float64(rate), last: now}
}

// newMinuteBucket is a bucket of n tokens per minute with bursts of as many.
func newMinuteBucket(n int, now time.Time) bucket {
	return bucket{rate: float64(n) / 60, most: float64(n), level: float64(n), last: now}
}

// fill adds what has come since the last look.
func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.last).Seconds(); d > 0 {
		b.level = min(b.level+d*b.rate, b.most)
		b.last = now
	}
}

// has tells whether there are n tokens.
func (b *bucket) has(n int, now time.Time) bool {
	if b.rate < 0 {
		return true
	}
	b.fill(now)
	return b.level >= float64(n)
}

// take removes n tokens; false means that there were not as many.
func (b *bucket) take(n int, now time.Time) bool {
	if !b.has(n, now) {
		return false
	}
	b.level -= float64(n)
	return true
}

// full tells whether nothing is missing.
func (b *bucket) full(now time.Time) bool { return b.rate < 0 || b.has(int(b.most), now) }
