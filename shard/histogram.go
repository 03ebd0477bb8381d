package shard

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets of about 3 % width, from a microsecond to an hour. The position of a duration's highest bit
// and the five bits below it select its bucket. The durations of a shard lie close together, so it has few of the pages. Not safe
// for concurrent use.
type histogram struct {
	counts [40]*[32]uint32
	total  uint64
	max    time.Duration
}

const histogramUnit = time.Microsecond / 8

// record counts one duration.
func (h *histogram) record(d time.Duration) {
	h.total++
	h.max = max(h.max, d)
	i := min(bucket(uint64(max(0, d)/histogramUnit)), 32*len(h.counts)-1)
	if h.counts[i/32] == nil {
		h.counts[i/32] = new([32]uint32)
	}
	h.counts[i/32][i%32]++
}

// bucket returns the index for v units: exact below 64, then 32 buckets per doubling.
func bucket(v uint64) int {
	if v < 64 {
		return int(v)
	}
	shift := bits.Len64(v) - 6
	return shift*32 + int(v>>shift)
}

// upper returns the first value above bucket i.
func upper(i int) uint64 {
	if i < 64 {
		return uint64(i) + 1
	}
	shift := i/32 - 1
	return uint64(i-shift*32+1) << shift
}

// quantile returns a duration that a share q of the recorded durations does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for p, page := range h.counts {
		if page == nil {
			continue
		}
		for i, n := range page {
			if seen += uint64(n); seen > rank {
				return min(h.max, time.Duration(upper(32*p+i))*histogramUnit)
			}
		}
	}
	return h.max
}

// Quantiles summarises durations, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (h *histogram) quantiles() Quantiles {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return Quantiles{P50: ms(h.quantile(0.5)), P99: ms(h.quantile(0.99)), Max: ms(h.max)}
}
