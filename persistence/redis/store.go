package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// Limits of a store, in bytes.
const (
	MaxKey   = 512
	MaxValue = 1 << 20
)

// Store is one named store. Its methods may be called concurrently.
type Store struct {
	client *redis.Client
	own    bool   // Close closes the client
	prefix string // of all its keys
}

// put writes a value if the key still has the given revision. KEYS: the hash, the last revision, the set of keys. ARGV: the
// revision, the value, the key.
var put = redis.NewScript(`
if (redis.call('HGET', KEYS[1], 'r') or '0') ~= ARGV[1] then return 0 end
local next = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', string.format('%.0f', next))
redis.call('ZADD', KEYS[3], 0, ARGV[3])
return next`)

// remove deletes a key if it still has the given revision. KEYS: the hash, the set of keys. ARGV: the revision, the key.
var remove = redis.NewScript(`
if (redis.call('HGET', KEYS[1], 'r') or '0') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1`)

// Open connects to the server at a URL such as "redis://user:password@host:6379/0" and opens a store in it. The caller must
// call Close.
func Open(ctx context.Context, url, name string) (*Store, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("redis: invalid URL: %w", err)
	}
	o.MaxRetries, o.ContextTimeoutEnabled = -1, true
	s, err := New(redis.NewClient(o), name)
	if err != nil {
		return nil, err
	}
	s.own = true
	if err := s.client.Ping(ctx).Err(); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("redis: no server answers at %s: %w", o.Addr, err)
	}
	return s, nil
}

// New opens a store through a client, which the caller closes. The client must have MaxRetries -1: if it repeated a write
// after the answer was lost, the first attempt would look like another writer's. It should have ContextTimeoutEnabled. The
// name consists of 1 to 40 of a-z, 0-9 and the dash.
func New(client *redis.Client, name string) (*Store, error) {
	if !validName(name) {
		return nil, fmt.Errorf("redis: store %q: a name is 1 to 40 of a-z, 0-9 and the dash", name)
	}
	if n := client.Options().MaxRetries; n > 0 {
		return nil, fmt.Errorf("redis: the client retries on its own, up to %d attempts: set MaxRetries to -1", n+1)
	}
	return &Store{client: client, prefix: "wind:{" + name + "}:"}, nil
}

func validName(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 40
}

// Close closes the connections if Open made them.
func (s *Store) Close() error {
	if !s.own {
		return nil
	}
	return s.client.Close()
}

func checkKey(key string) error {
	switch {
	case key == "" || len(key) > MaxKey:
		return fmt.Errorf("redis: a key of %d bytes, 1 to %d are allowed", len(key), MaxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("redis: key %q is not UTF-8", key)
	}
	return nil
}

func (s *Store) hash(key string) string { return s.prefix + "k:" + key }

// Get returns the value and its revision, which is 0 if the key does not exist.
func (s *Store) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return nil, 0, err
	}
	both, err := s.client.HMGet(ctx, s.hash(key), "v", "r").Result()
	if err != nil {
		return nil, 0, fmt.Errorf("redis: cannot read key %q: %w", key, err)
	}
	v, _ := both[0].(string)
	r, ok := both[1].(string)
	if !ok {
		return nil, 0, nil
	}
	if revision, err = strconv.ParseUint(r, 10, 64); err != nil || revision == 0 {
		return nil, 0, fmt.Errorf("redis: key %q has the revision %q: another program writes keys that begin with %s", key, r, s.prefix)
	}
	return []byte(v), revision, nil
}

// Put writes value if the key still has the given revision (0: the key does not exist) and returns the new one. If another
// writer has changed the key in the meantime, ok is false and err is nil.
func (s *Store) Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error) {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return 0, false, err
	}
	if len(value) > MaxValue {
		return 0, false, fmt.Errorf("redis: the value of key %q has %d bytes, more than %d", key, len(value), MaxValue)
	}
	keys := []string{s.hash(key), s.prefix + "revision", s.prefix + "keys"}
	next, err = put.Run(ctx, s.client, keys, strconv.FormatUint(revision, 10), value, key).Uint64()
	if err != nil {
		return 0, false, fmt.Errorf("redis: cannot write key %q: %w", key, err)
	}
	return next, next != 0, nil
}

// Delete removes the key if it still has the given revision. With revision 0, ok reports whether the key does not exist.
func (s *Store) Delete(ctx context.Context, key string, revision uint64) (ok bool, err error) {
	if err := errors.Join(checkKey(key), ctx.Err()); err != nil {
		return false, err
	}
	n, err := remove.Run(ctx, s.client, []string{s.hash(key), s.prefix + "keys"}, strconv.FormatUint(revision, 10), key).Int()
	if err != nil {
		return false, fmt.Errorf("redis: cannot delete key %q: %w", key, err)
	}
	return n == 1, nil
}

// Keys returns the keys that begin with prefix, in byte order.
func (s *Store) Keys(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	between := redis.ZRangeArgs{Key: s.prefix + "keys", ByLex: true, Start: "[" + prefix, Stop: "(" + prefix + "\xff"} // no UTF-8 has that byte
	keys, err := s.client.ZRangeArgs(ctx, between).Result()
	if err != nil {
		return nil, fmt.Errorf("redis: cannot list the keys with prefix %q: %w", prefix, err)
	}
	return keys, nil
}
