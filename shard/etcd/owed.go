package etcd

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ferris1/wind/persistence"
)

// owed are releases of shards that failed. A node's lease outlives the hosts of its shards: a key that stays would keep a shard
// from every node for as long as this one lives.
type owed struct {
	mu     sync.Mutex
	all    map[string]*release // by shard
	paying bool                // a goroutine repeats them
}

// release is what Shard.Release was asked to do.
type release struct {
	shard *Shard
	lease int64 // the node's, then
	epoch persistence.Epoch
	clean bool
}

// payEvery is the pause between two attempts.
const payEvery = time.Second

// owe repeats a release until it succeeds, or until the lease has ended and has taken the key along.
func (n *Node) owe(r *release) {
	n.owed.mu.Lock()
	defer n.owed.mu.Unlock()
	if n.owed.all == nil {
		n.owed.all = map[string]*release{}
	}
	n.owed.all[r.shard.name] = r
	n.owed.paying = n.owed.paying || n.begin(n.pay)
}

// pay repeats what is owed. If one attempt fails, the others wait, too: etcd is away.
func (n *Node) pay() {
	for {
		select {
		case <-time.After(payEvery):
		case <-n.running.Done(): // Close ends the lease
			return
		}
		n.owed.mu.Lock()
		all := slices.Collect(maps.Values(n.owed.all))
		n.owed.mu.Unlock()
		for _, r := range all {
			if r.lease == n.State().ID && r.shard.release(n.running, r.epoch, r.clean) != nil {
				break
			}
			n.owed.mu.Lock()
			if n.owed.all[r.shard.name] == r {
				delete(n.owed.all, r.shard.name)
			}
			n.owed.mu.Unlock()
		}
		n.owed.mu.Lock()
		over := len(n.owed.all) == 0
		n.owed.paying = !over
		n.owed.mu.Unlock()
		if over {
			return
		}
	}
}

// Release deletes the owner key if it belongs to this node and that epoch. With clean it also deletes the attempt of
// that epoch: this process survived it. If it fails, the node repeats it.
func (s *Shard) Release(ctx context.Context, epoch persistence.Epoch, clean bool) error {
	err := s.release(ctx, epoch, clean)
	if err != nil && s.node != nil {
		s.node.owe(&release{s, s.node.State().ID, epoch, clean})
	}
	return err
}
