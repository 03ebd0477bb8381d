package etcd

import clientv3 "go.etcd.io/etcd/client/v3"

// Client is a connection to a cluster, as Dial makes it; only this package speaks etcd, others hold one.
type Client = clientv3.Client
