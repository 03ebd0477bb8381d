package rpc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// MemoryRooms stands in for the nodes that host rooms, in tests of a game's services: serve its Handle on a MemoryBus as
// RoomsType. It runs nothing: a room that is asked for counts as running until Finish or a request to close it. Its methods
// may be called concurrently.
type MemoryRooms struct {
	mu       sync.Mutex
	rooms    []*Room
	refuse   *Error
	tickets  int
	revision int64
}

// NewMemoryRooms makes one without rooms.
func NewMemoryRooms() *MemoryRooms { return &MemoryRooms{} }

// Refuse makes requests for new rooms fail, as if no node had room. Nil ends that.
func (m *MemoryRooms) Refuse(e *Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = e
}

// Enter and Leave change who is in a room.
func (m *MemoryRooms) Enter(id, player string) {
	m.change(id, func(r *Room) { r.Occupancy.Players = append(r.Occupancy.Players, player) })
}

// Leave reverses Enter.
func (m *MemoryRooms) Leave(id, player string) {
	m.change(id, func(r *Room) {
		r.Occupancy.Players = slices.DeleteFunc(r.Occupancy.Players, func(p string) bool { return p == player })
	})
}

// Finish ends a room as its game would, with a result that encodes to JSON.
func (m *MemoryRooms) Finish(id, name string, result any) {
	b, err := json.Marshal(result)
	if err != nil {
		panic(err) // a mistake of the test
	}
	m.change(id, func(r *Room) { m.end(r, RoomEnd{Reason: "result", Name: name, Result: b}) })
}

// Rooms returns all rooms, in the order of their creation.
func (m *MemoryRooms) Rooms() (all []Room) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rooms {
		all = append(all, *copied(r, true))
	}
	return all
}

// copied returns a room as it is now. Its players are named if they were asked for.
func copied(r *Room, players bool) *Room {
	own := *r
	if o := own.Occupancy; o != nil {
		own.Occupancy = &Occupancy{Tick: o.Tick, Sessions: o.Sessions}
		if players {
			own.Occupancy.Players = slices.Clone(o.Players)
		}
	}
	return &own
}

func (m *MemoryRooms) change(id string, f func(*Room)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.find(id)
	if r == nil || r.End != nil {
		panic("rpc: no room " + id + " runs") // a mistake of the test
	}
	f(r)
	if r.Occupancy != nil {
		r.Occupancy.Sessions = len(r.Occupancy.Players)
	}
}

func (m *MemoryRooms) end(r *Room, e RoomEnd) {
	e.Tick, e.At, r.Note = 1, time.Now().UTC(), ""
	r.State, r.End, r.Occupancy = "sealed", &e, nil
	m.touch(r)
}

func (m *MemoryRooms) touch(r *Room) {
	m.revision++
	r.Revision = m.revision
}

func (m *MemoryRooms) find(id string) *Room {
	if i := slices.IndexFunc(m.rooms, func(r *Room) bool { return r.ID == id }); i >= 0 {
		return m.rooms[i]
	}
	return nil
}

// Handle answers a request.
func (m *MemoryRooms) Handle(r *Request, done func(Response)) {
	answer, err := m.answer(r)
	if err != nil {
		done(Response{Err: ErrorOf(err)})
		return
	}
	b, err := json.Marshal(answer)
	if err != nil {
		panic(err) // the values are this package's
	}
	done(Response{Message: AnswerName(r.Message), Format: JSON, Payload: b})
}

