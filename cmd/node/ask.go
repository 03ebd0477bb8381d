package node

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard"
	"github.com/ferris1/wind/shard/etcd"
	"github.com/ferris1/wind/shard/room"
)

// Rooms asks the cluster's nodes for rooms. by is the service that asks, "" for an operator.
func (c *Cluster) Rooms(by string) rpc.Rooms { return rpc.RoomsOver(c.Bus, by) }

// read returns what etcd knows of a room now, whatever this node has seen.
func (s *roomService) read(ctx context.Context, id string) (*room.Room, error) {
	x, err := etcd.ReadRoom(ctx, s.node.cluster.Etcd, s.node.cluster.Name, id)
	if err != nil {
		return nil, err
	}
	if x == nil {
		return nil, rpc.Errorf(rpc.NotFound, "cluster %s has no room %.80s", s.node.cluster.Name, id)
	}
	return x, nil
}

// ticket gets a player's ticket from the owner of the room.
func (s *roomService) ticket(ctx context.Context, q *rpc.RoomAsked) (*rpc.RoomTicket, error) {
	if err := validPlayers([]string{q.Player}); err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	changes, stop := s.await(q.Room)
	defer stop()
	for {
		x, err := s.read(ctx, q.Room)
		switch {
		case err != nil:
			return nil, err
		case x.End != nil:
			return nil, rpc.Errorf(rpc.FailedPrecondition, "room %s is over: it ended after tick %d", x.ID, x.End.Tick)
		case x.Owner == "":
			err = rpc.Errorf(rpc.Unavailable, "no node runs room %s now: ask again", x.ID)
		default:
			var a *entered
			if a, err = s.askOwner(ctx, q.Room, []string{q.Player}); err == nil {
				ticket := a.Tickets[q.Player]
				return &ticket, nil
			}
			if e := rpc.ErrorOf(err); e.Code != rpc.Unavailable && e.Code != rpc.DeadlineExceeded {
				return nil, err
			}
			err = rpc.Errorf(rpc.Unavailable, "node %s has room %s, but does not run it: %v", x.Owner, x.ID, err)
		}
		if !pause(ctx, changes) {
			return nil, err
		}
	}
}

// pause waits until a room changes, or for readAgain. It returns false if ctx ends within the next moments.
func pause(ctx context.Context, changes <-chan struct{}) bool {
	again := readAgain
	if end, ok := ctx.Deadline(); ok {
		if again = min(again, time.Until(end)/2); again < ownerAgain {
			return false
		}
	}
	late := time.NewTimer(again)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changes:
	case <-late.C:
	}
	return true
}

// closeRoom ends a room and waits until its end is noted.
func (s *roomService) closeRoom(ctx context.Context, id, by string) (*rpc.Room, error) {
	body, err := json.Marshal(closeRequest{By: by})
	if err != nil {
		return nil, err
	}
	told := time.Time{} // since when the owner that was told to end it has it
	maybe := func(err error) error {
		if !told.IsZero() {
			return unsure(err)
		}
		return err
	}
	changes, stop := s.await(id)
	defer stop()
	for {
		x, err := s.read(ctx, id)
		switch {
		case err != nil:
			return nil, maybe(err)
		case x.End != nil:
			return roomAnswer(x), nil
		case x.Spec == nil:
			return nil, rpc.Errorf(rpc.FailedPrecondition, "%s is a standing shard, which does not end", id)
		case x.Owner == "":
			end := room.End{Phase: room.Sealed, Reason: "closed", By: by, At: time.Now().UTC()}
			canceled, err := etcd.CancelRoom(ctx, s.node.cluster.Etcd, s.node.cluster.Name, id, end)
			if err != nil {
				return nil, unsure(err)
			}
			if canceled {
				continue
			}
			if x.Halted {
				return nil, maybe(rpc.Errorf(rpc.FailedPrecondition, "room %s is halted, and only its owner could end it: %s, and close it then", id, shard.WayOut(shard.Halted, id)))
			}
			err = rpc.Errorf(rpc.Unavailable, "room %s cannot end while no node runs it: ask again", id)
			if !pause(ctx, changes) {
				return nil, maybe(err)
			}
			continue
		}
		if !told.Equal(x.Since) || told.IsZero() {
			err = s.end(ctx, id, body)
			if e := rpc.ErrorOf(err); err != nil && e.Code != rpc.Unavailable && e.Code != rpc.DeadlineExceeded {
				return nil, unsure(err)
			}
			if err == nil {
				told = x.Since
			}
		}
		if !pause(ctx, changes) {
			return nil, unsure(rpc.Errorf(rpc.DeadlineExceeded, "room %s has not ended in time; node %s runs it: ask again", id, x.Owner))
		}
	}
}

// removeRoom notes that somebody wants the log of a room removed, and waits until a keeper has done it.
func (s *roomService) removeRoom(ctx context.Context, q *rpc.RoomRemoval) (*rpc.Room, error) {
	changes, stop := s.await(q.Room)
	defer stop()
	for noted := false; ; {
		x, err := s.read(ctx, q.Room)
		if err != nil && noted {
			return nil, unsure(err)
		}
		if err != nil {
			return nil, err
		}
		if err := x.Removable(q.Unarchived); err != nil {
			return nil, rpc.Errorf(rpc.FailedPrecondition, "%v", err)
		}
		if x.End.Phase == room.Gone {
			return roomAnswer(x), nil
		}
		if archived := x.Keep() == room.KeepArchive && !q.Unarchived; !archived && !x.End.Remove {
			if err := s.noteRemoval(ctx, x); err != nil {
				return nil, unsure(err)
			}
		}
		noted = true
		if !pause(ctx, changes) {
			return nil, unsure(rpc.Errorf(rpc.DeadlineExceeded, "the log of room %s is not removed yet: it goes as soon as a node turns to it", q.Room))
		}
	}
}

