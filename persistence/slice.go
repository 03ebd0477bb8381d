package persistence

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
)

// Slice returns the part of a history that contains the ticks from through to and can be read, checked and replayed alone.
// It begins with the record of the older of the two newest snapshots before from, or at the history's own beginning if
// there are fewer than two. It ends with the record that contains tick to. 0 as from keeps the beginning, 0 as to the
// end. It returns ErrNotFound if the history has no tick from or to.
func Slice(ctx context.Context, src Source, from, to uint64) (Source, error) {
	first, err := src.Log.First(ctx)
	if err != nil {
		return Source{}, fmt.Errorf("persistence: cannot read the log's first sequence: %w", err)
	}
	last, err := src.Log.Last(ctx)
	if err != nil {
		return Source{}, fmt.Errorf("persistence: cannot read the log's last sequence: %w", err)
	}
	if first == 0 {
		return Source{}, fmt.Errorf("%w: the log is empty", ErrNotFound)
	}
	end, err := src.Log.Get(ctx, last)
	if err != nil {
		return Source{}, err
	}
	if ends := end.Header.LastTick; max(from, to) > ends {
		return Source{}, after(max(from, to), ends)
	}
	begins, err := src.begins(ctx, first)
	if err != nil {
		return Source{}, err
	}
	for _, tick := range []uint64{from, to} {
		if tick > 0 && tick < begins {
			return Source{}, before(tick, begins)
		}
	}
	if src.Info, err = describe(ctx, src, first); err != nil {
		return Source{}, err
	}
	if to > 0 {
		if last, err = recordOf(ctx, src.Log, first, last, to); err != nil {
			return Source{}, err
		}
	}
	var kept []SnapshotInfo
	if src.Snapshots != nil {
		if kept, first, err = beginOf(ctx, src.Snapshots, first, last, from); err != nil {
			return Source{}, err
		}
		src.Snapshots = sliceSnapshots{src.Snapshots, kept}
	}
	begin, err := src.Log.Get(ctx, first)
	if err != nil {
		return Source{}, err
	}
	if src.Deltas != nil {
		src.Deltas = sliceDeltas{src.Deltas, begin.Header.LastTick + 1}
	}
	src.Log = sliceLog{src.Log, first, last}
	return src, nil
}

// before is the error for a tick before the first one of a history.
func before(tick, first uint64) error {
	return fmt.Errorf("%w: tick %d: the first one is %d; name that tick or a later one", ErrNotFound, tick, first)
}

// after is the error for a tick after the last one of a history.
func after(tick, last uint64) error {
	return fmt.Errorf("%w: tick %d: the last one is %d", ErrNotFound, tick, last)
}

// begins returns the first tick whose world can be rebuilt from a log that begins with record first: 0 with genesis, else
// the tick of the oldest snapshot from which the log continues.
func (s Source) begins(ctx context.Context, first Seq) (uint64, error) {
	if first == 1 {
		return 0, nil
	}
	m, err := s.Log.Get(ctx, first)
	if err != nil || s.Snapshots == nil {
		return m.Header.LastTick, err
	}
	all, _, err := s.snapshots(ctx)
	if err != nil {
		return 0, err
	}
	for _, info := range slices.Backward(all) {
		if info.Seq+1 < first {
			continue
		}
		if snap, err := s.Snapshots.Get(ctx, info); err == nil {
			return snap.Tick, nil
		}
	}
	return m.Header.LastTick, nil
}

// recordOf returns the first record that ends at or after a tick.
func recordOf(ctx context.Context, log LogReader, first, last Seq, tick uint64) (Seq, error) {
	var failed error
	n := sort.Search(int(last-first)+1, func(i int) bool {
		m, err := log.Get(ctx, first+Seq(i))
		failed = errors.Join(failed, err)
		return err != nil || m.Header.LastTick >= tick
	})
	return first + Seq(n), failed
}

// beginOf returns the snapshots that a slice up to record last keeps, and the slice's first record.
func beginOf(ctx context.Context, snapshots SnapshotReader, first, last Seq, from uint64) ([]SnapshotInfo, Seq, error) {
	all, err := snapshots.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	all = slices.DeleteFunc(all, func(s SnapshotInfo) bool { return s.Seq > last || s.Seq < first || s.Damaged != "" })
	before := 0
	for i, info := range all { // newest first
		s, err := snapshots.Get(ctx, info)
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) || errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if s.Tick >= from {
			continue
		}
		if before++; before == 2 {
			return all[:i+1], info.Seq, nil
		}
	}
	return all, first, nil
}

type sliceLog struct {
	LogReader
	first, last Seq
}

// First implements LogReader.
func (l sliceLog) First(context.Context) (Seq, error) { return l.first, nil }

// Last implements LogReader.
func (l sliceLog) Last(context.Context) (Seq, error) { return l.last, nil }

type sliceDeltas struct {
	DeltaReader
	from uint64
}

// Read implements DeltaReader.
func (d sliceDeltas) Read(ctx context.Context, from uint64) iter.Seq2[Delta, error] {
	return d.DeltaReader.Read(ctx, max(from, d.from))
}

type sliceSnapshots struct {
	SnapshotReader
	kept []SnapshotInfo
}

// List implements SnapshotReader.
func (s sliceSnapshots) List(context.Context) ([]SnapshotInfo, error) {
	return slices.Clone(s.kept), nil
}
