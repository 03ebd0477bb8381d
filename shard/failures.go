package shard

import (
	"cmp"
	"slices"
	"time"

	"github.com/ferris1/wind/ecs"
)

// failuresEvery is how often the log reports a system or command that keeps failing.
const failuresEvery = 10 * time.Second

// failing is a system or command that failed in a committed tick.
type failing struct {
	name    string
	command bool
	told    time.Time // when the log last reported it; zero: never
	since   uint64    // failures not yet reported
	tick    uint64    // of the first of those
	reason  string
	place   string // of a panic, in this build
}

// noteFailures counts and logs the systems and commands that failed in a committed record. A command that its handler
// rejected did not fail.
func (h *Host) noteFailures(outputs []ecs.Output, now time.Time) {
	for i := range outputs {
		for _, f := range outputs[i].Failures {
			if !f.Rejected {
				h.noteFailure(outputs[i].Tick, f)
			}
		}
	}
	h.tellFailures(now, false)
}

// tellFailures logs the failures that were not logged yet, of each name at most every failuresEvery, or all of them now.
func (h *Host) tellFailures(now time.Time, all bool) {
	for i := range h.failing {
		if f := &h.failing[i]; f.since > 0 && (all || f.told.IsZero() || now.Sub(f.told) >= failuresEvery) {
			what := "a system failed"
			if f.command {
				what = "a command failed"
			}
			told := []any{"name", f.name, "tick", f.tick, "reason", f.reason, "times", f.since}
			if f.place != "" {
				told = append(told, "place", f.place)
			}
			h.logger.Warn(what, told...)
			f.told, f.since = now, 0
		}
	}
}

func (h *Host) noteFailure(tick uint64, fault ecs.Failure) {
	name, command := cmp.Or(fault.System, "unknown"), fault.Command >= 0
	at := slices.IndexFunc(h.failing, func(f failing) bool { return f.name == name && f.command == command })
	if at < 0 {
		at = len(h.failing)
		h.failing = append(h.failing, failing{name: name, command: command})
	}
	f := &h.failing[at]
	if f.since++; f.since == 1 {
		f.tick, f.reason, f.place = tick, fault.Reason, fault.Place
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stats.Failures == nil {
		h.stats.Failures = map[string]uint64{}
	}
	h.stats.Failures[name]++
}
