package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// ErrNotEnded reports that a room's log has no seal yet.
var ErrNotEnded = errors.New("has not ended: its log has no seal")

// Remove removes what a room stored in the partitions, once its log is sealed: deltas, snapshots and all records but the
// seal. The seal stays so that the server goes on refusing late records, even a late genesis; Forget drops it. Remove may
// be repeated, and has to be after an error: whatever a crash left is removed then. It returns ErrNotEnded for a room
// whose log has no seal, and persistence.ErrNotFound for a shard without a log in a partition.
func Remove(ctx context.Context, c *Conn, r Ref) error {
	if err := errors.Join(checkNames(r.Cluster, r.Shard), checkLineage(r.Lineage)); err != nil {
		return err
	}
	l := &Log{lane: logLane(r, true), conn: c, ref: r}
	var err error
	if l.stream, err = c.stream(ctx, l.name, true); isMissing(err) {
		return fmt.Errorf("%w: no log of shard %s in %s", persistence.ErrNotFound, r.Shard, l.name)
	} else if err != nil {
		return fmt.Errorf("jetstream: cannot open the log %s: %w", &l.lane, err)
	}
	seal, ok, err := l.last(ctx)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("%w: no log of shard %s in %s", persistence.ErrNotFound, r.Shard, l.name)
	case seal.subject == l.subject:
		return fmt.Errorf("jetstream: room %s %w", r.Shard, ErrNotEnded)
	}
	// First the note: from now on, what is there of the room is no whole room. See Log.Removing.
	if err := l.note(ctx, purgedBelow, strconv.FormatUint(seal.num, 10), "it is purged"); err != nil {
		return err
	}
	if err := removeDeltas(ctx, c, r); err != nil {
		return err
	}
	if err := removeSnapshots(ctx, c, r); err != nil {
		return err
	}
	// The log comes last: while it is there, whoever looks for rooms to remove finds it.
	if err := purgeInSteps(ctx, l.stream, l.subject, 0, stepBytes); err != nil {
		return err
	}
	if err := purgeSubject(ctx, l.stream, noteSubject(r, partitionOf(r.Shard)), jetstream.WithPurgeKeep(1)); err != nil {
		return err
	}
	return c.unmark(r)
}

// unmark forgets what was noted beside an embedded server's store of a log that is removed.
func (c *Conn) unmark(r Ref) error {
	if c.dir == "" {
		return nil
	}
	table, err := c.server.marks(partitionStream(r.Cluster, partitionOf(r.Shard)))
	if err != nil {
		return err
	}
	table.remove(r.Lineage)
	if noted, err := readShelf(c.dir, r); err == nil && noted == nil {
		return nil // it is gone, or belongs to a room that was made again under this name
	}
	if err := os.Remove(shelfPath(c.dir, r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("jetstream: cannot forget the snapshots of shard %s: %w", r.Shard, err)
	}
	return nil
}

func removeDeltas(ctx context.Context, c *Conn, r Ref) error {
	d := deltaLane(r, true)
	s, err := c.stream(ctx, d.name, true)
	if err == nil {
		err = purgeInSteps(ctx, s, d.subject, 0, stepBytes)
	}
	if isMissing(err) {
		return nil
	}
	return err
}

func removeSnapshots(ctx context.Context, c *Conn, r Ref) error {
	bucket := snapshotBucket(r.Cluster)
	stream, err := c.stream(ctx, objectPrefix+bucket, true)
	if err == nil {
		err = (&objects{stream: stream, bucket: bucket, scope: snapshotScope(r, true)}).clear(ctx)
	}
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("jetstream: cannot delete the snapshots of shard %s: %w", r.Shard, err)
	}
	return nil
}

// purgeSubject deletes the messages on a subject, and on no other.
func purgeSubject(ctx context.Context, s jetstream.Stream, subject string, o ...jetstream.StreamPurgeOpt) error {
	if err := s.Purge(ctx, append(o, jetstream.WithPurgeSubject(subject))...); err != nil {
		return fmt.Errorf("jetstream: cannot purge %s of %s: %w", subject, s.CachedInfo().Config.Name, err)
	}
	return nil
}

// stepBytes is how much of a stream a step of purgeInSteps spans: two of the server's blocks.
const stepBytes = 16 << 20

// purgeInSteps deletes the messages on a subject, oldest first, and keeps the last keep of them. While the server purges,
// it reads all blocks from the subject's first message to the last one to go, and stores nothing for anyone. In steps, it
// stops the others for some milliseconds at a time. Nobody may publish on the subject meanwhile.
func purgeInSteps(ctx context.Context, s jetstream.Stream, subject string, keep, step uint64) error {
	for {
		first, err := s.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		var last *jetstream.RawStreamMsg
		var i *jetstream.StreamInfo
		if err == nil {
			last, err = s.GetLastMsgForSubject(ctx, subject)
		}
		if err == nil {
			i, err = s.Info(ctx, jetstream.WithSubjectFilter(subject))
		}
		if err != nil {
			return fmt.Errorf("jetstream: cannot find what to purge on %s of %s: %w", subject, s.CachedInfo().Config.Name, err)
		}
		count := i.State.Subjects[subject]
		if keep > 0 && count <= keep {
			return nil
		}
		span := (last.Sequence - first.Sequence + 1) * (i.State.Bytes/max(i.State.Msgs, 1) + 1)
		left := count - min(max(count*step/span, 1), count)
		if left <= keep {
			if keep > 0 {
				return purgeSubject(ctx, s, subject, jetstream.WithPurgeKeep(keep))
			}
			return purgeSubject(ctx, s, subject)
		}
		if err := purgeSubject(ctx, s, subject, jetstream.WithPurgeKeep(left)); err != nil {
			return err
		}
	}
}

