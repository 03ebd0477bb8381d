package rpc

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// MemoryBus carries messages between the services of one process, without NATS, for tests of a game. It may be used
// concurrently.
type MemoryBus struct {
	mu       sync.Mutex
	services map[string][]memoryInstance
	turn     int
	pushes   []MemoryPush
	shards   map[string]func(ShardCommand) (tick uint64, err error)
}

// MemoryPush is a push that a service made. Player is "" for all players.
type MemoryPush struct {
	Player string
	Push
}

type memoryInstance struct {
	id     string
	handle func(*Request, func(Response))
}

// NewMemoryBus makes a bus without services.
func NewMemoryBus() *MemoryBus {
	return &MemoryBus{services: map[string][]memoryInstance{}, shards: map[string]func(ShardCommand) (uint64, error){}}
}

// Serve adds an instance that answers with handle.
func (b *MemoryBus) Serve(serviceType, id string, handle func(*Request, func(Response))) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services[serviceType] = append(b.services[serviceType], memoryInstance{id, handle})
}

// Leave reverses Serve.
func (b *MemoryBus) Leave(serviceType, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services[serviceType] = slices.DeleteFunc(b.services[serviceType], func(x memoryInstance) bool { return x.id == id })
}

// Shard adds a shard: take gets its commands.
func (b *MemoryBus) Shard(name string, take func(ShardCommand) (tick uint64, err error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shards[name] = take
}

// Command implements Bus.
func (b *MemoryBus) Command(ctx context.Context, shard string, c ShardCommand) (tick uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, ErrorOf(err)
	}
	b.mu.Lock()
	take := b.shards[shard]
	b.mu.Unlock()
	if take == nil {
		return 0, NotBegun(Unavailable, "no node runs shard %s", shard)
	}
	if tick, err = take(c); err != nil {
		return 0, ErrorOf(err)
	}
	return tick, nil
}

// Pushes returns the pushes so far, in order.
func (b *MemoryBus) Pushes() []MemoryPush {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.pushes)
}

// find returns the receivers: one instance, or all of the type.
func (b *MemoryBus) find(to Address) []memoryInstance {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.services[to.Type]
	switch {
	case to.All:
		return slices.Clone(all)
	case to.ID != "":
		i := slices.IndexFunc(all, func(x memoryInstance) bool { return x.id == to.ID })
		if i < 0 {
			return nil
		}
		return slices.Clone(all[i : i+1])
	case len(all) == 0:
		return nil
	}
	b.turn++
	i := b.turn % len(all)
	return slices.Clone(all[i : i+1])
}

// Call implements Bus.
func (b *MemoryBus) Call(ctx context.Context, to Address, r Request) (Response, error) {
	if to.All {
		return Response{}, Errorf(InvalidArgument, "a call to all of %s: nobody would answer", to.Type)
	}
	if err := ctx.Err(); err != nil {
		return Response{}, ErrorOf(err)
	}
	found := b.find(to)
	if len(found) == 0 {
		return Response{}, NotBegun(Unavailable, "nobody serves %s", to.Type)
	}
	answer := make(chan Response, 1)
	found[0].handle(&r, func(a Response) { answer <- a })
	select {
	case a := <-answer:
		if a.Err != nil {
			return Response{}, a.Err
		}
		return a, nil
	case <-ctx.Done():
		e := ErrorOf(ctx.Err())
		e.Maybe = true
		return Response{}, e
	}
}

// Tell implements Bus.
func (b *MemoryBus) Tell(to Address, r Request) error {
	for _, i := range b.find(to) {
		own := r
		i.handle(&own, func(Response) {})
	}
	return nil
}

// Push implements Bus.
func (b *MemoryBus) Push(player string, p Push) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pushes = append(b.pushes, MemoryPush{player, p})
	return nil
}

// MemoryStore is a Store in memory, for tests. It may be used concurrently.
type MemoryStore struct {
	mu       sync.Mutex
	revision uint64
	values   map[string]memoryValue
}

type memoryValue struct {
	value    []byte
	revision uint64
}

// NewMemoryStore makes an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{values: map[string]memoryValue{}} }

// Get implements Store.
func (s *MemoryStore) Get(_ context.Context, key string) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.values[key]
	return slices.Clone(v.value), v.revision, nil
}

// Put implements Store.
func (s *MemoryStore) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, bool, error) {
	if err := CheckEntry(key, value); err != nil {
		return 0, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values[key].revision != revision {
		return 0, false, nil
	}
	s.revision++
	s.values[key] = memoryValue{slices.Clone(value), s.revision}
	return s.revision, true, nil
}

// Delete implements Store.
func (s *MemoryStore) Delete(_ context.Context, key string, revision uint64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.values[key]; !ok || v.revision != revision {
		return false, nil
	}
	delete(s.values, key)
	return true, nil
}

// Keys implements Store.
func (s *MemoryStore) Keys(_ context.Context, prefix string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key := range s.values {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}
