package room

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ferris1/wind/shard/discovery"
)

// Registry follows the coordination service's entries about a cluster's shards. It keeps the last state while the
// service is away. Safe for concurrent use.
type Registry struct {
	source  discovery.Source
	log     *slog.Logger
	changed func(*Room, string)
	cancel  context.CancelFunc
	done    sync.WaitGroup

	mu       sync.RWMutex
	view     *View
	revision int64 // up to which the view is complete
}

// Follow reads a source and follows it until Close. ctx bounds only the first read, which fails if the source does not
// answer. changed, if not nil, is called for each room that was read or has changed, one call at a time, with nil for
// one that is gone; it must not block, nor call Close. A nil logger means slog.Default().
func Follow(ctx context.Context, source discovery.Source, changed func(r *Room, id string), logger *slog.Logger) (*Registry, error) {
	r := &Registry{source: source, log: cmp.Or(logger, slog.Default()), changed: changed, view: NewView()}
	revision, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.done.Go(func() { r.run(ctx, revision) })
	return r, nil
}

// Close ends the watch and waits for its goroutine.
func (r *Registry) Close() {
	r.cancel()
	r.done.Wait()
}

// Room returns a room, or nil. The caller must not change it.
func (r *Registry) Room(id string) *Room {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.view.Room(id)
}

// Changes returns the shards that somebody asked for and that have changed after a revision, in no order, and the revision up to
// which these are all: of all shards, or of those with the given ids. The caller must not change them.
func (r *Registry) Changes(after int64, of ...string) (changed []*Room, revision int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	add := func(x *Room) {
		if x != nil && x.Spec != nil && x.Revision > after {
			changed = append(changed, x)
		}
	}
	for _, id := range of {
		add(r.view.rooms[id])
	}
	if len(of) == 0 {
		for _, x := range r.view.rooms {
			add(x)
		}
	}
	return changed, r.revision
}

// The pauses before the source is read again.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 2 * time.Second
)

// run follows the source: a watch that breaks is followed by a new reading.
func (r *Registry) run(ctx context.Context, revision int64) {
	for pause := firstPause; ; {
		began := time.Now()
		err := r.follow(ctx, revision)
		if time.Since(began) > mostPause {
			pause = firstPause
		}
		for listed := false; !listed; listed = err == nil {
			if ctx.Err() == nil && pause == firstPause { // once for each outage
				r.log.Warn("rooms: the coordination service is away; this node continues with what it knows", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, mostPause)
			revision, err = r.list(ctx)
		}
	}
}

// follow applies the changes after a revision until the watch breaks or shows too little, and returns the reason.
func (r *Registry) follow(ctx context.Context, revision int64) error {
	ctx, stop := context.WithCancelCause(ctx)
	var probing sync.WaitGroup
	defer probing.Wait()
	defer stop(nil)
	probing.Go(func() {
		away := false
		discovery.Probe(ctx, r.source, revision, func(p discovery.Pulse) {
			switch {
			case p.Lost:
				stop(errors.New("it has lost data: its revision went back"))
			case p.Err == nil && away:
				stop(errors.New("it was away"))
			}
			away = p.Err != nil
		})
	})
	err := r.source.Watch(ctx, revision, func(c discovery.Changes) { r.apply(c.Entries) })
	return cmp.Or(context.Cause(ctx), err)
}

// list replaces the view by what the source has now.
func (r *Registry) list(ctx context.Context) (revision int64, err error) {
	all, revision, err := r.source.List(ctx)
	if err != nil {
		return 0, err
	}
	next := NewView()
	for _, e := range all {
		next.Apply(e)
	}
	r.mu.Lock()
	before := r.view
	next.since(before, revision)
	r.view, r.revision = next, revision
	r.mu.Unlock()
	if r.changed == nil {
		return revision, nil
	}
	for id, x := range next.rooms {
		r.changed(x, id)
	}
	for id := range before.rooms {
		if next.rooms[id] == nil {
			r.changed(nil, id)
		}
	}
	return revision, nil
}

// apply applies the changes that a watch delivers at once. Whoever reads sees all of them or none: one revision may change
// thousands of rooms, as the end of a node's lease does.
func (r *Registry) apply(entries []discovery.Entry) {
	changed := map[string]*Room{}
	r.mu.Lock()
	for _, e := range entries {
		if id := r.view.Apply(e); id != "" {
			changed[id] = r.view.rooms[id]
		}
		r.revision = max(r.revision, e.Revision)
	}
	r.mu.Unlock()
	if r.changed == nil {
		return
	}
	for id, x := range changed {
		r.changed(x, id)
	}
}
