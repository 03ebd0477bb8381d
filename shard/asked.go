package shard

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ferris1/wind/persistence"
)

// patience is how long a request may go unanswered before it becomes a condition.
const patience = 2 * time.Second

// asked records what the host waits for, through all tries of a request. Safe for concurrent use.
type asked struct {
	mu     sync.Mutex
	kind   ActionKind // of the request; 0: no request is unanswered
	since  time.Time
	owner  Standing // the owner whose end an ActionAwait awaits
	err    error    // the error of the latest try
	seq    persistence.Seq
	tick   uint64
	commit time.Time // when record seq was first sent; zero: no record is outstanding
}

// asks records a new request.
func (k *asked) asks(a *Action, tick uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kind == 0 {
		k.since = time.Now()
	}
	k.kind, k.owner = a.Kind, a.Standing
	if a.Kind == ActionAppend && (k.commit.IsZero() || k.seq != a.Expect+1) {
		k.seq, k.tick, k.commit = a.Expect+1, tick, time.Now()
	}
}

// answered records the outcome of a request. If it succeeded, answered returns how long the host waited for it.
func (k *asked) answered(a *Action, err error) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err = err; err != nil && !lasting(err) {
		return 0
	}
	waited := time.Since(k.since)
	k.kind, k.err = 0, nil
	if a.Kind == ActionAppend && !k.commit.IsZero() {
		waited, k.commit = time.Since(k.commit), time.Time{}
	}
	return waited
}

// settled records that no record is outstanding any more, for whatever reason.
func (k *asked) settled() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kind, k.err, k.commit = 0, nil, time.Time{}
}

// overdue returns how many ticks have become due since the outstanding record was sent.
func (k *asked) overdue(rate int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.commit.IsZero() {
		return 0
	}
	return int(time.Since(k.commit) * time.Duration(rate) / time.Second)
}

// unwritable reports whether the store has said that it cannot write to its disk.
func (k *asked) unwritable() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	kind := ConditionOf(k.err)
	return kind == ReadOnly || kind == DiskFull
}

// condition returns the condition that the wait amounts to; false while the wait is short.
func (k *asked) condition(shard string) (Condition, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kind == ActionAwait && k.owner.Halted != "" && k.err == nil {
		kind := HaltedBy(k.owner.Halted)
		what := fmt.Sprintf("shard %s is halted: %s", shard, k.owner.Halted)
		return Condition{Kind: kind, Text: Sentence(kind, shard, what), Since: k.since, Stops: true}, true
	}
	if k.kind == ActionAwait && k.err == nil {
		what := fmt.Sprintf("node %s owns shard %s (epoch %d)", k.owner.Owner, shard, k.owner.Epoch)
		return Condition{Kind: AwaitsOwner, Text: Sentence(AwaitsOwner, shard, what), Since: k.since}, true
	}
	c := Condition{Kind: ConditionOf(k.err), Since: k.since, Stops: true}
	what := fmt.Sprintf("shard %s waits for the answer to %q", shard, k.kind)
	switch {
	case !k.commit.IsZero():
		c.Since = k.commit
		what = fmt.Sprintf("shard %s waits for the commit of record %d (tick %d)", shard, k.seq, k.tick)
	case k.kind == 0:
		return Condition{}, false
	}
	switch c.Kind {
	case ReadOnly, DiskFull, LogFull: // the store said so: the answer is not lost
	default:
		if time.Since(c.Since) < patience {
			return Condition{}, false
		}
		c.Kind = AwaitsNATS
		if k.commit.IsZero() && ofCoordination(k.kind) {
			c.Kind = AwaitsEtcd
		}
	}
	what += fmt.Sprintf(" since %s", c.Since.Format(time.TimeOnly))
	if k.err != nil {
		what += fmt.Sprintf(" (%v)", k.err)
	}
	c.Text = Sentence(c.Kind, shard, what)
	return c, true
}

// HaltedBy returns the condition behind the note of a halt: HistoryLost, which has a way out of its own, or Halted.
func HaltedBy(note string) ConditionKind {
	if strings.Contains(note, "history lost") { // the text of persistence.ErrLost in every build's note
		return HistoryLost
	}
	return Halted
}

// ofCoordination reports whether a request goes to the coordination service rather than the log.
func ofCoordination(kind ActionKind) bool {
	return slices.Contains([]ActionKind{ActionStanding, ActionAwait, ActionClaim, ActionNote}, kind)
}

// raise adds a condition. Any goroutine may call it.
func (h *Host) raise(kind ConditionKind, stops bool, what string) {
	h.conditions.Raise(kind, stops, Sentence(kind, h.cfg.Shard, what))
}

// matters lists the shard's current conditions, gravest first. The caller holds the mutex.
func (h *Host) matters(debt int) []Condition {
	all := h.conditions.List()
	if c, ok := h.asked.condition(h.cfg.Shard); ok {
		all = slices.DeleteFunc(all, func(other Condition) bool { return other.Kind == c.Kind }) // a log that was nearly full and now is full
		all = append(all, c)
	}
	if c, ok := h.lag.condition(h.cfg.Shard, debt, h.tickRate()); ok {
		all = append(all, c)
	}
	if c, ok := h.sim.stepping.condition(h.cfg.Shard, time.Now()); ok {
		all = append(all, c)
	}
	SortConditions(all)
	return all
}
