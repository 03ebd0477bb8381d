package shard

import (
	"fmt"
	"strings"
	"time"

	"github.com/ferris1/wind/ecs"
)

// A shard that is behind says so from half a second of overdue ticks on, until nothing is overdue. The time of systems and
// handlers is taken from the third overdue tick on, so that a shard on time pays nothing for it.
const (
	measureAt  = 3
	slowShown  = 3 // systems that a sentence names
	lagRenewed = time.Second
)

// behindAt is the debt from which on a shard counts as behind, in ticks.
func behindAt(rate int) int { return max(measureAt, rate/2) }

// lag is what the tick loop knows of why its ticks are overdue. Zero value: none is.
type lag struct {
	since  time.Time // when ticks began to be overdue; zero: none is
	begun  time.Time // of the measurement; zero: nothing is measured
	ticks  int       // measured
	work   time.Duration
	commit time.Duration
	behind bool
	why    string // as of told
	told   time.Time
}

// measure begins and ends the measurement by the ticks that are overdue.
func (l *lag) measure(w *ecs.World, debt, rate int, now time.Time) {
	switch {
	case debt == 0 && !l.since.IsZero():
		w.Measure(nil)
		*l = lag{}
	case debt >= measureAt && l.since.IsZero():
		l.since, l.begun = now.Add(-time.Duration(debt)*time.Second/time.Duration(rate)), now
		w.Measure(func() int64 { return int64(time.Since(now)) })
	}
	if debt >= behindAt(rate) {
		l.behind = true
	}
	if l.behind && now.Sub(l.told) >= lagRenewed {
		l.why, l.told = l.explain(w.Slowest(slowShown), rate), now
	}
}

// add counts a record of n ticks: the work on them, and the wait for its commit.
func (l *lag) add(n int, work, commit time.Duration) {
	if !l.begun.IsZero() {
		l.ticks, l.work, l.commit = l.ticks+n, l.work+work, l.commit+commit
	}
}

// explain says what the time of the measured ticks went into.
func (l *lag) explain(slowest []ecs.Spent, rate int) string {
	if l.ticks == 0 {
		return ""
	}
	per := func(d time.Duration) string {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(l.ticks)/float64(time.Millisecond))
	}
	out := fmt.Sprintf("a tick's work takes %s and its commit %s, of %.1f ms that it has", per(l.work), per(l.commit), 1000/float64(rate))
	var names []string
	for _, s := range slowest {
		names = append(names, fmt.Sprintf("%s (%s)", s.Name, per(time.Duration(s.Nanoseconds))))
	}
	if len(names) > 0 {
		out += "; the slowest systems are " + strings.Join(names, ", ")
	}
	return out
}

// condition is what a debt amounts to, if the shard is behind.
func (l *lag) condition(shard string, debt, rate int) (Condition, bool) {
	if !l.behind && debt < rate {
		return Condition{}, false
	}
	since := l.since
	if since.IsZero() {
		since = time.Now().Add(-time.Duration(debt) * time.Second / time.Duration(rate))
	}
	what := fmt.Sprintf("shard %s is behind by %d ticks (%.1f s)", shard, debt, float64(debt)/float64(rate))
	if l.why != "" {
		what += ": " + l.why
	}
	return Condition{Kind: Behind, Text: Sentence(Behind, shard, what), Since: since}, true
}
