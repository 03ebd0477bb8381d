package bench

import (
	"math/bits"
	"time"
)

// histogram counts times in buckets whose width is at most 1/64 of their value.
type histogram struct {
	buckets [histogramSize]uint32
	count   uint64
	max     time.Duration
}

const (
	histogramBits = 6
	histogramSize = (64 - histogramBits + 1) << histogramBits
)

// bucketOf returns the bucket of a time in nanoseconds: its leading bits and how many bits follow them.
func bucketOf(ns uint64) int {
	shift := max(bits.Len64(ns)-histogramBits-1, 0)
	return shift<<histogramBits + int(ns>>shift)
}

// bottomOf returns the shortest time in a bucket.
func bottomOf(bucket int) uint64 {
	if bucket < 2<<histogramBits {
		return uint64(bucket)
	}
	shift := bucket>>histogramBits - 1
	return uint64(bucket-shift<<histogramBits) << shift
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(uint64(max(d, 0)))]++
	h.count++
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
}

// at returns a quantile in microseconds, or 0 if nothing was counted.
func (h *histogram) at(q float64) float64 {
	rest := uint64(q * float64(h.count))
	for i, n := range h.buckets {
		if uint64(n) > rest {
			return float64(bottomOf(i)) / 1e3
		}
		rest -= uint64(n)
	}
	return float64(h.max) / 1e3
}
