package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/persistence/jetstream"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// keeping archives rooms that have ended, or removes their logs, as their specs say. Package room decides; this is the shell
// around its keepers.
type keeping struct {
	rooms    *rooms
	archives persistence.Archives // nil: this node archives nothing
	turns    chan struct{}        // as many keepers work at once

	mu   sync.Mutex
	due  map[string]*time.Timer // rooms that a keeper, or forget, turns to
	busy map[string]bool        // rooms that have a keeper
	told map[string]string      // by room: why it could not be kept
	done uint64                 // rooms that this node has kept as they asked

	toldPlace bool // an operator was told that no node archives
}

const (
	keepers    = 2                // that work at once: each reads a log and writes a file
	keepAgain  = 15 * time.Second // after a failure
	keepBound  = 10 * time.Minute // of one step
	lookPause  = 200 * time.Millisecond
	dropEvery  = time.Hour
	dropWithin = 20 * time.Second // after the node's start, or once NATS is back: all nodes do it then
	sealsFor   = 24 * time.Hour   // a late record of a room finds its seal for so long
	attemptLen = 4                // random bytes in the name of an archive
)

func newKeeping(r *rooms, archives persistence.Archives) *keeping {
	return &keeping{rooms: r, archives: archives, turns: make(chan struct{}, keepers), due: map[string]*time.Timer{}, busy: map[string]bool{}, told: map[string]string{}}
}

// dropping calls drop soon, every hour, and after each time that NATS was away: a server that is killed may bring back what was
// removed in its last minutes.
func (k *keeping) dropping(ctx context.Context) {
	next := time.NewTimer(mathrand.N(dropWithin))
	defer next.Stop()
	back := make(chan struct{}, 1)
	defer k.rooms.node.cluster.Bus.Reconnected(func() {
		select {
		case back <- struct{}{}:
		default:
		}
	})()
	for {
		select {
		case <-next.C:
			k.drop()
			next.Reset(dropEvery)
		case <-back:
			next.Reset(mathrand.N(dropWithin))
		case <-ctx.Done():
			return
		}
	}
}

// drop drops the seals of rooms whose logs were removed long ago, of all nodes' rooms: each seal is a message that would stay
// for good.
func (k *keeping) drop() {
	ctx, cancel := context.WithTimeout(k.rooms.ctx, keepBound)
	defer cancel()
	c := k.rooms.node.cluster
	if _, err := jetstream.Forget(ctx, c.NATS, c.Name, time.Now().Add(-max(sealsFor, k.rooms.node.config.ForgetAfter))); err != nil && ctx.Err() == nil {
		k.rooms.node.config.Logger.Warn("the seals of old rooms cannot be dropped; this node tries again", "pause", dropEvery, "error", err)
	}
}

// close stops what has not begun. Keepers that work end with the node's context.
func (k *keeping) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, t := range k.due {
		t.Stop()
		delete(k.due, id)
	}
}

// counts returns how many rooms this node has kept as they asked, and how many it could not, so far.
func (k *keeping) counts() (kept uint64, unkept int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.done, len(k.told)
}

// consider decides about a room that has changed; x is nil if it is gone and forgotten.
func (k *keeping) consider(id string, x *room.Room, b *room.Bidder) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.due[id]; t != nil {
		t.Stop()
		delete(k.due, id)
	}
	if x == nil || x.Spec == nil || x.End == nil {
		delete(k.told, id)
		return
	}
	if k.rooms.ctx.Err() != nil || k.busy[id] {
		return
	}
	do := k.keep
	after, why := b.Keeps(x, k.archives != nil)
	if at, ok := x.Expires(k.rooms.node.config.ForgetAfter); ok {
		left := time.Until(at)
		if why != "" && left > 0 {
			delete(k.told, id) // another node has kept it
		}
		if why != "" || left <= 0 && k.told[id] != "" { // what it failed to sweep up stays
			do, after, why = k.forget, left, ""
		}
	}
	if why != "" {
		if k.unplaced(x) {
			k.due[id] = time.AfterFunc(k.rooms.node.config.patience.place, func() { k.tellPlace(id) })
		}
		return
	}
	if k.told[id] != "" { // it failed a moment ago
		after = max(after, keepAgain)
	}
	k.due[id] = time.AfterFunc(after, func() { k.turn(id, do) })
}

// unplaced reports whether a room wants an archive, for which this node has no place, and no node keeps it. The caller holds the lock.
func (k *keeping) unplaced(x *room.Room) bool {
	return !k.toldPlace && k.archives == nil && x != nil && x.Spec != nil && x.Keep() == room.KeepArchive && x.End != nil && x.End.Phase == room.Sealed && x.Keeper == ""
}

