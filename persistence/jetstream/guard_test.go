package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/persistence"
)

// guardBytes and guardTime bound a start on a damaged store.
const (
	guardBytes = 1500 << 20
	guardTime  = 20 * time.Second
)

func init() { children["boot"] = boot }

// boot starts a server on a store as a node does, and reads everything in it.
func boot(dir string) {
	t := &childT{}
	ctx, cancel := context.WithTimeout(context.Background(), guardTime)
	defer cancel()
	_, err := CheckStore(ctx, dir)
	t.must(err)
	s, err := StartServer(ServerConfig{Dir: dir, Port: -1, Logger: quiet()})
	t.must(err)
	c, err := s.Connect(ctx)
	t.must(err)
	shard, err := Open(ctx, c, "dev", "main", testLineage, Options{})
	t.must(err)
	deltas := 0
	for _, err := range shard.deltas.Read(ctx, 1) {
		if err == nil {
			deltas++
		}
	}
	snapshots := 0
	all, err := shard.snapshots.List(ctx)
	t.must(err)
	for _, info := range all {
		if _, err := shard.snapshots.Get(ctx, info); err == nil {
			snapshots++
		}
	}
	keys := 0
	for _, bucket := range []string{"store-role", "scripts"} {
		kv, err := OpenKV(ctx, c, "dev", bucket, KVOptions{})
		t.must(err)
		all, err := kv.Keys(ctx, "")
		t.must(err)
		for _, key := range all {
			if v, _, err := kv.Get(ctx, key); err == nil && v != nil {
				keys++
			}
		}
	}
	last, err := shard.log.Last(ctx)
	t.must(err)
	fmt.Printf("booted: %d records, %d deltas, %d snapshots, %d keys\n", last, deltas, snapshots, keys)
}

// booted starts a child on a store and returns its output. The child must end in time.
func booted(t *testing.T, dir string) string {
	t.Helper()
	line := ended(t, "boot", dir)
	t.Log(line)
	return line
}