// Forget drops the last traces of the rooms of a cluster whose data was removed and whose log was sealed before a time.
// It returns how many it dropped. A record that is still on its way then, from a process that lost its room, would be
// stored: a day is long enough. Forget also removes again what a killed server has brought back of such rooms. Beside an embedded server's store, Forget also drops what is noted there of rooms that
// other processes have removed.
func Forget(ctx context.Context, c *Conn, cluster string, before time.Time) (dropped int, err error) {
	for k := range partitions {
		n, err := forget(ctx, c, cluster, k, before)
		dropped += n
		if isMissing(err) {
			c.forget(partitionStream(cluster, k))
			err = nil
		}
		if err != nil {
			return dropped, fmt.Errorf("jetstream: cannot forget the rooms in %s: %w", partitionStream(cluster, k), err)
		}
	}
	return dropped, nil
}

// forget is Forget for a partition. It reads the seals from the oldest on, and stops at the first one that is too young.
func forget(ctx context.Context, c *Conn, cluster string, k int, before time.Time) (dropped int, err error) {
	s, err := c.stream(ctx, partitionStream(cluster, k), true)
	if err != nil {
		return 0, err
	}
	all := Ref{cluster, "*", "*"}
	kept := map[Ref]bool{}
	logs, err := sharing(ctx, c, cluster, k, sharedSubject(all, k, "log"))
	if err != nil {
		return 0, err
	}
	for _, r := range logs {
		kept[r] = true
	}
	if err := removeAgain(ctx, c, cluster, k, kept); err != nil {
		return 0, err
	}
	for seq := uint64(1); ; {
		m, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(sharedSubject(all, k, sealSuffix)))
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && !m.Time.Before(before) {
			break
		}
		if err != nil {
			return dropped, err
		}
		seq = m.Sequence + 1
		if r, _, ok := parseSharedSubject(m.Subject); ok && !kept[r] {
			if err := dropSeal(ctx, c, s, r); err != nil {
				return dropped, err
			}
			dropped++
		}
	}
	return dropped, c.unmarkRemoved(ctx, s, cluster, k, kept)
}

// removeAgain removes the rooms of a partition whose removal came undone, and takes them out of kept: a server that is killed may
// bring back what was purged in its last minutes. The note of the purge, which was written first, stays.
func removeAgain(ctx context.Context, c *Conn, cluster string, k int, kept map[Ref]bool) error {
	noted, err := sharing(ctx, c, cluster, k, noteSubject(Ref{cluster, "*", "*"}, k))
	if err != nil {
		return err
	}
	for _, r := range noted {
		if !kept[r] {
			continue
		}
		removed, err := notedRemoved(ctx, c, r)
		if err == nil && removed {
			err = Remove(ctx, c, r)
			delete(kept, r)
		}
		if err != nil && !errors.Is(err, persistence.ErrNotFound) {
			return err
		}
	}
	return nil
}

// notedRemoved reports whether it is noted that all records of a sealed log go.
func notedRemoved(ctx context.Context, c *Conn, r Ref) (bool, error) {
	l := &Log{lane: logLane(r, true), conn: c, ref: r}
	var err error
	if l.stream, err = c.stream(ctx, l.name, true); err != nil {
		return false, err
	}
	return l.Removing(ctx)
}

// Removing reports whether the removal of a sealed log in a partition has begun: what is left of the room may be any part of it.
func (l *Log) Removing(ctx context.Context) (bool, error) {
	if !l.shared() {
		return false, nil
	}
	notes, _, err := l.readNotes(ctx)
	if err != nil || notes == nil {
		return false, err
	}
	last, ok, err := l.last(ctx)
	return ok && last.subject != l.subject && uint64(parsePurge(notes.Get(purgedBelow))) >= last.num, err
}

// dropSeal drops what is left of a removed room. The seal goes last: while it is there, it is found again.
func dropSeal(ctx context.Context, c *Conn, s jetstream.Stream, r Ref) error {
	// Its last owner may have published some after the removal, and a killed server may have brought some back.
	if err := cmp.Or(removeDeltas(ctx, c, r), removeSnapshots(ctx, c, r)); err != nil {
		return err
	}
	k := partitionOf(r.Shard)
	if err := purgeSubject(ctx, s, noteSubject(r, k)); err != nil {
		return err
	}
	if err := c.unmark(r); err != nil {
		return err
	}
	return purgeSubject(ctx, s, sharedSubject(r, k, sealSuffix))
}

// unmarkRemoved forgets the marks of rooms that other processes, which cannot write them, have removed: a seal without
// records proves that.
func (c *Conn) unmarkRemoved(ctx context.Context, s jetstream.Stream, cluster string, k int, kept map[Ref]bool) error {
	if c.dir == "" {
		return nil
	}
	table, err := c.server.marks(partitionStream(cluster, k))
	if err != nil {
		return err
	}
	for _, r := range table.closed(cluster) {
		if kept[r] {
			continue
		}
		m, err := s.GetLastMsgForSubject(ctx, sharedSubject(r, k, ">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // lost, for all that is known here: the mark is the evidence
		}
		if err == nil && m.Subject == sharedSubject(r, k, sealSuffix) {
			err = c.unmark(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
