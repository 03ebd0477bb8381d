package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// RoomsType is the type of service under which the nodes that host rooms answer for all of the cluster's rooms: see
// ROOMS.md.
const RoomsType = "rooms"

// Rooms asks a cluster for rooms: shards that end. ROOMS.md describes the values, the errors and what may be repeated.
// Errors are *Error values. Implementations are safe for concurrent use.
type Rooms interface {
	// Create asks for a room and returns it as soon as it runs, or once it has ended. One key makes one room, whoever
	// asks and however often. If no node takes the room in time, the error says why; the room stays wanted.
	Create(ctx context.Context, r RoomRequest) (*Room, error)
	// Close ends a room and returns it once its log is sealed. A room that is over stays as it is.
	Close(ctx context.Context, id string) (*Room, error)
	// Remove removes the log of a room that has ended, whatever its spec keeps of it, and returns the room once the log is
	// gone. What is removed stays removed: the answer to the same request is the same, as long as the room is listed.
	Remove(ctx context.Context, q RoomRemoval) (*Room, error)
	// List returns rooms by id. It may be a moment behind.
	List(ctx context.Context, f RoomFilter) ([]Room, error)
	// Changes returns the rooms that have changed after a revision, which may be 0, in the order of their last changes, and
	// the revision to go on from. It waits until there are any, or ctx ends, which is no error.
	Changes(ctx context.Context, f RoomFilter, after int64) (changed []Room, revision int64, err error)
	// Ticket returns a ticket with which one player may join a room that runs, once.
	Ticket(ctx context.Context, id, player string) (*RoomTicket, error)
}

// RoomSpec is what a room was asked for with.
type RoomSpec struct {
	Game     string            `json:"game"`
	Options  json.RawMessage   `json:"options,omitempty"`  // of the game, a JSON object; absent: its defaults
	Seed     uint64            `json:"seed,omitempty"`     // of its world; 0: any
	Labels   map[string]string `json:"labels,omitempty"`   // that a node must have to host it
	Idle     Duration          `json:"idle,omitempty"`     // the room ends when nobody has been there for this long; 0: never
	Limit    Duration          `json:"limit,omitempty"`    // the room ends after this long; 0: never
	Keep     string            `json:"keep,omitempty"`     // what is kept of it once it has ended: log ("" too), archive or none
	Standbys int               `json:"standbys,omitempty"` // nodes that follow it, ready to take it over, 0 to 2. No node runs any yet
	Key      string            `json:"key,omitempty"`      // one key makes one room; "": each call makes another
	By       string            `json:"by,omitempty"`       // the service that asked, "<type>/<id>"; "": an operator. The node sets it
	At       time.Time         `json:"at,omitzero"`        // when it was asked for. The node sets it
}

// Unmet says what no node of this version does of what a spec asks for, or returns "".
func (s *RoomSpec) Unmet() string {
	if s.Standbys == 0 {
		return ""
	}
	return fmt.Sprintf("standbys: %d wanted, none run: this version runs none", s.Standbys)
}

// RoomRequest asks for a room.
type RoomRequest struct {
	RoomSpec
	Players []string  `json:"players,omitempty"` // get a ticket each
	Wait    *Duration `json:"wait,omitempty"`    // how long to wait until the room runs; nil: as long as the call may take; 0: not at all
}

// Room is a room as the cluster knows it.
type Room struct {
	ID        string                `json:"room"`
	State     string                `json:"state"`               // wanted or running; once it is over sealed, archived or gone
	Halted    bool                  `json:"halted,omitempty"`    // no node may claim it until an operator has looked
	Why       string                `json:"why,omitempty"`       // no node has taken it: only if a list asks for this room alone and it is wanted
	Node      string                `json:"node,omitempty"`      // that runs it
	Addresses map[string]string     `json:"addresses,omitempty"` // of the node, by transport: udp, tcp, http
	Spec      RoomSpec              `json:"spec"`
	Note      string                `json:"note,omitempty"`      // what the nodes of this version do not do of what the spec asks for
	Occupancy *Occupancy            `json:"occupancy,omitempty"` // of a room that runs, as its owner told it; nil: it did not
	End       *RoomEnd              `json:"end,omitempty"`       // of a room that is over
	Tickets   map[string]RoomTicket `json:"tickets,omitempty"`   // by player: only in the answer to a request that names players
	Revision  int64                 `json:"revision"`            // of its last change
}

