package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// Timing of a request for a room.
const (
	causesWithin = 500 * time.Millisecond // for the nodes' reasons, kept back from the time to wait
	ownerWithin  = 3 * time.Second / 2    // for one answer of a room's owner
	ownerAgain   = 20 * time.Millisecond  // before its owner is asked again for the first time, unless the room changes
	readAgain    = 250 * time.Millisecond // before etcd is, likewise
)

// create writes a room's spec and waits until the room runs.
func (s *roomService) create(ctx context.Context, q *rpc.RoomRequest, by string) (*rpc.Room, error) {
	spec := room.Spec{
		Game: q.Game, Options: q.Options, Seed: q.Seed, Labels: q.Labels, Idle: room.Duration(q.Idle), Limit: room.Duration(q.Limit),
		Keep: room.Keep(q.Keep), Standbys: q.Standbys, Key: q.Key, By: by, At: time.Now().UTC(),
	}
	if spec.Seed == 0 {
		spec.Seed = rand.Uint64N(1<<63-1) + 1
	}
	err := cmp.Or(spec.Validate(), validPlayers(q.Players))
	if game := s.node.config.Game; err == nil && game.Name == spec.Game { // only its own nodes know the options of another game
		_, err = game.With(spec.Options)
	}
	if err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	cluster := s.node.cluster
	id := room.ID(cluster.Name, spec.Key)
	stands, created, err := etcd.CreateRoom(ctx, cluster.Etcd, cluster.Name, id, spec)
	if err != nil {
		return nil, unsure(err)
	}
	if q.Seed == 0 {
		spec.Seed = stands.Seed
	}
	if differ := stands.Differences(&spec); !created && len(differ) > 0 {
		return nil, rpc.Errorf(rpc.AlreadyExists, "the key %q has made another room, %s, which differs in %s: choose another key", spec.Key, id, strings.Join(differ, ", "))
	}
	if q.Wait != nil && *q.Wait <= 0 {
		return s.unawaited(ctx, id, &stands, q.Players)
	}
	wait := time.Duration(0)
	if q.Wait != nil {
		wait = time.Duration(*q.Wait)
	}
	return s.awaitRunning(ctx, id, &stands, wait, q.Players)
}

// validPlayers returns an error unless each player may have a ticket.
func validPlayers(players []string) error {
	for i, p := range players {
		if err := rpc.ValidPlayer(p); err != nil {
			return errors.New(err.(*rpc.Error).Text)
		}
		if len(p) > netcode.MaxIdentity {
			return fmt.Errorf("the player %.80q has %d bytes: a shard takes %d", p, len(p), netcode.MaxIdentity)
		}
		if slices.Contains(players[:i], p) {
			return fmt.Errorf("the player %q is named twice", p)
		}
	}
	return nil
}

// unawaited returns a room as it is at the moment.
func (s *roomService) unawaited(ctx context.Context, id string, spec *room.Spec, players []string) (*rpc.Room, error) {
	x, err := etcd.ReadRoom(ctx, s.node.cluster.Etcd, s.node.cluster.Name, id)
	switch {
	case err != nil:
		return nil, unsure(err)
	case x == nil:
		x = &room.Room{ID: id, Spec: spec}
	}
	answer := roomAnswer(x)
	if x.Phase() != room.Running {
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, ownerWithin)
	defer cancel()
	if a, err := s.askOwner(ctx, id, players); err == nil {
		answer.Occupancy, answer.Tickets = &a.Occupancy, a.Tickets
	}
	return answer, nil
}

