package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/wait"
)

// Limits of a KV's keys and values, in bytes.
const (
	MaxKey   = 512
	MaxValue = 1 << 20
)

// Names that the key-value buckets of NATS use.
const (
	kvStreamPrefix  = "KV_"
	kvSubjectPrefix = "$KV."
	kvOperation     = "KV-Operation"
	kvDeleted       = "DEL"
	kvMarker        = "Nats-Marker-Reason" // set by the server when a value expires
)

// tombstoneTTL is how long the tombstone of a deleted key is kept. Only watchers see it; nothing depends on it.
const tombstoneTTL = time.Hour

// keysTimeout bounds the duration of Keys.
const keysTimeout = 30 * time.Second

// KVOptions are the settings of a new bucket. An existing bucket keeps its own.
type KVOptions struct {
	Replicas int           // 1, 3 or 5; 0: 1
	TTL      time.Duration // a value expires this long after it was last written; 0: never
	MaxBytes int64         // reserved for the bucket; 0: no limit of its own
}

// KV stores values by key with compare-and-set, in a key-value bucket of JetStream: `nats kv ls`, `get` and `watch`
// show it. Its methods may be called concurrently. A revision is the value's sequence in the bucket, so a key never has
// the same revision twice, even after it was deleted. Reads go to the stream's leader. A timeout is an error, after
// which the value may or may not have been written: call Get to find out.
type KV struct {
	js      jetstream.JetStream
	stream  jetstream.Stream
	kv      jetstream.KeyValue
	subject string // in front of an encoded key
}

// kvBucket returns the name of a bucket. Names of shards' streams never begin with KV_.
func kvBucket(cluster, name string) string { return streamPrefix + cluster + "_" + name }

// OpenKV opens the bucket WIND_<cluster>_<name>, or creates it if it does not exist. The cluster's name has 1 to 40
// characters and the bucket's 1 to 60, from a-z, 0-9 and the dash. The server must be 2.11 or later.
func OpenKV(ctx context.Context, c *Conn, cluster, name string, o KVOptions) (*KV, error) {
	if err := persistence.ValidShardName(cluster); err != nil {
		return nil, fmt.Errorf("jetstream: cluster: %w", err)
	}
	if err := ecs.ValidName(name, ecs.MaxLongName); err != nil {
		return nil, fmt.Errorf("jetstream: bucket: %w", err)
	}
	bucket := kvBucket(cluster, name)
	if err := makeKV(ctx, c, bucket, "Wind: "+name+" of cluster "+cluster, o); err != nil {
		return nil, fmt.Errorf("jetstream: cannot open the key-value bucket %s: %w", bucket, err)
	}
	k := &KV{js: c.js, subject: kvSubjectPrefix + bucket + "."}
	var err error
	if k.stream, err = c.js.Stream(ctx, kvStreamPrefix+bucket); err == nil {
		k.kv, err = c.js.KeyValue(ctx, bucket)
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot open the key-value bucket %s: %w", bucket, err)
	}
	return k, nil
}

// makeKV creates the bucket if it does not exist, and restricts reads to its leader: otherwise any replica may answer,
// even one that has not yet received an acknowledged value.
func makeKV(ctx context.Context, c *Conn, bucket, description string, o KVOptions) error {
	stream, err := c.js.Stream(ctx, kvStreamPrefix+bucket)
	if isMissing(err) && !c.readOnly {
		_, err = c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: bucket, Description: description, Storage: jetstream.FileStorage, Replicas: o.Replicas, TTL: o.TTL, MaxBytes: o.MaxBytes,
		})
		if err == nil || errors.Is(err, jetstream.ErrBucketExists) { // another process was faster
			stream, err = c.made(ctx, kvStreamPrefix+bucket)
		}
	}
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	if c.readOnly || !config.AllowDirect && config.AllowMsgTTL {
		return nil
	}
	config.AllowDirect, config.AllowMsgTTL = false, true
	_, err = c.js.UpdateStream(ctx, config)
	return err
}

// checkKey returns an error for an invalid key.
func checkKey(key string) error {
	switch {
	case key == "" || len(key) > MaxKey:
		return fmt.Errorf("jetstream: a key of %d bytes; it must have 1 to %d", len(key), MaxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("jetstream: key %q is not UTF-8", key)
	}
	return nil
}

// Get returns the value and its revision, or revision 0 if the key does not exist.
func (k *KV) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	m, err := k.last(ctx, key)
	if err != nil || m == nil || isTombstone(m.Header) {
		return nil, 0, err
	}
	return m.Data, m.Sequence, nil
}

// last returns the newest message of a key, which may be a tombstone, or nil if none exists.
func (k *KV) last(ctx context.Context, key string) (*jetstream.RawStreamMsg, error) {
	m, err := k.stream.GetLastMsgForSubject(ctx, k.subject+encodeKey(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot read key %q: %w", key, err)
	}
	return m, nil
}

func isTombstone(h nats.Header) bool { return h.Get(kvOperation) != "" || h.Get(kvMarker) != "" }

// Put writes value if the key still has the given revision (0: the key does not exist) and returns the new revision. ok
// is false, without an error, if another process has written meanwhile.
func (k *KV) Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error) {
	return k.put(ctx, key, value, revision)
}