// Occupancy is who is in a room, from the world's state after a tick.
type Occupancy struct {
	Tick     uint64   `json:"tick"`
	Sessions int      `json:"sessions"`          // players who are away, but may resume, included
	Players  []string `json:"players,omitempty"` // their names, if they were asked for
}

// RoomEnd is how a room has ended, as the seal of its log says.
type RoomEnd struct {
	Tick   uint64          `json:"tick"`             // the last one; 0: no node ever ran the room
	Reason string          `json:"reason"`           // result (by its game), idle, limit or closed
	By     string          `json:"by,omitempty"`     // the service that closed it
	Name   string          `json:"name,omitempty"`   // of the result's type
	Result json.RawMessage `json:"result,omitempty"` // that its game ended it with
	At     time.Time       `json:"at"`
	// Archive is where the archive of its log is: a path, or a URL; "" without one.
	Archive string `json:"archive,omitempty"`
}

// RoomTicket lets one player into a room, once. It is good for Seconds.
type RoomTicket struct {
	Ticket    []byte            `json:"ticket"` // for client.Config.Ticket; base64 in JSON
	Room      string            `json:"room"`
	Player    string            `json:"player"`
	Addresses map[string]string `json:"addresses"` // of the room's node, by transport
	// Others are other nodes' addresses. Each sends a client on to the room's node, also when the room has moved.
	Others  []map[string]string `json:"others,omitempty"`
	Seconds int                 `json:"seconds"`
}

// RoomFilter says which rooms a list has. A zero field lets all pass.
type RoomFilter struct {
	Rooms   []string          `json:"rooms,omitempty"` // their ids
	State   string            `json:"state,omitempty"`
	Game    string            `json:"game,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`  // that the rooms' specs have
	Players bool              `json:"players,omitempty"` // name the players of rooms that run
}

// Matches reports whether the filter lets a room pass.
func (f *RoomFilter) Matches(r *Room) bool {
	if f.State != "" && r.State != f.State || f.Game != "" && r.Spec.Game != f.Game || len(f.Rooms) > 0 && !slices.Contains(f.Rooms, r.ID) {
		return false
	}
	for name, value := range f.Labels {
		if r.Spec.Labels[name] != value {
			return false
		}
	}
	return true
}

// RoomList asks for rooms: the payload of RoomListRequest.
type RoomList struct {
	RoomFilter
	After string `json:"after,omitempty"` // go on after the room with this id, the last of an answer with More
	Watch bool   `json:"watch,omitempty"` // list the rooms that have changed after Since, in the order of their changes; if none has, wait
	Since int64  `json:"since,omitempty"` // a revision; with After, that of the room
	Most  int    `json:"most,omitempty"`  // how many rooms an answer has, at most MaxRoomList; 0: as many
}

// RoomListed is the payload of RoomListResponse.
type RoomListed struct {
	Rooms    []Room `json:"rooms"`
	More     bool   `json:"more,omitempty"` // ask again, after the last room
	Revision int64  `json:"revision"`       // to go on from with Since
}

// RoomRemoval asks for the log of a room to be removed: the payload of RoomRemoveRequest.
type RoomRemoval struct {
	Room       string `json:"room"`
	Unarchived bool   `json:"unarchived,omitempty"` // also if the room asked for an archive that is not there yet
}

// RoomAsked is the payload of RoomCloseRequest and RoomTicketRequest, and Player of the latter alone.
type RoomAsked struct {
	Room   string `json:"room"`
	Player string `json:"player,omitempty"`
}

