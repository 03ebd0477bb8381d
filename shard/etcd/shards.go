package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/shard"
)

// ShardInfo is a shard's state in etcd, for tools to show.
type ShardInfo struct {
	Name string
	shard.Standing
	HaltedBy string    // the node that halted it, or "operator"; "" if it is not halted
	HaltedAt time.Time // zero if it is not halted
	Over     bool      // it is a room that has ended: its log is sealed
}

// Shards lists the states of a cluster's shards, sorted by name.
func Shards(ctx context.Context, client *Client, cluster string) (all []ShardInfo, err error) {
	if err := validCluster(cluster); err != nil {
		return nil, err
	}
	ctx, end := asks(ctx, "list the shards of cluster "+cluster)
	defer end(&err)
	prefix := shardsPrefix(cluster)
	got, err := client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot list the shards of cluster %s: %w", cluster, err)
	}
	for _, kv := range got.Kvs { // in the order of their keys
		name, _, ok := strings.Cut(strings.TrimPrefix(string(kv.Key), prefix), "/")
		if !ok {
			continue
		}
		if len(all) == 0 || all[len(all)-1].Name != name {
			all = append(all, ShardInfo{Name: name, Standing: shard.Standing{Revision: got.Header.Revision}})
		}
		if err := all[len(all)-1].parse(cluster, kv); err != nil {
			return nil, fmt.Errorf("etcd: %s holds %.100q: %w", kv.Key, kv.Value, err)
		}
	}
	return all, nil
}

// parse stores the value of one key in i.
func (i *ShardInfo) parse(cluster string, kv *mvccpb.KeyValue) error {
	s := Shard{name: i.Name, prefix: shardPrefix(cluster, i.Name)}
	if err := s.parse(&i.Standing, kv); err != nil {
		return err
	}
	switch string(kv.Key) {
	case s.prefix + "state":
		i.Over = true
		return nil
	case s.prefix + "halted":
	default:
		return nil
	}
	var v haltedValue
	err := json.Unmarshal(kv.Value, &v)
	i.HaltedBy, i.HaltedAt = v.Node, v.At
	return err
}
