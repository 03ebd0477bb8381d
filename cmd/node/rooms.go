package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/persistence"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// rooms are the rooms of a node: those that it hosts, and those for which it is about to bid. Package room decides; this
// is the shell around it.
type rooms struct {
	node     *Node
	registry *room.Registry
	keeping  *keeping
	ctx      context.Context // ends with the node, or when close is called
	cancel   context.CancelFunc
	group    sync.WaitGroup // of the rooms that it hosts
	news     news
	freed    chan struct{} // has a token once a room has ended: others may find room
	answers  atomic.Bool   // the node answers for the cluster's rooms

	mu      sync.Mutex
	service *roomService        // nil until it is served
	bids    map[string]*bidding // for rooms that nobody owns
	begun   map[string]struct{} // those of bids that had an owner: the others wait for them
	waiting map[string]string   // rooms that nobody owns and this node does not bid for, and why
	hosted  map[string]*hosted
	opening map[string]time.Time   // of those, the ones that nobody owns yet, and since when
	resting map[string]*time.Timer // rooms that this node could not host and leaves alone for a while
	told    map[string]string      // by room: why this node could not host it
	load    *room.Load
	watched roomWatch
	past    RoomStats // of the rooms that it no longer hosts
}

// bidding is a node's wait before it bids for a room.
type bidding struct {
	since time.Time
	timer *time.Timer
}

const (
	againFirst = 250 * time.Millisecond
	againMost  = 5 * time.Second
	endTimeout = 10 * time.Second

	behindBegun  = 20 * time.Millisecond // then the node looks again whether rooms that have begun still wait
	openingBound = 2 * time.Second       // a room that takes longer to open keeps no other waiting
)

// followRooms begins to host the cluster's rooms, if the node has a capacity for them.
func (n *Node) followRooms(ctx context.Context) error {
	if n.config.Capacity <= 0 {
		return nil
	}
	source, err := etcd.Rooms(n.cluster.Etcd, n.config.Cluster)
	if err != nil {
		return err
	}
	r := &rooms{
		node: n, news: news{wake: make(chan struct{}, 1)}, freed: make(chan struct{}, 1), bids: map[string]*bidding{}, begun: map[string]struct{}{}, waiting: map[string]string{},
		hosted: map[string]*hosted{}, opening: map[string]time.Time{}, resting: map[string]*time.Timer{}, told: map[string]string{}, load: room.NewLoad(n.config.Capacity),
	}
	r.ctx, r.cancel = context.WithCancel(n.ctx)
	r.keeping = newKeeping(r, n.config.Archives)
	if r.registry, err = room.Follow(ctx, source, func(_ *room.Room, id string) { r.news.add(id) }, n.config.Logger); err != nil {
		r.cancel()
		return err
	}
	n.mu.Lock()
	n.rooms = r
	n.mu.Unlock()
	n.onClose(func() error { r.close(); return nil })
	n.alongside(r.hear)
	n.alongside(func(ctx context.Context) { every(ctx, lookEvery, r.look) })
	n.alongside(r.keeping.dropping)
	return nil
}

// news are the rooms that have changed since the node has last heard of any.
type news struct {
	wake chan struct{} // has a token if there are any

	mu  sync.Mutex
	ids map[string]struct{}
}

// add does not block.
func (w *news) add(id string) {
	w.mu.Lock()
	if w.ids == nil {
		w.ids = map[string]struct{}{}
	}
	w.ids[id] = struct{}{}
	w.mu.Unlock()
	wake(w.wake)
}

// take returns all of them.
func (w *news) take() map[string]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := w.ids
	w.ids = nil
	return ids
}

// wake leaves a token in a channel, unless it has one.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// hear considers rooms that have changed, and those that wait whenever one has ended, until ctx ends.
func (r *rooms) hear(ctx context.Context) {
	for {
		select {
		case <-r.news.wake:
			r.mu.Lock()
			s := r.service
			r.mu.Unlock()
			for _, id := range r.inOrder(r.news.take()) {
				if r.consider(id); s != nil {
					s.noticed(id)
				}
			}
		case <-r.freed:
			r.reconsider()
		case <-ctx.Done():
			return
		}
	}
}

// inOrder returns rooms in the order in which the node turns to them: those that have begun come first, since their players wait.
func (r *rooms) inOrder(ids map[string]struct{}) []string {
	var begun, others []string
	for id := range ids {
		if x := r.registry.Room(id); x != nil && x.Begun {
			begun = append(begun, id)
		} else {
			others = append(others, id)
		}
	}
	return append(begun, others...)
}

