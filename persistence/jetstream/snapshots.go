package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// Keys of a snapshot object's metadata, for people and for List.
const (
	metaLineage = "wind-lineage"
	metaTick    = "wind-tick"
)

// listTimeout bounds a listing, and a sweep, if nothing answers.
const listTimeout = 3 * time.Second

// keepSnapshots is the least number that Prune keeps: the newest, and an older one in case the newest is damaged.
const keepSnapshots = 2

// Snapshots are the snapshots of one shard in its cluster's object store. Their methods may be called concurrently.
type Snapshots struct {
	objects *objects // nil in a copy without snapshots
	ref     Ref
	dir     string // the embedded server's store; "" if the server is external
	logger  *slog.Logger
}

// snapshotScope begins the ids and names of a room's objects (FORMAT.md); a shard with streams of its own has no scope.
func snapshotScope(r Ref, shared bool) string {
	if !shared {
		return ""
	}
	return r.Shard + "." + r.Lineage + "."
}

// openSnapshots opens the cluster's object store, or creates it if it does not exist, and removes what unfinished
// uploads of shards with streams of their own left in it. A room's next Put, or its removal, removes those of the room.
func openSnapshots(ctx context.Context, c *Conn, ref Ref, o Options) (*Snapshots, error) {
	s := &Snapshots{ref: ref, dir: c.dir, logger: c.logger}
	var err error
	s.objects, err = openObjects(ctx, c, snapshotBucket(ref.Cluster), snapshotScope(ref, o.Shared), jetstream.ObjectStoreConfig{
		Description: "Wind: snapshots of the shards of cluster " + ref.Cluster,
		MaxBytes:    o.SnapshotBytes, Storage: jetstream.FileStorage, Replicas: o.Replicas,
	}, o.chosen.snapshots)
	if err == nil && s.objects != nil && !c.readOnly && !o.Shared {
		s.sweep(ctx)
	}
	return s, err
}

// Put stores snap, reads it back and verifies that it is the same. If prove is not nil, Put passes it what was read, so
// that prove can check that it can be restored. Only then does Put give the object its name, so every snapshot that
// List names was proven. If prove refuses it, Put returns an error that wraps persistence.ErrUnproven and stores
// nothing. Put does not rewrite a name that exists, and returns an error if it has other contents. If the store is
// full, Put deletes the shard's older snapshots, except two. Do not call Put on the tick's path: it encodes,
// compresses, writes and restores a whole snapshot.
func (s *Snapshots) Put(ctx context.Context, snap persistence.Snapshot, prove func(persistence.Snapshot) error) error {
	if snap.Shard != s.ref.Shard || snap.Cluster != s.ref.Cluster || snap.Lineage != s.ref.Lineage {
		return fmt.Errorf("jetstream: snapshot %s of cluster %s, lineage %s, does not belong to shard %s of %s, lineage %s", snap.Name(), snap.Cluster, snap.Lineage, s.ref.Shard, s.ref.Cluster, s.ref.Lineage)
	}
	body, err := snap.Encode(nil)
	if err != nil {
		return err
	}
	if left, err := s.objects.orphaned(ctx); err == nil && left {
		s.sweep(ctx)
	}
	err = s.store(ctx, snap, body, prove)
	if errors.Is(err, persistence.ErrFull) {
		if err = s.Prune(ctx, keepSnapshots); err == nil {
			err = s.store(ctx, snap, body, prove)
		}
	}
	if err == nil && s.dir != "" {
		shelve(s.dir, s.ref, snap.Info())
	}
	return err
}

// store is one attempt of Put.
func (s *Snapshots) store(ctx context.Context, snap persistence.Snapshot, body []byte, prove func(persistence.Snapshot) error) error {
	name := snap.Name()
	meta := jetstream.ObjectMeta{
		Name: name, Description: fmt.Sprintf("tick %d of shard %s", snap.Tick, snap.Shard),
		Metadata: map[string]string{metaLineage: snap.Lineage, metaTick: strconv.FormatUint(snap.Tick, 10)},
	}
	same := func(back []byte) error {
		if !bytes.Equal(back, body) {
			return &persistence.CorruptError{What: "snapshot", Seq: snap.Seq, Tick: snap.Tick, Reason: "the bytes read back of " + name + " differ from those written"}
		}
		if prove == nil {
			return nil
		}
		stored, err := persistence.DecodeSnapshot(back)
		if err == nil {
			err = prove(stored)
		}
		if err != nil {
			return fmt.Errorf("%w: snapshot %s: %w", persistence.ErrUnproven, name, err)
		}
		return nil
	}
	info, err := s.objects.info(ctx, name)
	if isMissing(err) {
		_, err = s.objects.put(ctx, meta, body, same)
	} else if err == nil {
		var back []byte
		if back, err = s.objects.read(ctx, info); err == nil {
			err = same(back)
		}
	}
	switch corrupt := (*damagedObject)(nil); {
	case errors.As(err, &corrupt):
		return &persistence.CorruptError{What: "snapshot", Seq: snap.Seq, Tick: snap.Tick, Reason: corrupt.Error(), Err: err}
	case errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrUnproven):
		return err
	}
	return putError(name, err)
}

// putError explains an error of the store. It returns nil for nil.
func putError(name string, err error) error {
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && isFull(err) {
		return fmt.Errorf("%w: no room for snapshot %s: %s", persistence.ErrFull, name, api.Description)
	}
	return fmt.Errorf("jetstream: cannot store snapshot %s: %w", name, err)
}

