package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// TestWhatARoomCostsEtcd counts the writes of forty rooms from their specs to their ends: spec, lineage, claim, first mark with the attempt,
// its removal, the seal's mark, release and end. While a room runs, it takes a share of a transaction every ten seconds.
func TestWhatARoomCostsEtcd(t *testing.T) {
	t.Parallel() // mostly waits
	const rooms, writes = 40, 8
	n := startRooms(t, nil)
	revision := func() int64 {
		t.Helper()
		got, err := n.cluster.Etcd.Get(soon(t), "/wind/none")
		if err != nil {
			t.Fatal(err)
		}
		return got.Header.Revision
	}
	idle, quiet := revision(), time.Now()
	time.Sleep(time.Second) // what the node itself writes
	others, each := revision()-idle, time.Since(quiet)
	before, began := revision(), time.Now()
	var ids []string
	for i := range rooms {
		ids = append(ids, plays(t, n, fmt.Sprint("cost-", i), room.KeepLog))
	}
	for _, id := range ids {
		becomes(t, n, id, room.Sealed)
		eventually(t, "nobody owns "+id, func() bool {
			x, err := etcd.ReadRoom(soon(t), n.cluster.Etcd, n.cluster.Name, id)
			return err == nil && x.Owner == ""
		})
	}
	took := revision() - before
	own := int64(float64(others+2) * (1 + float64(time.Since(began))/float64(each)))
	t.Logf("%d writes for %d rooms in %v, with at most %d of the node itself", took, rooms, time.Since(began).Round(time.Millisecond), own)
	if took > rooms*writes+rooms/2+own {
		t.Errorf("a room costs etcd %.1f writes, want %d", float64(took-own)/rooms, writes)
	}
}