// noteRemoval notes the wish in a room's entry, unless that has changed since: the caller reads it again.
func (s *roomService) noteRemoval(ctx context.Context, x *room.Room) error {
	c := s.node.cluster
	end, revision, err := etcd.LookRoom(ctx, c.Etcd, c.Name, x.ID)
	if err != nil || end == nil || end.Phase != x.End.Phase || !end.At.Equal(x.End.At) {
		return err
	}
	end.Remove = true
	_, _, _, err = etcd.MoveRoom(ctx, c.Etcd, c.Name, x.ID, *end, revision)
	return err
}

// end tells a room's owner to end it.
func (s *roomService) end(ctx context.Context, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, ownerWithin)
	defer cancel()
	_, err := s.node.cluster.Bus.Shard(ctx, id, "close", "", body)
	return err
}

// list lists rooms from what this node has seen, and asks the owners of those that run who is in them.
func (s *roomService) list(ctx context.Context, q *rpc.RoomList) (*rpc.RoomListed, error) {
	if err := room.ValidPhase(q.State); q.State != "" && err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%v", err)
	}
	most := q.Most
	if most <= 0 || most > rpc.MaxRoomList {
		most = rpc.MaxRoomList
	}
	a := s.matching(q, most)
	if q.Watch && q.After == "" { // with After there were more a moment ago
		until, _ := ctx.Deadline()
		ctx, cancel := context.WithDeadline(ctx, until.Add(-min(ownerWithin/2, time.Until(until)/4))) // the rest is for the owners
		defer cancel()
		for len(a.Rooms) == 0 && ctx.Err() == nil {
			next := s.any()
			if a = s.matching(q, most); len(a.Rooms) > 0 {
				break
			}
			select {
			case <-next:
			case <-ctx.Done():
			}
		}
	}
	if !q.Watch && len(q.Rooms) == 1 && len(a.Rooms) == 1 && a.Rooms[0].State == string(room.Wanted) && !a.Rooms[0].Halted {
		_, a.Rooms[0].Why = s.whyWanted(ctx, q.Rooms[0])
	}
	if s.occupied(ctx, a.Rooms, q.Players); a.Rooms == nil {
		a.Rooms = []rpc.Room{}
	}
	fit(a, mostListed)
	return a, nil
}

// mostListed is how many bytes of rooms an answer has, so that NATS takes it.
const mostListed = bus.MaxPayload * 3 / 4

// fit leaves the last rooms of an answer that is too long to the next one.
func fit(a *rpc.RoomListed, most int) {
	bytes := 0
	for i := range a.Rooms {
		b, _ := json.Marshal(&a.Rooms[i]) // a room always marshals: its JSON came from etcd
		if bytes += len(b); bytes > most && i > 0 {
			a.Rooms, a.More = a.Rooms[:i], true
			return
		}
	}
}

// matching returns the first rooms that a list asks for.
func (s *roomService) matching(q *rpc.RoomList, most int) *rpc.RoomListed {
	from := int64(-1)
	if q.Watch {
		from = q.Since - 1
	}
	all, revision := s.rooms.registry.Changes(from, q.Rooms...)
	slices.SortFunc(all, func(a, b *room.Room) int {
		if q.Watch && a.Revision != b.Revision {
			return cmp.Compare(a.Revision, b.Revision)
		}
		return cmp.Compare(a.ID, b.ID)
	})
	a := &rpc.RoomListed{Revision: max(revision, q.Since)}
	if q.Watch && q.After != "" && revision < q.Since {
		a.Revision = q.Since - 1 // another node has listed a part of that revision, which this one has not seen: whoever asks begins it again
	}
	for _, x := range slices.Compact(all) {
		switch {
		case !q.Watch && x.ID <= q.After, q.Watch && x.Revision == q.Since && (q.After == "" || x.ID <= q.After):
			continue
		}
		r := roomAnswer(x)
		if !q.Matches(r) {
			continue
		}
		if a.More = len(a.Rooms) == most; a.More {
			break
		}
		a.Rooms = append(a.Rooms, *r)
	}
	return a
}

// occupied asks the nodes of rooms that run who is in them. A room whose node does not answer has no occupancy.
func (s *roomService) occupied(ctx context.Context, all []rpc.Room, players bool) {
	at, instances := map[string]*occupancyRequest{}, s.instances()
	index := map[string]*rpc.Room{}
	for i := range all {
		x := &all[i]
		if x.State != string(room.Running) || instances[x.Node] == "" {
			continue
		}
		if at[x.Node] == nil {
			at[x.Node] = &occupancyRequest{Players: players}
		}
		at[x.Node].Rooms, index[x.ID] = append(at[x.Node].Rooms, x.ID), x
	}
	ctx, cancel := context.WithTimeout(ctx, 2*ownerWithin)
	defer cancel()
	var group sync.WaitGroup
	var mu sync.Mutex
	for node, q := range at {
		group.Go(func() {
			a, err := askNode[occupancyAnswer](ctx, s, instances[node], "RoomOccupancyRequest", q)
			if err != nil {
				s.node.config.Logger.Debug("a node does not say who is in its rooms", "node", node, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for id, o := range a.Rooms {
				if x := index[id]; x != nil {
					x.Occupancy = &o
				}
			}
		})
	}
	group.Wait()
}
