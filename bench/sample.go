package bench

import (
	"math"
	"slices"
	"time"
)

// samples holds the durations of one loop, one per round.
type samples struct {
	name  string
	times []time.Duration
}

func newSamples(name string, rounds int) *samples {
	return &samples{name: name, times: make([]time.Duration, 0, rounds)}
}

// time runs f once and records its duration.
func (s *samples) time(f func()) {
	began := time.Now()
	f()
	s.times = append(s.times, time.Since(began))
}

// min and median return nanoseconds per entity.
func (s *samples) min(entities int) float64 {
	return float64(slices.Min(s.times).Nanoseconds()) / float64(entities)
}

func (s *samples) median(entities int) float64 {
	return float64(quantile(s.times, 0.5).Nanoseconds()) / float64(entities)
}

// ratio returns the median over the rounds of this loop's time divided by the base's time in the same round. A machine
// that is slow for a while slows both.
func (s *samples) ratio(base *samples) float64 {
	n := min(len(s.times), len(base.times))
	r := make([]float64, n)
	for i := range n {
		r[i] = float64(s.times[i]) / float64(base.times[i])
	}
	slices.Sort(r)
	return r[n/2]
}

// quantile returns the q quantile of the times. It sorts a copy.
func quantile(times []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(times))
	return s[min(int(float64(len(s))*q), len(s)-1)]
}

// keep records the time since began if count is true.
func (s *samples) keep(count bool, began time.Time) {
	if count {
		s.times = append(s.times, time.Since(began))
	}
}

// micros returns the q quantile of the times in microseconds.
func (s *samples) micros(q float64) float64 {
	return round2(float64(quantile(s.times, q).Nanoseconds()) / 1e3)
}

func round2(x float64) float64 { return math.Round(x*100) / 100 }
func round4(x float64) float64 { return math.Round(x*1e4) / 1e4 }
