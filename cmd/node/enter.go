package node

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/intake"
	"github.com/ferris1/wind/netcode/rpc"
)

// ticketLife is how long a player has to show a ticket.
const ticketLife = 30 * time.Second

// enterRequest is the body of a shard's operation enter: it asks who is in the shard, and for tickets for players. The owner
// seals them, by its own clock: a ticket from before its ownership would be refused.
type enterRequest struct {
	Players []string `json:"players,omitempty"`
}

// entered answers an enterRequest.
type entered struct {
	rpc.Occupancy
	Tickets map[string]rpc.RoomTicket `json:"tickets,omitempty"`
}

// enter is the owner's side of an enterRequest.
func (h *hosted) enter(ctx context.Context, body []byte) ([]byte, error) {
	var q enterRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, rpc.Errorf(rpc.InvalidArgument, "the request to enter is not JSON: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, ownerWithin)
	defer cancel()
	answers := make(chan entered, 1)
	failures := make(chan error, 1)
	h.occupancy(time.Now().Add(ownerWithin), false, func(o rpc.Occupancy, err error) {
		if err != nil {
			failures <- err
			return
		}
		answers <- entered{Occupancy: o}
	})
	var a entered
	select {
	case a = <-answers:
	case err := <-failures:
		return nil, err
	case <-ctx.Done():
		return nil, rpc.Errorf(rpc.Unavailable, "the shard has not ticked for %s", ownerWithin)
	}
	if len(q.Players) == 0 {
		return json.Marshal(a)
	}
	key, err := h.node.ticketKey(ctx)
	if err != nil {
		return nil, err
	}
	a.Tickets = map[string]rpc.RoomTicket{}
	at, others := h.node.addresses(), h.node.otherDoors()
	for _, p := range q.Players {
		now := time.Now()
		sealed, err := netcode.SealTicket(key, netcode.Ticket{Identity: p, Shard: h.name, Issued: now, Expires: now.Add(ticketLife), UDP: at["udp"], TCP: at["tcp"]})
		if err != nil {
			return nil, rpc.Errorf(rpc.InvalidArgument, "no ticket for player %.80q: %v", p, err)
		}
		a.Tickets[p] = rpc.RoomTicket{Ticket: sealed, Room: h.name, Player: p, Addresses: at, Others: others, Seconds: int(ticketLife / time.Second)}
	}
	return json.Marshal(a)
}

// mostOthers is how many other nodes a ticket names.
const mostOthers = 3

// otherDoors returns the addresses of some other nodes that host rooms: they know where every room is.
func (n *Node) otherDoors() (all []map[string]string) {
	for _, i := range n.cluster.Directory.Instances(rpc.RoomsType) {
		if i.Node != n.config.ID && i.Answers() {
			all = append(all, i.Addresses)
		}
	}
	rand.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all[:min(len(all), mostOthers)]
}

// occupancy reads from the world, at the next tick, who is in the shard. It calls done once, from any goroutine.
func (h *hosted) occupancy(until time.Time, names bool, done func(rpc.Occupancy, error)) {
	h.mu.Lock()
	sources := h.sources
	h.mu.Unlock()
	if sources == nil {
		done(rpc.Occupancy{}, rpc.NotBegun(rpc.Unavailable, "the shard does not run here yet"))
		return
	}
	var o rpc.Occupancy
	sources.Port.Enqueue(func(w *ecs.World, _ func(ecs.SourceKind) (ecs.Source, uint64)) ([]ecs.Command, error) {
		o.Tick, o.Sessions = w.Tick(), w.Sessions()
		if names {
			for s := range w.EachSession {
				o.Players = append(o.Players, s.Identity)
			}
		}
		return nil, nil // it asks, and changes nothing
	}, until, func(_ intake.Outcome, err error) {
		if err != nil {
			done(rpc.Occupancy{}, err)
			return
		}
		done(o, nil)
	})
}

// occupancyRequest asks a node who is in the rooms that it hosts.
type occupancyRequest struct {
	Rooms   []string `json:"rooms"`
	Players bool     `json:"players,omitempty"` // by name
}

// occupancyAnswer lacks the rooms that did not answer.
type occupancyAnswer struct {
	Rooms map[string]rpc.Occupancy `json:"rooms"`
}

// occupancies asks the rooms of this node who is in them.
func (s *roomService) occupancies(ctx context.Context, q *occupancyRequest) *occupancyAnswer {
	until := time.Now().Add(ownerWithin)
	if end, ok := ctx.Deadline(); ok {
		until = minTime(until, end)
	}
	a := &occupancyAnswer{Rooms: map[string]rpc.Occupancy{}}
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, id := range q.Rooms {
		s.rooms.mu.Lock()
		h := s.rooms.hosted[id]
		s.rooms.mu.Unlock()
		if h == nil {
			continue
		}
		group.Add(1)
		h.occupancy(until, q.Players, func(o rpc.Occupancy, err error) {
			defer group.Done()
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			a.Rooms[id] = o
		})
	}
	group.Wait() // each answers by until
	return a
}
