package node

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// TestWhatARoomCostsEtcd counts the writes of forty rooms from their specs to their ends: spec, lineage, claim, first mark with the attempt,
// its removal, the seal's mark, release and end. While a room runs, it takes a share of a transaction every ten seconds.
func TestWhatARoomCostsEtcd(t *testing.T) {
	t.Parallel() // mostly waits
	const rooms, writes = 40, 8
	n := startRooms(t, nil)
	others, each := n.writesAlone(t)
	before, began := n.revision(t), time.Now()
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
	took := n.revision(t) - before
	own := int64(float64(others+2) * (1 + float64(time.Since(began))/float64(each)))
	t.Logf("%d writes for %d rooms in %v, with at most %d of the node itself", took, rooms, time.Since(began).Round(time.Millisecond), own)
	if took > rooms*writes+rooms/2+own {
		t.Errorf("a room costs etcd %.1f writes, want %d", float64(took-own)/rooms, writes)
	}
}

// TestPlayersCostEtcdNothing: two hundred players join two rooms at once, play and leave. What they do is in the rooms' logs alone.
func TestPlayersCostEtcdNothing(t *testing.T) {
	t.Parallel() // mostly waits
	n := startRooms(t, func(c *Config) {
		c.Limits = netcode.Limits{SessionsPerAddress: -1, JoinsPerAddress: -1, ConnectionsPerAddress: -1}
	})
	var ids []string
	for i := range 2 {
		r, err := n.cluster.Rooms("").Create(soon(t), asked(rpc.RoomSpec{Key: fmt.Sprint("players-", i)}))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	others, each := n.writesAlone(t)
	before, began := n.revision(t), time.Now()
	const players = 200
	var group sync.WaitGroup
	for i := range players {
		group.Go(func() {
			plays, updates := make(chan struct{}), 0
			p, err := client.Dial(soon(t), client.Config{
				Addr: n.UDPAddr(), Identity: fmt.Sprint("player-", i), Shard: ids[i%2], Logger: slog.New(slog.DiscardHandler),
				OnUpdate: func(client.Update) {
					if updates++; updates == 10 {
						close(plays)
					}
				},
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			select {
			case <-plays:
			case <-soon(t).Done():
				t.Errorf("player %d has seen %d updates: %v", i, p.Stats().Updates, p.Err())
			}
		})
	}
	group.Wait()
	took := n.revision(t) - before
	most := int64(float64(others+2)*(1+float64(time.Since(began))/float64(each))) + 20 // and the rooms' marks
	t.Logf("%d writes while %d players came and went within %v, with at most %d of the node itself", took, players, time.Since(began).Round(time.Millisecond), most)
	if took > most {
		t.Errorf("%d players cost etcd %d writes", players, took-most)
	}
}

// revision counts etcd's writes.
func (n *Node) revision(t *testing.T) int64 {
	t.Helper()
	got, err := n.cluster.Etcd.Get(soon(t), "/wind/none")
	if err != nil {
		t.Fatal(err)
	}
	return got.Header.Revision
}

// writesAlone returns how often the node itself writes, and within how long.
func (n *Node) writesAlone(t *testing.T) (writes int64, span time.Duration) {
	t.Helper()
	idle, quiet := n.revision(t), time.Now()
	time.Sleep(time.Second)
	return n.revision(t) - idle, time.Since(quiet)
}
