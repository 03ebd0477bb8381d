package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ferris1/wind/netcode/bus"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/shard/discovery"
	"github.com/ferris1/wind/shard/etcd"
)

// roomService answers for the rooms of the cluster, whichever node hosts them: the protocol of netcode/rpc's ROOMS.md. Each
// node with a capacity for rooms runs one, and any of them may be asked.
type roomService struct {
	node  *Node
	rooms *rooms
	ctx   context.Context // ends when the node stops
	stop  context.CancelFunc
	slots chan struct{} // one for each request under way
	group sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	awaited map[string]map[chan struct{}]struct{} // by room: who waits for a change
	changed chan struct{}                         // closed at the next change of any room
}

// maxRoomRequests bounds the requests that a node answers at once. Most wait for a room to run.
const maxRoomRequests = 4096

// serveRooms begins to answer for the cluster's rooms.
func (n *Node) serveRooms(ctx context.Context) error {
	n.mu.Lock()
	r := n.rooms
	n.mu.Unlock()
	if r == nil {
		return nil
	}
	key, err := n.ticketKey(ctx)
	if err != nil {
		return err
	}
	n.door.SetTicketKey(key)
	id := n.instanceID(rpc.RoomsType)
	if n.config.Instance != "" { // that is another service's
		id = n.instanceID(rpc.RoomsType + "-" + n.config.ID)
	}
	if err := n.vacant(ctx, rpc.RoomsType, id); err != nil {
		return err
	}
	s := &roomService{node: n, rooms: r, slots: make(chan struct{}, maxRoomRequests), awaited: map[string]map[chan struct{}]struct{}{}, changed: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(n.ctx)
	r.mu.Lock()
	r.service = s
	r.mu.Unlock()
	served, err := n.cluster.Bus.Serve(bus.ServeConfig{Type: rpc.RoomsType, ID: id, Handler: s, Version: ThisBuild(n.config.Game).ID})
	if err != nil {
		s.stop()
		return err
	}
	entry, err := n.member.Register(ctx, discovery.Instance{
		Type: rpc.RoomsType, ID: id, Node: n.config.ID, State: discovery.Up, Language: "go", Formats: []string{discovery.FormatJSON}, Addresses: n.addresses(),
	})
	if err != nil {
		s.stop()
		return errors.Join(err, served.Close(ctx))
	}
	r.answers.Store(true)
	n.onClose(func() error { return s.close(served, entry) })
	n.yields(entry)
	return nil
}

// close ends the service: others get the requests that have not begun, and those that wait for a room are told to ask again.
func (s *roomService) close(served *bus.Served, entry *etcd.Registration) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	entry.Update(func(e *discovery.Instance) { e.State = discovery.Draining })
	err := served.Drain(ctx)
	s.rooms.answers.Store(false)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.group.Wait()
	return errors.Join(err, entry.Close(), served.Close(ctx))
}

// Handle implements bus.Handler.
func (s *roomService) Handle(r *rpc.Request, done func(rpc.Response)) {
	refuse := func(code rpc.Code, text string) { done(rpc.Response{Err: rpc.NotBegun(code, "%s", text)}) }
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ctx.Err() != nil {
		refuse(rpc.Unavailable, "the node is stopping")
		return
	}
	select {
	case s.slots <- struct{}{}:
	default:
		refuse(rpc.ResourceExhausted, fmt.Sprintf("the node answers %d requests about rooms already", maxRoomRequests))
		return
	}
	s.group.Go(func() {
		defer func() { <-s.slots }()
		ctx, cancel := context.WithTimeout(s.ctx, cmp.Or(r.Timeout, rpc.DefaultTimeout))
		defer cancel()
		done(s.answer(ctx, r))
	})
}

