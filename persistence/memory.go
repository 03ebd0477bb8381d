package persistence

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
)

// Memory keeps a shard's log, delta stream and snapshots in memory, with the same
// fences as the real stores. It is meant for tests, simulation and benchmarks. It
// is safe for concurrent use.
type Memory struct {
	mu        sync.Mutex
	first     Seq // of log[0]
	log       []Message
	logBytes  int64
	deltas    []storedDelta
	deltaSeq  uint64 // of the last delta message ever stored
	snapshots []storedSnapshot

	// Limits; set them before use. 0 means no limit.
	MaxLogBytes     int64 // Append returns ErrFull beyond it
	MaxDeltas       int   // messages kept in the delta stream; the oldest are dropped
	MaxPayloadBytes int   // of one message; Publish splits deltas to fit (0: 1 MiB)
}

type storedDelta struct {
	header Delta // without its body
	body   []byte
}

type storedSnapshot struct {
	info SnapshotInfo
	body []byte
}

// NewMemory returns an empty store of one shard.
func NewMemory() *Memory { return &Memory{first: 1} }

// Log returns the shard's log.
func (m *Memory) Log() *MemoryLog { return &MemoryLog{m} }

// Deltas returns a handle of the delta stream. Each owner needs its own handle,
// which contains the fence.
func (m *Memory) Deltas() *MemoryDeltas { return &MemoryDeltas{m: m} }

// Snapshots returns the snapshot store.
func (m *Memory) Snapshots() *MemorySnapshots { return &MemorySnapshots{m} }

func (m *Memory) payload() int {
	if m.MaxPayloadBytes > 0 {
		return m.MaxPayloadBytes
	}
	return 1 << 20
}

// MemoryLog is a log in memory. It implements LogWriter.
type MemoryLog struct{ m *Memory }

// First returns the first stored sequence, 0 when the log is empty.
func (l *MemoryLog) First(context.Context) (Seq, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if len(l.m.log) == 0 {
		return 0, nil
	}
	return l.m.first, nil
}

// MaxRecordBytes returns the length of the longest body that Append can store.
func (l *MemoryLog) MaxRecordBytes() int { return l.m.payload() }

// Acknowledged does nothing: every append here is acknowledged.
func (l *MemoryLog) Acknowledged(Seq, Message) {}

// Extent returns what the log holds.
func (l *MemoryLog) Extent(context.Context) (Extent, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	e := Extent{Last: l.m.last(), Used: l.m.logBytes, Limit: l.m.MaxLogBytes}
	if len(l.m.log) > 0 {
		e.First = l.m.first
	}
	return e, nil
}

// Last returns the last sequence, 0 when the log is empty.
func (l *MemoryLog) Last(context.Context) (Seq, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return l.m.last(), nil
}

func (m *Memory) last() Seq { return m.first + Seq(len(m.log)) - 1 }

// Append stores a copy of msg at expect+1 if expect is the last sequence, else it
// returns ErrConflict.
func (l *MemoryLog) Append(ctx context.Context, msg Message, expect Seq) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	size := int64(len(msg.Body) + msg.Header.Size())
	switch {
	case m.last() != expect:
		return fmt.Errorf("%w: last sequence is %d, %d was expected", ErrConflict, m.last(), expect)
	case len(msg.Body) > m.payload():
		return fmt.Errorf("persistence: record %d has %d bytes, the payload limit is %d", expect+1, len(msg.Body), m.payload())
	case m.MaxLogBytes > 0 && m.logBytes+size > m.MaxLogBytes:
		return fmt.Errorf("%w: %d of %d bytes", ErrFull, m.logBytes, m.MaxLogBytes)
	}
	msg.Seq, msg.Body = expect+1, slices.Clone(msg.Body)
	m.log = append(m.log, msg)
	m.logBytes += size
	return nil
}

// Get returns one message, or ErrNotFound. The caller must not modify its body.
func (l *MemoryLog) Get(_ context.Context, seq Seq) (Message, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if seq < l.m.first || seq > l.m.last() {
		return Message{}, fmt.Errorf("%w: sequence %d", ErrNotFound, seq)
	}
	return l.m.log[seq-l.m.first], nil
}

// Read yields the messages from first to last, each as stored when its turn comes.
func (l *MemoryLog) Read(ctx context.Context, first, last Seq) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for seq := first; seq <= last; seq++ {
			if err := ctx.Err(); err != nil {
				yield(Message{}, err)
				return
			}
			msg, err := l.Get(ctx, seq)
			if err != nil {
				yield(Message{}, fmt.Errorf("%w: sequence %d is missing", ErrGap, seq))
				return
			}
			if !yield(msg, nil) {
				return
			}
		}
	}
}

// Purge removes the messages below the sequence, but never the last one.
func (l *MemoryLog) Purge(_ context.Context, below Seq) error {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.log) > 1 && m.first < below {
		m.logBytes -= int64(len(m.log[0].Body) + m.log[0].Header.Size())
		m.log[0] = Message{}
		m.log, m.first = m.log[1:], m.first+1
	}
	return nil
}