// tellPlace tells an operator, once, that no node archives a room.
func (k *keeping) tellPlace(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if delete(k.due, id); k.unplaced(k.rooms.registry.Room(id)) {
		k.toldPlace = true
		k.rooms.node.config.Logger.Warn("rooms that have ended want an archive, and no node has made one: their logs stay until a node is started with --archive DIR", "room", id)
	}
}

// turn does something for a room when it is its turn.
func (k *keeping) turn(id string, do func(context.Context, string) error) {
	k.mu.Lock()
	delete(k.due, id)
	if k.rooms.ctx.Err() != nil || k.busy[id] {
		k.mu.Unlock()
		return
	}
	k.busy[id] = true
	k.rooms.group.Add(1) // close waits
	k.mu.Unlock()
	defer k.rooms.group.Done()
	var err error
	select {
	case k.turns <- struct{}{}:
		err = do(k.rooms.ctx, id)
		<-k.turns
	case <-k.rooms.ctx.Done():
	}
	k.mu.Lock()
	delete(k.busy, id)
	known := err == nil || k.told[id] == err.Error()
	if delete(k.told, id); err != nil {
		k.told[id] = err.Error()
	}
	k.mu.Unlock()
	if k.rooms.ctx.Err() != nil {
		return
	}
	if !known && !errors.Is(err, errLater) {
		k.rooms.node.config.Logger.Error("this node cannot finish what is to be done with a room that has ended; it tries again, and nothing is lost", "room", id, "reason", err)
	}
	k.rooms.consider(id)
}

// wanted reports whether this node should still keep a room, now that it is its turn.
func (k *keeping) wanted(id string) bool {
	k.rooms.mu.Lock()
	defer k.rooms.mu.Unlock()
	x := k.rooms.registry.Room(id)
	if x == nil {
		return false
	}
	_, why := k.rooms.bidder().Keeps(x, k.archives != nil)
	return why == ""
}

// keep takes a room as far as it goes.
func (k *keeping) keep(ctx context.Context, id string) error {
	if !k.wanted(id) {
		return nil
	}
	keeper := room.NewKeeper(k.rooms.node.config.Cluster, id, attempt())
	for ev := (room.Event{Kind: room.EventBegan}); ; {
		a := keeper.Step(ev)
		if a.Kind == room.ActionEnd {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
			defer cancel()
			return errors.Join(a.Err, k.rooms.node.member.LeaveRoom(ctx, id))
		}
		if ctx.Err() != nil {
			return ctx.Err() // the claim goes with the node's lease, and another keeper goes on
		}
		ev = k.perform(ctx, id, a)
	}
}

