package jetstream

import (
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
	if err := removeDeltas(ctx, c, r); err != nil {
		return err
	}
	if err := removeSnapshots(ctx, c, r); err != nil {
		return err
	}
	// The log comes last: while it is there, whoever looks for rooms to remove finds it.
	if err := l.note(ctx, purgedBelow, strconv.FormatUint(seal.num, 10), "it is purged"); err != nil {
		return err
	}
	if err := purgeInSteps(ctx, l.stream, l.subject, stepBytes); err != nil {
		return err
	}
	if err := purgeSubject(ctx, l.stream, noteSubject(r, partitionOf(r.Shard)), jetstream.WithPurgeKeep(1)); err != nil {
		return err
	}
	return c.unmark(l)
}

// unmark forgets what was noted beside an embedded server's store of a log that is removed.
func (c *Conn) unmark(l *Log) error {
	if c.dir == "" {
		return nil
	}
	table, err := c.server.marks(l.name)
	if err != nil {
		return err
	}
	table.remove(l.ref.Lineage)
	if err := os.Remove(shelfPath(c.dir, l.ref)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("jetstream: cannot forget the snapshots of shard %s: %w", l.ref.Shard, err)
	}
	return nil
}

func removeDeltas(ctx context.Context, c *Conn, r Ref) error {
	d := deltaLane(r, true)
	s, err := c.stream(ctx, d.name, true)
	if err == nil {
		err = purgeInSteps(ctx, s, d.subject, stepBytes)
	}
	if isMissing(err) {
		return nil
	}
	return err
}

func removeSnapshots(ctx context.Context, c *Conn, r Ref) error {
	s := &Snapshots{ref: r, dir: c.dir, logger: c.logger}
	bucket := snapshotBucket(r.Cluster)
	stream, err := c.stream(ctx, objectPrefix+bucket, true)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("jetstream: cannot open the object store %s: %w", bucket, err)
	}
	s.objects = &objects{js: c.js, stream: stream, bucket: bucket, started: c.started, pause: uploadPause}
	all, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, info := range all {
		if err := s.objects.remove(ctx, info.Name); err != nil {
			return fmt.Errorf("jetstream: cannot delete snapshot %s: %w", info.Name, err)
		}
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

// purgeInSteps deletes all messages on a subject, the oldest first. While the server purges, it reads all blocks from the
// subject's first to its last message and stores nothing for anyone. In steps, it stops the others for some milliseconds
// at a time.
func purgeInSteps(ctx context.Context, s jetstream.Stream, subject string, step uint64) error {
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
		span := (last.Sequence - first.Sequence + 1) * (i.State.Bytes/max(i.State.Msgs, 1) + 1)
		if span <= step || count <= 1 {
			return purgeSubject(ctx, s, subject)
		}
		if err := purgeSubject(ctx, s, subject, jetstream.WithPurgeKeep(count-max(count*step/span, 1))); err != nil {
			return err
		}
	}
}

// Forget drops the last traces of the rooms of a cluster whose data was removed and whose log was sealed before a time.
// It returns how many it dropped. A record that is still on its way then, from a process that lost its room, would be
// stored: a day is long enough.
func Forget(ctx context.Context, c *Conn, cluster string, before time.Time) (dropped int, err error) {
	for k := range partitions {
		n, err := forget(ctx, c, cluster, k, before)
		dropped += n
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

func forget(ctx context.Context, c *Conn, cluster string, k int, before time.Time) (dropped int, err error) {
	all := Ref{cluster, "*", "*"}
	sealed, err := sharing(ctx, c, cluster, k, sharedSubject(all, k, sealSuffix))
	if err != nil {
		return 0, err
	}
	noted, err := sharing(ctx, c, cluster, k, noteSubject(all, k)) // of rooms whose seal is gone, if a crash came between
	if err != nil {
		return 0, err
	}
	kept := map[Ref]bool{}
	logs, err := sharing(ctx, c, cluster, k, sharedSubject(all, k, "log"))
	for _, r := range logs {
		kept[r] = true
	}
	for _, r := range append(sealed, noted...) {
		if err != nil || kept[r] {
			continue
		}
		kept[r] = true
		var s jetstream.Stream
		if s, err = c.stream(ctx, partitionStream(cluster, k), true); err != nil {
			break
		}
		seal := sharedSubject(r, k, sealSuffix)
		m, getErr := s.GetLastMsgForSubject(ctx, seal)
		if getErr == nil && !m.Time.Before(before) {
			continue
		}
		if getErr != nil && !errors.Is(getErr, jetstream.ErrMsgNotFound) {
			err = getErr
			break
		}
		if err = purgeSubject(ctx, s, seal); err == nil {
			err = purgeSubject(ctx, s, noteSubject(r, k))
		}
		if err == nil {
			dropped++
		}
	}
	return dropped, err
}