// answer answers a request.
func (s *roomService) answer(ctx context.Context, r *rpc.Request) rpc.Response {
	switch {
	case r.FromClient():
		return rpc.Response{Err: rpc.NotBegun(rpc.PermissionDenied, "%.80s is not for clients", r.Message)}
	case r.Format != rpc.JSON:
		return rpc.Response{Err: rpc.NotBegun(rpc.InvalidArgument, "%.80s is to be asked in JSON", r.Message)}
	}
	by := r.From
	if strings.HasPrefix(by, "operator/") {
		by = ""
	}
	switch r.Message {
	case "RoomCreateRequest":
		return respond(r, func(q *rpc.RoomRequest) (*rpc.Room, error) { return s.create(ctx, q, by) })
	case "RoomCloseRequest":
		return respond(r, func(q *rpc.RoomAsked) (*rpc.Room, error) { return s.closeRoom(ctx, q.Room, by) })
	case "RoomRemoveRequest":
		return respond(r, func(q *rpc.RoomRemoval) (*rpc.Room, error) { return s.removeRoom(ctx, q) })
	case "RoomListRequest":
		return respond(r, func(q *rpc.RoomList) (*rpc.RoomListed, error) { return s.list(ctx, q) })
	case "RoomTicketRequest":
		return respond(r, func(q *rpc.RoomAsked) (*rpc.RoomTicket, error) { return s.ticket(ctx, q) })
	case "RoomBidRequest":
		return respond(r, func(q *rpc.RoomAsked) (*roomBid, error) { return s.bid(q.Room), nil })
	case "RoomOccupancyRequest":
		return respond(r, func(q *occupancyRequest) (*occupancyAnswer, error) { return s.occupancies(ctx, q), nil })
	}
	return rpc.Response{Err: rpc.NotBegun(rpc.Unimplemented, "service %s has no handler for %.80s", rpc.RoomsType, r.Message)}
}

// respond decodes a request and encodes its answer.
func respond[Q, A any](r *rpc.Request, f func(*Q) (*A, error)) rpc.Response {
	q, d := new(Q), json.NewDecoder(bytes.NewReader(r.Payload))
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil {
		text := strings.TrimPrefix(err.Error(), "json: ")
		if e := (*rpc.Error)(nil); errors.As(err, &e) {
			text = e.Text
		}
		return rpc.Response{Err: rpc.NotBegun(rpc.InvalidArgument, "%s: %s", r.Message, text)}
	}
	a, err := f(q)
	if err != nil {
		return rpc.Response{Err: plain(err)}
	}
	b, err := json.Marshal(a)
	if err != nil {
		return rpc.Response{Err: &rpc.Error{Code: rpc.Internal, Text: err.Error(), Maybe: true}}
	}
	return rpc.Response{Message: rpc.AnswerName(r.Message), Format: rpc.JSON, Payload: b}
}

// plain returns an error with its text: it is for operators and for the game's services, and players do not see it.
func plain(err error) *rpc.Error {
	e := (*rpc.Error)(nil)
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return rpc.Errorf(rpc.DeadlineExceeded, "%v", err)
	}
	return rpc.Errorf(rpc.Unavailable, "%v", err)
}

// unsure returns an error that leaves open whether the request took effect.
func unsure(err error) *rpc.Error {
	e := *plain(err)
	e.Maybe, e.NotBegun = true, false
	return &e
}

// noticed tells whoever waits for a room that it has changed.
func (s *roomService) noticed(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	for c := range s.awaited[id] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// await returns a channel that gets a token when a room changes. The caller calls end.
func (s *roomService) await(id string) (changes <-chan struct{}, end func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awaited[id] == nil {
		s.awaited[id] = map[chan struct{}]struct{}{}
	}
	s.awaited[id][c] = struct{}{}
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.awaited[id], c); len(s.awaited[id]) == 0 {
			delete(s.awaited, id)
		}
	}
}

// any returns a channel that is closed at the next change of any room.
func (s *roomService) any() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// instances returns the ids of the services that run on the nodes that host rooms, by node.
func (s *roomService) instances() map[string]string {
	all := map[string]string{}
	for _, i := range s.node.cluster.Directory.Instances(rpc.RoomsType) {
		all[i.Node] = i.ID
	}
	return all
}

// askNode asks another node's service, or this one.
func askNode[A any](ctx context.Context, s *roomService, instance, message string, q any) (*A, error) {
	payload, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	timeout := rpc.DefaultTimeout
	if until, ok := ctx.Deadline(); ok {
		timeout = time.Until(until)
	}
	answer, err := s.node.cluster.Bus.Call(ctx, rpc.Address{Type: rpc.RoomsType, ID: instance}, rpc.Request{Message: message, Format: rpc.JSON, Payload: payload, Timeout: timeout})
	if err != nil {
		return nil, err
	}
	a := new(A)
	return a, json.Unmarshal(answer.Payload, a)
}
