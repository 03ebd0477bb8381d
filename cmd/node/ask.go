package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// CreateRoom asks for a room and returns it as soon as it runs, or has ended already. One key makes one room, however
// often and by whomever it is asked for; without a key each call makes another. If ctx ends first, the room stays
// wanted, and the error says so.
func (c *Cluster) CreateRoom(ctx context.Context, s room.Spec) (*room.Room, error) {
	id := room.ID(c.Name, s.Key)
	s.At = time.Now().UTC()
	if asked := s.Seed; asked == 0 {
		s.Seed = rand.Uint64N(1<<63-1) + 1
	}
	if err := s.Validate(); err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	stands, created, err := etcd.CreateRoom(ctx, c.Etcd, c.Name, id, s)
	if err != nil {
		return nil, err
	}
	if s.Seed = stands.Seed; !created && !stands.Same(&s) {
		return nil, rpc.Errorf(rpc.AlreadyExists, "the key %q has made another room, %s, with another game, options, labels or limits: choose another key", s.Key, id)
	}
	r, err := c.awaitRoom(ctx, id, func(r *room.Room) bool { return r.Phase() != room.Wanted })
	if err != nil {
		return nil, fmt.Errorf("room %s is wanted, but does not run yet: no node with the game %s, its labels and room for it has taken it (%w)", id, s.Game, err)
	}
	return r, nil
}

// awaitRoom waits until ok says so about a room that exists.
func (c *Cluster) awaitRoom(ctx context.Context, id string, ok func(*room.Room) bool) (*room.Room, error) {
	source, err := etcd.Rooms(c.Etcd, c.Name)
	if err != nil {
		return nil, err
	}
	found := make(chan *room.Room, 1)
	registry, err := room.Follow(ctx, source, func(r *room.Room, changed string) {
		if changed == id && r != nil && ok(r) {
			select {
			case found <- r:
			default:
			}
		}
	}, nil)
	if err != nil {
		return nil, err
	}
	defer registry.Close()
	select {
	case r := <-found:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// WatchRooms calls f for each shard that there is, and again whenever one has changed, until ctx ends, which is no error,
// or f returns one.
func (c *Cluster) WatchRooms(ctx context.Context, f func(*room.Room) error) error {
	source, err := etcd.Rooms(c.Etcd, c.Name)
	if err != nil {
		return err
	}
	changes := make(chan *room.Room)
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	followed := make(chan error, 1)
	go func() { // Follow calls back before it returns
		registry, err := room.Follow(ctx, source, func(r *room.Room, _ string) {
			select {
			case changes <- r:
			case <-watching.Done():
			}
		}, nil)
		followed <- err
		if err == nil {
			<-watching.Done()
			registry.Close()
		}
		close(changes)
	}()
	defer func() {
		cancel()
		for range changes { // until the registry is closed
		}
	}()
	for {
		select {
		case err := <-followed:
			if err != nil {
				return err
			}
		case r := <-changes:
			if r == nil {
				continue // gone
			}
			if err := f(r); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Rooms lists the cluster's rooms by id.
func (c *Cluster) Rooms(ctx context.Context) ([]*room.Room, error) {
	source, err := etcd.Rooms(c.Etcd, c.Name)
	if err != nil {
		return nil, err
	}
	entries, _, err := source.List(ctx)
	if err != nil {
		return nil, err
	}
	v := room.NewView()
	for _, e := range entries {
		v.Apply(e)
	}
	return v.Rooms(), nil
}

// CloseRoom ends a room that runs and returns it once its log is sealed.
func (c *Cluster) CloseRoom(ctx context.Context, id string) (*room.Room, error) {
	body, err := json.Marshal(closeRequest{})
	if err != nil {
		return nil, err
	}
	if _, err := c.Bus.Shard(ctx, id, "close", "", body); err != nil {
		return nil, fmt.Errorf("room %s: %w", id, err)
	}
	return c.awaitRoom(ctx, id, func(r *room.Room) bool { return r.End != nil })
}
