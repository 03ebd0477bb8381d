package shard

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ferris1/wind/persistence"
)

// ConditionKind names a kind of condition that keeps a shard from being served properly.
type ConditionKind string

// The conditions, gravest first: the order in which they are shown.
const (
	Halted      ConditionKind = "halted"            // no node may claim the shard until an operator has looked
	HistoryLost ConditionKind = "history-lost"      // the log lacks records that were once committed
	OtherSchema ConditionKind = "other-schema"      // this build's components do not fit the log
	Refused     ConditionKind = "refused"           // this node cannot run the shard; another might
	Fenced      ConditionKind = "fenced"            // this node owned the shard and lost it
	ReadOnly    ConditionKind = "read-only"         // the store's file system is read-only
	DiskFull    ConditionKind = "disk-full"         // the store's file system is full
	LogFull     ConditionKind = "log-full"          // the log has reached its limit, or nears it
	AwaitsNATS  ConditionKind = "waiting-for-nats"  // NATS does not answer
	AwaitsEtcd  ConditionKind = "waiting-for-etcd"  // etcd does not answer, or the node has no lease
	AwaitsOwner ConditionKind = "waiting-for-owner" // another node owns the shard
	Hung        ConditionKind = "hung"              // a tick's step, or a service's handler, does not end
	Behind      ConditionKind = "behind"            // ticks are overdue
	Conflict    ConditionKind = "conflict"          // two services handle a message, or use its id
	Degraded    ConditionKind = "degraded"          // the host's background work fails: deltas, snapshots, notes
)

// ConditionKinds lists all kinds, gravest first.
var ConditionKinds = []ConditionKind{
	Halted, HistoryLost, OtherSchema, Refused, Fenced, ReadOnly, DiskFull, LogFull, AwaitsNATS, AwaitsEtcd, AwaitsOwner, Hung, Behind, Conflict, Degraded,
}

// Condition is a fault that keeps a shard from being served properly, or soon will.
type Condition struct {
	Kind  ConditionKind `json:"kind"`
	Text  string        `json:"text"`  // one sentence: what is wrong, and what to do about it
	Since time.Time     `json:"since"` // when it began
	Stops bool          `json:"stops"` // while it lasts, this node cannot serve the clients that it should serve
}

// Conditions holds the current conditions, at most one of each kind. The zero value is ready. All methods may be called
// concurrently.
type Conditions struct {
	mu sync.Mutex
	is map[ConditionKind]Condition
}

// Raise adds a condition or replaces the one of its kind, whose Since it keeps.
func (c *Conditions) Raise(kind ConditionKind, stops bool, text string) {
	c.RaiseSince(kind, stops, text, time.Now())
}

// RaiseSince is like Raise for a condition that began earlier.
func (c *Conditions) RaiseSince(kind ConditionKind, stops bool, text string, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, held := c.is[kind]; held {
		since = before.Since
	}
	if c.is == nil {
		c.is = map[ConditionKind]Condition{}
	}
	c.is[kind] = Condition{Kind: kind, Text: text, Since: since, Stops: stops}
}

// Clear removes the conditions of these kinds.
func (c *Conditions) Clear(kinds ...ConditionKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kind := range kinds {
		delete(c.is, kind)
	}
}

// List returns the current conditions, gravest first.
func (c *Conditions) List() []Condition {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Collect(maps.Values(c.is))
	SortConditions(all)
	return all
}

// SortConditions sorts conditions, gravest first.
func SortConditions(all []Condition) {
	slices.SortFunc(all, func(a, b Condition) int {
		return cmp.Compare(slices.Index(ConditionKinds, a.Kind), slices.Index(ConditionKinds, b.Kind))
	})
}

// Healthy reports whether a node under these conditions does its job: it serves its shard, or waits for the node that does.
func Healthy(all []Condition) bool {
	return !slices.ContainsFunc(all, func(c Condition) bool { return c.Stops })
}

// ConditionOf returns the condition that an error means, or "".
func ConditionOf(err error) ConditionKind {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, persistence.ErrLost): // before ErrHalted: a loss halts the shard and is the more specific reason
		return HistoryLost
	case errors.Is(err, ErrHalted):
		return Halted
	case errors.Is(err, ErrOtherSchema), errors.Is(err, persistence.ErrSchema):
		return OtherSchema
	case errors.Is(err, ErrRefused):
		return Refused
	case errors.Is(err, ErrFenced), errors.Is(err, ErrLeaseLost):
		return Fenced
	case errors.Is(err, persistence.ErrReadOnly):
		return ReadOnly
	case errors.Is(err, persistence.ErrDiskFull):
		return DiskFull
	case errors.Is(err, persistence.ErrFull):
		return LogFull
	}
	return ""
}

// WayOut returns what an operator of a shard can do about a condition.
func WayOut(kind ConditionKind, shard string) string {
	switch kind {
	case Halted:
		return "look at the reason, then lift the halt with wind shard resume " + shard
	case HistoryLost:
		return fmt.Sprintf("see what is missing with wind log check --shard %s, then restore a backup, or give up the lost ticks with wind shard accept-loss %s", shard, shard)
	case OtherSchema:
		return "run the build that wrote the log, or begin another shard with --shard or --data" // as persistence's error ends
	case Refused:
		return "start it with what the log says, or begin another shard with --shard or --data"
	case Fenced:
		return "this node waits, and owns the shard again once it is free"
	case ReadOnly:
		return "make its file system writable again; the ticks then resume unaided"
	case DiskFull:
		return "free space on it; the ticks then resume unaided"
	case LogFull:
		return fmt.Sprintf("remove the records before the proven snapshots with wind log purge %s, or, if it is no room, raise --log-bytes", shard)
	case AwaitsNATS:
		return "this node continues once NATS answers: check that it runs and that --nats names it, or, if it is embedded in this process, whether the machine is overloaded or its disk slow"
	case AwaitsEtcd:
		return "this node continues once etcd answers: check that it runs and that --etcd names it, or, if it is embedded in this process, whether the machine is overloaded or its disk slow"
	case AwaitsOwner:
		return "this node takes over when that node stops or its lease ends"
	case Hung:
		return "nobody is served until it ends; if it does not, stop the process, which loses nothing committed, and mend what the message names"
	case Behind:
		return "the node catches up at most a second of ticks once the cause is gone; if it stays behind, give the node more processor time, or the game less work per tick"
	case Conflict:
		return "remove one of the handlers or change one of the ids, or say who gets a message with wind gateway --route MESSAGE=TYPE"
	case Degraded:
		return "ticks do not wait for it"
	}
	return ""
}

// Sentence returns a condition's text: what is wrong and, unless what already names it, the way out.
func Sentence(kind ConditionKind, shard, what string) string {
	if strings.Contains(what, WayOut(kind, shard)) {
		return what
	}
	return fmt.Sprintf("%s: %s", what, WayOut(kind, shard))
}
