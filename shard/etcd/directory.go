package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
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

// Directory knows the instances of a cluster's services. It follows etcd by a watch, and keeps what it knows while etcd is
// away. Lookups take no lock and never wait. Safe for concurrent use.
type Directory struct {
	client *clientv3.Client
	prefix string // ends with "/"
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

// record is an instance as the goroutine holds it.
type record struct {
	instance Instance
	revision int64
	lease    int64
	hash     uint64
	placed   *placed
}

// WatchServices reads the directory of a cluster and follows it until Close. The client stays the caller's and must be
// closed after the directory; ctx bounds the first read alone, which fails when etcd does not answer. A nil logger is silent.
func WatchServices(ctx context.Context, client *clientv3.Client, cluster string, logger *slog.Logger) (*Directory, error) {
	if err := validCluster(cluster); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	d := newDirectory(client, cluster, logger)
	if err := d.list(ctx); err != nil {
		return nil, err
	}
	d.publish()
	d.start(ctx)
	return d, nil
}

func newDirectory(client *clientv3.Client, cluster string, logger *slog.Logger) *Directory {
	d := &Directory{
		client: client, prefix: servicesPrefix(cluster), log: logger, chosen: map[string]Selector{}, watchers: map[int]func(Change){},
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

// publish lets lookups see what has changed, and tells the watchers.
func (d *Directory) publish() {
	if len(d.dirty) == 0 && len(d.pending) == 0 {
		return
	}
	d.mu.Lock()
	next := &view{types: maps.Clone(d.view.Load().types)}
	if next.types == nil {
		next.types = map[string]*typeView{}
	}
	for t := range d.dirty {
		if v := d.viewOf(t); v != nil {
			next.types[t] = v
		} else {
			delete(next.types, t)
		}
	}
	next.names = slices.Sorted(maps.Keys(next.types))
	d.view.Store(next)
	var told []func(Change)
	for _, n := range slices.Sorted(maps.Keys(d.watchers)) {
		told = append(told, d.watchers[n])
	}
	d.mu.Unlock()
	for _, c := range d.pending {
		for _, f := range told {
			f(c)
		}
	}
	clear(d.dirty)
	d.pending = nil
}

// viewOf makes the view of a type; nil: it has no instance. The lock is held.
func (d *Directory) viewOf(serviceType string) *typeView {
	prefix := d.prefix + serviceType + "/"
	t := &typeView{}
	var keys []string
	for key := range d.known {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		r := d.known[key]
		t.instances = append(t.instances, r.instance)
		t.picky = t.picky || len(r.instance.Formats) > 0
		if r.instance.State == Up && r.instance.room() > 0 {
			t.seats = append(t.seats, newSeat(r))
		}
	}
	if len(t.instances) == 0 {
		return nil
	}
	t.selector = d.selector(serviceType, t.instances)
	return t
}

// selector is the one that was set, or else the one that the instance that registered last names. The lock is held.
func (d *Directory) selector(serviceType string, all []Instance) Selector {
	if s := d.chosen[serviceType]; s != nil {
		return s
	}
	newest := -1
	for i := range all {
		if all[i].Selector != "" && (newest < 0 || all[i].Since.After(all[newest].Since)) {
			newest = i
		}
	}
	if newest < 0 {
		return Least
	}
	s, err := ParseSelector(all[newest].Selector)
	if err != nil {
		return Least // set refused it: this cannot be
	}
	return s
}

// set takes in a key's value.
func (d *Directory) set(kv *mvccpb.KeyValue) {
	key := string(kv.Key)
	old := d.known[key]
	if old != nil && old.revision == kv.ModRevision && old.lease == kv.Lease {
		return // the lease: an etcd that lost its data counts from 1 again
	}
	i, err := d.parse(kv)
	if err != nil {
		if d.refused[key] != kv.ModRevision {
			d.refused[key] = kv.ModRevision
			d.log.Warn("an entry of the directory cannot be read, what was known of it stays", "key", key, "error", err)
		}
		if old != nil {
			old.revision, old.lease = kv.ModRevision, kv.Lease
		}
		return
	}
	delete(d.refused, key)
	kind := Changed
	if old == nil {
		kind, old = Joined, &record{placed: &placed{}, hash: hashText(i.ID)}
		d.known[key] = old
	} else {
		old.placed.rotate() // a report
	}
	old.instance, old.revision, old.lease = i, kv.ModRevision, kv.Lease
	d.dirty[i.Type] = true
	d.pending = append(d.pending, Change{kind, i})
}

// remove takes out a key.
func (d *Directory) remove(key string) {
	delete(d.refused, key)
	if old := d.known[key]; old != nil {
		delete(d.known, key)
		d.dirty[old.instance.Type] = true
		d.pending = append(d.pending, Change{Left, old.instance})
	}
}

// parse reads an instance that anybody may have written. What it says of its type and id counts less than its key.
func (d *Directory) parse(kv *mvccpb.KeyValue) (Instance, error) {
	var i Instance
	if err := json.Unmarshal(kv.Value, &i); err != nil {
		return i, err
	}
	var ok bool
	if i.Type, i.ID, ok = strings.Cut(strings.TrimPrefix(string(kv.Key), d.prefix), "/"); !ok {
		return i, errors.New("the key is not <type>/<id>")
	}
	since := i.Since
	i.complete("")
	i.Since = since
	return i, i.validate()
}

// list reads all that there is, and takes out what is gone.
func (d *Directory) list(ctx context.Context) (err error) {
	ctx, end := asks(ctx, "read the directory "+d.prefix)
	defer end(&err)
	got, err := d.client.Get(ctx, d.prefix, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("etcd: cannot read the directory %s: %w", d.prefix, err)
	}
	there := make(map[string]bool, len(got.Kvs))
	for _, kv := range got.Kvs {
		there[string(kv.Key)] = true
		d.set(kv)
	}
	for key := range d.known {
		if !there[key] {
			d.remove(key)
		}
	}
	d.revision = got.Header.Revision
	return nil
}