// awaitRunning waits until a room's owner says that it ticks, or the room is over, for some time (0: until ctx ends).
func (s *roomService) awaitRunning(ctx context.Context, id string, spec *room.Spec, wait time.Duration, players []string) (*rpc.Room, error) {
	end, _ := ctx.Deadline()
	until := end.Add(-min(causesWithin, time.Until(end)/4))
	if wait > 0 {
		until = minTime(until, time.Now().Add(wait))
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	changes, stop := s.await(id)
	defer stop()
	var last error // why the owner does not answer
	again := time.NewTimer(0)
	defer again.Stop()
	for delay := ownerAgain; ; {
		x := s.seen(id, spec)
		switch {
		case x == nil: // not yet
		case x.End != nil:
			return roomAnswer(x), nil
		case x.Owner != "":
			a, err := s.askOwner(waiting, id, players)
			if err == nil {
				answer := roomAnswer(x)
				answer.Occupancy, answer.Tickets = &a.Occupancy, a.Tickets
				return answer, nil
			}
			if e := rpc.ErrorOf(err); e.Code != rpc.Unavailable && e.Code != rpc.DeadlineExceeded && e.Code != rpc.Canceled {
				return nil, unsure(err)
			}
			last = fmt.Errorf("node %s has claimed it, but does not run it yet: %w", x.Owner, err)
			again.Reset(delay)
			delay = min(2*delay, readAgain) // of hundreds of rooms that begin at once, most take a while
		}
		select {
		case <-changes:
			delay = ownerAgain
		case <-again.C:
		case <-waiting.Done():
			return nil, s.notRunning(ctx, id, last)
		}
	}
}

// seen returns what this node has seen of the room that a spec stands for, or nil. The node may still know an earlier room that had the
// same key, and has been forgotten.
func (s *roomService) seen(id string, spec *room.Spec) *room.Room {
	x := s.rooms.registry.Room(id)
	if x == nil || x.Spec == nil || !x.Spec.At.Equal(spec.At) {
		return nil
	}
	return x
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// askOwner asks the node that runs a shard who is in it, and for its players' tickets.
func (s *roomService) askOwner(ctx context.Context, id string, players []string) (*entered, error) {
	ctx, cancel := context.WithTimeout(ctx, ownerWithin)
	defer cancel()
	body, err := json.Marshal(enterRequest{Players: players})
	if err != nil {
		return nil, err
	}
	b, err := s.node.cluster.Bus.Shard(ctx, id, "enter", "", body)
	if err != nil {
		return nil, err
	}
	a := new(entered)
	return a, json.Unmarshal(b, a)
}

// roomBid is why a node does not host a room.
type roomBid struct {
	Node string   `json:"node"`
	Code rpc.Code `json:"code,omitempty"` // 0: it is about to
	Why  string   `json:"why"`
}

// bid says why this node does not host a room.
func (s *roomService) bid(id string) *roomBid {
	r := s.rooms
	r.mu.Lock()
	defer r.mu.Unlock()
	b, x := r.bidder(), r.registry.Room(id)
	told := &roomBid{Node: b.Node}
	switch {
	case x == nil:
		told.Why = fmt.Sprintf("node %s has not heard of it yet", b.Node)
		return told
	case r.told[id] != "":
		told.Code, told.Why = rpc.FailedPrecondition, fmt.Sprintf("node %s cannot host it: %s", b.Node, r.told[id])
		return told
	case r.hosted[id] != nil:
		told.Why = fmt.Sprintf("node %s is opening it", b.Node)
		return told
	}
	if _, told.Why = b.Bid(x); told.Why == "" {
		told.Why = fmt.Sprintf("node %s is about to take it", b.Node)
		return told
	}
	told.Code = rpc.FailedPrecondition
	if b.Used = 0; b.Capacity > 0 {
		if _, why := b.Bid(x); why == "" { // with nothing to do, it would
			told.Code = rpc.ResourceExhausted
		}
	}
	return told
}

// mostCauses is how many nodes' reasons an error names.
const mostCauses = 5

// notRunning returns the error for a room that does not run in time.
func (s *roomService) notRunning(ctx context.Context, id string, last error) error {
	if s.ctx.Err() != nil {
		return unsure(rpc.Errorf(rpc.Unavailable, "room %s is wanted, but the node that was asked is stopping: ask again", id))
	}
	if last != nil {
		return unsure(rpc.Errorf(rpc.Unavailable, "room %s is wanted, but does not run yet: %v", id, last))
	}
	code, why := s.whyWanted(ctx, id)
	return unsure(rpc.Errorf(code, "room %s is wanted, but no node has taken it: %s", id, why))
}

// whyWanted asks all nodes that host rooms why none runs a room.
func (s *roomService) whyWanted(ctx context.Context, id string) (rpc.Code, string) {
	var mu sync.Mutex
	var bids []*roomBid
	var group sync.WaitGroup
	ctx, cancel := context.WithTimeout(ctx, causesWithin*4/5)
	defer cancel()
	for node, instance := range s.instances() {
		group.Go(func() {
			b, err := askNode[roomBid](ctx, s, instance, "RoomBidRequest", rpc.RoomAsked{Room: id})
			if err != nil {
				b = &roomBid{Node: node, Code: rpc.Unavailable, Why: fmt.Sprintf("node %s does not answer", node)}
			}
			mu.Lock()
			defer mu.Unlock()
			bids = append(bids, b)
		})
	}
	group.Wait()
	return causes(bids)
}

// causes sums up why no node hosts a room.
func causes(bids []*roomBid) (rpc.Code, string) {
	if len(bids) == 0 {
		return rpc.Unavailable, "none hosts rooms"
	}
	slices.SortFunc(bids, func(a, b *roomBid) int { return strings.Compare(a.Why, b.Why) })
	code := rpc.FailedPrecondition
	var why []string
	for _, b := range bids {
		switch {
		case b.Code == rpc.OK || b.Code == rpc.Unavailable:
			code = rpc.Unavailable
		case b.Code == rpc.ResourceExhausted && code != rpc.Unavailable:
			code = rpc.ResourceExhausted
		}
		why = append(why, b.Why)
	}
	if more := len(why) - mostCauses; more > 1 {
		why = append(why[:mostCauses], fmt.Sprintf("and %d nodes more", more))
	}
	return code, strings.Join(why, "; ")
}

// roomAnswer returns a room as services see it.
func roomAnswer(x *room.Room) *rpc.Room {
	a := &rpc.Room{ID: x.ID, State: string(x.Phase()), Halted: x.Halted, Node: x.Owner, Addresses: x.Addresses, Revision: x.Revision}
	if s := x.Spec; s != nil {
		a.Spec = rpc.RoomSpec{
			Game: s.Game, Options: s.Options, Seed: s.Seed, Labels: s.Labels, Idle: rpc.Duration(s.Idle), Limit: rpc.Duration(s.Limit),
			Keep: string(s.Keep), Standbys: s.Standbys, Key: s.Key, By: s.By, At: s.At,
		}
		if x.End == nil {
			a.Note = a.Spec.Unmet()
		}
	}
	if e := x.End; e != nil {
		a.End = &rpc.RoomEnd{Tick: e.Tick, Reason: e.Reason, By: e.By, Name: e.Name, Result: e.Result, At: e.At}
		if e.Archive != nil {
			a.End.Archive = e.Archive.Place
		}
	}
	return a
}
