package jetstream

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/persistence"
)

// limitOf returns the limit of a shard's log.
func limitOf(t *testing.T, s *Shard) int64 {
	t.Helper()
	e, err := s.log.Extent(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return e.Limit
}

func TestLimitOfALogThatExistsIsChanged(t *testing.T) {
	onSites(t, func(t *testing.T, site site) {
		c := site.connect(t, "")
		open := func(o Options) (*Shard, error) {
			o.Replicas = site.replicas
			return Open(testContext(t), c, "dev", "main", "", o)
		}
		s := createShardWith(t, c, Options{Replicas: site.replicas, LogBytes: 4 << 20, DeltaBytes: 16 << 20, SnapshotBytes: 16 << 20})
		w := newWriter()
		w.size = 64 << 10
		for range 32 {
			w.commit(t, s)
		}
		for _, limit := range []int64{16 << 20, 3 << 20} {
			again, err := open(Options{LogBytes: limit, DeltaBytes: 2 * limit})
			if err != nil {
				t.Fatal(err)
			}
			again.Close()
			if got := limitOf(t, s); got != limit {
				t.Errorf("the log may hold %d bytes, want %d", got, limit)
			}
			if i, err := again.deltas.stream.Info(testContext(t)); err != nil || i.Config.MaxBytes != 2*limit {
				t.Errorf("the delta stream may hold %d bytes, want %d (%v)", i.Config.MaxBytes, 2*limit, err)
			}
		}
		if _, err := open(Options{LogBytes: 1 << 20}); !errors.Is(err, persistence.ErrFull) || !strings.Contains(err.Error(), "limited to 1 MiB") {
			t.Errorf("a limit below what the log holds: %v", err)
		}
		for _, age := range []time.Duration{time.Minute, time.Hour} { // JetStream keeps a memory of ids for two minutes by default
			again, err := open(Options{DeltaAge: age})
			if err != nil {
				t.Fatal(err)
			}
			again.Close()
			if i, err := again.deltas.stream.Info(testContext(t)); err != nil || i.Config.MaxAge != age {
				t.Errorf("deltas are kept for %v, want %v (%v)", i.Config.MaxAge, age, err)
			}
		}
		if again, err := open(Options{}); err != nil {
			t.Error(err)
		} else if again.Close(); limitOf(t, s) != 3<<20 {
			t.Errorf("an opening that names no limit has changed it to %d", limitOf(t, s))
		}
		w.commit(t, s)
	})
}

func TestDefaultsFitASmallServer(t *testing.T) {
	t.Run("R1", func(t *testing.T) {
		c := connectTo(t, startServer(t, ServerConfig{Port: -1, MaxBytes: 120 << 20}))
		appendTicks(t, createShard(t, c), 3)
	})
	t.Run("R3", func(t *testing.T) {
		c := site{addrs: startCluster(t, 300<<20), replicas: 3}.connect(t, "")
		s := createShardWith(t, c, Options{Replicas: 3})
		if limit := limitOf(t, s); limit < leastDefault || limit > 300<<20 {
			t.Errorf("the log may hold %d bytes of 300 MiB", limit)
		}
		appendTicks(t, s, 3)
		_, err := Create(testContext(t), c, "dev", "other", testLineage, Options{Replicas: 3, LogBytes: 1 << 30})
		if !errors.Is(err, persistence.ErrFull) {
			t.Fatalf("a log larger than the servers: %v", err)
		}
		for _, want := range []string{"1024 MiB", "WIND_dev_other", "--log-bytes", "reserved for streams"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %s", err, want)
			}
		}
	})
}

// TestRoomsFitBesideAStandingShard: the defaults of a shard's own streams leave room for all partitions, also on a server
// that does not report its limit. Formerly the first streams reserved everything.
func TestRoomsFitBesideAStandingShard(t *testing.T) {
	fits := func(t *testing.T, c *Conn, replicas int) {
		appendTicks(t, createShardWith(t, c, Options{Replicas: replicas}), 3)
		seen := map[int]bool{}
		for i := 0; len(seen) < partitions; i++ {
			name := fmt.Sprintf("room-%d", i)
			if seen[partitionOf(name)] {
				continue
			}
			seen[partitionOf(name)] = true
			s, err := Create(testContext(t), c, "dev", name, testLineage, Options{Shared: true, Replicas: replicas})
			if err != nil {
				t.Fatalf("the room in partition %d: %v", partitionOf(name), err)
			}
			appendTicks(t, s, 3)
			s.Close()
		}
	}
	for _, limit := range []int64{400 << 20, 12<<30 + 10<<20, 1 << 40} {
		s := startServer(t, ServerConfig{User: "node", Password: "secret", MaxBytes: limit})
		fits(t, site{addrs: []string{s.Addr()}, user: "node:secret@"}.connect(t, ""), 1)
	}
	t.Run("R3", func(t *testing.T) {
		fits(t, site{addrs: startCluster(t, 2<<30)}.connect(t, ""), 3)
	})
}

// TestTheFirstRoomsOfAClusterBeginAtOnce: all of them, though their streams do not exist yet.
func TestTheFirstRoomsOfAClusterBeginAtOnce(t *testing.T) {
	onSites(t, func(t *testing.T, s site) {
		var conns []*Conn // of nodes
		for i := range 3 {
			conns = append(conns, s.connect(t, s.addrs[i%len(s.addrs)]))
		}
		var group sync.WaitGroup
		for i := range 32 {
			group.Go(func() {
				shard, err := Create(testContext(t), conns[i%3], "dev", fmt.Sprintf("room-%d", i), testLineage, Options{Shared: true, Replicas: s.replicas})
				if err != nil {
					t.Errorf("room %d: %v", i, err)
					return
				}
				shard.Close()
			})
		}
		group.Wait()
	})
}
