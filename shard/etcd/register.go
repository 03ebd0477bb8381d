package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/persistence"
)

// reportEvery is the shortest time between two writes of one registration.
const reportEvery = 500 * time.Millisecond

// Registration keeps an instance in the directory of its cluster, with the node's lease: when the node takes a new lease,
// it is written anew. Safe for concurrent use.
type Registration struct {
	node   *Node
	key    string
	cancel context.CancelFunc
	done   sync.WaitGroup
	wake   chan struct{} // one token: there is something to write

	mu       sync.Mutex
	instance Instance

	// Register's, and then the goroutine's: what stands in etcd.
	written []byte
	lease   int64
}

// Register writes an instance into the directory. Node, State and Since have defaults. An instance of the same type and id
// that another process registered is replaced: that is how a restarted one comes back before its old lease has run out.
// Close takes it away; so does Node.Close, with the lease.
func (n *Node) Register(ctx context.Context, i Instance) (*Registration, error) {
	i.complete(n.cfg.ID)
	if err := i.validate(); err != nil {
		return nil, err
	}
	r := &Registration{node: n, key: servicesPrefix(n.cfg.Cluster) + i.Type + "/" + i.ID, wake: make(chan struct{}, 1), instance: i}
	if err := r.write(ctx); err != nil {
		return nil, err
	}
	var loop context.Context
	loop, r.cancel = context.WithCancel(context.Background())
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		r.cancel()
		return nil, fmt.Errorf("etcd: node %s is closed, instance %s cannot register", n.cfg.ID, i.ID)
	}
	n.registered[r] = struct{}{}
	r.done.Go(func() { r.run(loop) })
	r.poke() // the lease may have changed in between
	return r, nil
}

// Instance returns what the instance tells of itself now.
func (r *Registration) Instance() Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.instance
}

// Update changes what the instance tells of itself and returns at once; type and id stay. Writes are at least 500 ms
// apart, the last state wins, and a state that stands there already is not written. While etcd is away they are tried
// again. The function runs under a lock: it must not call the registration.
func (r *Registration) Update(change func(*Instance)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.instance
	change(&i)
	i.Type, i.ID = r.instance.Type, r.instance.ID
	i.complete(r.node.cfg.ID)
	if _, err := ParseSelector(i.Selector); err != nil {
		r.node.cfg.Logger.Warn("an instance keeps its selector", "instance", i.ID, "error", err)
		i.Selector = r.instance.Selector
	}
	if i.State != Up && i.State != Draining {
		r.node.cfg.Logger.Warn("an instance keeps its state", "instance", i.ID, "state", i.State)
		i.State = r.instance.State
	}
	r.instance = i
	r.poke()
}

// Close takes the instance out of the directory, unless another process has registered it since, and waits for the
// registration's goroutine. A second call does nothing.
func (r *Registration) Close() error {
	if !r.stop() {
		return nil
	}
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(context.Background()), callTimeout)
	defer cancel()
	ours := clientv3.Compare(clientv3.LeaseValue(r.key), "=", r.lease)
	if _, err := r.node.client.Txn(ctx).If(ours).Then(clientv3.OpDelete(r.key)).Commit(); err != nil {
		return fmt.Errorf("etcd: %s goes with the node's lease: %w", r.key, err)
	}
	return nil
}

// stop ends the goroutine; false: it was ended before.
func (r *Registration) stop() bool {
	r.node.mu.Lock()
	_, open := r.node.registered[r]
	delete(r.node.registered, r)
	r.node.mu.Unlock()
	r.cancel()
	r.done.Wait()
	return open
}

// poke says that there is something to write.
func (r *Registration) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run writes what changes. A write that fails is tried again after the pause.
func (r *Registration) run(ctx context.Context) {
	pause := time.NewTicker(reportEvery)
	defer pause.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		err := r.write(ctx)
		if err != nil {
			r.poke()
		}
		if failed := err != nil && ctx.Err() == nil; failed != failing {
			if failing = failed; failed {
				r.node.cfg.Logger.Warn("an instance is not registered, it tries on", "key", r.key, "error", err)
			} else {
				r.node.cfg.Logger.Info("an instance is registered again", "key", r.key)
			}
		}
	}
}

// write puts the instance's state with the node's lease, unless it stands there.
func (r *Registration) write(ctx context.Context) error {
	value, err := json.Marshal(r.Instance())
	if err != nil {
		return fmt.Errorf("etcd: instance %s: %w", r.key, err)
	}
	lease := r.node.State().ID
	if lease == r.lease && bytes.Equal(value, r.written) {
		return nil
	}
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), callTimeout)
	defer cancel()
	if _, err := r.node.client.Put(ctx, r.key, string(value), clientv3.WithLease(clientv3.LeaseID(lease))); err != nil {
		return fmt.Errorf("etcd: cannot register %s: %w", r.key, err)
	}
	r.written, r.lease = value, lease
	return nil
}

// validCluster refuses a name that no cluster has.
func validCluster(name string) error {
	if err := persistence.ValidShardName(name); err != nil {
		return fmt.Errorf("etcd: cluster: %w", err)
	}
	return nil
}
