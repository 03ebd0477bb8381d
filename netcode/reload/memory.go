package reload

import (
	"context"
	"sync"

	"github.com/ferris1/wind/netcode/rpc"
)

// Memory is a Store in memory. It may be used concurrently.
type Memory struct {
	*rpc.MemoryStore

	mu       sync.Mutex
	watchers map[chan struct{}]string // wake channel → watched key
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{MemoryStore: rpc.NewMemoryStore(), watchers: map[chan struct{}]string{}}
}

// Put implements Store.
func (m *Memory) Put(ctx context.Context, key string, value []byte, revision uint64) (next uint64, ok bool, err error) {
	if next, ok, err = m.MemoryStore.Put(ctx, key, value, revision); !ok {
		return next, ok, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for wake, watched := range m.watchers {
		if watched == key {
			select {
			case wake <- struct{}{}:
			default: // it is already awake
			}
		}
	}
	return next, ok, nil
}

// Watch implements Store. If several writes follow quickly, f may see only the last one.
func (m *Memory) Watch(ctx context.Context, key string, f func(value []byte, revision uint64)) error {
	wake := make(chan struct{}, 1)
	wake <- struct{}{} // for the current value
	m.mu.Lock()
	m.watchers[wake] = key
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, wake)
	}()
	seen := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		}
		value, revision, err := m.Get(ctx, key)
		if err != nil {
			return err
		}
		if revision > seen {
			seen = revision
			f(value, revision)
		}
	}
}
