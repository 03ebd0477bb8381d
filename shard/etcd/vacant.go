package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrTaken reports that another living process has the id.
var ErrTaken = errors.New("the id is taken")

// vacancyPoll is how often vacant reads a key that another process has. vacancySlack is how long that key may outlive
// its lease: etcd reports whole seconds and revokes expired leases only periodically.
const (
	vacancyPoll  = 50 * time.Millisecond
	vacancySlack = 3 * time.Second
)

// holder is the process that has a key.
type holder struct {
	value []byte
	lease int64
	left  time.Duration // of the lease
}

// claimed says in words who has an id: attributes for the log, and the error of a process that wanted it, too.
type claimed struct {
	attrs []any
	err   error
}

// vacant waits until no other process has the key. After a process has died, that takes as long as its lease lasts. A
// process that is alive renews its lease, so that its key outlives the wait: vacant then returns the error of tell.
func (n *Node) vacant(ctx context.Context, key string, tell func(*holder) claimed) error {
	var until time.Time
	for {
		holder, err := n.holder(ctx, key)
		if err != nil || holder == nil || holder.lease == 0 {
			return err
		}
		switch now := time.Now(); {
		case until.IsZero():
			until = now.Add(holder.left + vacancySlack)
			n.cfg.Logger.Info("the id is taken: waiting until its process ends or stops answering",
				append(tell(holder).attrs, "for", time.Until(until).Round(time.Second))...)
		case now.After(until) && holder.left > 0: // without time left, etcd has yet to revoke the lease
			return tell(holder).err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(vacancyPoll):
		}
	}
}

// holder returns the process that has a key, or nil if none or this node has it.
func (n *Node) holder(ctx context.Context, key string) (_ *holder, err error) {
	ctx, end := asks(ctx, "read "+key)
	defer end(&err)
	got, err := n.client.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot read %s: %w", key, err)
	}
	if len(got.Kvs) == 0 || got.Kvs[0].Lease == n.State().ID {
		return nil, nil
	}
	h := &holder{value: got.Kvs[0].Value, lease: got.Kvs[0].Lease}
	if h.lease == 0 {
		return h, nil
	}
	left, err := n.client.TimeToLive(ctx, clientv3.LeaseID(h.lease))
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot look at the lease of %s: %w", key, err)
	}
	h.left = time.Duration(max(0, left.TTL)) * time.Second
	return h, nil
}