// close hands every room over, and waits until that is done. The node may go on without them: a start that failed is tried again.
func (r *rooms) close() {
	r.cancel()
	r.registry.Close()
	r.keeping.close()
	r.mu.Lock()
	for id, bid := range r.bids {
		bid.timer.Stop()
		r.withdraw(id)
	}
	for id, rest := range r.resting {
		rest.Stop()
		delete(r.resting, id)
	}
	r.mu.Unlock()
	r.group.Wait()
}

// bidder returns what the node knows of itself. The caller holds the lock.
func (r *rooms) bidder() *room.Bidder {
	c := r.node.config
	maps.DeleteFunc(r.opening, func(_ string, since time.Time) bool { return time.Since(since) > openingBound })
	return &room.Bidder{Node: c.ID, Game: c.Game.Name, Labels: c.Labels, Capacity: c.Capacity, Used: r.load.Used(), Next: r.load.Next(), Opening: len(r.opening)}
}

// consider decides about a room that has changed, or that waits.
func (r *rooms) consider(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.registry.Room(id)
	r.keeping.consider(id, x, r.bidder())
	if r.ctx.Err() != nil || x == nil || x.Spec == nil || x.Phase() != room.Wanted || r.hosted[id] != nil {
		if bid := r.bids[id]; bid != nil {
			bid.timer.Stop()
			r.withdraw(id)
		}
		delete(r.waiting, id)
		if x == nil || x.Phase() != room.Wanted {
			delete(r.told, id)
			delete(r.opening, id)
		}
		return
	}
	if r.bids[id] != nil || r.resting[id] != nil {
		return
	}
	after, why := r.bidder().Bid(x)
	if why != "" {
		r.waiting[id] = why
		return
	}
	delete(r.waiting, id)
	b := &bidding{since: time.Now()}
	b.timer = time.AfterFunc(after, func() { r.bid(id, b) })
	r.bids[id] = b
	if x.Begun {
		r.begun[id] = struct{}{}
	}
}

// withdraw forgets that the node waits to bid for a room. The caller holds the lock.
func (r *rooms) withdraw(id string) {
	delete(r.bids, id)
	delete(r.begun, id)
}

// bid begins to host a room, if it is still to be had and it is this node's turn.
func (r *rooms) bid(id string, b *bidding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bids[id] != b {
		return // withdrawn
	}
	x := r.registry.Room(id)
	if r.ctx.Err() != nil || x == nil || x.Spec == nil || x.Phase() != room.Wanted || r.hosted[id] != nil {
		r.withdraw(id)
		return
	}
	more, why := r.bidder().Turn(x, time.Since(b.since))
	if why != "" { // full by now
		r.withdraw(id)
		r.waiting[id] = why
		return
	}
	if !x.Begun && len(r.begun) > 0 {
		more = max(more, behindBegun)
	}
	if more > 0 {
		b.timer.Reset(more)
		return
	}
	r.withdraw(id)
	h, err := r.node.newHosted(id, r.node.config.Game, ecs.Config{Seed: x.Spec.Seed, Options: x.Spec.Options})
	if err != nil {
		r.cannot(id, err)
		r.rest(id)
		return
	}
	rate := time.Duration(h.game.TickRate)
	h.noWait, h.phase = true, room.TickPhase(id)
	h.limits = shard.Limits{Ticks: ticks(x.Spec.Limit, rate), IdleTicks: ticks(x.Spec.Idle, rate)}
	h.ctx, h.cancel = context.WithCancel(r.ctx)
	r.hosted[id], r.opening[id] = h, time.Now()
	r.load.Begin(id)
	r.group.Go(func() { r.host(h) })
}

// ticks returns how many ticks a time of a room has, rounded up.
func ticks(d room.Duration, rate time.Duration) uint64 {
	return uint64((time.Duration(d)*rate + time.Second - 1) / time.Second)
}

// host hosts a room until it ends, is lost to another node, or the node stops.
func (r *rooms) host(h *hosted) { r.left(h, r.run(h)) }

// left is told how hosting a room has ended. It is not inlined, since host waits as long as the room lives.
//
//go:noinline
func (r *rooms) left(h *hosted, err error) {
	h.cancel()
	h.close()
	did, _ := h.stats()
	failed := err != nil && !errors.Is(err, shard.ErrEnded) && !errors.Is(err, shard.ErrOwned) && !errors.Is(err, shard.ErrHalted)
	r.mu.Lock()
	delete(r.hosted, h.name)
	delete(r.opening, h.name)
	r.past.add(&did.Host)
	r.load.End(h.name)
	if errors.Is(err, shard.ErrEnded) {
		r.past.Ended++
	}
	if failed { // before anybody sees that it is free again
		r.rest(h.name)
	}
	r.mu.Unlock()
	wake(r.freed)
	switch {
	case h.isOver(): // also if the node stops just then
		r.noteEnd(h)
		h.leave()
	case failed:
		if spoiled(err) {
			r.noteSpoiled(h, err)
		}
		r.failed(h.name, err)
	}
	r.consider(h.name)
}

