package netcode

import "time"

// schedule knows when ticks are latched: each a period after the one before,
// unless the host is late. A late host works its debt off with several ticks
// at once, so a late latch says nothing about the next ones; the earliest of
// the last seconds does. A host that has given up its old schedule is believed
// after scheduleWindow twice.
type schedule struct {
	period    time.Duration
	base      time.Time // of the times: where the newest window began
	tick      uint64    // at base
	now, last time.Duration
	rotated   time.Time
	windows   int
}

// scheduleWindow is how long a latch counts, at least.
const scheduleWindow = 2 * time.Second

// latched notes that tick is latched at now.
func (s *schedule) latched(tick uint64, now time.Time) {
	if s.windows == 0 {
		s.base, s.tick, s.rotated, s.windows = now, tick, now, 1
		return
	}
	offset := now.Sub(s.due(tick, 0))
	if now.Sub(s.rotated) >= scheduleWindow {
		s.last, s.now, s.rotated, s.windows = s.now, offset, now, s.windows+1
		return
	}
	s.now = min(s.now, offset)
}

// slack is by how many ticks something for tick is early at now: 0 before the
// first latch.
func (s *schedule) slack(tick uint64, now time.Time) float64 {
	if s.windows == 0 || s.period <= 0 {
		return 0
	}
	offset := s.now
	if s.windows > 1 {
		offset = min(offset, s.last)
	}
	const most = 1 << 20 // ticks: far beyond what anybody means
	if ahead := int64(tick - s.tick); tick > s.tick && (ahead < 0 || ahead > most) {
		return most
	} else if tick < s.tick && ahead < -most {
		return -most
	}
	return s.due(tick, offset).Sub(now).Seconds() / s.period.Seconds()
}

// due is when tick is latched if the schedule is late by offset.
func (s *schedule) due(tick uint64, offset time.Duration) time.Time {
	return s.base.Add(time.Duration(int64(tick-s.tick))*s.period + offset)
}
