package discovery

import (
	"cmp"
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

// ChangeKind says how an instance changed.
type ChangeKind string

// The kinds of change. An instance that restarts under its id before its old lease expires is Changed, with a new
// Since.
const (
	Joined  ChangeKind = "joined"
	Changed ChangeKind = "changed"
	Left    ChangeKind = "left"
)

// Change is a change that a directory has seen. For an instance that left, it contains the last state.
type Change struct {
	Kind     ChangeKind
	Instance Instance
}

// Directory knows the instances of a cluster's services. It follows a [Source] and keeps its last state while the
// source is away. Lookups take no lock and never wait. Safe for concurrent use.
type Directory struct {
	source Source
	log    *slog.Logger
	cancel context.CancelFunc
	done   sync.WaitGroup

	view    atomic.Pointer[view]
	silence silence

	mu       sync.Mutex // guards the next three; the goroutine holds it while it publishes
	chosen   map[string]Selector
	watchers map[int]func(Change)
	next     int

	// Only the goroutine uses the rest.
	known    map[string]*record // by key
	dirty    map[string]bool    // types to publish
	pending  []Change
	revision int64
	away     bool
	rotated  time.Time
	refused  map[string]int64 // key → revision of a value that was refused, so that it is logged once
}

// Follow reads a source and follows it until Close. ctx bounds only the first read, which fails if the source does not
// answer. A nil logger means slog.Default().
func Follow(ctx context.Context, source Source, logger *slog.Logger) (*Directory, error) {
	d := newDirectory(source, logger)
	if err := d.list(ctx); err != nil {
		return nil, err
	}
	d.publish()
	d.start(ctx)
	return d, nil
}

// List reads a source once. It returns the instances by type and id, without entries that cannot be read.
func List(ctx context.Context, source Source) (all []Instance, err error) {
	entries, _, err := source.List(ctx)
	for _, e := range entries {
		if i, err := parse(e); err == nil {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b Instance) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID)) })
	return all, err
}

func newDirectory(source Source, logger *slog.Logger) *Directory {
	logger = cmp.Or(logger, slog.Default())
	d := &Directory{
		source: source, log: logger, chosen: map[string]Selector{}, watchers: map[int]func(Change){},
		known: map[string]*record{}, dirty: map[string]bool{}, refused: map[string]int64{}, rotated: time.Now(),
	}
	d.view.Store(&view{})
	return d
}

// start starts the goroutine. It uses only the values of ctx.
func (d *Directory) start(ctx context.Context) {
	ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	d.done.Go(func() { d.run(ctx) })
}

// Close ends the watch and waits for its goroutine. Lookups still work with the last state. A watcher must not call
// Close.
func (d *Directory) Close() {
	d.cancel()
	d.done.Wait()
}

// Types lists the types that have an instance, sorted.
func (d *Directory) Types() []string { return slices.Clone(d.view.Load().names) }

// Instances lists the instances of a type, sorted by id, including draining ones. The caller owns the slice, but must
// not change what the instances point to.
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

// Any returns an instance for a request that any instance of a type may answer, at random: one that neither drains nor
// hangs or, failing that, one that drains. Of these it returns one that has stopped answering (see Heard) only if all
// have, and never one of not.
func (d *Directory) Any(serviceType string, not []string) (id string, ok bool) {
	t := d.view.Load().types[serviceType]
	if t == nil || len(t.answering) == 0 {
		return "", false
	}
	first, now, silent := rand.IntN(len(t.answering)), time.Now(), ""
	for i := range t.answering {
		switch id = t.answering[(first+i)%len(t.answering)]; {
		case slices.Contains(not, id):
		case d.silence.silent(serviceType, id, now):
			silent = id
		default:
			return id, true
		}
	}
	return silent, silent != ""
}

// Heard tells the directory how a request to an instance ended: with an answer of any kind, or without one in time. Any and
// Place avoid an instance that left several requests in a row without an answer, until it answers or for ten seconds: its
// process may stand still, or NATS may not reach it, while its entry is still there.
func (d *Directory) Heard(serviceType, id string, answered bool) {
	d.silence.heard(serviceType, id, answered, time.Now())
}

// Bound sums the gateways' reports about an instance: the players in living sessions that it works for. ok is false if
// no gateway exists.
func (d *Directory) Bound(gatewayType, serviceType, id string) (players int, ok bool) {
	all := d.Instances(gatewayType)
	for i := range all {
		players += all[i].Bound[serviceType+"/"+id]
	}
	return players, len(all) > 0
}

// Takes reports whether an instance accepts payloads in a format or, with id "", whether every instance of the type
// does. It returns true for an unknown instance.
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

// Pick places a player: it chooses an instance by the selector of the type, never one that is draining or full. The
// player counts towards the instance's load and capacity until the instance has reported twice, or for four seconds.
// The key names the player. Pick returns false if no such instance exists or the selector refuses.
func (d *Directory) Pick(serviceType, key string) (id string, ok bool) {
	return d.Place(serviceType, Player{Key: key})
}

// Player is a player whom Place places. Home and Except may be empty.
type Player struct {
	Key    string // names the player
	Home   string // the instance that had the player a moment ago
	Except string // an instance known to have died although its lease has not expired

	silent func(id string) bool // instances that the player gets only if no other takes it; nil: none
}

// Place is like Pick for a player who comes back, or whose instance has died. The player goes back home if that is up
// and has room, unless the selector chooses another instance whose load is clearly lower. So players keep their instance
// when they reconnect, and spread when new instances have joined. An instance that has stopped answering (see Heard) gets
// the player only if no other takes it.
func (d *Directory) Place(serviceType string, p Player) (id string, ok bool) {
	t := d.view.Load().types[serviceType]
	if t == nil {
		return "", false
	}
	r := rand.Uint64()
	if d.silence.kept.Load() > 0 {
		now := time.Now()
		p.silent = func(id string) bool { return d.silence.silent(serviceType, id, now) }
		if id, ok := t.pick(p, r); ok {
			return id, true
		}
		p.silent = nil
	}
	return t.pick(p, r)
}

// Leave says that a player has left an instance. Until the instance has reported twice, or for four seconds, its load
// counts without the player.
func (d *Directory) Leave(serviceType, id string) {
	t := d.view.Load().types[serviceType]
	if t == nil {
		return
	}
	if i := t.seatOf(id); i >= 0 {
		t.seats[i].placed.left.count.Add(1)
	}
}

// SetSelector sets the selector of a type on this directory, overriding what its instances name. Nil removes the
// override.
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

// Watch calls f with every later change, one after another, once lookups see it. To miss nothing, call Watch before
// Instances. f runs on the directory's goroutine: it must be quick, and must not close the directory. After cancel, at
// most one call that has already begun continues.
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
