package jetstream

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

func TestSnapshotsAreKeptAndPruned(t *testing.T) {
	ctx := testContext(t)
	s := createShard(t, connectTo(t, startServer(t, ServerConfig{Port: -1})))
	if all, err := s.snapshots.List(ctx); len(all) != 0 || err != nil {
		t.Fatal(all, err)
	}
	var want []persistence.Snapshot
	for range 4 {
		appendTicks(t, s, 12)
		want = append(want, putSnapshot(t, s))
	}
	if err := s.snapshots.Put(ctx, want[0], nil); err != nil {
		t.Fatalf("the same again: %v", err)
	}
	all, err := s.snapshots.List(ctx)
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	for i, info := range all {
		due := want[3-i]
		if info.Name != due.Name() || info.Tick != due.Tick || info.Size == 0 {
			t.Fatalf("entry %d is %+v", i, info)
		}
		got, err := s.snapshots.Get(ctx, info)
		if err != nil || !bytes.Equal(got.Body, due.Body) || got.Chain != due.Chain {
			t.Fatal(info.Name, err)
		}
		m, err := s.log.Get(ctx, got.Seq)
		if err != nil {
			t.Fatal(err)
		}
		r, err := persistence.DecodeRecord(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Verify(r, m.Body); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.snapshots.Prune(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if left, err := s.snapshots.List(ctx); err != nil || len(left) != 2 || left[0].Name != all[0].Name {
		t.Fatal(left, err)
	}
	if _, err := s.snapshots.Get(ctx, all[3]); !errors.Is(err, persistence.ErrNotFound) {
		t.Fatal(err)
	}
	foreign := want[3]
	foreign.Shard = "other"
	if err := s.snapshots.Put(ctx, foreign, nil); err == nil {
		t.Fatal("a snapshot of another shard was stored")
	}
}

func TestSnapshotOfTheSameNameIsNotReplaced(t *testing.T) {
	ctx := testContext(t)
	s := createShard(t, connectTo(t, startServer(t, ServerConfig{Port: -1})))
	appendTicks(t, s, 3)
	snap := putSnapshot(t, s)
	other := snap
	other.Body = []byte("not the same world")
	if err := s.snapshots.Put(ctx, other, nil); !errors.Is(err, persistence.ErrCorrupt) {
		t.Fatal(err)
	}
	if got, err := s.snapshots.Get(ctx, snap.Info()); err != nil || !bytes.Equal(got.Body, snap.Body) {
		t.Fatal(err)
	}
}

func TestSnapshotOfAnotherLineageIsNotListed(t *testing.T) {
	ctx := testContext(t)
	s := createShard(t, connectTo(t, startServer(t, ServerConfig{Port: -1})))
	appendTicks(t, s, 3)
	putSnapshot(t, s)
	stranger := snapshotOf(resume(t, s))
	stranger.Lineage, stranger.Seq = "another", 99
	body, err := stranger.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	// Do not use nats.go's ObjectStore: the goroutine that its Put starts waits forever if Put returns before it runs.
	meta := jetstream.ObjectMeta{Name: stranger.Name(), Metadata: map[string]string{metaLineage: "another"}}
	if _, err := s.snapshots.objects.put(ctx, meta, body, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if all, err := s.snapshots.List(ctx); err != nil || len(all) != 1 || all[0].Seq == 99 {
		t.Fatal(all, err)
	}
	if _, err := s.snapshots.Get(ctx, stranger.Info()); !errors.Is(err, persistence.ErrCorrupt) {
		t.Fatal(err)
	}
}

// TestOlderSnapshotsMakeRoom: a full store accepts the next snapshot at the cost of the oldest.
func TestOlderSnapshotsMakeRoom(t *testing.T) {
	ctx := testContext(t)
	s := createShardWith(t, connectTo(t, startServer(t, ServerConfig{Port: -1})), Options{SnapshotBytes: 1 << 20})
	var newest string
	for range 8 {
		snap := snapshotOf(appendTicks(t, s, 1))
		for i := range snap.Body { // incompressible
			snap.Body[i] = byte(rand.Uint32())
		}
		if err := s.snapshots.Put(ctx, snap, nil); err != nil {
			t.Fatal(err)
		}
		newest = snap.Name()
	}
	all, err := s.snapshots.List(ctx)
	if err != nil || len(all) < keepSnapshots || len(all) > 3 || all[0].Name != newest {
		t.Fatalf("%d are left: %v %v", len(all), all, err)
	}
}

// TestListingEndsWithoutAnAnswer holds the server's answers back for as long as nats.go waits for one, before the
// listing of an empty store. A new bucket with three replicas that has not elected its leader does the same. nats.go's
// List took the missing answer for "there is something" and waited for it forever.
func TestListingEndsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	server := startServer(t, ServerConfig{User: "node", Password: "secret"})
	between := newProxy(t, server.Addr())
	conn, err := Connect(testContext(t), ConnectConfig{URL: "nats://node:secret@" + between.addr, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	s := createShard(t, conn)
	between.hold(toClient, true)
	late := time.AfterFunc(6*time.Second, func() { between.hold(toClient, false) })
	defer late.Stop()
	ended := make(chan error, 1)
	go func() {
		_, err := s.snapshots.List(context.Background())
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the listing says: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the listing does not end")
	}
	between.hold(toClient, false)
}

// TestARoomAsksForItsOwnSnapshots: what a room lists, sweeps and removes is its own, whatever other rooms and shards have
// stored in the same bucket.
func TestARoomAsksForItsOwnSnapshots(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	standing := createShard(t, c)
	appendTicks(t, standing, 3)
	putSnapshot(t, standing)
	one, w := room(t, c, "one", 1)
	two, _ := room(t, c, "two", 1)
	left := jetstream.ObjectInfo{NUID: one.snapshots.objects.scope + "left"} // by an upload that never ended
	if err := one.snapshots.objects.upload(ctx, &left, make([]byte, 2*chunkBytes)); err != nil {
		t.Fatal(err)
	}
	stored := func(s *Shard, wantNames, wantIDs int) {
		t.Helper()
		o := s.snapshots.objects
		names, err := o.names(ctx)
		ids, idsErr := o.tokens(ctx, "C")
		orphaned, orphanedErr := o.orphaned(ctx)
		if err := errors.Join(err, idsErr, orphanedErr); err != nil {
			t.Fatal(err)
		}
		if len(names) != wantNames || len(ids) != wantIDs || orphaned != (wantIDs > wantNames) {
			t.Errorf("%s asks for the names %v and the chunks %v (orphaned: %v)", s.ref.Shard, names, ids, orphaned)
		}
		if all, err := s.snapshots.List(ctx); err != nil || len(all) != wantNames {
			t.Errorf("%s lists %v, %v", s.ref.Shard, all, err)
		}
	}
	stored(standing, 1, 1)
	stored(one, 1, 2)
	stored(two, 1, 1)

	one.snapshots.objects.pause = time.Nanosecond
	w.commit(t, one)
	if err := one.snapshots.Put(ctx, snapshotOf(w), nil); err != nil {
		t.Fatal(err)
	}
	stored(one, 2, 2)

	if err := one.snapshots.objects.upload(ctx, &left, make([]byte, chunkBytes)); err != nil {
		t.Fatal(err)
	}
	if err := one.log.Append(ctx, sealOf(t, w), w.chain.Seq()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Remove(ctx, c, one.ref); err != nil {
			t.Fatal(err)
		}
		stored(one, 0, 0)
	}
	stored(standing, 1, 1)
	stored(two, 1, 1)
}
