package etcd

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// lockTTL is after how long a process that is silent loses its locks, in seconds.
const lockTTL = 5

// Lock waits until nobody else in the cluster has a lock, /wind/<cluster>/locks/<name>, and takes it. unlock gives it back. A
// process that dies loses it after 5 s; so does one that cannot reach etcd for so long, and does not notice: what must not
// happen twice needs more than a lock.
func Lock(ctx context.Context, client *Client, cluster, name string) (unlock func(), err error) {
	if err := validCluster(cluster); err != nil {
		return nil, err
	}
	key := "/wind/" + cluster + "/locks/" + name
	ctx = clientv3.WithRequireLeader(ctx)
	session, err := concurrency.NewSession(client, concurrency.WithTTL(lockTTL), concurrency.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot take the lock %s: %w", key, err)
	}
	release := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		session.Orphan()
		_, _ = client.Revoke(ctx, session.Lease()) // else it runs out
	}
	if err := concurrency.NewMutex(session, key).Lock(ctx); err != nil {
		release()
		return nil, fmt.Errorf("etcd: cannot take the lock %s: %w", key, err)
	}
	return release, nil
}
