package persistence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
)

// FileLog is the log of an export file. It implements LogReader.
type FileLog struct{ f *File }

// First returns the first sequence in the file, 0 when it has no record.
func (l *FileLog) First(context.Context) (Seq, error) {
	if all := l.f.chunks[chunkLog]; len(all) > 0 {
		return Seq(all[0].first), nil
	}
	return 0, nil
}

// Last returns the last sequence in the file, 0 when it has no record.
func (l *FileLog) Last(context.Context) (Seq, error) {
	if all := l.f.chunks[chunkLog]; len(all) > 0 {
		return Seq(all[len(all)-1].last), nil
	}
	return 0, nil
}

// Get returns one message, or ErrNotFound. The caller must not modify its body.
func (l *FileLog) Get(_ context.Context, seq Seq) (Message, error) {
	all := l.f.chunks[chunkLog]
	i := sort.Search(len(all), func(i int) bool { return all[i].last >= uint64(seq) })
	if i == len(all) || all[i].first > uint64(seq) {
		return Message{}, fmt.Errorf("%w: sequence %d", ErrNotFound, seq)
	}
	c := all[i]
	entries, err := l.f.load(c)
	if err != nil {
		return Message{}, err
	}
	n := uint64(seq) - c.first
	if n >= uint64(len(entries)) {
		return Message{}, c.corrupt("it holds only %d records", len(entries))
	}
	r, err := DecodeRecord(entries[n])
	if err != nil {
		return Message{}, at(err, seq, c.tick)
	}
	m := r.Message(entries[n])
	m.Seq = seq
	return m, nil
}

// Read yields the messages from first to last in order. They all decode; use a
// Chain to prove that they form a chain.
func (l *FileLog) Read(ctx context.Context, first, last Seq) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for seq := first; seq <= last; seq++ {
			m, err := l.Get(ctx, seq)
			if err == nil {
				err = ctx.Err()
			}
			if errors.Is(err, ErrNotFound) {
				err = fmt.Errorf("%w: sequence %d is not in the file", ErrGap, seq)
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// FileDeltas are the deltas of an export file. It implements DeltaReader.
type FileDeltas struct{ f *File }

// Last returns the last delta without its body.
func (d *FileDeltas) Last(context.Context) (Delta, bool, error) {
	all := d.f.chunks[chunkDeltas]
	if len(all) == 0 {
		return Delta{}, false, nil
	}
	entries, err := d.f.load(all[len(all)-1])
	if err != nil || len(entries) == 0 {
		return Delta{}, false, err
	}
	last, err := DecodeDelta(entries[len(entries)-1])
	last.Body = nil
	return last, err == nil, err
}

// Read yields the deltas in order, beginning with the first that ends at or after
// the tick. After a damaged chunk it continues as long as the caller does.
func (d *FileDeltas) Read(ctx context.Context, fromTick uint64) iter.Seq2[Delta, error] {
	return FromTick(fromTick, func(yield func(Delta, error) bool) {
		for _, c := range d.f.chunks[chunkDeltas] { // each begins with a new group
			if c.last < fromTick {
				continue
			}
			entries, err := d.f.load(c)
			if err != nil && !yield(Delta{}, err) {
				return
			}
			for _, b := range entries {
				delta, err := DecodeDelta(b)
				if err == nil {
					err = ctx.Err()
				}
				if !yield(delta, err) || ctx.Err() != nil {
					return
				}
			}
		}
	})
}

// FileSnapshots are the snapshots of an export file. It implements SnapshotReader.
type FileSnapshots struct{ f *File }

// List returns the snapshots, newest first. It reads the beginning of each, which names it; only Get verifies their
// bytes. Of one that is damaged there, it knows only what the index says: record and tick.
func (s *FileSnapshots) List(ctx context.Context) ([]SnapshotInfo, error) {
	var all []SnapshotInfo
	for _, c := range s.f.chunks[chunkSnapshot] {
		info, err := s.head(c)
		if err != nil || info.Seq != Seq(c.first) || info.Tick != c.tick { // read all of it, to say what is wrong with it
			var snap Snapshot
			snap, err = s.read(ctx, c)
			info = snap.Info()
		}
		switch {
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrVersion):
			info = SnapshotInfo{Name: c.what(), Shard: s.f.info.Shard, Seq: Seq(c.first), Tick: c.tick, Damaged: bare(err)}
		case err != nil:
			return nil, err
		}
		info.Size = int64(c.raw)
		all = append(all, info)
	}
	SortSnapshots(all)
	return all, ctx.Err()
}

// head reads the name of a snapshot from the beginning of its chunk. The bytes are not verified.
func (s *FileSnapshots) head(c chunk) (SnapshotInfo, error) {
	b, err := s.f.bytes(c.offset+chunkBytes, int64(min(c.stored, snapshotHeadBytes)))
	if err != nil {
		return SnapshotInfo{}, err
	}
	_, used := binary.Uvarint(b) // the length of its only entry
	return decodeSnapshotHead(b[max(used, 0):])
}

// Get returns a snapshot with its bytes verified, or ErrNotFound.
func (s *FileSnapshots) Get(ctx context.Context, info SnapshotInfo) (Snapshot, error) {
	chunks := s.f.chunks[chunkSnapshot]
	for _, c := range slices.Backward(chunks) {
		if c.first != uint64(info.Seq) {
			continue
		}
		snap, err := s.read(ctx, c)
		if err != nil || snap.Name() == info.Name {
			return snap, err
		}
	}
	return Snapshot{}, fmt.Errorf("%w: snapshot %s", ErrNotFound, info.Name)
}

func (s *FileSnapshots) read(ctx context.Context, c chunk) (Snapshot, error) {
	entries, err := s.f.load(c)
	if err != nil {
		return Snapshot{}, err
	}
	if len(entries) != 1 {
		return Snapshot{}, c.corrupt("%d entries in it", len(entries))
	}
	if err := ctx.Err(); err != nil {
		return Snapshot{}, err
	}
	return DecodeSnapshot(entries[0])
}
