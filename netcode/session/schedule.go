package session

import "time"

// schedule predicts when ticks are latched: one period apart, unless the host is
// late. A late host catches up with several ticks at once, so a late latch says
// nothing about the next ones. The earliest latch of the last seconds, relative to
// its due time, does. When a host abandons its old schedule, the prediction follows
// within two windows.
type schedule struct {
	period    time.Duration
	base      time.Time     // when tick was latched: the origin of due times
	tick      uint64        // the first latched tick
	now, last time.Duration // smallest lateness in the current window and in the one before
	rotated   time.Time
	windows   int
}

// scheduleWindow is the length of a window: a latch counts for at least as long.
const scheduleWindow = 2 * time.Second

// latched records that tick was latched at now.
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

// slack returns how many ticks early an input for tick is at now, negative if it
// is late. Before the first latch it is 0.
func (s *schedule) slack(tick uint64, now time.Time) float64 {
	if s.windows == 0 || s.period <= 0 {
		return 0
	}
	offset := s.now
	if s.windows > 1 {
		offset = min(offset, s.last)
	}
	const most = 1 << 20 // ticks: far beyond any honest input
	if ahead := int64(tick - s.tick); tick > s.tick && (ahead < 0 || ahead > most) {
		return most
	} else if tick < s.tick && ahead < -most {
		return -most
	}
	return s.due(tick, offset).Sub(now).Seconds() / s.period.Seconds()
}

// due returns when tick is latched if the schedule is late by offset.
func (s *schedule) due(tick uint64, offset time.Duration) time.Time {
	return s.base.Add(time.Duration(int64(tick-s.tick))*s.period + offset)
}
