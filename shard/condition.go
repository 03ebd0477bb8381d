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

// ConditionKind names what keeps a shard from being served as it should.
type ConditionKind string

// The conditions, the gravest first: in this order they are shown.
const (
	Halted      ConditionKind = "halted"            // nobody may claim the shard until an operator has looked
	HistoryLost ConditionKind = "history-lost"      // the log lacks what was once committed
	OtherSchema ConditionKind = "other-schema"      // this build's components are not the log's
	Refused     ConditionKind = "refused"           // this node cannot run the shard; another might
	Fenced      ConditionKind = "fenced"            // this node owned the shard and lost it
	ReadOnly    ConditionKind = "read-only"         // the store's file system takes no writes
	DiskFull    ConditionKind = "disk-full"         // the store's file system has no room
	LogFull     ConditionKind = "log-full"          // the log is at its limit, or near it
	AwaitsNATS  ConditionKind = "waiting-for-nats"  // NATS does not answer
	AwaitsEtcd  ConditionKind = "waiting-for-etcd"  // etcd does not answer, or the node has no lease
	AwaitsOwner ConditionKind = "waiting-for-owner" // another node owns the shard
	Hung        ConditionKind = "hung"              // a tick's step, or a service's handler, does not end
	Behind      ConditionKind = "behind"            // ticks are overdue
	Degraded    ConditionKind = "degraded"          // what a host does beside its ticks fails: deltas, snapshots, notes
)

// ConditionKinds lists all kinds, the gravest first.
var ConditionKinds = []ConditionKind{
	Halted, HistoryLost, OtherSchema, Refused, Fenced, ReadOnly, DiskFull, LogFull, AwaitsNATS, AwaitsEtcd, AwaitsOwner, Hung, Behind, Degraded,
}

// Condition is one thing that keeps a shard from being served as it should, or soon will.
type Condition struct {
	Kind  ConditionKind `json:"kind"`
	Text  string        `json:"text"`  // one sentence: what is the matter, and the way out
	Since time.Time     `json:"since"` // when it began
	Stops bool          `json:"stops"` // clients are not served while it lasts, though this node is there to serve them
}

// Conditions is what is the matter now, at most one condition of each kind. The zero value is
// ready; all methods may be called concurrently.
type Conditions struct {
	mu sync.Mutex
	is map[ConditionKind]Condition
}

// Raise says that a condition holds, since now if none of its kind did.
func (c *Conditions) Raise(kind ConditionKind, stops bool, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := time.Now()
	if before, held := c.is[kind]; held {
		since = before.Since
	}
	if c.is == nil {
		c.is = map[ConditionKind]Condition{}
	}
	c.is[kind] = Condition{Kind: kind, Text: text, Since: since, Stops: stops}
}

// Clear says that conditions of these kinds are over.
func (c *Conditions) Clear(kinds ...ConditionKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kind := range kinds {
		delete(c.is, kind)
	}
}

// List returns what holds, the gravest first.
func (c *Conditions) List() []Condition {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Collect(maps.Values(c.is))
	SortConditions(all)
	return all
}

// SortConditions puts the gravest first.
func SortConditions(all []Condition) {
	slices.SortFunc(all, func(a, b Condition) int {
		return cmp.Compare(slices.Index(ConditionKinds, a.Kind), slices.Index(ConditionKinds, b.Kind))
	})
}

// Healthy reports whether a node under these conditions does what it is there for: it serves its
// shard, or waits for the node that does.
func Healthy(all []Condition) bool {
	return !slices.ContainsFunc(all, func(c Condition) bool { return c.Stops })
}

// ConditionOf says which condition an error speaks of; "" when it speaks of no particular one.
func ConditionOf(err error) ConditionKind {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, persistence.ErrLost): // before ErrHalted: a loss halts, and is the reason
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

// WayOut says what an operator of a shard does about a condition.
func WayOut(kind ConditionKind, shard string) string {
	switch kind {
	case Halted:
		return "look at the reason, then lift the halt with wind shard resume " + shard
	case HistoryLost:
		return fmt.Sprintf("see what is missing with wind log check --shard %s, then restore a backup, or give the lost ticks up with wind shard accept-loss %s", shard, shard)
	case OtherSchema:
		return "run the build that wrote the log, or begin another shard with --shard or --data"
	case Refused:
		return "start it as the log says, or begin another shard with --shard or --data"
	case Fenced:
		return "this node waits and owns the shard again when it is free"
	case ReadOnly:
		return "make its file system writable again; the ticks go on by themselves"
	case DiskFull:
		return "free space on it; the ticks go on by themselves"
	case LogFull:
		return "raise --log-bytes, or free room behind proven snapshots with wind log purge " + shard
	case AwaitsNATS:
		return "see that NATS runs, and where it is not embedded that --nats names it; this node goes on by itself when it answers"
	case AwaitsEtcd:
		return "see that etcd runs, and where it is not embedded that --etcd names it; this node goes on by itself when it answers"
	case AwaitsOwner:
		return "this node takes over when that one stops or its lease ends"
	case Hung:
		return "nobody is served until it ends; if it does not, stop the process, and look at what the log names"
	case Behind:
		return "they are made up, a second of them at most, when what holds them up is over; if nothing does, give the node more processor time, or the game less to do per tick"
	case Degraded:
		return "ticks do not wait for it"
	}
	return ""
}

// Sentence is a condition's text: what is the matter, and the way out, which what may name already.
func Sentence(kind ConditionKind, shard, what string) string {
	if strings.Contains(what, WayOut(kind, shard)) {
		return what
	}
	return fmt.Sprintf("%s: %s", what, WayOut(kind, shard))
}
