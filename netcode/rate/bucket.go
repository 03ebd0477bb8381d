// Package rate limits how fast things may come.
package rate

import "time"

// Bucket is a token bucket: it starts full and gains Rate tokens per second, up
// to its burst. A negative Rate means no limit. It is not safe for concurrent use.
type Bucket struct {
	Rate        float64
	most, level float64
	last        time.Time
}

// PerSecond returns a bucket of n tokens per second that allows bursts of twice as
// many.
func PerSecond(n int, now time.Time) Bucket {
	return Bucket{Rate: float64(n), most: 2 * float64(n), level: 2 * float64(n), last: now}
}

// PerMinute returns a bucket of n tokens per minute that allows bursts of n.
func PerMinute(n int, now time.Time) Bucket {
	return Bucket{Rate: float64(n) / 60, most: float64(n), level: float64(n), last: now}
}

// fill adds the tokens earned since the last call.
func (b *Bucket) fill(now time.Time) {
	if d := now.Sub(b.last).Seconds(); d > 0 {
		b.level = min(b.level+d*b.Rate, b.most)
		b.last = now
	}
}

// Has reports whether the bucket has n tokens.
func (b *Bucket) Has(n int, now time.Time) bool {
	if b.Rate < 0 {
		return true
	}
	b.fill(now)
	return b.level >= float64(n)
}

// Take removes n tokens. It returns false, and removes nothing, when the bucket
// has fewer.
func (b *Bucket) Take(n int, now time.Time) bool {
	if !b.Has(n, now) {
		return false
	}
	b.level -= float64(n)
	return true
}

// Full reports whether the bucket is full.
func (b *Bucket) Full(now time.Time) bool { return b.Rate < 0 || b.Has(int(b.most), now) }
