package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// room makes a room with a snapshot and deltas in a partition.
func room(t *testing.T, c *Conn, name string, replicas int) (*Shard, *writer) {
	t.Helper()
	return roomOf(t, c, newWriterOf(Ref{"dev", name, testLineage}), replicas)
}

func roomOf(t *testing.T, c *Conn, w *writer, replicas int) (*Shard, *writer) {
	t.Helper()
	s, err := Create(testContext(t), c, w.ref.Cluster, w.ref.Shard, w.ref.Lineage, Options{Shared: true, Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for range 12 {
		w.commit(t, s)
	}
	for tick := uint64(1); tick <= 10; tick++ {
		if err := s.deltas.Publish(testContext(t), []persistence.Delta{deltaOf(tick, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.snapshots.Put(testContext(t), snapshotOf(w), nil); err != nil {
		t.Fatal(err)
	}
	return s, w
}

// messagesOf counts what the partitions hold of a shard, by kind.
func messagesOf(t *testing.T, c *Conn, name string) map[string]uint64 {
	t.Helper()
	n, k := map[string]uint64{}, partitionOf(name)
	for _, stream := range []string{partitionStream("dev", k), partitionDeltaStream("dev", k)} {
		s, err := c.js.Stream(testContext(t), stream)
		if err != nil {
			t.Fatal(err)
		}
		i, err := s.Info(testContext(t), jetstream.WithSubjectFilter(subjectPrefix+">"))
		if err != nil {
			t.Fatal(err)
		}
		for subject, messages := range i.State.Subjects {
			if r, kind, ok := parseSharedSubject(subject); ok && r.Shard == name {
				n[kind] += messages
			}
		}
	}
	return n
}

func TestRemoveLeavesTheSealAndTheNeighbours(t *testing.T) {
	onSites(t, func(t *testing.T, s site) {
		ctx, c := testContext(t), s.connect(t, "")
		over, w := room(t, c, "main", s.replicas)
		names := neighbours("main", 3)
		other, ow := room(t, c, names[1], s.replicas) // the first makes the noise
		before := messagesOf(t, c, names[1])
		if err := Remove(ctx, c, over.ref); !errors.Is(err, ErrNotEnded) {
			t.Fatalf("removing a room that plays: %v", err)
		}
		if err := Remove(ctx, c, Ref{"dev", names[2], testLineage}); !errors.Is(err, persistence.ErrNotFound) {
			t.Fatalf("removing a room that never was: %v", err)
		}
		late, _, err := w.next()
		if err != nil {
			t.Fatal(err)
		}
		if err := over.log.Append(ctx, sealOf(t, w), w.chain.Seq()); err != nil {
			t.Fatal(err)
		}
		for i := range 3 { // as after crashes, and once more
			if i == 0 {
				err = errors.Join(removeDeltas(ctx, c, over.ref), removeSnapshots(ctx, c, over.ref))
			} else {
				err = Remove(ctx, c, over.ref)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := messagesOf(t, c, "main"); len(n) != 2 || n[sealSuffix] != 1 || n[""] != 1 {
			t.Errorf("of the removed room are left: %v", n)
		}
		if all, err := over.snapshots.List(ctx); err != nil || len(all) != 0 {
			t.Errorf("snapshots of the removed room: %v, %v", all, err)
		}
		if n := messagesOf(t, c, names[1]); len(n) != len(before) || n["log"] != before["log"] || n["delta"] != before["delta"] {
			t.Errorf("the neighbour had %v and has %v", before, n)
		}
		if all, err := other.snapshots.List(ctx); err != nil || len(all) != 1 {
			t.Errorf("snapshots of the neighbour: %v, %v", all, err)
		}
		ow.commit(t, other)
		resumeFrom(t, other, ow)

		genesis, _, err := newWriter().next()
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := Open(ctx, c, "dev", "main", testLineage, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fresh.Close)
		for who, l := range map[string]*Log{"the former owner": over.log, "another node": fresh.log} {
			if err := l.Append(ctx, genesis, 0); !errors.Is(err, persistence.ErrConflict) {
				t.Errorf("%s begins the removed room again: %v", who, err)
			}
			if err := l.Append(ctx, late, w.chain.Seq()); !errors.Is(err, persistence.ErrConflict) {
				t.Errorf("%s continues the removed room: %v", who, err)
			}
		}
		if _, err := fresh.log.fence.publish(ctx, fresh.log.subject, genesis.Header, genesis.Body, spot{}); !errors.Is(err, persistence.ErrConflict) {
			t.Errorf("the server stores a late genesis: %v", err)
		}
		if refs, err := Streams(ctx, c, "dev"); err != nil || len(refs) < 1 || refs[0].Shard == "main" {
			t.Errorf("Streams lists %v, %v", refs, err)
		}
		if n, err := Forget(ctx, c, "dev", time.Now().Add(-time.Hour)); n != 0 || err != nil {
			t.Errorf("%d seals were dropped too early: %v", n, err)
		}
		if n, err := Forget(ctx, c, "dev", time.Now().Add(time.Hour)); n != 1 || err != nil {
			t.Errorf("%d seals were dropped: %v", n, err)
		}
		if n := messagesOf(t, c, "main"); len(n) != 0 {
			t.Errorf("of the forgotten room are left: %v", n)
		}
		if n := messagesOf(t, c, names[1]); n["log"] != before["log"]+1 {
			t.Errorf("the neighbour had %v and has %v", before, n)
		}
	})
}

// resumeFrom reads a shard's whole log and compares its end with the writer's.
func resumeFrom(t *testing.T, s *Shard, w *writer) {
	t.Helper()
	if got := resume(t, s); got.chain.Hash() != w.chain.Hash() {
		t.Fatalf("the log of %s ends with %v, its writer with %v", s.ref.Shard, got.chain.Hash(), w.chain.Hash())
	}
}

// TestRoomsAreRemovedWhileOthersWrite: each neighbour reads back all that it wrote.
func TestRoomsAreRemovedWhileOthersWrite(t *testing.T) {
	c := connectTo(t, startServer(t, ServerConfig{Port: -1}))
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	names := neighbours("main", 9)[1:] // the first makes the noise
	var writing sync.WaitGroup
	for _, name := range names[:4] {
		s, w := room(t, c, name, 1)
		writing.Go(func() {
			for ctx.Err() == nil && w.chain.Seq() < 2000 {
				m, r, err := w.next()
				if err == nil {
					err = s.log.Append(testContext(t), m, w.chain.Seq())
				}
				if err != nil {
					t.Errorf("%s at record %d: %v", name, w.chain.Seq()+1, err)
					return
				}
				w.chain.Advance(r, persistence.HashOf(m.Body))
			}
			resumeFrom(t, s, w)
		})
	}
	for _, name := range names[4:] {
		s, w := room(t, c, name, 1)
		if err := s.log.Append(testContext(t), sealOf(t, w), w.chain.Seq()); err != nil {
			t.Fatal(err)
		}
		if err := Remove(testContext(t), c, s.ref); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	writing.Wait()
}

// TestAPurgeInStepsDeletesOneSubject: whatever a step spans, and keeps what it is told to.
func TestAPurgeInStepsDeletesOneSubject(t *testing.T) {
	c := connectTo(t, startServer(t, ServerConfig{Port: -1}))
	names := neighbours("main", 6)[1:]
	other, w := room(t, c, names[0], 1)
	before := messagesOf(t, c, names[0])
	for i, step := range []uint64{1, 500, 3000, 10_000, stepBytes} {
		s, _ := room(t, c, names[min(i+1, 4)], 1)
		appendTicks(t, s, 30)
		last := lastOf(t, s)
		if err := purgeInSteps(testContext(t), s.log.stream, s.log.subject, 7, step); err != nil {
			t.Fatal(err)
		}
		if first, _, err := s.log.from(testContext(t), 1); err != nil || persistence.Seq(first.num) != last-6 || lastOf(t, s) != last {
			t.Errorf("in steps of %d bytes: records %d to %d are kept of %d, %v", step, first.num, lastOf(t, s), last, err)
		}
		if err := purgeInSteps(testContext(t), s.log.stream, s.log.subject, 0, step); err != nil {
			t.Fatal(err)
		}
		if n := messagesOf(t, c, s.ref.Shard); n["log"] != 0 || n["delta"] != 10 {
			t.Errorf("in steps of %d bytes: %v are left", step, n)
		}
		if err := purgeInSteps(testContext(t), s.deltas.stream, s.deltas.subject, 0, step); err != nil {
			t.Fatal(err)
		}
		if n := messagesOf(t, c, s.ref.Shard); len(n) != 0 {
			t.Errorf("in steps of %d bytes: %v are left", step, n)
		}
	}
	if n := messagesOf(t, c, names[0]); n["log"] != before["log"] || n["delta"] != before["delta"] {
		t.Errorf("the neighbour had %v and has %v", before, n)
	}
	resumeFrom(t, other, w)
}

// TestARoomThatFillsItsShareHurtsNobody: the others in its partition go on, and it can still end.
func TestARoomThatFillsItsShareHurtsNobody(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1}))
	full := createShardWith(t, c, Options{Shared: true, LogBytes: 40 << 10})
	other, ow := room(t, c, neighbours("main", 2)[1], 1)
	w := newWriter()
	w.size = 4 << 10
	var err error
	for err == nil {
		var m persistence.Message
		var r *persistence.Record
		if m, r, err = w.next(); err == nil {
			if err = full.log.Append(ctx, m, w.chain.Seq()); err == nil {
				w.chain.Advance(r, persistence.HashOf(m.Body))
			}
		}
	}
	if !errors.Is(err, persistence.ErrFull) {
		t.Fatal(err)
	}
	was, err := full.log.Extent(ctx)
	if err != nil || was.Limit != 40<<10 || was.Used > was.Limit || was.Used < was.Limit-(5<<10) || was.First != 1 || was.Last != w.chain.Seq() {
		t.Errorf("the log holds %+v, %v", was, err)
	}
	again, err := Open(ctx, c, "dev", "main", testLineage, Options{LogBytes: 40 << 10}) // as the next owner counts it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	if e, err := again.log.Extent(ctx); err != nil || e != was {
		t.Errorf("another handle finds %+v, not %+v: %v", e, was, err)
	}
	ow.commit(t, other)
	half := w.chain.Seq() / 2
	if err := full.log.Purge(ctx, half); err != nil {
		t.Fatal(err)
	}
	now, err := full.log.Extent(ctx)
	if fresh, freshErr := again.log.Extent(ctx); err != nil || freshErr != nil || now != fresh || now.Used >= was.Used || now.First != half {
		t.Errorf("after a purge the owner knows %+v, another handle %+v: %v, %v", now, fresh, err, freshErr)
	}
	if first, err := full.log.First(ctx); err != nil || first != half {
		t.Errorf("the log begins with record %d, not %d: %v", first, half, err)
	}
	w.commit(t, full)
	for err == nil {
		m, r, _ := w.next()
		if err = full.log.Append(ctx, m, w.chain.Seq()); err == nil {
			w.chain.Advance(r, persistence.HashOf(m.Body))
		}
	}
	if err := full.log.Append(ctx, sealOf(t, w), w.chain.Seq()); err != nil {
		t.Errorf("a full room cannot end: %v", err)
	}
	resumeFrom(t, other, ow)
}

// TestAPartitionGrowsWithItsRooms: the limit of the stream keeps no room from its own, whatever the length of its records,
// but that of the server does once nothing is left of it.
func TestAPartitionGrowsWithItsRooms(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1, MaxBytes: 1 << 30}))
	s := createShardWith(t, c, Options{Shared: true})
	config := s.log.stream.CachedInfo().Config
	config.MaxBytes = 256 << 10
	if _, err := c.js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	w := newWriter()
	w.size = 100 << 10
	for range 100 {
		w.commit(t, s)
	}
	i, err := s.log.stream.Info(ctx)
	if err != nil || i.Config.MaxBytes != 16<<20 {
		t.Fatalf("the partition may take %d bytes, %v", i.Config.MaxBytes, err)
	}
	for _, left := range []int64{3 << 20, 0} { // of the server; less than what the partition takes already
		i, err := s.log.stream.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		config.MaxBytes = int64(i.State.Bytes) + 40<<10
		if _, err := c.js.UpdateStream(ctx, config); err != nil {
			t.Fatal(err)
		}
		a, err := c.js.AccountInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		rest := jetstream.StreamConfig{Name: fmt.Sprintf("REST%d", left), Subjects: []string{fmt.Sprintf("rest%d", left)}, Storage: jetstream.FileStorage, MaxBytes: 1<<30 - int64(a.ReservedStore) - left}
		if _, err := c.js.CreateStream(ctx, rest); err != nil {
			t.Fatal(err)
		}
		before := w.chain.Seq()
		for err == nil {
			var m persistence.Message
			var r *persistence.Record
			if m, r, err = w.next(); err == nil {
				if err = s.log.Append(ctx, m, w.chain.Seq()); err == nil {
					w.chain.Advance(r, persistence.HashOf(m.Body))
				}
			}
		}
		if !errors.Is(err, persistence.ErrFull) {
			t.Fatal(err)
		}
		if more := int64(w.chain.Seq()-before) * int64(w.size); more > left || more < left/2 {
			t.Errorf("the server had room for %d more bytes, the room wrote %d", left, more)
		}
		if last := lastOf(t, s); last != w.chain.Seq() {
			t.Errorf("the log ends with record %d, its writer with %d", last, w.chain.Seq())
		}
		if err := c.js.DeleteStream(ctx, rest.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRoomsAreRemovedFromAFullPartition: what a removal notes needs room itself, in the stream that it is to empty.
func TestRoomsAreRemovedFromAFullPartition(t *testing.T) {
	ctx, c := testContext(t), connectTo(t, startServer(t, ServerConfig{Port: -1, MaxBytes: 1 << 30}))
	names := neighbours("main", 4)[1:]
	over, w := room(t, c, names[0], 1)
	if err := over.log.Append(ctx, sealOf(t, w), w.chain.Seq()); err != nil {
		t.Fatal(err)
	}
	purged, pw := room(t, c, names[1], 1)
	other, ow := room(t, c, names[2], 1)
	fill := func() {
		t.Helper()
		i, err := other.log.stream.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		config := i.Config
		config.MaxBytes = int64(i.State.Bytes)
		if _, err := c.js.UpdateStream(ctx, config); err != nil {
			t.Fatal(err)
		}
		_ = c.js.DeleteStream(ctx, "REST")
		a, err := c.js.AccountInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.js.CreateStream(ctx, jetstream.StreamConfig{Name: "REST", Subjects: []string{"rest"}, Storage: jetstream.FileStorage, MaxBytes: 1<<30 - int64(a.ReservedStore)}); err != nil {
			t.Fatal(err)
		}
		m, _, err := ow.next()
		if err != nil {
			t.Fatal(err)
		}
		if err := other.log.Append(ctx, m, ow.chain.Seq()); !errors.Is(err, persistence.ErrFull) {
			t.Fatalf("the partition is not full: %v", err)
		}
	}
	goesOn := func() {
		t.Helper()
		m, r, err := ow.next()
		if err == nil {
			err = other.log.Append(ctx, m, ow.chain.Seq())
		}
		if err != nil {
			t.Fatalf("the other room does not go on: %v", err)
		}
		ow.chain.Advance(r, persistence.HashOf(m.Body))
	}
	fill()
	if err := purged.log.notePurge(ctx, pw.chain.Seq()); err != nil { // as a process that cannot write the mark
		t.Errorf("a purge cannot be noted: %v", err)
	}
	fresh, err := Open(ctx, c, "dev", names[1], testLineage, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fresh.Close)
	if first, err := fresh.log.First(ctx); err != nil || first < 2 || first > pw.chain.Seq() {
		t.Errorf("the purged log begins with record %d, %v", first, err)
	}
	fill()
	if err := Remove(ctx, c, over.ref); err != nil {
		t.Fatal(err)
	}
	goesOn()
	resumeFrom(t, other, ow)
}

// TestForgettingARoomLeavesItsSuccessorsShelf: a room was made again under the same name. What is noted of its snapshots stays when the
// seal of the first one is dropped.
func TestForgettingARoomLeavesItsSuccessorsShelf(t *testing.T) {
	dir := t.TempDir()
	c := connectTo(t, startServer(t, ServerConfig{Dir: dir, Port: -1}))
	ctx := testContext(t)
	first, w := room(t, c, "again", 1)
	if err := first.log.Append(ctx, sealOf(t, w), w.chain.Seq()); err != nil {
		t.Fatal(err)
	}
	if err := Remove(ctx, c, first.ref); err != nil {
		t.Fatal(err)
	}
	next, _ := roomOf(t, c, newWriterOf(Ref{"dev", "again", "another-lineage"}), 1)
	before, err := readShelf(c.dir, next.ref)
	if err != nil || len(before) != 1 {
		t.Fatal(before, err)
	}
	if n, err := Forget(ctx, c, "dev", time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if after, err := readShelf(c.dir, next.ref); err != nil || len(after) != 1 {
		t.Errorf("of the room that was made again was noted %v, and is now %v, %v", before, after, err)
	}
	if err := Remove(ctx, c, first.ref); err == nil {
		t.Error("the forgotten room is there")
	}
}
