package etcd

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/ferris1/wind/persistence/wait"
)

// lockTTL is how long a process may be silent before it loses its locks, in seconds.
const lockTTL = 5

// lockTimeout bounds the wait for a lock: nobody keeps one for more than a few seconds.
const lockTimeout = time.Minute

// Lock waits until no other process in the cluster has the lock /wind/<cluster>/locks/<name>, and takes it. unlock
// releases it. A process that dies loses the lock after 5 s. So does a process that cannot reach etcd for that long,
// without noticing: a lock alone does not ensure that something never happens twice.
func Lock(ctx context.Context, client *Client, cluster, name string) (unlock func(), err error) {
	if err := validCluster(cluster); err != nil {
		return nil, err
	}
	key := "/wind/" + cluster + "/locks/" + name
	ctx = clientv3.WithRequireLeader(ctx)
	granted, endGrant := asks(ctx, "grant a lease for the lock "+key)
	lease, err := client.Grant(granted, lockTTL)
	endGrant(&err)
	var session *concurrency.Session
	if err == nil { // the session lasts as long as ctx, not only for the wait
		session, err = concurrency.NewSession(client, concurrency.WithLease(lease.ID), concurrency.WithContext(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot take the lock %s: %w", key, err)
	}
	release := func() {
		ctx, end := asks(context.WithoutCancel(ctx), "release the lock "+key)
		session.Orphan()
		_, err := client.Revoke(ctx, session.Lease()) // otherwise the lease expires
		end(&err)
	}
	bounded, end := wait.For(ctx, wait.Etcd, lockTimeout, "give the lock "+key)
	defer end(&err)
	if err := concurrency.NewMutex(session, key).Lock(bounded); err != nil {
		release()
		return nil, fmt.Errorf("etcd: cannot take the lock %s: %w", key, err)
	}
	return release, nil
}
