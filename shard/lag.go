package shard

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ferris1/wind/ecs"
)

// A shard reports that it is behind from half a second of overdue ticks on, until no tick is overdue. It measures the time of
// systems and handlers only from the third overdue tick on, so that a shard on time pays nothing.
const (
	measureAt  = 3
	slowShown  = 3 // systems named in the condition
	lagRenewed = time.Second
)

// behindAt returns the debt, in ticks, from which a shard counts as behind.
func behindAt(rate int) int { return max(measureAt, rate/2) }

// lag records why the tick loop's ticks are overdue. The zero value means that none are.
type lag struct {
	since  time.Time // when ticks began to be overdue; zero: none are
	begun  time.Time // when the measurement began; zero: not measuring
	ticks  int       // measured
	work   time.Duration
	commit time.Duration
	behind bool
	why    string // as of told
	told   time.Time
}

// measure begins or ends the measurement, depending on the number of overdue ticks.
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
		l.why, l.told = l.explain(w.Slowest(math.MaxInt), rate), now
	}
}

// add counts a record of n ticks: their work, and the wait for the commit.
func (l *lag) add(n int, work, commit time.Duration) {
	if !l.begun.IsZero() {
		l.ticks, l.work, l.commit = l.ticks+n, l.work+work, l.commit+commit
	}
}

// explain says how the measured ticks spent their time. slowest are all systems and handlers.
func (l *lag) explain(slowest []ecs.Spent, rate int) string {
	if l.ticks == 0 {
		return ""
	}
	per := func(d time.Duration) string {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(l.ticks)/float64(time.Millisecond))
	}
	out := fmt.Sprintf("a tick's work takes %s and its commit %s, and a tick has %.1f ms", per(l.work), per(l.commit), 1000/float64(rate))
	var names []string
	var systems time.Duration
	for i, s := range slowest {
		if systems += time.Duration(s.Nanoseconds); i >= slowShown {
			continue
		}
		names = append(names, fmt.Sprintf("%s (%s)", s.Name, per(time.Duration(s.Nanoseconds))))
	}
	if len(names) > 0 {
		out += "; the slowest systems are " + strings.Join(names, ", ")
	}
	if systems < l.work/2 {
		out += fmt.Sprintf("; all systems took %s: the rest is change detection, encoding and collecting garbage, or time in which the process got no processor", per(systems))
	}
	return out
}

// condition returns the condition of a debt, if the shard is behind.
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
