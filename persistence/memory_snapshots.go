package persistence

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// MemorySnapshots is a snapshot store in memory. It implements SnapshotWriter.
type MemorySnapshots struct{ m *Memory }

// Put encodes and stores snap. First it decodes the bytes again and passes the
// result to prove, unless that is nil; if either fails, it stores nothing.
func (s *MemorySnapshots) Put(ctx context.Context, snap Snapshot, prove func(Snapshot) error) error {
	body, err := snap.Encode(nil)
	if err != nil {
		return err
	}
	back, err := DecodeSnapshot(body)
	if err != nil {
		return err
	}
	if prove != nil {
		if err := prove(back); err != nil {
			return fmt.Errorf("%w: snapshot %s: %w", ErrUnproven, snap.Name(), err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	info := snap.Info()
	info.Size = int64(len(body))
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.find(info.Name) < 0 {
		s.m.snapshots = append(s.m.snapshots, storedSnapshot{info: info, body: body})
	}
	return nil
}

// List returns the snapshots, newest first.
func (s *MemorySnapshots) List(ctx context.Context) ([]SnapshotInfo, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	all := make([]SnapshotInfo, len(s.m.snapshots))
	for i := range all {
		all[i] = s.m.snapshots[i].info
	}
	SortSnapshots(all)
	return all, ctx.Err()
}

// Get returns a snapshot with its bytes verified, or ErrNotFound.
func (s *MemorySnapshots) Get(ctx context.Context, info SnapshotInfo) (Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return Snapshot{}, err
	}
	s.m.mu.Lock()
	i := s.find(info.Name)
	if i < 0 {
		s.m.mu.Unlock()
		return Snapshot{}, fmt.Errorf("%w: snapshot %s", ErrNotFound, info.Name)
	}
	body := s.m.snapshots[i].body
	s.m.mu.Unlock()
	return DecodeSnapshot(body)
}

func (s *MemorySnapshots) find(name string) int {
	return slices.IndexFunc(s.m.snapshots, func(x storedSnapshot) bool { return x.info.Name == name })
}

// SortSnapshots orders snapshots as List does: highest sequence first, then
// highest epoch, then by name.
func SortSnapshots(all []SnapshotInfo) {
	slices.SortFunc(all, func(a, b SnapshotInfo) int {
		return cmp.Or(cmp.Compare(b.Seq, a.Seq), cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(a.Name, b.Name))
	})
}
