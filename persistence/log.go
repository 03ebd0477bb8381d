package persistence

import (
	"context"
	"iter"
)

// Extent is what a log holds.
type Extent struct {
	First, Last Seq   // 0: it is empty
	Used        int64 // bytes
	Limit       int64 // of Used; 0: none
}

// LogReader reads a shard's log.
type LogReader interface {
	// First returns the first stored sequence, 0 when the log is empty.
	First(ctx context.Context) (Seq, error)
	// Last returns the last sequence, 0 when the log is empty, or ErrNotFound when
	// the log does not exist.
	Last(ctx context.Context) (Seq, error)
	// Get returns one message as the log's leader has it, or ErrNotFound.
	Get(ctx context.Context, seq Seq) (Message, error)
	// Read yields the messages from first to last, both included, in order.
	// At a missing message it yields ErrGap and stops.
	Read(ctx context.Context, first, last Seq) iter.Seq2[Message, error]
}

// LogWriter is the fenced stream of a shard's records as the owner uses it.
// Every call returns in bounded time (an acknowledgement timeout) and retains
// no message body.
type LogWriter interface {
	LogReader
	// Append stores m at expect+1 if expect is the last sequence. It returns nil
	// when exactly this message, sent now or before, is durable there, ErrConflict
	// when the last sequence differs, and ErrFull when nothing was stored. After
	// ErrAmbiguous or any other error the message may or may not be stored.
	Append(ctx context.Context, m Message, expect Seq) error
	// Acknowledged tells the log that a read found m stored as record seq although
	// no acknowledgement arrived. The owner calls it before it releases m.
	Acknowledged(seq Seq, m Message)
	// Purge removes the messages below the sequence, but never the last one.
	Purge(ctx context.Context, below Seq) error
	// Extent returns what the log holds, or ErrNotFound when it does not exist. A
	// handle whose last append was stored answers from what it knows.
	Extent(ctx context.Context) (Extent, error)
	// MaxRecordBytes returns the length of the longest body that Append can store.
	MaxRecordBytes() int
}

// DeltaReader reads a shard's delta stream.
type DeltaReader interface {
	// Last returns the last delta of the stream's last message without its body,
	// false when the stream is empty. If its Part is not its Parts, its tick is
	// incomplete.
	Last(ctx context.Context) (Delta, bool, error)
	// Read yields whole deltas (parts joined) and gaps in order, beginning with
	// the first that ends at or after the tick. A body is valid until the next
	// iteration. Read omits incomplete parts at the end.
	Read(ctx context.Context, fromTick uint64) iter.Seq2[Delta, error]
}

// DeltaWriter is a delta stream as the shard's owner uses it.
type DeltaWriter interface {
	DeltaReader
	// Publish appends whole deltas or gaps in order and splits those that are too
	// large for one message. The last message that this handle knows is its fence:
	// ErrConflict means that another writer published; Last updates the handle.
	Publish(ctx context.Context, deltas []Delta) error
}

// SnapshotReader reads a shard's snapshots.
type SnapshotReader interface {
	// List returns the snapshots, newest (highest sequence) first.
	List(ctx context.Context) ([]SnapshotInfo, error)
	// Get returns a snapshot with its bytes verified, or ErrNotFound.
	Get(ctx context.Context, info SnapshotInfo) (Snapshot, error)
}

// SnapshotWriter is a snapshot store that can also be written to.
type SnapshotWriter interface {
	SnapshotReader
	// Put stores s under its name, reads it back and verifies it. It passes what it
	// read to prove, unless that is nil; if prove returns an error, s is not stored
	// (ErrUnproven). Put does not overwrite an existing name.
	Put(ctx context.Context, s Snapshot, prove func(Snapshot) error) error
}