func (m *MemoryRooms) answer(r *Request) (any, error) {
	var create RoomRequest
	var list RoomList
	var asked RoomAsked
	var removal RoomRemoval
	into := map[string]any{"RoomCreateRequest": &create, "RoomListRequest": &list, "RoomCloseRequest": &asked, "RoomTicketRequest": &asked, "RoomRemoveRequest": &removal}[r.Message]
	if into == nil {
		return nil, NotBegun(Unimplemented, "MemoryRooms does not answer %s", r.Message)
	}
	if err := json.Unmarshal(r.Payload, into); err != nil {
		return nil, NotBegun(InvalidArgument, "%v", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Message == "RoomCreateRequest" {
		return m.create(create, r.From)
	}
	if r.Message == "RoomListRequest" {
		return m.list(&list), nil
	}
	found := m.find(cmp.Or(asked.Room, removal.Room))
	switch {
	case found == nil:
		return nil, Errorf(NotFound, "there is no room %s", cmp.Or(asked.Room, removal.Room))
	case r.Message == "RoomRemoveRequest":
		return m.remove(found, removal.Unarchived)
	case r.Message == "RoomTicketRequest" && found.End != nil:
		return nil, Errorf(FailedPrecondition, "room %s is over", asked.Room)
	case r.Message == "RoomTicketRequest":
		return m.ticket(found, asked.Player), nil
	case found.End == nil:
		m.end(found, RoomEnd{Reason: "closed", By: r.From})
	}
	return copied(found, false), nil
}

func (m *MemoryRooms) remove(r *Room, unarchived bool) (*Room, error) {
	switch {
	case r.End == nil:
		return nil, Errorf(FailedPrecondition, "room %s runs: close it first", r.ID)
	case r.Spec.Keep == "archive" && r.State == "sealed" && !unarchived:
		return nil, Errorf(FailedPrecondition, "room %s asked for an archive, and none is proven yet", r.ID)
	case r.State != "gone":
		r.State = "gone"
		m.touch(r)
	}
	return copied(r, false), nil
}

func (m *MemoryRooms) create(q RoomRequest, from string) (*Room, error) {
	i := slices.IndexFunc(m.rooms, func(r *Room) bool { return q.Key != "" && r.Spec.Key == q.Key })
	switch {
	case i < 0 && m.refuse != nil:
		return nil, m.refuse
	case i < 0:
		i = len(m.rooms)
		r := &Room{ID: fmt.Sprintf("r-%d", i+1), State: "running", Node: "node", Spec: q.RoomSpec, Occupancy: &Occupancy{Tick: 1}}
		r.Spec.By, r.Spec.At, r.Note = from, time.Now().UTC(), r.Spec.Unmet()
		m.touch(r)
		m.rooms = append(m.rooms, r)
	case !same(m.rooms[i].Spec, q.RoomSpec):
		return nil, Errorf(AlreadyExists, "the key %q has made another room, %s", q.Key, m.rooms[i].ID)
	}
	made := copied(m.rooms[i], false)
	if made.End == nil && len(q.Players) > 0 {
		made.Tickets = map[string]RoomTicket{}
		for _, p := range q.Players {
			made.Tickets[p] = *m.ticket(made, p)
		}
	}
	return made, nil
}

// same reports whether a request asks for the room that its key has made.
func same(made, asked RoomSpec) bool {
	asked.By, asked.At = made.By, made.At
	if asked.Seed == 0 {
		asked.Seed = made.Seed
	}
	a, _ := json.Marshal(made) // a spec that came as JSON always marshals
	b, _ := json.Marshal(asked)
	return bytes.Equal(a, b)
}

func (m *MemoryRooms) ticket(r *Room, player string) *RoomTicket {
	m.tickets++
	return &RoomTicket{
		Ticket: fmt.Appendf(nil, "ticket %d for %s into %s", m.tickets, player, r.ID), Room: r.ID, Player: player,
		Addresses: map[string]string{"udp": "127.0.0.1:1", "tcp": "127.0.0.1:1"}, Seconds: 30,
	}
}

// list answers at once, even if nothing has changed.
func (m *MemoryRooms) list(q *RoomList) *RoomListed {
	a := &RoomListed{Rooms: []Room{}, Revision: m.revision}
	for _, r := range m.rooms {
		if q.Matches(r) && (!q.Watch || r.Revision > q.Since) {
			a.Rooms = append(a.Rooms, *copied(r, q.Players))
		}
	}
	return a
}
