package etcd

import clientv3 "go.etcd.io/etcd/client/v3"

// Client is a connection to a cluster, made by Dial. Other packages pass it around; only this package speaks etcd.
type Client = clientv3.Client
