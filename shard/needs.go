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

// Frontend is what stands between a shard and all who play, serve or operate it: their commands come from it, and what a
// tick shows them goes there. The host calls it from the tick loop only, never concurrently. The world that it is shown is
// always one whose last tick is committed; it may be read until the call returns and never written.
type Frontend interface {
	// Own says that this node serves w from now on, as the given generation of ownership.
	Own(w *ecs.World, epoch uint64)
	// Latch appends to dst the commands for a tick: validated, with the repeats of sampled inputs
	// filled in, at most budgetBytes of payload; the host orders them. While debt is worked off it
	// is called for several ticks in a row with the same world.
	Latch(w *ecs.World, tick uint64, dst []ecs.Command, budgetBytes int) []ecs.Command
	// Release says that a record is committed: replies and events of each tick in order, updates
	// for the last. The outputs are valid until it returns.
	Release(w *ecs.World, seq, epoch uint64, outputs []ecs.Output)
	// Disown says that this node no longer serves the shard, and why.
	Disown(reason error)
}

// Ownership is the coordination service's view of one shard, for one node. A call that fails may
// have taken effect all the same; the protocol reads again.
type Ownership interface {
	// Read returns all that is known of the shard.
	Read(ctx context.Context) (Standing, error)
	// Await blocks until the owner of s is gone, or something else of the shard changed.
	Await(ctx context.Context, s Standing) error
	// Claim puts the owner key and the epoch in one transaction, if nobody owns the shard, it is
	// not halted, and the epoch is still the one that the bid was made on. False: it was not so.
	Claim(ctx context.Context, b Bid) (bool, error)
	// Note writes the parts of n that are set; never an owner key or an epoch. ErrFenced: a later
	// epoch has noted its sequence already.
	Note(ctx context.Context, n Note) error
	// Release gives the owner key of the given epoch up, if this node still has it, and with clean
	// forgets that epoch's attempt.
	Release(ctx context.Context, epoch persistence.Epoch, clean bool) error
}

// Lease is the node's lease. It may be read at any time from any goroutine.
type Lease interface {
	State() LeaseState
}

// LeaseState is the newest knowledge of a lease. Sent is when the last request that was answered
// with success was sent, by the monotonic clock: the service counts from a later moment, so
// Sent + TTL is never too late.
type LeaseState struct {
	ID   int64
	Sent time.Time
	TTL  time.Duration
}

// Standing is what the coordination service knows of a shard at one revision.
type Standing struct {
	Owner         string             // node that has the owner key; "" when there is none
	OwnerLease    int64              // lease of the owner key
	Epoch         persistence.Epoch  // last granted; 0 when nobody ever claimed
	EpochRevision int64              // what a claim compares; 0 when there is none
	Lineage       string             // "" before the first claim
	High          persistence.Mark   // last sequence that an owner noted
	Accepted      []persistence.Mark // losses of history that an operator accepted, oldest first
	Attempt       Attempt            // last start of ticking
	Halted        string             // reason; "" when nobody halted the shard
	Revision      int64              // of this reading
}

// Attempt is the note that an owner leaves before its first tick: how many starts in a row began
// with this tick and were not heard of again. It is taken back as soon as the tick is simulated,
// so what happens to a node while it commits is no evidence against the tick. A second start that
// dies there halts the shard.
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
	Lineage       string // written when the service has none
}

// Note is what an owner writes beside its key. Zero fields are left alone.
type Note struct {
	High    persistence.Mark
	Attempt Attempt
	Lived   persistence.Epoch // the first tick of this epoch's owner was simulated: its attempt is forgotten
	Halted  string            // reason to halt the shard
}

// Why a host stopped, or did not start, beside persistence.ErrLost (history is lost) and persistence.ErrFull (the log is
// over 95 % of its limit). Each is wrapped with what happened.
var (
	// ErrFenced: another owner's record is in the log. Nothing was released after it was seen.
	ErrFenced = errors.New("shard: fenced")
	// ErrLeaseLost: the node's lease could not be renewed in time.
	ErrLeaseLost = errors.New("shard: lease lost")
	// ErrHalted: the shard may not be claimed until an operator has looked.
	ErrHalted = errors.New("shard: halted")
	// ErrRefused: this node cannot run what the log holds; another might.
	ErrRefused = errors.New("shard: refused")
	// ErrOtherSchema: this build's components are not those of the log. It is an ErrRefused as well.
	ErrOtherSchema = fmt.Errorf("%w: another schema", ErrRefused)
	// ErrOtherOptions: the shard was made with other options, or another seed, than were asked for. It is an ErrRefused as well.
	ErrOtherOptions = fmt.Errorf("%w: other options", ErrRefused)
	// ErrTooLarge: a record is longer than the log takes. Nothing of it was stored or released.
	ErrTooLarge = errors.New("shard: record is too large")
)
