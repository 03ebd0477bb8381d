package shard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
)

// A shard's log, delta stream and snapshots are those of package persistence: LogWriter, DeltaWriter, SnapshotWriter.

// Frontend connects a shard to its clients, services and operators: it supplies their commands and delivers the effects of
// ticks. The host calls it only from the tick loop, never concurrently. The last tick of the world that it gets is always
// committed; it may read that world until the call returns, and never write it.
type Frontend interface {
	// Own announces that this node serves w from now on, under the given epoch.
	Own(w *ecs.World, epoch uint64)
	// Latch appends a tick's commands to dst: validated, with the repeats of sampled inputs filled in, and at most budgetBytes
	// of payload. The host orders them. While the host catches up, it calls Latch for several ticks in a row with the same
	// world.
	Latch(w *ecs.World, tick uint64, dst []ecs.Command, budgetBytes int) []ecs.Command
	// Release announces that a record is committed: send the replies and events of each tick in order, and updates for the
	// last tick. The outputs are valid until it returns.
	Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output)
	// Disown announces that this node no longer serves the shard, and why.
	Disown(reason error)
}

// Waker is a Frontend that says when something arrives. A host with HostConfig.Doze needs one.
type Waker interface {
	Frontend
	// OnArrival makes the frontend call f, from any goroutine, whenever a command or a client arrives that the next Latch or Release
	// takes; for what a session sends it need not. f does not block. nil ends it.
	OnArrival(f func())
}

// Ownership is the coordination service's view of one shard, for one node. A failed call may have taken effect nevertheless;
// the protocol reads again.
type Ownership interface {
	// Read returns the shard's standing.
	Read(ctx context.Context) (Standing, error)
	// Await blocks until the owner of s is gone, or something else about the shard changed.
	Await(ctx context.Context, s Standing) error
	// Claim puts the owner key and the epoch in one transaction, if nobody owns the shard, it is not halted, and the epoch is
	// still the one that the bid was based on. Otherwise it returns false.
	Claim(ctx context.Context, b Bid) (bool, error)
	// Note writes the parts of n that are set, never an owner key or an epoch. It returns ErrFenced if a later epoch has
	// already noted its sequence.
	Note(ctx context.Context, n Note) error
	// Release deletes the owner key of the given epoch, if this node still has it. With clean it also deletes that epoch's
	// attempt.
	Release(ctx context.Context, epoch persistence.Epoch, clean bool) error
}

// Notary is an Ownership that can note the high-water marks of many shards at once. A room's host uses it.
type Notary interface {
	Ownership
	// NoteSoon writes a high-water mark within seconds, as Note does, and then calls done once, from any goroutine.
	NoteSoon(m persistence.Mark, done func(error))
}

// Lease is the node's lease. It may be read at any time from any goroutine.
type Lease interface {
	State() LeaseState
}

// LeaseState is the newest known state of a lease. Sent is when the last successfully answered request was sent, by the
// monotonic clock. The service counts from a later moment, so Sent + TTL is never too late.
type LeaseState struct {
	ID   int64
	Sent time.Time
	TTL  time.Duration
}

// Standing is what the coordination service knows about a shard at one revision.
type Standing struct {
	Owner         string             // node that has the owner key; "" if none does
	OwnerLease    int64              // lease of the owner key
	Epoch         persistence.Epoch  // last granted; 0 before the first claim
	EpochRevision int64              // revision of the epoch key, which a claim compares; 0 if the key does not exist
	Lineage       string             // "" before the first claim
	High          persistence.Mark   // last sequence that an owner noted
	Accepted      []persistence.Mark // losses of history that an operator accepted, oldest first
	Attempt       Attempt            // last start of ticking
	Halted        string             // reason; "" if the shard is not halted
	Ended         bool               // the room is over: sealed, or closed before any node claimed it
	Revision      int64              // of this reading
}

// Attempt is the note that an owner writes before its first tick: how many starts in a row began with this tick and never
// took the note back. The owner takes it back as soon as the tick is simulated, so a node that dies while it commits is no
// evidence against the tick. A second start that dies in the tick halts the shard.
type Attempt struct {
	Tick  uint64
	Count int
	Epoch persistence.Epoch
}

// Bid is what a node asks for in a claim.
type Bid struct {
	Node          string
	Lease         int64
	Epoch         persistence.Epoch
	EpochRevision int64
	Lineage       string // written if the service has none
}

// Note is what an owner writes in addition to its key. Zero fields stay unchanged.
type Note struct {
	High    persistence.Mark
	Attempt Attempt
	Lived   persistence.Epoch // this epoch's owner has simulated its first tick: delete its attempt
	Halted  string            // reason to halt the shard
}

// The reasons for which a host stops or does not start, in addition to persistence.ErrLost (history is lost) and
// persistence.ErrFull (the log is over 95 % full). Each is wrapped with what happened.
var (
	// ErrFenced: another owner's record is in the log. Nothing was released after this owner saw it.
	ErrFenced = errors.New("shard: fenced")
	// ErrLeaseLost: the node's lease could not be renewed in time.
	ErrLeaseLost = errors.New("shard: lease lost")
	// ErrHalted: the shard may not be claimed until an operator has looked.
	ErrHalted = errors.New("shard: halted")
	// ErrRefused: this node cannot run what the log holds; another might.
	ErrRefused = errors.New("shard: refused")
	// ErrOtherSchema: this build's components do not fit the log. It is also an ErrRefused.
	ErrOtherSchema = fmt.Errorf("%w: another schema", ErrRefused)
	// ErrOtherOptions: the shard was made with other options, or another seed, than this start asks for. It is also an
	// ErrRefused.
	ErrOtherOptions = fmt.Errorf("%w: other options", ErrRefused)
	// ErrOwned: another node owns the shard, and this one does not wait for it.
	ErrOwned = errors.New("shard: another node owns it")
	// ErrEnded: the room is over, and its log is sealed.
	ErrEnded = errors.New("shard: the room has ended")
	// ErrTooLarge: a record is longer than the log accepts. Nothing of it was stored or released.
	ErrTooLarge = errors.New("shard: record is too large")
)
