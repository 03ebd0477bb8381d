package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ferris1/wind/shard/room"
)

// keeperValue is the value of a room's entry "keeper".
type keeperValue struct {
	Node  string    `json:"node"`
	Since time.Time `json:"since"`
}

// Kept is a room that a node has claimed to keep, as its entries were then.
type Kept struct {
	Spec     room.Spec
	End      room.End
	Revision int64  // of the end's entry
	Lineage  string // of its log; "": it never had one
}

// KeepRoom claims a room that has ended, so that this node archives it or removes its log. The claim lasts as long as the
// node's lease, or until LeaveRoom. ok is false if a node has it, this one included, or the room has not ended.
func (n *Node) KeepRoom(ctx context.Context, id string) (k Kept, ok bool, err error) {
	ctx, end := asks(ctx, "keep room "+id)
	defer end(&err)
	prefix := shardPrefix(n.cfg.Cluster, id)
	value, err := json.Marshal(keeperValue{Node: n.cfg.ID, Since: time.Now().UTC()})
	if err != nil {
		return k, false, fmt.Errorf("etcd: %w", err)
	}
	got, err := n.client.Txn(ctx).If(
		clientv3.Compare(clientv3.CreateRevision(prefix+"keeper"), "=", 0),
		clientv3.Compare(clientv3.CreateRevision(prefix+"state"), "!=", 0),
		clientv3.Compare(clientv3.CreateRevision(prefix+"spec"), "!=", 0),
	).Then(
		clientv3.OpPut(prefix+"keeper", string(value), clientv3.WithLease(clientv3.LeaseID(n.State().ID))),
		clientv3.OpGet(prefix+"state"), clientv3.OpGet(prefix+"spec"), clientv3.OpGet(prefix+"lineage"),
	).Commit()
	if err != nil {
		return k, false, fmt.Errorf("etcd: cannot keep room %s: %w", id, err)
	}
	if !got.Succeeded {
		return k, false, nil
	}
	var lineage lineageValue
	for i, into := range []any{&k.End, &k.Spec, &lineage} {
		kvs := got.Responses[i+1].GetResponseRange().Kvs
		if len(kvs) == 0 {
			continue // the lineage of a room that nobody ever ran
		}
		kv := kvs[0]
		if err := json.Unmarshal(kv.Value, into); err != nil {
			return k, false, fmt.Errorf("etcd: %s holds %.100q: %w", kv.Key, kv.Value, err)
		}
		if i == 0 {
			k.Revision = kv.ModRevision
		}
	}
	k.Lineage = lineage.Lineage
	return k, true, nil
}

// LeaveRoom gives up what KeepRoom claimed, if this node still has it.
func (n *Node) LeaveRoom(ctx context.Context, id string) (err error) {
	ctx, end := asks(ctx, "leave room "+id)
	defer end(&err)
	key := shardPrefix(n.cfg.Cluster, id) + "keeper"
	ours := clientv3.Compare(clientv3.LeaseValue(key), "=", clientv3.LeaseID(n.State().ID))
	if _, err := n.client.Txn(ctx).If(ours).Then(clientv3.OpDelete(key)).Commit(); err != nil {
		return fmt.Errorf("etcd: cannot leave room %s: %w", id, err)
	}
	return nil
}

// MoveRoom replaces a room's end if its entry still has the revision. It returns the end that stands, or nil,
// and its revision. After an error nobody knows whether it was replaced: LookRoom tells.
func MoveRoom(ctx context.Context, client *Client, cluster, id string, e room.End, revision int64) (stands *room.End, standsRevision int64, moved bool, err error) {
	value, err := json.Marshal(e)
	if err != nil {
		return nil, 0, false, fmt.Errorf("etcd: the end of room %s: %w", id, err)
	}
	ctx, end := asks(ctx, "note that room "+id+" is "+string(e.Phase))
	defer end(&err)
	key := shardPrefix(cluster, id) + "state"
	got, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(clientv3.OpPut(key, string(value))).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return nil, 0, false, fmt.Errorf("etcd: cannot note that room %s is %s: %w", id, e.Phase, err)
	}
	if got.Succeeded {
		return &e, got.Header.Revision, true, nil
	}
	stands, standsRevision, err = endIn(got.Responses[0].GetResponseRange().Kvs)
	return stands, standsRevision, false, err
}

// LookRoom reads a room's end, or nil, and the revision of its entry.
func LookRoom(ctx context.Context, client *Client, cluster, id string) (stands *room.End, revision int64, err error) {
	ctx, end := asks(ctx, "read the end of room "+id)
	defer end(&err)
	got, err := client.Get(ctx, shardPrefix(cluster, id)+"state")
	if err != nil {
		return nil, 0, fmt.Errorf("etcd: cannot read the end of room %s: %w", id, err)
	}
	return endIn(got.Kvs)
}

func endIn(kvs []*mvccpb.KeyValue) (*room.End, int64, error) {
	if len(kvs) == 0 {
		return nil, 0, nil
	}
	e := new(room.End)
	if err := json.Unmarshal(kvs[0].Value, e); err != nil {
		return nil, 0, fmt.Errorf("etcd: %s holds %.100q: %w", kvs[0].Key, kvs[0].Value, err)
	}
	return e, kvs[0].ModRevision, nil
}

// ForgetRoom removes all entries of a room that is gone, if its end still has the revision. Its key then makes a new room,
// with another lineage.
func ForgetRoom(ctx context.Context, client *Client, cluster, id string, revision int64) (forgot bool, err error) {
	ctx, end := asks(ctx, "forget room "+id)
	defer end(&err)
	prefix := shardPrefix(cluster, id)
	got, err := client.Txn(ctx).If(
		clientv3.Compare(clientv3.ModRevision(prefix+"state"), "=", revision),
		clientv3.Compare(clientv3.CreateRevision(prefix+"owner"), "=", 0),
	).Then(clientv3.OpDelete(prefix, clientv3.WithPrefix())).Commit()
	if err != nil {
		return false, fmt.Errorf("etcd: cannot forget room %s: %w", id, err)
	}
	return got.Succeeded, nil
}
