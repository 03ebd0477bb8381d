package service

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// message is a message that a service knows.
type message struct {
	name string // short name
	id   uint32 // frame id; 0: none
	desc protoreflect.MessageDescriptor
	typ  protoreflect.MessageType
}

// messages holds a service's messages by short name.
type messages map[string]*message

// newMessages collects the top-level messages of files. It refuses two messages with one short name or one id, and the
// engine's ids.
func newMessages(files []protoreflect.FileDescriptor) (messages, error) {
	gone := messageOf((*wirepb.PlayerDisconnected)(nil).ProtoReflect().Descriptor())
	known := messages{gone.name: gone}
	ids := map[uint32]*message{}
	for _, f := range files {
		for i := range f.Enums().Len() {
			if name := string(f.Enums().Get(i).Name()); taken(name) {
				return nil, fmt.Errorf("service: %s: scripts already use that name", f.Enums().Get(i).FullName())
			}
		}
		for i := range f.Messages().Len() {
			m := messageOf(f.Messages().Get(i))
			if other := known[m.name]; other != nil {
				return nil, fmt.Errorf("service: %s and %s share one short name, by which handlers are found", other.desc.FullName(), m.desc.FullName())
			}
			if taken(m.name) {
				return nil, fmt.Errorf("service: %s: scripts already use that name", m.desc.FullName())
			}
			known[m.name] = m
			switch other := ids[m.id]; {
			case m.id == 0:
				continue
			case other != nil:
				return nil, fmt.Errorf("service: %s and %s both have the id %d", other.name, m.name, m.id)
			case wirepb.Reserved(m.id):
				return nil, fmt.Errorf("service: %s has the id %d: 1 to 2000 and 2200 to %d are for games", m.name, m.id, uint32(1)<<31-1)
			}
			ids[m.id] = m
		}
	}
	return known, nil
}

// taken reports whether scripts already use a name for a builtin.
func taken(name string) bool {
	return starlark.Universe.Has(name) || builtins.Has(name) || name == "memory" || name == "every" || name == "service"
}

func messageOf(d protoreflect.MessageDescriptor) *message {
	m := &message{name: string(d.Name()), id: rpc.FrameID(d), desc: d}
	if typ, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName()); err == nil && typ.Descriptor() == d {
		m.typ = typ
	} else {
		m.typ = dynamicpb.NewMessageType(d)
	}
	return m
}

// find returns a message by short name. Its error suggests the nearest name.
func (k messages) find(name string) (*message, error) {
	if m := k[name]; m != nil {
		return m, nil
	}
	if near := ecs.Nearest(name, k.names()); near != "" {
		return nil, fmt.Errorf("there is no message %s (did you mean %s?)", name, near)
	}
	return nil, fmt.Errorf("there is no message %s", name)
}

func (k messages) names() []string {
	names := make([]string, 0, len(k))
	for name := range k {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// answers returns an error if a message named answer must not answer m: X is answered with XResponse if the schema has that
// message. A message without one of its own may be answered with any message that answers no other.
func (k messages) answers(m *message, answer string) error {
	if own := rpc.AnswerName(m.name); k[own] != nil {
		if answer != own {
			return fmt.Errorf("it answers %s with %s, want %s", m.name, answer, own)
		}
		return nil
	}
	base, ok := strings.CutSuffix(answer, "Response")
	if !ok {
		return nil
	}
	for _, of := range []string{base + "Request", base} {
		if k[of] != nil && of != m.name {
			return fmt.Errorf("it answers %s with %s, which is the answer of %s", m.name, answer, of)
		}
	}
	return nil
}

// decode reads a payload.
func (m *message) decode(f rpc.Format, payload []byte) (proto.Message, *rpc.Error) {
	x := m.typ.New().Interface()
	err := rpc.Decode(f, payload, x)
	if field := (*rpc.UnknownField)(nil); errors.As(err, &field) {
		return nil, rpc.NotBegun(rpc.InvalidArgument, "%v", field)
	}
	if err != nil {
		return nil, rpc.NotBegun(rpc.InvalidArgument, "the payload is not a valid %s in %s: %v", m.name, f, err)
	}
	return x, nil
}
