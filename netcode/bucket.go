package netcode

import (
	"fmt"
	"time"
)

// bucket is a token bucket: it starts full and gains rate tokens per second, up
// to most. A negative rate means no limit.
type bucket struct {
	rate, most, level float64
	last              time.Time
}

// newBucket returns a bucket of rate tokens per second that allows bursts of
// twice as many.
func newBucket(rate int, now time.Time) bucket {
	return bucket{rate: float64(rate), most: 2 * float64(rate), level: 2 * float64(rate), last: now}
}

// newMinuteBucket returns a bucket of n tokens per minute that allows bursts of n.
func newMinuteBucket(n int, now time.Time) bucket {
	return bucket{rate: float64(n) / 60, most: float64(n), level: float64(n), last: now}
}

// fill adds the tokens earned since the last call.
func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.last).Seconds(); d > 0 {
		b.level = min(b.level+d*b.rate, b.most)
		b.last = now
	}
}

// has reports whether the bucket has n tokens.
func (b *bucket) has(n int, now time.Time) bool {
	if b.rate < 0 {
		return true
	}
	b.fill(now)
	return b.level >= float64(n)
}

// take removes n tokens. It returns false, and removes nothing, when the bucket
// has fewer.
func (b *bucket) take(n int, now time.Time) bool {
	if !b.has(n, now) {
		return false
	}
	b.level -= float64(n)
	return true
}

// exceeded says that something came faster than the bucket allows.
func (b *bucket) exceeded(what string) string {
	return fmt.Sprintf("more %s than the limit of %g per second for one connection", what, b.rate)
}

// full reports whether the bucket is full.
func (b *bucket) full(now time.Time) bool { return b.rate < 0 || b.has(int(b.most), now) }