// MaxRoomList is how many rooms one answer lists. Rooms.List asks for the rest.
const MaxRoomList = 500

// Duration is a time.Duration that reads like "1m30s" in JSON.
type Duration time.Duration

// String returns it as time.Duration prints it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return Errorf(InvalidArgument, "%.40q is not a time such as 1m30s", b)
	}
	*d = Duration(v)
	return nil
}

// RoomsOver returns the Rooms of the cluster that a bus belongs to. from is the service that asks, "<type>/<id>", and ""
// for an operator.
func RoomsOver(bus Bus, from string) Rooms { return rooms{bus, from} }

type rooms struct {
	bus  Bus
	from string
}

// Create implements Rooms.
func (r rooms) Create(ctx context.Context, q RoomRequest) (*Room, error) {
	return ask[Room](ctx, r, "RoomCreateRequest", q)
}

// Close implements Rooms.
func (r rooms) Close(ctx context.Context, id string) (*Room, error) {
	return ask[Room](ctx, r, "RoomCloseRequest", RoomAsked{Room: id})
}

// Remove implements Rooms.
func (r rooms) Remove(ctx context.Context, q RoomRemoval) (*Room, error) {
	return ask[Room](ctx, r, "RoomRemoveRequest", q)
}

// List implements Rooms.
func (r rooms) List(ctx context.Context, f RoomFilter) (all []Room, err error) {
	all = []Room{}
	for q := (RoomList{RoomFilter: f}); ; q.After = all[len(all)-1].ID {
		a, err := ask[RoomListed](ctx, r, "RoomListRequest", q)
		if err != nil {
			return nil, err
		}
		if all = append(all, a.Rooms...); !a.More || len(a.Rooms) == 0 {
			return all, nil
		}
	}
}

// Changes implements Rooms.
func (r rooms) Changes(ctx context.Context, f RoomFilter, after int64) (changed []Room, revision int64, err error) {
	for q := (RoomList{RoomFilter: f, Watch: true, Since: after}); ; {
		a, err := ask[RoomListed](ctx, r, "RoomListRequest", q)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, after, nil
		case err != nil:
			return nil, after, err
		}
		if changed = append(changed, a.Rooms...); !a.More || len(a.Rooms) == 0 {
			return changed, a.Revision, nil
		}
		last := &a.Rooms[len(a.Rooms)-1]
		q.Since, q.After = last.Revision, last.ID
	}
}

// Ticket implements Rooms.
func (r rooms) Ticket(ctx context.Context, id, player string) (*RoomTicket, error) {
	return ask[RoomTicket](ctx, r, "RoomTicketRequest", RoomAsked{Room: id, Player: player})
}

// ask asks any node that hosts rooms.
func ask[A any](ctx context.Context, r rooms, message string, q any) (*A, error) {
	payload, err := json.Marshal(q)
	if err != nil {
		return nil, NotBegun(InvalidArgument, "%s cannot be encoded: %v", message, err)
	}
	timeout := DefaultTimeout
	if until, ok := ctx.Deadline(); ok {
		timeout = time.Until(until)
	}
	answer, err := r.bus.Call(ctx, Address{Type: RoomsType}, Request{Message: message, Format: JSON, Payload: payload, From: r.from, Timeout: timeout})
	if err != nil {
		return nil, unhosted(err)
	}
	a := new(A)
	if err := json.Unmarshal(answer.Payload, a); err != nil {
		return nil, &Error{Code: Internal, Text: "the answer to " + message + " cannot be read: " + err.Error(), Maybe: true}
	}
	return a, nil
}

// unhosted adds the way out to the error of a request that no node got.
func unhosted(err error) error {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Code != Unavailable || !e.NotBegun {
		return err
	}
	text := "no node that hosts rooms answers: start one whose --capacity is not 0"
	if e.Text != "no instance of "+RoomsType+" runs" {
		text += " (" + e.Text + ")"
	}
	return NotBegun(Unavailable, "%s", text)
}
