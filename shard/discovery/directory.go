package discovery

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ChangeKind says what became of an instance.
type ChangeKind string

// The kinds of change. An instance that is restarted under its id before its lease ran out has Changed: its Since is new.
const (
	Joined  ChangeKind = "joined"
	Changed ChangeKind = "changed"
	Left    ChangeKind = "left"
)

// Change is what a directory saw. Of an instance that left, it has the last state.
type Change struct {
	Kind     ChangeKind
	Instance Instance
}

// Directory knows the instances of a cluster's services. It follows a [Source], and keeps what it knows while the source is
// away. Lookups take no lock and never wait. Safe for concurrent use.
type Directory struct {
	source Source
	log    *slog.Logger
	cancel context.CancelFunc
	done   sync.WaitGroup

	view atomic.Pointer[view]

	mu       sync.Mutex // of what follows; the goroutine holds it while it publishes
	chosen   map[string]Selector
	watchers map[int]func(Change)
	next     int

	// The goroutine's.
	known    map[string]*record // by key
	dirty    map[string]bool    // types to publish
	pending  []Change
	revision int64
	away     bool
	rotated  time.Time
	refused  map[string]int64 // key → revision of a value that was refused, so that it is said once
}

// Follow reads a source and follows it until Close. ctx bounds the first read alone, which fails when the source does not
// answer. A nil logger is slog.Default().
func Follow(ctx context.Context, source Source, logger *slog.Logger) (*Directory, error) {
	d := newDirectory(source, logger)
	if err := d.list(ctx); err != nil {
		return nil, err
	}
	d.publish()
	d.start(ctx)
	return d, nil
}

func newDirectory(source Source, logger *slog.Logger) *Directory {
	if logger == nil {
		logger = slog.Default()
	}
	d := &Directory{
		source: source, log: logger, chosen: map[string]Selector{}, watchers: map[int]func(Change){},
		known: map[string]*record{}, dirty: map[string]bool{}, refused: map[string]int64{}, rotated: time.Now(),
	}
	d.view.Store(&view{})
	return d
}

// start begins to follow. Of ctx it takes the values alone.
func (d *Directory) start(ctx context.Context) {
	ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	d.done.Go(func() { d.run(ctx) })
}

// Close ends the watch and waits for its goroutine. What is known stays to be looked up. It must not be called by a watcher.
func (d *Directory) Close() {
	d.cancel()
	d.done.Wait()
}

// Types lists the types that have an instance, in order.
func (d *Directory) Types() []string { return slices.Clone(d.view.Load().names) }

// Instances lists the instances of a type by their ids, draining ones too. The slice is the caller's; what it points to is
// shared and must not be changed.
func (d *Directory) Instances(serviceType string) []Instance {
	if t := d.view.Load().types[serviceType]; t != nil {
		return slices.Clone(t.instances)
	}
	return nil
}

// Alive reports whether an instance is registered, draining or not.
func (d *Directory) Alive(serviceType, id string) bool {
	_, ok := d.Instance(serviceType, id)
	return ok
}

// Instance returns one instance.
func (d *Directory) Instance(serviceType, id string) (Instance, bool) {
	t := d.view.Load().types[serviceType]
	if t == nil {
		return Instance{}, false
	}
	i, ok := slices.BinarySearchFunc(t.instances, id, func(i Instance, id string) int { return strings.Compare(i.ID, id) })
	if !ok {
		return Instance{}, false
	}
	return t.instances[i], true
}

// Bound sums up what the gateways tell of an instance: the players of living sessions that it works for. ok is false when
// there is no gateway.
func (d *Directory) Bound(gatewayType, serviceType, id string) (players int, ok bool) {
	all := d.Instances(gatewayType)
	for i := range all {
		players += all[i].Bound[serviceType+"/"+id]
	}
	return players, len(all) > 0
}

// Takes reports whether an instance takes payloads in a format, or with "" whether every instance of the type does. One that
// is not known takes everything.
func (d *Directory) Takes(serviceType, id, format string) bool {
	t := d.view.Load().types[serviceType]
	if t == nil || !t.picky {
		return true
	}
	if id == "" {
		return !slices.ContainsFunc(t.instances, func(i Instance) bool { return !i.Takes(format) })
	}
	i, ok := d.Instance(serviceType, id)
	return !ok || i.Takes(format)
}

// Pick places a player: it chooses an instance by the selector of the type, never one that is draining or full. Until the
// instance has reported again, twice or for four seconds, the player counts towards its load and its capacity. The key
// names the player. False: there is no such instance, or the selector refused.
func (d *Directory) Pick(serviceType, key string) (id string, ok bool) {
	return d.PickOther(serviceType, key, "")
}

// PickOther is Pick without one instance: it is known to be gone, and its lease is not over yet.
func (d *Directory) PickOther(serviceType, key, excluded string) (id string, ok bool) {
	t := d.view.Load().types[serviceType]
	if t == nil {
		return "", false
	}
	return t.pick(key, excluded, rand.Uint64())
}

// SetSelector sets the selector of a type on this directory, whatever its instances say. Nil takes that back.
func (d *Directory) SetSelector(serviceType string, s Selector) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s == nil {
		delete(d.chosen, serviceType)
	} else {
		d.chosen[serviceType] = s
	}
	old := d.view.Load()
	if t := old.types[serviceType]; t != nil {
		changed := *t
		changed.selector = d.selector(serviceType, t.instances)
		next := &view{types: maps.Clone(old.types), names: old.names}
		next.types[serviceType] = &changed
		d.view.Store(next)
	}
}

// Watch calls f with every change from now on, one after another, after lookups have it. To miss nothing, watch first and
// then ask for Instances. f runs on the directory's goroutine: it must be quick, and must not close the directory. After
// cancel at most a call that has begun still runs.
func (d *Directory) Watch(f func(Change)) (cancel func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.next
	d.next++
	d.watchers[n] = f
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, n)
	}
}
