package node

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// TestWhatARoomCostsEtcd counts the transactions that write keys of forty rooms, from their specs to their ends: spec, lineage, claim, first
// mark with the attempt, its removal, the seal's mark, release and end. While a room runs, it takes a share of a transaction every ten
// seconds.
func TestWhatARoomCostsEtcd(t *testing.T) {
	const rooms, writes = 40, 8
	n := startRooms(t, nil)
	shards, err := etcd.Rooms(n.cluster.Etcd, n.cluster.Name)
	if err != nil {
		t.Fatal(err)
	}
	before, err := shards.Revision(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for i := range rooms {
		ids[plays(t, n, fmt.Sprint("cost-", i), room.KeepLog)] = true
	}
	for id := range ids {
		becomes(t, n, id, room.Sealed)
		eventually(t, "nobody owns "+id, func() bool {
			x, err := etcd.ReadRoom(soon(t), n.cluster.Etcd, n.cluster.Name, id)
			return err == nil && x.Owner == ""
		})
	}
	if _, err := n.cluster.Etcd.Put(soon(t), shards.String()+"none/last", ""); err != nil {
		t.Fatal(err)
	}
	written := map[int64]string{} // a transaction's revision, and its last key
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	_ = shards.Watch(ctx, before, func(c discovery.Changes) { // it ends with ctx
		for _, e := range c.Entries {
			id, _, _ := strings.Cut(e.Key, "/")
			if ids[id] {
				written[e.Revision] = e.Key
			}
			if e.Key == "none/last" {
				cancel()
			}
		}
	})
	t.Logf("%d writes for %d rooms", len(written), rooms)
	if most := rooms*writes + rooms/4; len(written) > most || len(written) < rooms {
		t.Errorf("a room costs etcd %.1f writes, want %d", float64(len(written))/rooms, writes)
	}
}