// List returns the shard's snapshots, newest first. It omits those of another lineage under the same name. If it cannot
// read a description, it lists the snapshot by name, with the reason in Damaged; Get returns an error for it.
func (s *Snapshots) List(ctx context.Context) ([]persistence.SnapshotInfo, error) {
	if s.objects == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	names, err := s.objects.names(ctx)
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot list the snapshots of shard %s: %w", s.ref.Shard, err)
	}
	var all []persistence.SnapshotInfo
	for _, name := range names {
		if info, err := persistence.ParseSnapshotName(name); err == nil && info.Shard == s.ref.Shard {
			all = append(all, info)
		}
	}
	if all, err = s.describe(ctx, all); err != nil {
		return nil, fmt.Errorf("jetstream: cannot list the snapshots of shard %s: %w", s.ref.Shard, err)
	}
	persistence.SortSnapshots(all)
	return all, nil
}

// describe reads the descriptions of snapshots and omits those that were deleted or belong to another lineage.
func (s *Snapshots) describe(ctx context.Context, all []persistence.SnapshotInfo) ([]persistence.SnapshotInfo, error) {
	ours := make([]bool, len(all))
	err := each(len(all), requestsAtOnce, func(i int) (err error) {
		ours[i], err = s.describeOne(ctx, &all[i])
		return err
	})
	n := 0
	for i := range all {
		if ours[i] {
			all[n] = all[i]
			n++
		}
	}
	return all[:n], err
}

func (s *Snapshots) describeOne(ctx context.Context, info *persistence.SnapshotInfo) (ours bool, err error) {
	o, err := s.objects.info(ctx, info.Name)
	var damaged *damagedObject
	switch {
	case isMissing(err):
		return false, nil // deleted
	case errors.As(err, &damaged):
		info.Damaged = damaged.Error()
		return true, nil
	case err != nil:
		return false, err
	}
	info.Tick, info.Size = parseTick(o.Metadata[metaTick]), int64(o.Size)
	return o.Metadata[metaLineage] == s.ref.Lineage, nil
}

// Get returns a snapshot after it has verified its bytes. It returns persistence.ErrNotFound, or persistence.ErrCorrupt
// if any piece is damaged or missing. The caller checks whether the snapshot matches the log's record at its sequence
// (Snapshot.Verify).
func (s *Snapshots) Get(ctx context.Context, info persistence.SnapshotInfo) (persistence.Snapshot, error) {
	none := persistence.Snapshot{}
	if s.objects == nil {
		return none, fmt.Errorf("%w: snapshot %s", persistence.ErrNotFound, info.Name)
	}
	corrupt := func(reason string, err error) error {
		return &persistence.CorruptError{What: "snapshot", Seq: info.Seq, Tick: info.Tick, Reason: info.Name + " " + reason, Err: err}
	}
	o, err := s.objects.info(ctx, info.Name)
	var b []byte
	if err == nil {
		b, err = s.objects.read(ctx, o)
	}
	var damaged *damagedObject
	switch {
	case isMissing(err):
		return none, fmt.Errorf("%w: snapshot %s", persistence.ErrNotFound, info.Name)
	case errors.As(err, &damaged):
		return none, corrupt("is damaged: "+damaged.reason, err)
	case err != nil:
		return none, fmt.Errorf("jetstream: cannot read snapshot %s: %w", info.Name, err)
	}
	snap, err := persistence.DecodeSnapshot(b)
	if err == nil && (snap.Name() != info.Name || snap.Lineage != s.ref.Lineage) {
		err = corrupt(fmt.Sprintf("contains snapshot %s of lineage %s", snap.Name(), snap.Lineage), nil)
	}
	return snap, err
}

// Prune deletes all but the newest keep snapshots, and always keeps two. It reads the snapshots that it keeps. A
// damaged one does not count, and is deleted if two intact ones exist.
func (s *Snapshots) Prune(ctx context.Context, keep int) error {
	all, err := s.List(ctx)
	if err != nil {
		return err
	}
	keep = max(keep, keepSnapshots)
	var old []persistence.SnapshotInfo
	good := 0
	for _, info := range all {
		if good < keep {
			whole, err := s.whole(ctx, info)
			if err != nil {
				return err
			}
			if whole {
				good++
				continue
			}
		}
		old = append(old, info)
	}
	if good < keepSnapshots {
		return nil
	}
	for _, info := range old {
		if err := s.objects.remove(ctx, info.Name); err != nil {
			return fmt.Errorf("jetstream: cannot delete snapshot %s: %w", info.Name, err)
		}
	}
	s.sweep(ctx)
	return nil
}

// whole reports whether a snapshot can be read.
func (s *Snapshots) whole(ctx context.Context, info persistence.SnapshotInfo) (bool, error) {
	_, err := s.Get(ctx, info)
	if errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// sweep removes chunks that no snapshot names. It only logs a failure: the next sweep tries again.
func (s *Snapshots) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	uploads, err := s.objects.sweep(ctx)
	if uploads > 0 {
		s.logger.Info("removed the pieces of unfinished snapshots", "bucket", s.objects.bucket, "snapshots", uploads)
	}
	if err != nil && ctx.Err() == nil {
		s.logger.Warn("cannot sweep the snapshot store", "bucket", s.objects.bucket, "error", err)
	}
}

// parseTick parses the value of metaTick; 0 means unknown.
func parseTick(s string) uint64 {
	tick, _ := strconv.ParseUint(s, 10, 64)
	return tick
}