// rest leaves a room alone for a while that this node could not host: whatever else is told of it, such as that it is free again.
// The caller holds the lock.
func (r *rooms) rest(id string) {
	if r.ctx.Err() != nil || r.resting[id] != nil {
		return
	}
	r.resting[id] = time.AfterFunc(r.node.config.patience.again, func() {
		r.mu.Lock()
		delete(r.resting, id)
		r.mu.Unlock()
		r.consider(id)
	})
}

// reconsider considers the rooms that wait: some may find room now.
func (r *rooms) reconsider() {
	r.mu.Lock()
	waiting := map[string]struct{}{}
	for id := range r.waiting {
		waiting[id] = struct{}{}
	}
	r.mu.Unlock()
	for _, id := range r.inOrder(waiting) {
		r.consider(id)
	}
}

// failed tells an operator, once for each cause, why this node cannot host a room.
func (r *rooms) failed(id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cannot(id, err)
}

// cannot is failed for a caller that holds the lock.
func (r *rooms) cannot(id string, err error) {
	if r.told[id] != err.Error() {
		r.node.config.Logger.Error("this node cannot host the room; it tries again, unless another node takes it", "room", id, "reason", err)
	}
	r.told[id] = err.Error()
	r.past.Failed++
}

// run opens the room, again and again while a server does not answer, and runs its hosts.
func (r *rooms) run(h *hosted) error {
	for pause := againFirst; ; pause = min(2*pause, againMost) {
		first, err := h.open(h.ctx)
		if err == nil {
			return h.keep(h.ctx, first)
		}
		if h.ctx.Err() != nil {
			return nil
		}
		if !passes(err) {
			return err
		}
		if errors.Is(err, persistence.ErrLost) { // an operator may restore its log
			r.failed(h.name, err)
		}
		select {
		case <-h.ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// noteEnd notes what the room's log says about its end. If etcd does not answer, whoever wants to claim the room next
// finds the seal and notes it.
func (r *rooms) noteEnd(h *hosted) {
	h.mu.Lock()
	end, lineage := h.end, h.lineage
	h.mu.Unlock()
	if end == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), endTimeout)
	defer cancel()
	if err := etcd.EndRoom(ctx, r.node.cluster.Etcd, r.node.config.Cluster, h.name, lineage, *end, r.node.member.State().ID); err != nil {
		r.node.config.Logger.Warn("the end of the room is in its log, but not in etcd", "room", h.name, "error", err)
	}
}

// locate says where a room or a standing shard lives that is not on this node, for the front door. Of a standing shard it
// knows nothing while nobody owns it.
func (n *Node) locate(name string) netcode.Place {
	n.mu.Lock()
	r := n.rooms
	n.mu.Unlock()
	if r == nil {
		return netcode.Place{}
	}
	x := r.registry.Room(name)
	switch {
	case x == nil:
		return netcode.Place{}
	case x.End != nil:
		return netcode.Place{Exists: true, Ended: fmt.Sprintf("the room has ended after tick %d", x.End.Tick)}
	case x.Owner == "" || x.Owner == n.config.ID:
		return netcode.Place{Exists: true}
	}
	return netcode.Place{Exists: true, UDP: x.Addresses["udp"], TCP: x.Addresses["tcp"], HTTP: x.Addresses["http"]}
}

// endOf reads from a sealed log how its room has ended. It returns nil for the empty log of a room that was closed before it
// ran, and an end without the result, beside the error, if this build cannot read the result.
func endOf(ctx context.Context, log persistence.LogReader, game ecs.Game, config ecs.Config) (*room.End, error) {
	last, err := log.Last(ctx)
	if err != nil || last == 0 {
		return nil, err
	}
	m, err := log.Get(ctx, last)
	if err != nil {
		return nil, err
	}
	r, err := persistence.DecodeRecord(m.Body)
	if err != nil {
		return nil, err
	}
	if r.Seal == nil {
		return nil, fmt.Errorf("record %d is the last one, but not a seal", last)
	}
	e := &room.End{Phase: room.Sealed, Tick: r.Seal.Tick, Reason: string(r.Seal.Reason), By: r.Seal.By, Node: r.Seal.Node, At: time.Now().UTC()}
	if r.Seal.Result == nil {
		return e, nil
	}
	e.Name = r.Seal.Result.Name
	schema, err := ecs.SchemaOf(game, config)
	if err != nil {
		return e, err
	}
	for i := range schema.Outgoing {
		if schema.Outgoing[i].Name == e.Name {
			e.Result, err = schema.Outgoing[i].UnpackJSON(r.Seal.Result.Payload)
		}
	}
	return e, err
}
