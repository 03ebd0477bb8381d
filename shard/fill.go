package shard

import (
	"context"
	"fmt"
	"time"
)

// growth measures how fast a log fills.
type growth struct {
	since time.Time // of the first measurement after the last purge
	from  int64     // bytes then
	last  int64
}

// growthSpan bounds the time over which the rate is measured: half a day ago says little about now.
const growthSpan = 30 * time.Minute

// measure adds a measurement and returns how long until the log reaches its limit; 0 while that is unknown.
func (g *growth) measure(now time.Time, used, limit int64) time.Duration {
	if g.since.IsZero() || used < g.last || now.Sub(g.since) > growthSpan {
		g.since, g.from = now, used
	}
	g.last = used
	grown, span := used-g.from, now.Sub(g.since)
	if grown <= 0 || span <= 0 {
		return 0
	}
	return time.Duration(float64(span) * float64(max(limit-used, 0)) / float64(grown))
}

// extent reads what the log holds.
func (h *Host) extent(ctx context.Context) (t Tail, err error) {
	e, err := h.cfg.Log.Extent(ctx)
	return Tail{First: e.First, Last: e.Last, UsedBytes: e.Used, LimitBytes: e.Limit}, err
}

// measure measures the log at intervals, so that an operator is warned in time and the oldest records are purged.
func (h *Host) measure() {
	ctx := h.hold
	if ctx.Err() != nil {
		return
	}
	defer func() { h.background.measuring.after(h.crew.pace(h.cfg.MeasureEvery, measureShare)) }()
	t, err := h.extent(ctx)
	if err != nil { // the commits wait for the same log and report it
		return
	}
	h.warn(&t, h.background.growth.measure(time.Now(), t.UsedBytes, t.LimitBytes))
	if len(h.inbox) == 0 { // a loop that hangs must not hold up the crew, and the next measurement will do
		h.tell(ctx, Event{Kind: EventUsage, Tail: t})
	}
}

// warn raises or clears the condition of a nearly full log.
func (h *Host) warn(t *Tail, left time.Duration) {
	if !t.over(warnPercent) {
		h.conditions.Clear(LogFull)
		return
	}
	h.raise(LogFull, false, filled(h.cfg.Shard, t, left))
}

// filled says how full a log is.
func filled(shard string, t *Tail, left time.Duration) string {
	text := fmt.Sprintf("the log of shard %s is at %d %% of its %s", shard, t.UsedBytes*100/t.LimitBytes, sizeText(t.LimitBytes))
	switch {
	case left <= 0:
		return text
	case left > 48*time.Hour:
		return fmt.Sprintf("%s, and full in about %d days at its present growth", text, left/(24*time.Hour))
	case left > 2*time.Hour:
		return fmt.Sprintf("%s, and full in about %d h at its present growth", text, left/time.Hour)
	case left > 2*time.Minute:
		return fmt.Sprintf("%s, and full in about %d min at its present growth", text, left/time.Minute)
	}
	return fmt.Sprintf("%s, and full in about %d s at its present growth", text, left/time.Second)
}

// sizeText formats a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}
