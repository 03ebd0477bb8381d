package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/shard/discovery"
)

// servicesPrefix returns the prefix of the keys of a cluster's instances; it ends with "/".
func servicesPrefix(cluster string) string { return "/wind/" + cluster + "/services/" }

// shardsPrefix returns the prefix of the keys of a cluster's shards; it ends with "/".
func shardsPrefix(cluster string) string { return "/wind/" + cluster + "/shards/" }

// shardPrefix returns the prefix of a shard's keys; it ends with "/".
func shardPrefix(cluster, name string) string { return shardsPrefix(cluster) + name + "/" }

// Services returns the source of a cluster's instances, for a [discovery.Directory] to follow. The caller keeps
// ownership of the client and must close it after the directory.
func Services(client *Client, cluster string) (discovery.Source, error) {
	if err := validCluster(cluster); err != nil {
		return nil, err
	}
	return &source{client, servicesPrefix(cluster)}, nil
}

// Rooms returns the source of a cluster's shards, for a [room.Registry] to follow. The caller keeps ownership of the
// client and must close it after the registry.
func Rooms(client *Client, cluster string) (discovery.Source, error) {
	if err := validCluster(cluster); err != nil {
		return nil, err
	}
	return &source{client, shardsPrefix(cluster)}, nil
}

// source implements discovery.Source: the keys with a prefix.
type source struct {
	client *clientv3.Client
	prefix string // ends with "/"
}

// String implements discovery.Source.
func (s *source) String() string { return s.prefix }

// List implements discovery.Source.
func (s *source) List(ctx context.Context) (all []discovery.Entry, revision int64, err error) {
	ctx, end := asks(ctx, "read all keys of "+s.prefix)
	defer end(&err)
	got, err := s.client.Get(ctx, s.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, 0, fmt.Errorf("etcd: cannot read all keys of %s: %w", s.prefix, err)
	}
	for _, kv := range got.Kvs {
		all = append(all, s.entry(kv))
	}
	return all, got.Header.Revision, nil
}

func (s *source) entry(kv *mvccpb.KeyValue) discovery.Entry {
	return discovery.Entry{Key: strings.TrimPrefix(string(kv.Key), s.prefix), Value: kv.Value, Revision: kv.ModRevision, Lease: kv.Lease}
}

// Watch implements discovery.Source.
func (s *source) Watch(ctx context.Context, revision int64, f func(discovery.Changes)) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	late := time.AfterFunc(callTimeout, cancel) // Watch blocks until etcd has created the watch
	events := s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(revision+1))
	if !late.Stop() {
		return fmt.Errorf("etcd: cannot watch %s: etcd gave no answer within %s", s.prefix, callTimeout)
	}
	for answer := range events {
		if err := answer.Err(); err != nil {
			return fmt.Errorf("etcd: the watch on %s broke: %w", s.prefix, err)
		}
		c := discovery.Changes{Revision: answer.Header.Revision}
		for _, ev := range answer.Events {
			e := s.entry(ev.Kv)
			e.Gone = ev.Type == mvccpb.DELETE
			c.Entries = append(c.Entries, e)
		}
		f(c)
	}
	return errors.Join(fmt.Errorf("etcd: the watch on %s ended", s.prefix), ctx.Err())
}

// Revision implements discovery.Source.
func (s *source) Revision(ctx context.Context) (_ int64, err error) {
	ctx, end := asks(ctx, "answer a probe of "+s.prefix)
	defer end(&err)
	got, err := s.client.Get(ctx, s.prefix) // one key, which does not exist: to count thousands every few seconds costs etcd more
	if err != nil {
		return 0, fmt.Errorf("etcd: cannot probe %s: %w", s.prefix, err)
	}
	return got.Header.Revision, nil
}
