package service

import (
	"cmp"
	"errors"
	"fmt"
	"maps"

	starproto "go.starlark.net/lib/proto"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"google.golang.org/protobuf/proto"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/systems/script"
)

// ctxKey is the thread-local key of a handler's Ctx.
const ctxKey = "wind.ctx"

// options says what the service's scripts may use and which form they must have. x holds what belongs to their set.
func (s *Service) options(x *collected) script.Options {
	names := maps.Clone(builtins)
	names["memory"], names["every"] = x.memory, x.builtin()
	names["service"] = starlarkstruct.FromStringDict(starlark.String("service"), starlark.StringDict{
		"type": starlark.String(s.cfg.Type), "instance": starlark.String(s.cfg.ID),
	})
	for _, f := range s.cfg.Files {
		for i := range f.Enums().Len() {
			names[string(f.Enums().Get(i).Name())] = starproto.EnumDescriptor{Desc: f.Enums().Get(i)}
		}
	}
	for name, m := range s.messages {
		names[name] = messageType{m.desc}
	}
	return script.Options{
		Predeclared: names,
		Rules: []script.Rule{
			{Folder: clientFolder, Prefix: handlerPrefix, Params: []string{"client", "request"}},
			{Folder: serverFolder, Prefix: handlerPrefix, Params: []string{"caller", "request"}},
		},
		Print: func(module, text string) { s.own.Info(text, "module", module) },
	}
}

// runScript makes the run function of f, the handler of message m.
func (s *Service) runScript(f script.Function, m *message) func(*Ctx, *rpc.Request) (proto.Message, error) {
	return func(c *Ctx, r *rpc.Request) (proto.Message, error) {
		request, bad := m.star(r)
		if bad != nil {
			return nil, bad
		}
		c.begin()
		v, err := script.Call(s.thread(c, f.Name), f.Func, s.cfg.StepBudget, peer{c}, request)
		if err != nil {
			return nil, s.scriptError(err)
		}
		out, err := s.result(m, v)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", f.Place(), f.Name, err)
		}
		return out, nil
	}
}

// star decodes a payload for scripts.
func (m *message) star(r *rpc.Request) (*starproto.Message, *rpc.Error) {
	payload := r.Payload
	if r.Format == rpc.JSON {
		in, bad := m.decode(rpc.JSON, payload)
		if bad != nil {
			return nil, bad
		}
		var err error
		if payload, err = proto.Marshal(in); err != nil {
			return nil, rpc.NotBegun(rpc.InvalidArgument, "the payload is not a valid %s: %v", m.name, err)
		}
	}
	x, err := toStar(m.desc, payload)
	if err != nil {
		return nil, rpc.NotBegun(rpc.InvalidArgument, "the payload is not a valid %s: %v", m.name, err)
	}
	return x, nil
}

// thread makes a thread for a handler or a timer.
func (s *Service) thread(c *Ctx, name string) *starlark.Thread {
	t := &starlark.Thread{Name: name, Print: func(_ *starlark.Thread, text string) {
		if text, ok := c.lines.Next(text); ok {
			s.own.Info(text, "in", name)
		}
	}}
	t.SetLocal(ctxKey, c)
	return t
}

// scriptError converts the error of a failed handler. What the caller may know becomes an *rpc.Error; the place stays
// with the service.
func (s *Service) scriptError(err error) error {
	var at *script.Error
	if errors.As(err, &at) && at.Budget {
		s.log.Error("service: stopped a handler that took too many steps", "error", err)
		return &rpc.Error{Code: rpc.ResourceExhausted, Text: "the handler took too many steps", Maybe: true}
	}
	return err
}

// result converts what a handler has returned to a message.
func (s *Service) result(m *message, v starlark.Value) (proto.Message, error) {
	switch x := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case *starproto.Message:
		return x.Message(), cmp.Or(sound(x.Message()), s.messages.answers(m, rpc.ShortName(x.Message())))
	case *starlark.Dict:
		answer, err := s.messages.find(rpc.AnswerName(m.name))
		if err != nil {
			return nil, fmt.Errorf("it returns a dict: %w", err)
		}
		made, err := messageType{answer.desc}.CallInternal(&starlark.Thread{}, starlark.Tuple{x}, nil)
		if err != nil {
			return nil, err
		}
		return made.(*starproto.Message).Message(), nil
	}
	return nil, fmt.Errorf("it returns a %s, want a message, a dict of its fields, or None", v.Type())
}

// peer is the sender of a request as its handler sees it: client or caller.
type peer struct{ c *Ctx }

var peerMethods = map[string]*starlark.Builtin{
	"login": starlark.NewBuiltin("login", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var player string
		if err := starlark.UnpackArgs("login", args, kwargs, "player", &player); err != nil {
			return nil, err
		}
		return starlark.None, b.Receiver().(peer).c.Login(player)
	}),
	"push": starlark.NewBuiltin("push", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var m outgoing
		if err := starlark.UnpackArgs("push", args, kwargs, "message", &m); err != nil {
			return nil, err
		}
		c := b.Receiver().(peer).c
		return starlark.None, c.Push(c.Player(), m.message())
	}),
}

func (p peer) String() string        { return fmt.Sprintf("<%s %s>", p.Type(), p.c.request.From+p.c.Player()) }
func (p peer) Freeze()               {}
func (p peer) Truth() starlark.Bool  { return true }
func (p peer) Hash() (uint32, error) { return 0, errors.New("unhashable: client") }
func (p peer) AttrNames() []string   { return []string{"login", "player", "push", "service", "session"} }

// Type returns "client" or "service".
func (p peer) Type() string {
	if p.c.request.FromClient() {
		return "client"
	}
	return "service"
}

// Attr implements starlark.HasAttrs.
func (p peer) Attr(name string) (starlark.Value, error) {
	switch name {
	case "player":
		return starlark.String(p.c.Player()), nil
	case "session":
		return starlark.String(p.c.Session()), nil
	case "service":
		return starlark.String(p.c.From()), nil
	}
	if b := peerMethods[name]; b != nil {
		return b.BindReceiver(p), nil
	}
	return nil, nil
}
