package persistence

import (
	"context"
	"iter"
)

// LogReader is what reading a shard's log takes.
type LogReader interface {
	// First returns the first sequence that is stored, 0 when the log is empty.
	First(ctx context.Context) (Seq, error)
	// Last returns the last sequence, 0 when the log is empty, ErrNotFound when it
	// does not exist.
	Last(ctx context.Context) (Seq, error)
	// Get returns one message as the log's leader has it, or ErrNotFound.
	Get(ctx context.Context, seq Seq) (Message, error)
	// Read yields the messages from first to last, both included, in order.
	// A missing one is yielded as ErrGap, which ends the reading.
	Read(ctx context.Context, first, last Seq) iter.Seq2[Message, error]
}

// LogWriter is the fenced stream of a shard's records as its owner has it.
// Every call is answered in bounded time (an acknowledgement time-out), and no
// message's body is kept.
type LogWriter interface {
	LogReader
	// Append stores m at expect+1 if expect is the last sequence. nil means that
	// exactly this message, sent now or before, is durable there; ErrConflict that
	// the last sequence is another; ErrFull that nothing was stored;
	// ErrAmbiguous, like any error that is none of these, that it may be stored or not.
	Append(ctx context.Context, m Message, expect Seq) error
	// Acknowledged tells the log, before anything of m is released, that reading
	// found m stored as record seq, though no acknowledgement came.
	Acknowledged(seq Seq, m Message)
	// Purge removes the messages below the sequence, never the last one.
	Purge(ctx context.Context, below Seq) error
	// Fill returns how many bytes the log takes and how many it may take, 0 for no
	// limit.
	Fill(ctx context.Context) (used, limit int64, err error)
	// MaxRecordBytes is the longest body that Append can store.
	MaxRecordBytes() int
}

// DeltaReader is what reading a shard's delta stream takes.
type DeltaReader interface {
	// Last returns the stream's last message without its body, false when the
	// stream is empty. If its Part is not its Parts, its tick is incomplete.
	Last(ctx context.Context) (Delta, bool, error)
	// Read yields whole deltas (parts joined) and gaps in order, beginning with
	// the first that ends at or after the tick. Bodies are valid until the next.
	// Parts at the end that their writer did not complete are not yielded.
	Read(ctx context.Context, fromTick uint64) iter.Seq2[Delta, error]
}

// DeltaWriter is what a delta stream offers to the shard's owner.
type DeltaWriter interface {
	DeltaReader
	// Publish appends whole deltas or gaps in order, split where they must be.
	// It is fenced by the stream's last message as this handle knows it: ErrConflict
	// says that somebody else published; Last makes the handle see it.
	Publish(ctx context.Context, deltas []Delta) error
}

// SnapshotReader is what reading a shard's snapshots takes.
type SnapshotReader interface {
	// List returns the snapshots, newest (highest sequence) first.
	List(ctx context.Context) ([]SnapshotInfo, error)
	// Get returns one, its bytes verified, or ErrNotFound.
	Get(ctx context.Context, info SnapshotInfo) (Snapshot, error)
}

// SnapshotWriter is what a snapshot store offers to who takes snapshots.
type SnapshotWriter interface {
	SnapshotReader
	// Put stores s under its name, reads it back and verifies it: prove, unless
	// it is nil, gets what was read, and what it refuses is not stored
	// (ErrUnproven). A name that exists is not written again.
	Put(ctx context.Context, s Snapshot, prove func(Snapshot) error) error
}