// attempt returns a part of a name that no other keeper has.
func attempt() string {
	b := make([]byte, attemptLen)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// perform performs a keeper's action and returns what it led to.
func (k *keeping) perform(ctx context.Context, id string, a room.Action) (ev room.Event) {
	ctx, cancel := context.WithTimeout(ctx, keepBound)
	defer cancel()
	c := k.rooms.node.cluster
	ev = room.Event{Kind: a.Kind.Answer()}
	switch a.Kind {
	case room.ActionClaim:
		var kept etcd.Kept
		if kept, ev.OK, ev.Err = k.rooms.node.member.KeepRoom(ctx, id); ev.OK {
			ev.Entry, ev.Revision, ev.Lineage, ev.Keep = &kept.End, kept.Revision, kept.Lineage, kept.Spec.Keep
		}
	case room.ActionWrite:
		ev.Archive, ev.Err = k.write(ctx, id, a)
	case room.ActionProve:
		ev.Archive, ev.Err = k.prove(ctx, a.Name)
	case room.ActionNote:
		goes := a.Entry.Phase == room.Gone && !a.Entry.Swept
		if goes {
			a.Entry.Gone = time.Now().UTC()
		}
		if ev.Entry, ev.Revision, ev.OK, ev.Err = etcd.MoveRoom(ctx, c.Etcd, c.Name, id, *a.Entry, a.Revision); ev.OK && goes {
			k.mu.Lock()
			k.done++
			k.mu.Unlock()
		}
	case room.ActionLook:
		select {
		case <-time.After(lookPause):
		case <-ctx.Done():
		}
		ev.Entry, ev.Revision, ev.Err = etcd.LookRoom(ctx, c.Etcd, c.Name, id)
	case room.ActionRemove:
		ev.Err = k.remove(ctx, id, a.Lineage)
	case room.ActionDiscard:
		ev.Err = k.archives.Remove(ctx, a.Name)
	case room.ActionSweep:
		ev.OK, ev.Err = k.archives != nil, k.sweep(ctx, a.Prefix, a.Name)
	}
	return ev
}

// write archives a log. If its deltas or snapshots are damaged, the archive has none: the log alone tells everything.
func (k *keeping) write(ctx context.Context, id string, a room.Action) (*room.Archive, error) {
	if k.archives == nil {
		return nil, fmt.Errorf("node %s has no place for archives (--archive)", k.rooms.node.config.ID)
	}
	c := k.rooms.node.cluster
	store, err := jetstream.Open(ctx, c.NATS, c.Name, id, a.Lineage, jetstream.Options{Shared: true})
	if errors.Is(err, persistence.ErrNotFound) {
		err = room.ErrRemoved
	}
	if err != nil {
		return nil, err
	}
	defer store.Close()
	if removing, err := store.Log().Removing(ctx); err != nil || removing {
		return nil, cmp.Or(err, room.ErrRemoved)
	}
	src := store.Source()
	sum, err := persistence.Archive(ctx, k.archives, a.Name, src)
	if errors.Is(err, persistence.ErrCorrupt) || errors.Is(err, persistence.ErrGap) || errors.Is(err, persistence.ErrVersion) {
		damage := err
		if src.Deltas = nil; sum.First == 1 {
			src.Snapshots = nil
		}
		if sum, err = persistence.Archive(ctx, k.archives, a.Name, src); err == nil {
			k.rooms.node.config.Logger.Warn("the room's log is archived without its deltas and snapshots, which are damaged", "room", id, "damage", damage)
		}
	}
	if err != nil {
		return nil, err
	}
	return k.archive(a.Name, &sum, 0), nil
}

// prove reads an archive back.
func (k *keeping) prove(ctx context.Context, name string) (*room.Archive, error) {
	if k.archives == nil {
		return nil, fmt.Errorf("node %s has no place for archives (--archive)", k.rooms.node.config.ID)
	}
	sum, size, err := persistence.ProveArchive(ctx, k.archives, name)
	if err != nil {
		return nil, err
	}
	return k.archive(name, &sum, size), nil
}

func (k *keeping) archive(name string, sum *persistence.Exported, size int64) *room.Archive {
	return &room.Archive{
		Place: k.archives.Place(name), Name: name, Node: k.rooms.node.config.ID, Lineage: sum.Info.Lineage, Tick: sum.LastTick,
		Last: uint64(sum.Last), Hash: sum.LastHash.String(), Bytes: size, At: time.Now().UTC(),
	}
}

// remove removes a log but for its seal. A log that does not exist is removed.
func (k *keeping) remove(ctx context.Context, id, lineage string) error {
	if lineage == "" { // it never had one
		return nil
	}
	c := k.rooms.node.cluster
	err := jetstream.Remove(ctx, c.NATS, jetstream.Ref{Cluster: c.Name, Shard: id, Lineage: lineage})
	if errors.Is(err, persistence.ErrNotFound) {
		return nil
	}
	return err
}

// sweep removes the archives with a prefix, but for one.
func (k *keeping) sweep(ctx context.Context, prefix, but string) error {
	if k.archives == nil {
		return nil
	}
	names, err := k.archives.List(ctx, prefix)
	for _, name := range names {
		if name != but && err == nil {
			err = k.archives.Remove(ctx, name)
		}
	}
	return err
}

// errLater means that a keeper looks at a room again after a pause; it is no failure.
var errLater = errors.New("later")

// forget removes the entries of a room that has been gone for long enough. Its seal stays in the log.
func (k *keeping) forget(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	c := k.rooms.node.cluster
	end, revision, err := etcd.LookRoom(ctx, c.Etcd, c.Name, id)
	if err != nil {
		return err
	}
	if end == nil {
		return errLater // this node will hear of it
	}
	if at, ok := (&room.Room{End: end}).Expires(k.rooms.node.config.ForgetAfter); !ok || time.Now().Before(at) {
		return nil
	}
	forgot, err := etcd.ForgetRoom(ctx, c.Etcd, c.Name, id, revision)
	if err != nil {
		return fmt.Errorf("its entries cannot be removed: %w", err)
	}
	if !forgot { // it has an owner's key, or another node was faster
		return errLater
	}
	return nil
}
