package jetstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// Metadata of a snapshot's object, for those who look and for List.
const (
	metaLineage = "wind-lineage"
	metaTick    = "wind-tick"
)

// chunkBytes is the size of an object's messages, that of NATS's own tools.
const chunkBytes = 128 << 10

// listTimeout bounds a listing: nats.go waits for the end of one for ever when a
// bucket's stream had no leader yet as it asked whether there is anything.
const listTimeout = 3 * time.Second

// keepSnapshots is what Prune leaves at least: the newest, and an older one
// should it turn out to be damaged.
const keepSnapshots = 2

// Snapshots are the snapshots of one shard in its cluster's object store. The
// methods may be called concurrently.
type Snapshots struct {
	js    jetstream.JetStream
	store jetstream.ObjectStore // nil where a copy has none
	ref   Ref
}

// openSnapshots opens the cluster's object store, or makes it where there is none.
func openSnapshots(ctx context.Context, c *Conn, ref Ref, o Options) (*Snapshots, error) {
	bucket := snapshotBucket(ref.Cluster)
	store, err := c.js.ObjectStore(ctx, bucket)
	if isMissing(err) {
		if c.readOnly {
			return &Snapshots{ref: ref}, nil
		}
		store, err = c.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: bucket, Description: "Wind: snapshots of the shards of cluster " + ref.Cluster,
			MaxBytes: o.SnapshotBytes, Storage: jetstream.FileStorage, Replicas: o.Replicas,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot open the object store %s: %w", bucket, err)
	}
	return &Snapshots{js: c.js, store: store, ref: ref}, nil
}

// Put stores s, reads it back and verifies that it is the same. A name that
// exists is not written again; one that holds something else is an error. Where
// the store is full, the shard's older snapshots make room, all but two. Not
// for the tick's path: it encodes, compresses and writes everything.
func (s *Snapshots) Put(ctx context.Context, snap persistence.Snapshot) error {
	if snap.Shard != s.ref.Shard || snap.Cluster != s.ref.Cluster || snap.Lineage != s.ref.Lineage {
		return fmt.Errorf("jetstream: snapshot %s of cluster %s, lineage %s, does not belong to shard %s of %s, lineage %s", snap.Name(), snap.Cluster, snap.Lineage, s.ref.Shard, s.ref.Cluster, s.ref.Lineage)
	}
	body, err := snap.Encode(nil)
	if err != nil {
		return err
	}
	name := snap.Name()
	if _, err := s.store.GetInfo(ctx, name); isMissing(err) {
		meta := jetstream.ObjectMeta{
			Name: name, Description: fmt.Sprintf("tick %d of shard %s", snap.Tick, snap.Shard),
			Metadata: map[string]string{metaLineage: snap.Lineage, metaTick: strconv.FormatUint(snap.Tick, 10)},
		}
		err = putError(name, s.write(ctx, meta, body))
		if errors.Is(err, persistence.ErrFull) {
			if err = s.Prune(ctx, keepSnapshots); err == nil {
				err = putError(name, s.write(ctx, meta, body))
			}
		}
		if err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("jetstream: cannot look for snapshot %s: %w", name, err)
	}
	back, err := s.readBack(ctx, name)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, body) {
		return &persistence.CorruptError{What: "snapshot", Seq: snap.Seq, Tick: snap.Tick, Reason: "what was read back of " + name + " is not what was written"}
	}
	return nil
}

// write stores an object in the layout of NATS's object stores (ADR-20): its
// chunks, then the message that names it, which the server takes only while no
// other one does. ObjectStore.Put would do for the layout, but it replaces what
// has the name, and nats.go 1.55.0 can leave a goroutine behind in it.
func (s *Snapshots) write(ctx context.Context, meta jetstream.ObjectMeta, body []byte) error {
	bucket, id := snapshotBucket(s.ref.Cluster), rand.Text()
	meta.Opts = &jetstream.ObjectMetaOptions{ChunkSize: chunkBytes}
	sum := sha256.Sum256(body)
	info := jetstream.ObjectInfo{ObjectMeta: meta, Bucket: bucket, NUID: id, Size: uint64(len(body)), Digest: "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:])}
	for chunk := range slices.Chunk(body, chunkBytes) {
		if _, err := s.js.Publish(ctx, objectSubject(bucket, "C", id), chunk); err != nil {
			return errors.Join(err, s.discard(id))
		}
		info.Chunks++
	}
	m := nats.NewMsg(objectSubject(bucket, "M", base64.URLEncoding.EncodeToString([]byte(meta.Name))))
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	var err error
	if m.Data, err = json.Marshal(info); err != nil {
		return err
	}
	_, err = s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(0))
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == codeWrongLastSequence {
		return s.discard(id) // somebody stored it meanwhile: reading back tells whether it is the same
	}
	return err
}

