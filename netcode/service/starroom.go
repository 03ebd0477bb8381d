package service

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/ferris1/wind/netcode/rpc"
)

// roomModule is room as scripts see it. Its values are dicts: see ROOMS.md of netcode/rpc.
//
//	made = room.create(game, options = {}, key = "", …, players = [])
//	over = room.close(id)
//	gone = room.remove(id)
//	rooms = room.list(state = "running", label = {"region": "eu"}, game = "arena")
//	ticket = room.ticket(id, player)
//
// A failure ends the handler unless there is a default.
var roomModule = &starlarkstruct.Module{Name: "room", Members: starlark.StringDict{
	"create": builtin("room.create", roomCreate), "close": builtin("room.close", roomClose),
	"remove": builtin("room.remove", roomRemove), "list": builtin("room.list", roomList), "ticket": builtin("room.ticket", roomTicket),
}}

func roomCreate(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var q rpc.RoomRequest
	var options *starlark.Dict
	var labels labels
	var idle, limit, wait span
	var players texts
	var otherwise starlark.Value
	if err := starlark.UnpackArgs("room.create", args, kwargs, "game", &q.Game, "options??", &options, "key??", &q.Key, "idle??", &idle, "limit??", &limit,
		"labels??", &labels, "players??", &players, "seed??", &q.Seed, "keep??", &q.Keep, "standbys??", &q.Standbys, "wait??", &wait, "default?", &otherwise); err != nil {
		return nil, err
	}
	if options != nil {
		b, err := encodeJSON(options)
		if err != nil {
			return nil, fmt.Errorf("room.create: options: %w", err)
		}
		q.Options = b
	}
	q.Labels, q.Players, q.Wait = labels, players, wait.given
	q.Idle, q.Limit = idle.orNever(), limit.orNever()
	made, err := c.Rooms().Create(c, q)
	return starRoom(c, "room.create", made, err, otherwise)
}

func roomClose(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var id string
	var otherwise starlark.Value
	if err := starlark.UnpackArgs("room.close", args, kwargs, "id", &id, "default?", &otherwise); err != nil {
		return nil, err
	}
	closed, err := c.Rooms().Close(c, id)
	return starRoom(c, "room.close", closed, err, otherwise)
}

func roomRemove(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var q rpc.RoomRemoval
	var otherwise starlark.Value
	if err := starlark.UnpackArgs("room.remove", args, kwargs, "id", &q.Room, "unarchived??", &q.Unarchived, "default?", &otherwise); err != nil {
		return nil, err
	}
	removed, err := c.Rooms().Remove(c, q)
	return starRoom(c, "room.remove", removed, err, otherwise)
}

func roomList(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var f rpc.RoomFilter
	var label labels
	var ids texts
	var otherwise starlark.Value
	if err := starlark.UnpackArgs("room.list", args, kwargs, "state??", &f.State, "label??", &label, "game??", &f.Game, "ids??", &ids,
		"players??", &f.Players, "default?", &otherwise); err != nil {
		return nil, err
	}
	f.Labels, f.Rooms = label, ids
	if ids != nil && len(ids) == 0 {
		return starlark.NewList(nil), nil
	}
	all, err := c.Rooms().List(c, f)
	return starRoom(c, "room.list", all, err, otherwise)
}

func roomTicket(c *Ctx, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var id, player string
	var otherwise starlark.Value
	if err := starlark.UnpackArgs("room.ticket", args, kwargs, "id", &id, "player", &player, "default?", &otherwise); err != nil {
		return nil, err
	}
	ticket, err := c.Rooms().Ticket(c, id, player)
	return starRoom(c, "room.ticket", ticket, err, otherwise)
}

// starRoom converts an answer to dicts and lists, or its error to the default.
func starRoom(c *Ctx, name string, answer any, err error, otherwise starlark.Value) (starlark.Value, error) {
	switch {
	case err != nil && otherwise != nil:
		c.s.log.Warn("service: a call failed; its handler continues with the default", "call", name, "error", err)
		return otherwise, nil
	case err != nil:
		return nil, err
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	v, err := decodeJSON(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, withTickets(v)
}

// withTickets makes the tickets in an answer bytes, which fit a message's field of that type.
func withTickets(v starlark.Value) error {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return nil
	}
	if all, ok, _ := d.Get(starlark.String("tickets")); ok {
		for _, kv := range all.(*starlark.Dict).Items() {
			if err := withTickets(kv[1]); err != nil {
				return err
			}
		}
	}
	text, ok, _ := d.Get(starlark.String("ticket"))
	if !ok {
		return nil
	}
	var b []byte
	if err := json.Unmarshal([]byte(text.String()), &b); err != nil {
		return fmt.Errorf("the ticket cannot be read: %w", err)
	}
	return d.SetKey(starlark.String("ticket"), starlark.Bytes(b))
}

// labels unpacks a dict of strings, or one "name=value".
type labels map[string]string

// Unpack implements starlark.Unpacker.
func (l *labels) Unpack(v starlark.Value) error {
	*l = labels{}
	switch x := v.(type) {
	case starlark.String:
		name, value, ok := strings.Cut(string(x), "=")
		if !ok {
			return fmt.Errorf("got %s, want a dict of strings, or \"name=value\"", x)
		}
		(*l)[name] = value
	case *starlark.Dict:
		for _, kv := range x.Items() {
			name, ok := starlark.AsString(kv[0])
			value, both := starlark.AsString(kv[1])
			if !ok || !both {
				return fmt.Errorf("got %s: %s, want strings", kv[0], kv[1])
			}
			(*l)[name] = value
		}
	default:
		return fmt.Errorf("got %s, want a dict of strings, or \"name=value\"", v.Type())
	}
	return nil
}

// texts unpacks a list of strings.
type texts []string

// Unpack implements starlark.Unpacker.
func (t *texts) Unpack(v starlark.Value) error {
	of, ok := v.(starlark.Iterable)
	if !ok {
		return fmt.Errorf("got %s, want a list of strings", v.Type())
	}
	*t = texts{}
	for x := range starlark.Elements(of) {
		s, ok := starlark.AsString(x)
		if !ok {
			return fmt.Errorf("got a list with %s, want strings", x.Type())
		}
		*t = append(*t, s)
	}
	return nil
}

// span unpacks a time such as "1m30s".
type span struct{ given *rpc.Duration }

// Unpack implements starlark.Unpacker.
func (s *span) Unpack(v starlark.Value) error {
	text, ok := starlark.AsString(v)
	if !ok {
		return fmt.Errorf("got %s, want a text such as \"1m30s\"", v.Type())
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("got %q, want a text such as \"1m30s\"", text)
	}
	s.given = new(rpc.Duration(d))
	return nil
}

func (s span) orNever() rpc.Duration {
	if s.given != nil {
		return *s.given
	}
	return 0
}