// PutFor is like Put, but the value expires after life, by the server's clock. The shortest life is one second.
func (k *KV) PutFor(ctx context.Context, key string, value []byte, revision uint64, life time.Duration) (next uint64, ok bool, err error) {
	return k.put(ctx, key, value, revision, jetstream.WithMsgTTL(max(life, time.Second)))
}

func (k *KV) put(ctx context.Context, key string, value []byte, revision uint64, o ...jetstream.PublishOpt) (next uint64, ok bool, err error) {
	if err := checkKey(key); err != nil {
		return 0, false, err
	}
	if len(value) > MaxValue {
		return 0, false, fmt.Errorf("jetstream: the value of key %q has %d bytes, more than %d", key, len(value), MaxValue)
	}
	m := &nats.Msg{Subject: k.subject + encodeKey(key), Data: value}
	if next, ok, err = k.publish(ctx, key, m, revision, o...); ok || err != nil || revision != 0 {
		return next, ok, err
	}
	last, err := k.last(ctx, key) // the last message may be a tombstone
	if err != nil || last != nil && !isTombstone(last.Header) {
		return 0, false, err
	}
	if last != nil {
		revision = last.Sequence
	}
	return k.publish(ctx, key, m, revision, o...)
}

// publish appends m if the last message of its key has the expected sequence. It sends m once.
func (k *KV) publish(ctx context.Context, key string, m *nats.Msg, expect uint64, o ...jetstream.PublishOpt) (next uint64, ok bool, err error) {
	o = append(o, jetstream.WithExpectLastSequencePerSubject(expect), jetstream.WithRetryAttempts(0))
	ack, err := k.js.PublishMsg(ctx, m, o...)
	if e := (*jetstream.APIError)(nil); errors.As(err, &e) &&
		(e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("jetstream: cannot write key %q: %w", key, err)
	}
	return ack.Sequence, true, nil
}

// Delete removes the key if it still has the given revision. With revision 0, ok reports whether the key does not
// exist.
func (k *KV) Delete(ctx context.Context, key string, revision uint64) (ok bool, err error) {
	if revision == 0 {
		_, now, err := k.Get(ctx, key)
		return now == 0 && err == nil, err
	}
	if err := checkKey(key); err != nil {
		return false, err
	}
	m := &nats.Msg{Subject: k.subject + encodeKey(key), Header: nats.Header{kvOperation: {kvDeleted}}}
	_, ok, err = k.publish(ctx, key, m, revision, jetstream.WithMsgTTL(tombstoneTTL))
	return ok, err
}

// Watch calls f with the current value of a key and with each later one, until ctx ends; then it returns nil. It does
// not report a removed key. Of several writes in quick succession, f may see only the last. Watch continues after a
// lost connection.
func (k *KV) Watch(ctx context.Context, key string, f func(value []byte, revision uint64)) error {
	if err := checkKey(key); err != nil {
		return err
	}
	w, err := k.kv.Watch(ctx, encodeKey(key), jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("jetstream: cannot watch key %q: %w", key, err)
	}
	defer func() { _ = w.Stop() }() // nothing more is read from it
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Updates():
			switch {
			case ctx.Err() != nil:
				return nil
			case !ok:
				return fmt.Errorf("jetstream: the watch of key %q was cut off", key)
			case e != nil: // nil: the existing value was delivered
				f(e.Value(), e.Revision())
			}
		}
	}
}

// Keys lists the keys that begin with prefix, in byte order. It reads the names of all keys with the same leading
// parts, where a slash ends a part. In a bucket with replicas, the list may lag behind the latest writes: it comes from
// a consumer, which any of the servers may serve.
func (k *KV) Keys(ctx context.Context, prefix string) (keys []string, err error) {
	ctx, end := wait.For(ctx, wait.NATS, 0, fmt.Sprintf("list the keys with %q", prefix))
	defer end(&err)
	keys, err = k.keys(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("jetstream: cannot list the keys with %q: %w", prefix, err)
	}
	slices.Sort(keys)
	return keys, nil
}

func (k *KV) keys(ctx context.Context, prefix string) (keys []string, err error) {
	w, err := k.kv.WatchFiltered(ctx, []string{keyFilter(prefix)}, jetstream.IgnoreDeletes(), jetstream.MetaOnly())
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Stop() }() // nothing more is read from it
	silence, late := time.NewTimer(wait.Limit), time.NewTimer(keysTimeout)
	defer silence.Stop()
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-silence.C:
			return nil, fmt.Errorf("NATS was silent for %v: %w", wait.Limit, context.DeadlineExceeded)
		case <-late.C:
			return nil, fmt.Errorf("not all keys had arrived after %v: %w", keysTimeout, context.DeadlineExceeded)
		case e, ok := <-w.Updates():
			silence.Reset(wait.Limit)
			switch {
			case !ok:
				return nil, errors.New("the listing was cut off")
			case e == nil: // all keys were delivered
				return keys, nil
			}
			if key, ok := decodeKey(e.Key()); ok && strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
	}
}
