package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard/room"
)

// CreateRoom writes a room's spec, unless the room exists. It returns the spec that stands, and whether this call
// wrote it. A call that failed may be repeated.
func CreateRoom(ctx context.Context, client *Client, cluster, id string, s room.Spec) (stands room.Spec, created bool, err error) {
	if err := errors.Join(validCluster(cluster), persistence.ValidShardName(id), s.Validate()); err != nil {
		return room.Spec{}, false, err
	}
	value, err := json.Marshal(s)
	if err != nil {
		return room.Spec{}, false, fmt.Errorf("etcd: the spec of room %s: %w", id, err)
	}
	ctx, end := asks(ctx, "create room "+id)
	defer end(&err)
	key := shardPrefix(cluster, id) + "spec"
	got, err := client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, string(value))).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return room.Spec{}, false, fmt.Errorf("etcd: cannot create room %s: %w", id, err)
	}
	if got.Succeeded {
		return s, true, nil
	}
	held := got.Responses[0].GetResponseRange().Kvs[0]
	if err := json.Unmarshal(held.Value, &stands); err != nil {
		return room.Spec{}, false, fmt.Errorf("etcd: %s holds %.100q: %w", held.Key, held.Value, err)
	}
	return stands, false, nil
}

// EndRoom notes what a log says about the end of its room. The first note stands: all say the same, since they repeat the
// log's seal. Nothing is noted for a room that is forgotten, or that was made again since with another log. With the note
// goes the owner key, if it has the given lease: the room is never seen without both.
func EndRoom(ctx context.Context, client *Client, cluster, id, lineage string, e room.End, lease int64) (err error) {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("etcd: the end of room %s: %w", id, err)
	}
	ctx, end := asks(ctx, "note the end of room "+id)
	defer end(&err)
	prefix := shardPrefix(cluster, id)
	got, err := client.Get(ctx, prefix+"lineage")
	if err != nil {
		return fmt.Errorf("etcd: cannot note the end of room %s: %w", id, err)
	}
	var has lineageValue
	if len(got.Kvs) == 0 || json.Unmarshal(got.Kvs[0].Value, &has) != nil || has.Lineage != lineage {
		return nil
	}
	_, err = client.Txn(ctx).If(
		clientv3.Compare(clientv3.ModRevision(prefix+"lineage"), "=", got.Kvs[0].ModRevision),
		clientv3.Compare(clientv3.CreateRevision(prefix+"spec"), ">", 0),
		clientv3.Compare(clientv3.CreateRevision(prefix+"state"), "=", 0),
	).Then(
		clientv3.OpPut(prefix+"state", string(value)),
		clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.LeaseValue(prefix+"owner"), "=", clientv3.LeaseID(lease))}, []clientv3.Op{clientv3.OpDelete(prefix + "owner")}, nil),
	).Commit()
	if err != nil {
		return fmt.Errorf("etcd: cannot note the end of room %s: %w", id, err)
	}
	return nil
}

// ReadRoom returns what etcd knows about a shard now, or nil if it knows nothing.
func ReadRoom(ctx context.Context, client *Client, cluster, id string) (r *room.Room, err error) {
	if err := errors.Join(validCluster(cluster), persistence.ValidShardName(id)); err != nil {
		return nil, err
	}
	ctx, end := asks(ctx, "read room "+id)
	defer end(&err)
	got, err := client.Get(ctx, shardPrefix(cluster, id), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot read room %s: %w", id, err)
	}
	v, from := room.NewView(), &source{client, shardsPrefix(cluster)}
	for _, kv := range got.Kvs {
		v.Apply(from.entry(kv))
	}
	return v.Room(id), nil
}

// CancelRoom ends a room that no node has ever claimed: it has no log that could say so. It returns false if one has.
// A room that is over stays as it is.
func CancelRoom(ctx context.Context, client *Client, cluster, id string, e room.End) (canceled bool, err error) {
	value, err := json.Marshal(e)
	if err != nil {
		return false, fmt.Errorf("etcd: the end of room %s: %w", id, err)
	}
	ctx, end := asks(ctx, "cancel room "+id)
	defer end(&err)
	prefix := shardPrefix(cluster, id)
	got, err := client.Txn(ctx).If(
		clientv3.Compare(clientv3.CreateRevision(prefix+"spec"), ">", 0),
		clientv3.Compare(clientv3.CreateRevision(prefix+"epoch"), "=", 0),
		clientv3.Compare(clientv3.CreateRevision(prefix+"state"), "=", 0),
	).Then(clientv3.OpPut(prefix+"state", string(value))).Commit()
	if err != nil {
		return false, fmt.Errorf("etcd: cannot cancel room %s: %w", id, err)
	}
	return got.Succeeded, nil
}
