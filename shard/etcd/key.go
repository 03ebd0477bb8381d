package etcd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// keyValue is the value of /keys/<name>.
type keyValue struct {
	Key   string    `json:"key"` // hex
	Since time.Time `json:"since"`
}

// sharedKeyBytes is the length of a shared key.
const sharedKeyBytes = 32

// SharedKey returns a secret that all nodes of a cluster share: 32 bytes under /wind/<cluster>/keys/<name>, created by
// the first caller. Anyone who can read etcd can read it.
func SharedKey(ctx context.Context, client *Client, cluster, name string) (key []byte, err error) {
	if err := validCluster(cluster); err != nil {
		return nil, err
	}
	ctx, end := asks(ctx, "agree on the key "+name)
	defer end(&err)
	proposed := make([]byte, sharedKeyBytes)
	if _, err := rand.Read(proposed); err != nil {
		return nil, fmt.Errorf("etcd: no key: %w", err)
	}
	value, err := json.Marshal(keyValue{Key: hex.EncodeToString(proposed), Since: time.Now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	path := "/wind/" + cluster + "/keys/" + name
	answer, err := client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(path), "=", 0)).
		Then(clientv3.OpPut(path, string(value))).Else(clientv3.OpGet(path)).Commit()
	if err != nil {
		return nil, fmt.Errorf("etcd: cannot agree on the key %s: %w", path, err)
	}
	if answer.Succeeded {
		return proposed, nil
	}
	var there keyValue
	err = json.Unmarshal(answer.Responses[0].GetResponseRange().Kvs[0].Value, &there)
	got, badHex := hex.DecodeString(there.Key)
	if err != nil || badHex != nil || len(got) != sharedKeyBytes {
		return nil, fmt.Errorf("etcd: %s does not hold %d bytes in hex: remove it, and all nodes agree on a new one when they start", path, sharedKeyBytes)
	}
	return got, nil
}