// residentBytes returns a process's current memory, or 0 if the system does not report it.
func residentBytes(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	_, _ = fmt.Sscan(string(b), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// TestLeapTakesNoMemory flips bits of a sequence in each stream of a store and then starts a node on it. Without the
// guard, a high bit takes all memory, and a lower one loses the messages after it.
func TestLeapTakesNoMemory(t *testing.T) {
	t.Setenv("WIND_TEST_PURGE", "1")
	store := newStore(t, "stopped")
	const intact = "booted: 120 records, 100 deltas, 2 snapshots, 40 keys"
	if line := booted(t, duplicate(t, store)); line != intact {
		t.Fatal(line)
	}
	for stream, rowAt := range map[string]int{
		deltaStream("dev", "main"):                     30,
		objectPrefix + snapshotBucket("dev"):           0,
		kvStreamPrefix + kvBucket("dev", "store-role"): 7,
	} {
		r := rowsOf(t, store, stream)[rowAt]
		for _, bit := range []int{18, 30, 37, 44, 55, 61} {
			t.Run(fmt.Sprintf("%s/bit%d", stream, bit), func(t *testing.T) {
				dir := duplicate(t, store)
				flip(t, filepath.Join(dir, strings.TrimPrefix(r.file, store)), r.at+4+bit/8, 1<<(bit%8))
				if line := booted(t, dir); line != intact {
					t.Fatal(line)
				}
				kept, err := filepath.Glob(filepath.Join(dir, asideDir, stream, "msgs-1.blk.*"))
				if err != nil || len(kept) != 1 {
					t.Fatal("the original is not kept", kept, err)
				}
				if !bytes.Equal(readFile(t, filepath.Join(dir, strings.TrimPrefix(r.file, store))), readFile(t, r.file)) {
					t.Fatal("the block is not what it was before the flip")
				}
			})
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDamagedRowIsSetAside: if two bits are flipped, a derivable stream loses only that row, and the original is kept.
// A bucket is refused by name.
func TestDamagedRowIsSetAside(t *testing.T) {
	for _, end := range ends {
		t.Run(end, func(t *testing.T) {
			store := newStore(t, end)
			rows := rowsOf(t, store, deltaStream("dev", "main"))
			flip(t, rows[40].file, rows[40].at+9, 1)
			flip(t, rows[40].file, rows[40].at+60, 1)
			was := readFile(t, rows[40].file)
			aside, err := guardStore(store)
			if err != nil || len(aside) != 1 || aside[0].Lost != 1 || aside[0].Right != 0 {
				t.Fatalf("%+v, %v", aside, err)
			}
			if !bytes.Equal(readFile(t, aside[0].Kept), was) {
				t.Fatal("the original is not kept")
			}
			if left := rowsOf(t, store, deltaStream("dev", "main")); len(left) != len(rows)-1 {
				t.Fatalf("%d of %d rows are left", len(left), len(rows))
			}
			s := createShard(t, connectTo(t, startServer(t, ServerConfig{Dir: store, Port: -1})))
			n := 0
			var lost error
			for _, err := range s.deltas.Read(testContext(t), 1) {
				if err == nil {
					n++
				}
				lost = errors.Join(lost, err)
			}
			if n != 40+20 || // the rest of its group, ticks 42 to 80, builds on it
				!errors.Is(lost, persistence.ErrCorrupt) || !strings.Contains(lost.Error(), "messages 41 to 41 of") {
				t.Fatalf("%d deltas can be read, the missing one is reported as %v", n, lost)
			}
		})
		t.Run(end+"/bucket", func(t *testing.T) {
			store := newStore(t, end)
			stream := kvStreamPrefix + kvBucket("dev", "store-role")
			r := rowsOf(t, store, stream)[7]
			flip(t, r.file, r.at+9, 1)
			flip(t, r.file, r.at+60, 1)
			before := fingerprint(t, store)
			_, err := guardStore(store)
			var damaged *DamagedStreamError
			if !errors.As(err, &damaged) || damaged.Stream != stream || damaged.Offset != r.at || !strings.Contains(err.Error(), r.file) || strings.Contains(err.Error(), "\n") {
				t.Fatal(err)
			}
			if fingerprint(t, store) != before {
				t.Fatal("the store was changed")
			}
		})
	}
}

// TestTheLastRowWhoseLengthIsFlippedIsPutRight: the row looks as if a crash had cut it off, but its checksum is
// present.
func TestTheLastRowWhoseLengthIsFlippedIsPutRight(t *testing.T) {
	for _, end := range ends {
		store := newStore(t, end)
		for _, stream := range []string{kvStreamPrefix + kvBucket("dev", "store-role"), deltaStream("dev", "main")} {
			rows := rowsOf(t, store, stream)
			last := rows[len(rows)-1]
			for bit := range 31 { // the highest bit marks a row with headers
				was := readFile(t, last.file)
				flip(t, last.file, last.at+bit/8, 1<<(bit%8))
				aside, err := guardStore(store)
				if now := readFile(t, last.file); err != nil || len(aside) != 1 || aside[0].Right != 1 || aside[0].Lost != 0 || !bytes.Equal(now, was) {
					t.Fatalf("%s, %s, bit %d: %+v, %v", end, stream, bit, aside, err)
				}
			}
		}
	}
}

// TestABucketWithoutItsDescriptionIsRefused: formerly the server skipped it, and its values were silently lost.
func TestABucketWithoutItsDescriptionIsRefused(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	server := startServer(t, ServerConfig{Dir: store, Port: -1})
	conn := connectTo(t, server)
	if _, _, err := openKV(t, conn, KVOptions{}).Put(testContext(t), "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	server.Close()
	for name, damage := range map[string]func(dir string){
		"a flipped bit":        func(dir string) { flip(t, filepath.Join(dir, "meta.inf"), 20, 1) },
		"of its checksum":      func(dir string) { flip(t, filepath.Join(dir, "meta.sum"), 3, 1) },
		"no description":       func(dir string) { _ = os.Remove(filepath.Join(dir, "meta.inf")) },
		"no checksum":          func(dir string) { _ = os.Remove(filepath.Join(dir, "meta.sum")) },
		"an empty description": func(dir string) { _ = os.Truncate(filepath.Join(dir, "meta.inf"), 0) },
	} {
		dir := duplicate(t, store)
		damage(filepath.Join(dir, accountDir, kvStreamPrefix+kvBucket("dev", "players")))
		_, err := StartServer(ServerConfig{Dir: dir, Port: -1, Logger: quiet()})
		var damaged *DamagedStreamError
		if !errors.As(err, &damaged) || damaged.Stream != kvStreamPrefix+kvBucket("dev", "players") {
			t.Errorf("%s: a start says: %v", name, err)
		}
	}
}

// TestPurgedRowOfALogThatLeaps: logs are never altered, so the start is refused, by name.
func TestPurgedRowOfALogThatLeaps(t *testing.T) {
	t.Setenv("WIND_TEST_PURGE", "1")
	store := newStore(t, "stopped")
	rows := rowsOf(t, store, logStream("dev", "main"))
	if rows[0].seq >= 70 {
		t.Skip("nothing that was purged is left in the files")
	}
	flip(t, rows[0].file, rows[0].at+9, 1)
	_, err := StartServer(ServerConfig{Dir: store, Port: -1, Logger: quiet()})
	var damaged *DamagedStreamError
	if !errors.As(err, &damaged) || !errors.Is(err, persistence.ErrCorrupt) || damaged.Stream != logStream("dev", "main") {
		t.Fatal(err)
	}
}

// TestForeignStreamsAreLeftAlone: a compressed stream that somebody else made on the server is neither ours nor
// damaged.
func TestForeignStreamsAreLeftAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := startServer(t, ServerConfig{Dir: dir, Port: -1})
	c := connectTo(t, s)
	ctx := testContext(t)
	for _, config := range []jetstream.StreamConfig{
		{Name: "packed", Subjects: []string{"packed.>"}, Compression: jetstream.S2Compression},
		{Name: "plain", Subjects: []string{"plain.>"}},
	} {
		config.Storage = jetstream.FileStorage
		if _, err := c.js.CreateStream(ctx, config); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			if _, err := c.js.Publish(ctx, config.Name+".x", bytes.Repeat([]byte("some words "), 400)); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Close()
	s.Close()
	if aside, err := guardStore(dir); err != nil || len(aside) > 0 {
		t.Fatal(aside, err)
	}
	s = startServer(t, ServerConfig{Dir: dir, Port: -1})
	for _, name := range []string{"packed", "plain"} {
		stream, err := connectTo(t, s).js.Stream(ctx, name)
		if err != nil || stream.CachedInfo().State.Msgs != 200 {
			t.Fatal(name, err)
		}
	}
}
