package node

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ferris1/wind/shard"
)

// This file looks after the rooms of a node: what they take, what ails them, and which of them no node takes.

const (
	lookEvery = 500 * time.Millisecond
	waitsTold = 2 * time.Second // so long a room waits before an operator hears of it
	mostTold  = 3               // rooms that one line of the log names
)

// roomWatch is what looks have found so far.
type roomWatch struct {
	waits map[string]time.Time  // rooms that wait, and since when
	whys  map[string]bool       // the kinds of reasons that an operator was told
	told  bool                  // that rooms wait
	ails  map[ailment]time.Time // told, and when they held last: what comes and goes is told once
}

// ailment is a condition of one room.
type ailment struct {
	room string
	kind shard.ConditionKind
}

// look measures what the rooms take, tells what ails them, gives up those that hang, and considers those that wait.
func (r *rooms) look() {
	now := time.Now()
	r.mu.Lock()
	all := slices.SortedFunc(maps.Values(r.hosted), func(a, b *hosted) int { return strings.Compare(a.name, b.name) })
	for _, h := range all {
		if ms, known := h.work(now); known {
			r.load.Measured(h.name, ms)
		}
	}
	waiting := maps.Clone(r.waiting)
	r.mu.Unlock()
	r.tellAilments(all, now)
	r.tellWaits(waiting, now)
	r.reconsider()
}

// tellAilments logs the conditions that rooms have got since the last look, and gives up the rooms that hang.
func (r *rooms) tellAilments(all []*hosted, now time.Time) {
	if r.watched.ails == nil {
		r.watched.ails = map[ailment]time.Time{}
	}
	known := r.watched.ails
	holds, fresh := map[ailment]bool{}, map[shard.ConditionKind][]roomAilment{}
	for _, h := range all {
		hung := false
		for _, c := range h.ailing() {
			a := ailment{h.name, c.Kind}
			if holds[a] = true; known[a].IsZero() {
				fresh[c.Kind] = append(fresh[c.Kind], roomAilment{h.name, c})
			}
			if c.Kind == shard.Hung {
				if hung = true; now.Sub(c.Since) > r.node.config.patience.step {
					h.cancel()
				}
			}
		}
		h.clients.SetHung(hung)
	}
	for a := range holds {
		known[a] = now
	}
	maps.DeleteFunc(known, func(_ ailment, last time.Time) bool { return now.Sub(last) > overAfter })
	for _, kind := range shard.ConditionKinds {
		tellRooms(r.node.config.Logger, fresh[kind])
	}
}

// roomAilment is a condition of a room, as /healthz shows it.
type roomAilment struct {
	Room string `json:"room"`
	shard.Condition
}

// tellRooms logs a condition that some rooms have got: a line for each of a few, or one for many.
func tellRooms(logger *slog.Logger, all []roomAilment) {
	for i, a := range all {
		if i == mostTold {
			logger.Warn("more rooms are in this condition", "condition", string(a.Kind), "rooms", len(all)-i)
			return
		}
		logger.Warn(a.Text, "condition", string(a.Kind), "room", a.Room)
	}
}

// ailing returns the conditions of a shard on this node. It costs less than stats.
func (h *hosted) ailing() []shard.Condition {
	h.mu.Lock()
	host := h.host
	h.mu.Unlock()
	if host == nil {
		return h.conditions.List()
	}
	return together(h.conditions.List(), host.Conditions())
}

// ailments returns the gravest conditions of the node's rooms, and how many rooms have one.
func (r *rooms) ailments(most int) (gravest []roomAilment, ailing int) {
	r.mu.Lock()
	all := slices.SortedFunc(maps.Values(r.hosted), func(a, b *hosted) int { return strings.Compare(a.name, b.name) })
	r.mu.Unlock()
	for _, h := range all {
		if holds := h.ailing(); len(holds) > 0 {
			ailing++
			gravest = append(gravest, roomAilment{h.name, holds[0]})
		}
	}
	slices.SortStableFunc(gravest, func(a, b roomAilment) int {
		return slices.Index(shard.ConditionKinds, a.Kind) - slices.Index(shard.ConditionKinds, b.Kind)
	})
	return gravest[:min(most, len(gravest))], ailing
}

// tellWaits logs, once for each kind of reason, that rooms wait which this node does not take.
func (r *rooms) tellWaits(waiting map[string]string, now time.Time) {
	w := &r.watched
	if w.waits == nil {
		w.waits, w.whys = map[string]time.Time{}, map[string]bool{}
	}
	maps.DeleteFunc(w.waits, func(id string, _ time.Time) bool { return waiting[id] == "" })
	long := map[string][]string{} // by kind of reason: rooms
	for _, id := range slices.Sorted(maps.Keys(waiting)) {
		if w.waits[id].IsZero() {
			w.waits[id] = now
		}
		if now.Sub(w.waits[id]) >= waitsTold {
			kind := strings.Map(withoutDigits, waiting[id])
			long[kind] = append(long[kind], id)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(long)) {
		if ids := long[kind]; !w.whys[kind] {
			r.node.config.Logger.Warn("rooms wait, and this node does not take them", "rooms", len(ids), "first", ids[0], "reason", waiting[ids[0]])
		}
		w.whys[kind] = true
	}
	for kind := range w.whys {
		if long[kind] == nil {
			delete(w.whys, kind)
		}
	}
	if len(long) == 0 && w.told {
		r.node.config.Logger.Info("no room waits any more")
	}
	w.told = len(long) > 0
}

// withoutDigits drops the digits of a reason, which change while its kind stays.
func withoutDigits(c rune) rune {
	if unicode.IsDigit(c) {
		return -1
	}
	return c
}
