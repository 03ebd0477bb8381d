package rpc

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/ecs"
	"github.com/ferris1/wind/netcode/wirepb"
)

// message is a message that a service knows.
type message struct {
	name string // short
	id   uint32 // of its frame; 0: none
	desc protoreflect.MessageDescriptor
	typ  protoreflect.MessageType
}

// messages are those of a service, by short name.
type messages map[string]*message

// newMessages collects the messages at the top of files. Two of one short name
// or one id, and ids that are the engine's, are an error.
func newMessages(files []protoreflect.FileDescriptor) (messages, error) {
	gone := messageOf((*wirepb.PlayerDisconnected)(nil).ProtoReflect().Descriptor())
	known := messages{gone.name: gone}
	ids := map[uint32]*message{}
	for _, f := range files {
		for i := range f.Enums().Len() {
			if name := string(f.Enums().Get(i).Name()); taken(name) {
				return nil, fmt.Errorf("rpc: %s: scripts have something else of that name", f.Enums().Get(i).FullName())
			}
		}
		for i := range f.Messages().Len() {
			m := messageOf(f.Messages().Get(i))
			if other := known[m.name]; other != nil {
				return nil, fmt.Errorf("rpc: %s and %s have one short name: handlers are found by it", other.desc.FullName(), m.desc.FullName())
			}
			if taken(m.name) {
				return nil, fmt.Errorf("rpc: %s: scripts have something else of that name", m.desc.FullName())
			}
			known[m.name] = m
			switch other := ids[m.id]; {
			case m.id == 0:
				continue
			case other != nil:
				return nil, fmt.Errorf("rpc: %s and %s have both the id %d", other.name, m.name, m.id)
			case wirepb.Reserved(m.id):
				return nil, fmt.Errorf("rpc: %s has the id %d: 1 to 2000 and 2200 to %d are for games", m.name, m.id, uint32(1)<<31-1)
			}
			ids[m.id] = m
		}
	}
	return known, nil
}

// taken reports whether a name is a builtin's in scripts.
func taken(name string) bool {
	return starlark.Universe.Has(name) || builtins.Has(name) || name == "memory" || name == "every"
}

func messageOf(d protoreflect.MessageDescriptor) *message {
	id, _ := proto.GetExtension(d.Options(), wirepb.E_Id).(uint32)
	m := &message{name: string(d.Name()), id: id, desc: d}
	if typ, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName()); err == nil && typ.Descriptor() == d {
		m.typ = typ
	} else {
		m.typ = dynamicpb.NewMessageType(d)
	}
	return m
}

// find returns a message by short name, or says which one may be meant.
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

// decode reads a payload.
func (m *message) decode(f Format, payload []byte) (proto.Message, *Error) {
	x := m.typ.New().Interface()
	var err error
	if f == JSON {
		if len(payload) == 0 {
			payload = []byte("{}")
		}
		err = protojson.Unmarshal(payload, x)
	} else {
		err = proto.Unmarshal(payload, x)
	}
	if err != nil {
		return nil, Errorf(InvalidArgument, "the payload is no %s in %s: %v", m.name, f, err)
	}
	return x, nil
}

// encode makes a payload.
func encode(f Format, m proto.Message) ([]byte, error) {
	if f == JSON {
		return protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	}
	return proto.Marshal(m)
}

// shortName is a message's name without its package.
func shortName(m proto.Message) string { return string(m.ProtoReflect().Descriptor().Name()) }

// answerName is how the answer to a message is called: XResponse to XRequest,
// XResponse to X.
func answerName(request string) string { return strings.TrimSuffix(request, "Request") + "Response" }

// Numbers lists all that must never change of the messages in files, a line
// each: ids, field numbers and types, enum values. A game's test compares it
// with what it was.
func Numbers(files ...protoreflect.FileDescriptor) []string {
	var lines numbers
	for _, file := range files {
		lines.messages("", file.Messages())
		lines.enums("", file.Enums())
	}
	return lines
}

type numbers []string

func (n *numbers) add(format string, args ...any) { *n = append(*n, fmt.Sprintf(format, args...)) }

// messages lists messages that are declared inside of outer, "" or "Outer.".
func (n *numbers) messages(outer string, all protoreflect.MessageDescriptors) {
	for i := range all.Len() {
		m := messageOf(all.Get(i))
		name := outer + m.name
		if m.id != 0 {
			n.add("%s has id %d", name, m.id)
		}
		for j := range m.desc.Fields().Len() {
			f := m.desc.Fields().Get(j)
			kind := f.Kind().String()
			switch {
			case f.Message() != nil:
				kind = string(f.Message().Name())
			case f.Enum() != nil:
				kind = string(f.Enum().Name())
			}
			n.add("%s.%s is %d, %s %s", name, f.Name(), f.Number(), f.Cardinality(), kind)
		}
		n.messages(name+".", m.desc.Messages())
		n.enums(name+".", m.desc.Enums())
	}
}

func (n *numbers) enums(outer string, all protoreflect.EnumDescriptors) {
	for i := range all.Len() {
		e := all.Get(i)
		for j := range e.Values().Len() {
			n.add("%s%s.%s is %d", outer, e.Name(), e.Values().Get(j).Name(), e.Values().Get(j).Number())
		}
	}
}
