package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

func init() { children["upload"] = upload }

// upload stores a snapshot slowly, so that the process can be killed meanwhile.
func upload(dir string) {
	t := &childT{}
	s, err := StartServer(ServerConfig{Dir: dir, Port: -1, Logger: quiet()})
	t.must(err)
	c, err := s.Connect(context.Background())
	t.must(err)
	shard, err := Create(context.Background(), c, "dev", "main", testLineage, Options{})
	t.must(err)
	fmt.Println("ready")
	t.must(shard.snapshots.Put(context.Background(), incompressible(snapshotOf(newWriter()), 256<<20), nil))
	fmt.Println("stored")
}

// incompressible returns the snapshot with a body of random bytes.
func incompressible(s persistence.Snapshot, size int) persistence.Snapshot {
	s.Seq, s.Body = max(s.Seq, 1), make([]byte, size)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(s.Body)
	return s
}

// TestKilledUploadIsSwept kills a process during Put. No name refers to the chunks that it has written, and opening the
// store again removes them.
func TestKilledUploadIsSwept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	child, out := startChild(t, "upload", dir)
	if line := out.next(t); line != "ready" {
		t.Fatal(line)
	}
	written := func() int64 {
		n, _ := dirBytes(filepath.Join(dir, accountDir, objectPrefix+snapshotBucket("dev")))
		return n
	}
	for end := time.Now().Add(30 * time.Second); written() < 4<<20; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is uploaded")
		}
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if line, ok := <-out.lines; ok {
		t.Fatalf("it was too late: %s", line)
	}
	s := createShard(t, connectTo(t, startServer(t, ServerConfig{Dir: dir, Port: -1})))
	if i := bucketInfo(t, s); i.State.Msgs != 0 {
		t.Fatalf("%d messages, %d MiB are left of an upload that never ended", i.State.Msgs, i.State.Bytes>>20)
	}
	appendTicks(t, s, 1)
	putSnapshot(t, s)
	if all, err := s.snapshots.List(testContext(t)); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
}

func bucketInfo(t *testing.T, s *Shard) *jetstream.StreamInfo {
	t.Helper()
	i, err := s.snapshots.objects.stream.Info(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestLivingUploadIsSpared sweeps while an upload is under way, and after it has paused for too long.
func TestLivingUploadIsSpared(t *testing.T) {
	ctx := testContext(t)
	s := createShard(t, connectTo(t, startServer(t, ServerConfig{Port: -1})))
	o := s.snapshots.objects
	meta := jetstream.ObjectMeta{Name: "an upload"}
	looked := false
	if _, err := o.put(ctx, meta, make([]byte, 3*chunkBytes), func([]byte) error {
		n, err := o.sweep(ctx)
		looked = true
		if err == nil && n > 0 {
			err = errors.New("a living upload was swept")
		}
		return err
	}); err != nil || !looked {
		t.Fatal(err)
	}
	if _, err := o.sweep(ctx); err != nil {
		t.Fatal(err)
	}
	info, err := o.info(ctx, meta.Name)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := o.read(ctx, info); err != nil || len(b) != 3*chunkBytes {
		t.Fatal(len(b), err)
	}
	left := jetstream.ObjectInfo{NUID: "left"}
	if err := o.upload(ctx, &left, make([]byte, 2*chunkBytes)); err != nil {
		t.Fatal(err)
	}
	if n, err := o.sweep(ctx); err != nil || n != 0 {
		t.Fatalf("%d swept: %v", n, err)
	}
	if left, err := o.orphaned(ctx); err != nil || !left {
		t.Fatal("chunks without a name are not noticed", err)
	}
	o.pause = time.Nanosecond
	time.Sleep(time.Millisecond)
	if n, err := o.sweep(ctx); err != nil || n != 1 {
		t.Fatalf("%d swept: %v", n, err)
	}
	if i := bucketInfo(t, s); i.State.Msgs != 4 {
		t.Fatalf("%d messages are left, the upload has 4", i.State.Msgs)
	}
}

// TestRefusedSnapshotLeavesNothing: a snapshot that cannot be restored gets no name and takes no space.
func TestRefusedSnapshotLeavesNothing(t *testing.T) {
	ctx := testContext(t)
	s := createShard(t, connectTo(t, startServer(t, ServerConfig{Port: -1})))
	snap := snapshotOf(appendTicks(t, s, 3))
	got := 0
	err := s.snapshots.Put(ctx, snap, func(back persistence.Snapshot) error {
		got = len(back.Body)
		return errors.New("32,769 tables, the limit is 32,768")
	})
	if !errors.Is(err, persistence.ErrUnproven) || !strings.Contains(err.Error(), snap.Name()) || got != len(snap.Body) {
		t.Fatal(err, got)
	}
	if i := bucketInfo(t, s); i.State.Msgs != 0 {
		t.Fatalf("%d messages are left", i.State.Msgs)
	}
	if all, err := s.snapshots.List(ctx); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
}

// TestDamagedSnapshotIsPassedOver flips a bit in each row of a store's snapshots and reads them through a server that
// does not know of the damage, as an external one would not. The listing ends, the other snapshot loads, and the
// damaged one is named. A server without an index drops everything after the damage, so only the rows before it
// remain.
func TestDamagedSnapshotIsPassedOver(t *testing.T) {
	t.Setenv("WIND_TEST_PURGE", "1")
	for _, end := range ends {
		t.Run(end, func(t *testing.T) {
			store := newStore(t, end)
			rows := rowsOf(t, store, objectPrefix+snapshotBucket("dev"))
			for i, r := range rows {
				dir := duplicate(t, store)
				flip(t, filepath.Join(dir, strings.TrimPrefix(r.file, store)), r.end-20, 4)
				s := createShard(t, connectTo(t, startServer(t, ServerConfig{Dir: dir, Port: -1, unguarded: true})))
				begin := time.Now()
				all, err := s.snapshots.List(testContext(t))
				if err != nil {
					t.Fatal(err)
				}
				good, bad := 0, 0
				for _, info := range all {
					switch _, err := s.snapshots.Get(testContext(t), info); {
					case err == nil:
						good++
					case errors.Is(err, persistence.ErrCorrupt) && strings.Contains(err.Error(), info.Name):
						bad++
					default:
						t.Errorf("row %d: %v", i, err)
					}
				}
				t.Logf("row %d of %d: %d good, %d bad", i, len(rows), good, bad)
				want := 1
				if end == "killed" && i < len(rows)/2 {
					want = 0
				}
				if good != want || time.Since(begin) > 10*time.Second {
					t.Errorf("row %d: %d of the snapshots can be read after %v: %+v", i, good, time.Since(begin), all)
				}
			}
		})
	}
}
