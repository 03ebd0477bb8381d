package shard

import (
	"fmt"
	"time"

	"github.com/ferris1/wind/persistence"
)

// EventKind says what happened.
type EventKind uint8

// The events of an [Owner]. Those that answer an action carry its Op; an answer to an older
// request is ignored, so answers may come late, twice or never (then as an error, after a
// time-out that the shell keeps).
const (
	EventStart     EventKind = iota + 1 // begin
	EventTimer                          // the time of an ActionTimer has come
	EventLease                          // Lease: what is known of the node's lease
	EventStop                           // hand over as soon as nothing is outstanding
	EventPropose                        // Ticks: commit these, next
	EventStored                         // Snapshot: it is in the store, was read back and restored from there
	EventOvertaken                      // a note was refused: the service knows of a later owner (Err)
	EventStanding                       // answers ActionStanding: Standing
	EventFree                           // answers ActionAwait
	EventClaimed                        // answers ActionClaim: Granted
	EventEvidence                       // answers ActionEvidence: Delta, Snapshots
	EventTail                           // answers ActionTail: Tail
	EventRecorded                       // answers ActionRecorded: Recorded
	EventMessage                        // answers ActionGet and ActionRead: Message
	EventLoaded                         // answers ActionLoad: Snapshot
	EventDelta                          // answers ActionDelta: Delta, or none
	EventAppended                       // answers ActionAppend: stored, unless Err
	EventNoted                          // answers ActionNote
	EventPurged                         // answers ActionRoom
	EventUsage                          // Tail: how full the log is
)

// Event is one thing that happened, with the time at which the node learned of it.
type Event struct {
	Kind EventKind
	Now  time.Duration // the node's monotonic clock; never goes back
	Op   uint64        // the request that is answered
	Err  error         // what went wrong, nil if nothing

	Lease     Held
	Standing  Standing
	Granted   bool
	Tail      Tail
	Recorded  persistence.Recorded
	Message   persistence.Message
	Delta     *persistence.Delta
	Snapshot  *persistence.Snapshot
	Snapshots []persistence.SnapshotInfo
	Ticks     []persistence.TickRecord
}

// Held is a lease on the node's own clock: it may be relied on before Until.
type Held struct {
	ID    int64
	Until time.Duration // when the last successful keepalive was sent + TTL - margin
}

// Tail is the end of a log.
type Tail struct {
	First      persistence.Seq // that is stored; 0: not known
	Last       persistence.Seq
	Epoch      persistence.Epoch // of the last record; 0 when the log is empty
	Tick       uint64            // of the last record; persistence.UnknownTick when it could not be read
	UsedBytes  int64
	LimitBytes int64 // 0: none known
	Missing    bool  // there is no such log
}

// ActionKind says what is to be done.
type ActionKind uint8

// The actions of an [Owner]. Requests carry an Op and want an answer; the others are done in
// the order in which they stand.
const (
	ActionTimer    ActionKind = iota + 1 // an EventTimer at At (or later); replaces an earlier one
	ActionStanding                       // request: Ownership.Read
	ActionAwait                          // request: Ownership.Await(Standing)
	ActionClaim                          // request: Ownership.Claim(Bid)
	ActionEvidence                       // request: Deltas.Last and Snapshots.List
	ActionTail                           // request: Log.Last, its record's epoch, usage
	ActionRecorded                       // request: persistence.ReadRecorded
	ActionGet                            // request: Log.Get(Seq), from the leader
	ActionRead                           // request: Seq, as part of a reading in order up to To
	ActionLoad                           // request: Snapshots.Get(Info)
	ActionDelta                          // request: the whole delta of Tick, none that Standing.Accepted makes void
	ActionAppend                         // request: Log.Append(Message, Expect)
	ActionNote                           // request: Ownership.Note(Note)
	ActionFound                          // Log.Acknowledged(Seq, Message): the record was stored although nobody acknowledged it
	ActionGap                            // ticks From to To cannot be published as deltas by us: tell the stream's readers
	ActionOwn                            // the shard is ours: serve it
	ActionRelease                        // the proposed ticks are record Seq, Message: let their effects out
	ActionRoom                           // request: Log.Purge(Seq), before the fence
	ActionPurge                          // Log.Purge(Seq), if snapshot Info, of that record or a later one, can still be read
	ActionHandOver                       // Ownership.Release(Epoch, Clean), best effort
	ActionAlarm                          // Err: an operator must know
	ActionStop                           // this owner is over: Err says why, nil after EventStop
)

// Action is one thing that an Owner wants done.
type Action struct {
	Kind ActionKind
	Op   uint64

	At       time.Duration
	Standing Standing
	Bid      Bid
	Note     Note
	Seq, To  persistence.Seq
	Expect   persistence.Seq
	Tick     uint64
	Info     persistence.SnapshotInfo
	Message  persistence.Message // its body is valid until the record is settled
	Gap      persistence.Gap
	Epoch    persistence.Epoch
	Clean    bool
	Err      error
}

var actionNames = [...]string{
	"", "timer", "standing", "await", "claim", "evidence", "tail", "recorded", "get", "read", "load", "delta",
	"append", "note", "found", "gap", "own", "release", "room", "purge", "hand over", "alarm", "stop",
}

// String names an action's kind.
func (k ActionKind) String() string {
	if int(k) < len(actionNames) {
		return actionNames[k]
	}
	return fmt.Sprintf("action(%d)", uint8(k))
}

// Simulation is the world as recovery sees it. It is called from Owner.Step only. What it answers
// depends on the calls before and on nothing else.
type Simulation interface {
	// Fits reports whether this node can carry over what another build recorded: ErrRefused if not, with
	// the difference named. It changes nothing of the world.
	Fits(r *persistence.Recorded) error
	// Begin makes the world of tick 0. An error that is ErrRefused says that this node will not
	// run this shard (another game, other options); any other one, that it cannot.
	Begin(g *persistence.Genesis) error
	// Restore makes the world of a snapshot. ErrRefused as for Begin; any other error means that
	// the snapshot is of no use.
	Restore(s *persistence.Snapshot) error
	// Resimulate steps through a recorded tick of record seq. Nil means that all of it came out as
	// recorded; else it is a *persistence.DivergedError, and the world is of no more use.
	Resimulate(seq persistence.Seq, t *persistence.TickRecord) error
	// Apply takes the delta of the next tick instead, verifying its checksum.
	Apply(d *persistence.Delta) error
	// Explain says, once Apply has taken the delta of a tick that had diverged, in which values that tick came
	// out otherwise; nil when that is not known.
	Explain() error
	// Keep says that the tick just re-simulated is right, and that the delta stream may lack it.
	Keep(seq persistence.Seq, epoch persistence.Epoch)
	// Schema, Tick and Checksum are the world's: its types as JSON of ecs.Schema.
	Schema() []byte
	Tick() uint64
	Checksum() uint64
}
