package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard/discovery"
)

// reportEvery is the shortest time between two writes of one registration.
const reportEvery = 500 * time.Millisecond

// Registration keeps an instance in the directory of its cluster under the node's lease. When the node takes a new
// lease, the registration writes the instance again. Safe for concurrent use.
type Registration struct {
	node   *Node
	key    string
	cancel context.CancelFunc
	done   sync.WaitGroup
	wake   chan struct{} // one token: something must be written
	taken  chan struct{} // closed when another process has the id

	mu       sync.Mutex
	instance discovery.Instance

	// Only Register and then the goroutine use these: the state in etcd.
	written []byte
	lease   int64
}

// Vacant waits until no process has the id. After a process has died, that takes as long as its lease lasts. It returns
// ErrTaken if the process is alive.
func (n *Node) Vacant(ctx context.Context, serviceType, id string) error {
	return n.vacant(ctx, servicesPrefix(n.cfg.Cluster)+serviceType+"/"+id, func(h *holder) claimed {
		var i discovery.Instance
		_ = json.Unmarshal(h.value, &i) // used only for messages
		return claimed{
			attrs: []any{"service", serviceType, "instance", id, "node", i.Node},
			err: fmt.Errorf("etcd: instance %s of service %s already runs on node %s since %s: give this one another id, or stop that one: %w",
				id, serviceType, i.Node, i.Since.Format(time.DateTime), ErrTaken),
		}
	})
}

// Register writes an instance into the directory as soon as no other process has its id (see Vacant). Node, State and
// Since have defaults. Registration.Close removes the instance; so does Node.Close, which revokes the lease.
func (n *Node) Register(ctx context.Context, i discovery.Instance) (*Registration, error) {
	i.Complete(n.cfg.ID)
	if err := i.Validate(); err != nil {
		return nil, err
	}
	if err := n.Vacant(ctx, i.Type, i.ID); err != nil {
		return nil, err
	}
	r := &Registration{
		node: n, key: servicesPrefix(n.cfg.Cluster) + i.Type + "/" + i.ID, wake: make(chan struct{}, 1), taken: make(chan struct{}), instance: i,
	}
	if err := r.write(ctx); err != nil {
		return nil, err
	}
	var loop context.Context
	loop, r.cancel = context.WithCancel(n.values)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		r.cancel()
		return nil, fmt.Errorf("etcd: node %s is closed: instance %s cannot register", n.cfg.ID, i.ID)
	}
	n.registered[r] = struct{}{}
	r.done.Go(func() { r.run(loop) })
	r.poke() // the lease may have changed in between
	return r, nil
}

// Instance returns the current description of the instance.
func (r *Registration) Instance() discovery.Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.instance
}

// Taken returns a channel that is closed when another process has registered the id after this node lost its lease.
// This instance has then lost its place in the directory and must end.
func (r *Registration) Taken() <-chan struct{} { return r.taken }

// Update changes the description of the instance and returns at once. Type and id cannot change. Writes are at least
// 500 ms apart, and only the latest description is written, unless etcd already has it. A failed write is repeated
// until etcd answers again. change runs under a lock and must not call the registration.
func (r *Registration) Update(change func(*discovery.Instance)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.instance
	change(&i)
	i.Type, i.ID = r.instance.Type, r.instance.ID
	i.Complete(r.node.cfg.ID)
	if _, err := discovery.ParseSelector(i.Selector); err != nil {
		r.node.cfg.Logger.Warn("an update has an invalid selector; the instance keeps its previous one", "instance", i.ID, "error", err)
		i.Selector = r.instance.Selector
	}
	if i.State != discovery.Up && i.State != discovery.Draining {
		r.node.cfg.Logger.Warn("an update has an unknown state; the instance keeps its previous one", "instance", i.ID, "state", i.State)
		i.State = r.instance.State
	}
	r.instance = i
	r.poke()
}

// Close removes the instance from the directory, unless another process has registered it since, and waits for the
// registration's goroutine. A second call does nothing.
func (r *Registration) Close() (err error) {
	if !r.stop() {
		return nil
	}
	ctx, end := asks(r.node.values, "remove "+r.key)
	defer end(&err)
	ours := clientv3.Compare(clientv3.LeaseValue(r.key), "=", r.lease)
	if _, err := r.node.client.Txn(ctx).If(ours).Then(clientv3.OpDelete(r.key)).Commit(); err != nil {
		return fmt.Errorf("etcd: cannot remove %s, which disappears with the node's lease: %w", r.key, err)
	}
	return nil
}

// stop ends the goroutine. It returns false if a previous call did.
func (r *Registration) stop() bool {
	r.node.mu.Lock()
	_, open := r.node.registered[r]
	delete(r.node.registered, r)
	r.node.mu.Unlock()
	r.cancel()
	r.done.Wait()
	return open
}

// poke makes run write the instance.
func (r *Registration) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run writes every change. It repeats a failed write after the pause.
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
		if errors.Is(err, ErrTaken) {
			r.node.cfg.Logger.Error("an instance has lost its id", "key", r.key, "error", err)
			close(r.taken)
			return
		}
		if err != nil {
			r.poke()
		}
		if failed := err != nil && ctx.Err() == nil; failed != failing {
			if failing = failed; failed {
				r.node.cfg.Logger.Warn("cannot register an instance, still trying", "key", r.key, "error", err)
			} else {
				r.node.cfg.Logger.Info("an instance is registered again", "key", r.key)
			}
		}
	}
}

// write puts the instance's description under the node's lease, unless etcd already has it. It never overwrites the
// entry of another process.
func (r *Registration) write(ctx context.Context) (err error) {
	value, err := json.Marshal(r.Instance())
	if err != nil {
		return fmt.Errorf("etcd: instance %s: %w", r.key, err)
	}
	lease := r.node.State().ID
	if lease == r.lease && bytes.Equal(value, r.written) {
		return nil
	}
	ctx, end := asks(ctx, "write "+r.key)
	defer end(&err)
	put := clientv3.OpPut(r.key, string(value), clientv3.WithLease(clientv3.LeaseID(lease)))
	absent := clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(r.key), "=", 0)}, []clientv3.Op{put}, nil)
	ours := clientv3.Compare(clientv3.LeaseValue(r.key), "=", r.lease) // lease 0, before the first write, also matches a key that no process keeps alive
	answer, err := r.node.client.Txn(ctx).If(ours).Then(put).Else(absent).Commit()
	if err != nil {
		return fmt.Errorf("etcd: cannot register %s: %w", r.key, err)
	}
	if !answer.Succeeded && !answer.Responses[0].GetResponseTxn().Succeeded {
		return fmt.Errorf("etcd: cannot register %s: %w", r.key, ErrTaken)
	}
	r.written, r.lease = value, lease
	return nil
}

// validCluster returns an error for an invalid cluster name.
func validCluster(name string) error {
	if err := persistence.ValidShardName(name); err != nil {
		return fmt.Errorf("etcd: cluster: %w", err)
	}
	return nil
}
