package shard

import (
	"fmt"
	"time"

	"github.com/ferris1/wind/persistence"
)

// EventKind says what happened.
type EventKind uint8

// The events of an [Owner]. An answer carries the Op of its action. The owner ignores answers to older requests, so an answer
// may come late or twice. If none comes, the shell times out and answers with an error.
const (
	EventStart     EventKind = iota + 1 // begin
	EventTimer                          // an ActionTimer's time has come
	EventLease                          // Lease: the newest state of the node's lease
	EventStop                           // hand over as soon as nothing is outstanding
	EventPropose                        // Ticks: commit these, next
	EventStored                         // Snapshot: stored, read back and restored
	EventOvertaken                      // the service refused a note: it knows a later owner (Err)
	EventStanding                       // answers ActionStanding: Standing
	EventFree                           // answers ActionAwait
	EventClaimed                        // answers ActionClaim: Granted
	EventEvidence                       // answers ActionEvidence: Delta, Snapshots
	EventTail                           // answers ActionTail: Tail
	EventRecorded                       // answers ActionRecorded: Recorded
	EventMessage                        // answers ActionGet and ActionRead: Message
	EventLoaded                         // answers ActionLoad: Snapshot
	EventDelta                          // answers ActionDelta: Delta, which may be nil
	EventAppended                       // answers ActionAppend: the record is stored, unless Err
	EventNoted                          // answers ActionNote
	EventPurged                         // answers ActionMakeSpace
	EventUsage                          // Tail: how full the log is
	EventEnd                            // End: end the room, between two records
)

// Event is one thing that happened, with the time at which the node learned of it.
type Event struct {
	Kind EventKind
	Now  time.Duration // the node's monotonic clock; never goes back
	Op   uint64        // the request that this answers
	Err  error         // nil if nothing went wrong

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
	End       *persistence.Seal // its Reason, By
}

// Held is a lease in terms of the node's own clock: the node may rely on it until Until.
type Held struct {
	ID    int64
	Until time.Duration // when the last successful keepalive was sent + TTL - margin
}

// Tail is the end of a log.
type Tail struct {
	First      persistence.Seq // the first one stored; 0: not known
	Last       persistence.Seq
	Epoch      persistence.Epoch // of the last record; 0 if the log is empty
	Tick       uint64            // of the last record; persistence.UnknownTick if it could not be read
	UsedBytes  int64
	LimitBytes int64 // 0: no limit known
	Missing    bool  // the log does not exist
	Sealed     bool  // by the last record
}

// ActionKind says what to do.
type ActionKind uint8

// The actions of an [Owner]. Requests carry an Op and need an answer; the shell performs the others in their order.
const (
	ActionTimer     ActionKind = iota + 1 // an EventTimer at At (or later); replaces an earlier one
	ActionStanding                        // request: Ownership.Read
	ActionAwait                           // request: Ownership.Await(Standing)
	ActionClaim                           // request: Ownership.Claim(Bid)
	ActionEvidence                        // request: Deltas.Last and Snapshots.List
	ActionTail                            // request: Log.Last, its record's epoch, usage
	ActionRecorded                        // request: persistence.ReadRecorded
	ActionGet                             // request: Log.Get(Seq), from the leader
	ActionRead                            // request: Seq, as part of a sequential read up to To
	ActionLoad                            // request: Snapshots.Get(Info)
	ActionDelta                           // request: the whole delta of Tick, unless Standing.Accepted makes it void
	ActionAppend                          // request: Log.Append(Message, Expect)
	ActionNote                            // request: Ownership.Note(Note)
	ActionFound                           // Log.Acknowledged(Seq, Message): the record was stored but never acknowledged
	ActionGap                             // this node cannot publish the deltas of ticks From to To: tell the stream's readers
	ActionOwn                             // this node owns the shard: serve it
	ActionRelease                         // the proposed ticks are record Seq, Message: release their effects
	ActionMakeSpace                       // request: Log.Purge(Seq), before the fence
	ActionPurge                           // Log.Purge(Seq), if snapshot Info, of that record or a later one, is still readable
	ActionHandOver                        // Ownership.Release(Epoch, Clean), best effort; Err: why
	ActionAlarm                           // Err: tell an operator
	ActionStop                            // this owner has ended: Err says why, nil after EventStop
)

// Action is one instruction of an Owner.
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
	Message  persistence.Message // the body is valid until the record is settled
	Gap      persistence.Gap
	Epoch    persistence.Epoch
	Clean    bool
	Err      error
}

var actionNames = [...]string{
	"", "timer", "standing", "await", "claim", "evidence", "tail", "recorded", "get", "read", "load", "delta",
	"append", "note", "found", "gap", "own", "release", "make space", "purge", "hand over", "alarm", "stop",
}

// String returns the name of an action's kind.
func (k ActionKind) String() string {
	if int(k) < len(actionNames) {
		return actionNames[k]
	}
	return fmt.Sprintf("action(%d)", uint8(k))
}

// Simulation is the world as recovery sees it. Only Owner.Step calls it. Its answers depend only on the earlier calls.
type Simulation interface {
	// Fits returns an ErrRefused that names the difference if this node cannot carry over what another build recorded. It does
	// not change the world.
	Fits(r *persistence.Recorded) error
	// Begin makes the world of tick 0. ErrRefused means that this node will not run this shard (another game, other options);
	// any other error, that it cannot.
	Begin(g *persistence.Genesis) error
	// Restore makes the world of a snapshot. ErrRefused is as for Begin; any other error means that the snapshot is unusable.
	Restore(s *persistence.Snapshot) error
	// Resimulate steps through a recorded tick of record seq. It returns nil if the result equals the record, otherwise a
	// *persistence.DivergedError, after which the world is unusable.
	Resimulate(seq persistence.Seq, t *persistence.TickRecord) error
	// Apply applies the next tick's delta instead and verifies its checksum.
	Apply(d *persistence.Delta) error
	// Explain returns the values in which a diverged tick differs, after Apply has applied its delta; nil if they are not known.
	Explain() error
	// Keep reports that the tick just re-simulated is right, and that the delta stream may lack its delta.
	Keep(seq persistence.Seq, epoch persistence.Epoch)
	// Schema, Tick and Checksum describe the world. Schema returns its types as JSON of ecs.Schema.
	Schema() []byte
	Tick() uint64
	Checksum() uint64
}