// discard removes the chunks of an object that got no name.
func (s *Snapshots) discard(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	bucket := snapshotBucket(s.ref.Cluster)
	stream, err := s.js.Stream(ctx, objectPrefix+bucket)
	if err != nil {
		return err
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(objectSubject(bucket, "C", id)))
}

func objectSubject(bucket, kind, token string) string {
	return "$O." + bucket + "." + kind + "." + token
}

// putError words an error of write, nil for none.
func putError(name string, err error) error {
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == codeMaximumBytes || api.ErrorCode == codeStorageExceeded || api.ErrorCode == codeInsufficient) {
		return fmt.Errorf("%w: no room for snapshot %s: %s", persistence.ErrFull, name, api.Description)
	}
	return fmt.Errorf("jetstream: cannot store snapshot %s: %w", name, err)
}

// readBack reads what was just stored; with replicas the answer may come from
// one that has not got it yet.
func (s *Snapshots) readBack(ctx context.Context, name string) ([]byte, error) {
	for try := 0; ; try++ {
		b, err := s.store.GetBytes(ctx, name)
		if err == nil || !isMissing(err) || try == 20 {
			if err != nil {
				err = fmt.Errorf("jetstream: cannot read snapshot %s back: %w", name, err)
			}
			return b, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// List returns the shard's snapshots, newest first. Those of another lineage
// under the same name are left out.
func (s *Snapshots) List(ctx context.Context) ([]persistence.SnapshotInfo, error) {
	if s.store == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	objects, err := s.store.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("jetstream: cannot list the snapshots of shard %s: %w", s.ref.Shard, err)
	}
	var all []persistence.SnapshotInfo
	for _, o := range objects {
		info, err := persistence.ParseSnapshotName(o.Name)
		if err != nil || info.Shard != s.ref.Shard || o.Metadata[metaLineage] != s.ref.Lineage {
			continue
		}
		info.Tick = parseTick(o.Metadata[metaTick])
		info.Size = int64(o.Size)
		all = append(all, info)
	}
	persistence.SortSnapshots(all)
	return all, nil
}

// Get returns a snapshot whose bytes are verified, or persistence.ErrNotFound.
// Whether the log's record at its sequence is its own is for the caller to ask
// (Snapshot.Verify).
func (s *Snapshots) Get(ctx context.Context, info persistence.SnapshotInfo) (persistence.Snapshot, error) {
	if s.store == nil {
		return persistence.Snapshot{}, fmt.Errorf("%w: snapshot %s", persistence.ErrNotFound, info.Name)
	}
	b, err := s.store.GetBytes(ctx, info.Name)
	if isMissing(err) {
		return persistence.Snapshot{}, fmt.Errorf("%w: snapshot %s", persistence.ErrNotFound, info.Name)
	}
	if errors.Is(err, jetstream.ErrDigestMismatch) {
		return persistence.Snapshot{}, &persistence.CorruptError{What: "snapshot", Seq: info.Seq, Tick: info.Tick, Reason: info.Name + " does not have its digest", Err: err}
	}
	if err != nil {
		return persistence.Snapshot{}, fmt.Errorf("jetstream: cannot read snapshot %s: %w", info.Name, err)
	}
	snap, err := persistence.DecodeSnapshot(b)
	if err == nil && (snap.Name() != info.Name || snap.Lineage != s.ref.Lineage) {
		err = &persistence.CorruptError{What: "snapshot", Seq: info.Seq, Tick: info.Tick, Reason: fmt.Sprintf("%s holds snapshot %s of lineage %s", info.Name, snap.Name(), snap.Lineage)}
	}
	return snap, err
}

// Prune deletes all but the newest keep snapshots, and always keeps two.
func (s *Snapshots) Prune(ctx context.Context, keep int) error {
	all, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, old := range all[min(max(keep, keepSnapshots), len(all)):] {
		if err := s.store.Delete(ctx, old.Name); err != nil && !isMissing(err) {
			return fmt.Errorf("jetstream: cannot delete snapshot %s: %w", old.Name, err)
		}
	}
	return nil
}

// parseTick reads metaTick; 0 stands for unknown.
func parseTick(s string) uint64 {
	tick, _ := strconv.ParseUint(s, 10, 64)
	return tick
}
