package gateway

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/netcode/rpc"
)

// messages holds the messages that are compiled in or in the configured files, by short name and by frame id. The
// gateway needs them only to transcode, not to route.
type messages struct {
	names map[string]protoreflect.MessageType
	ids   map[uint32]string
}

func knownMessages(files []protoreflect.FileDescriptor) (*messages, error) {
	m := &messages{names: map[string]protoreflect.MessageType{}, ids: map[uint32]string{}}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		m.add(f)
		return true
	})
	for _, f := range files {
		if known, err := protoregistry.GlobalFiles.FindFileByPath(f.Path()); err == nil && known.FullName() == f.FullName() {
			continue // compiled in
		}
		if err := m.clash(f); err != nil {
			return nil, err
		}
		m.add(f)
	}
	return m, nil
}

// add enters the top-level messages of a file. If two share a short name, the one with a frame id wins.
func (m *messages) add(f protoreflect.FileDescriptor) {
	for i := range f.Messages().Len() {
		d := f.Messages().Get(i)
		name, id := string(d.Name()), rpc.FrameID(d)
		if _, taken := m.names[name]; taken && id == 0 {
			continue
		}
		t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
		if err != nil {
			t = dynamicpb.NewMessageType(d)
		}
		m.names[name] = t
		if id != 0 {
			m.ids[id] = name
		}
	}
}

// clash refuses a file that would change what a message means, because another message has its short name or its frame id.
func (m *messages) clash(f protoreflect.FileDescriptor) error {
	for i := range f.Messages().Len() {
		d := f.Messages().Get(i)
		other := m.descriptor(string(d.Name()))
		if other == nil {
			other = m.descriptor(m.ids[rpc.FrameID(d)])
		}
		if other != nil && !sameMessage(d, other) {
			return fmt.Errorf("gateway: message %s of %s (id %d) is taken: the gateway already knows %s (id %d)", d.FullName(), f.Path(), rpc.FrameID(d), other.FullName(), rpc.FrameID(other))
		}
	}
	return nil
}

// sameMessage reports whether two descriptors, perhaps of different files, describe the same message.
func sameMessage(a, b protoreflect.MessageDescriptor) bool {
	return a.FullName() == b.FullName() && proto.Equal(protodesc.ToDescriptorProto(a), protodesc.ToDescriptorProto(b))
}

// descriptor returns nil if the message is not known.
func (m *messages) descriptor(name string) protoreflect.MessageDescriptor {
	if t := m.names[name]; t != nil {
		return t.Descriptor()
	}
	return nil
}

// id returns the frame id of a message, 0 if it has none or is not known.
func (m *messages) id(name string) uint32 {
	if d := m.descriptor(name); d != nil {
		return rpc.FrameID(d)
	}
	return 0
}

// method describes a message that no service has described.
func (m *messages) method(name string) rpc.Method {
	return rpc.Method{Name: name, ID: m.id(name), Answer: m.id(rpc.AnswerName(name))}
}

var errNotKnown = errors.New("the gateway does not know the message")

// transcode converts a payload from one format to another.
func (m *messages) transcode(name string, from, to rpc.Format, payload []byte) ([]byte, error) {
	if from == to {
		return payload, nil
	}
	t := m.names[name]
	if t == nil {
		return nil, fmt.Errorf("%s is %s and cannot be converted to %s: %w", name, from, to, errNotKnown)
	}
	msg := t.New().Interface()
	if from == rpc.JSON {
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(payload, msg); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return proto.Marshal(msg)
	}
	if err := proto.Unmarshal(payload, msg); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rpc.Encode(rpc.JSON, msg)
}

// encode encodes m, one of Wind's own messages.
func encode(f rpc.Format, m proto.Message) []byte {
	b, err := rpc.Encode(f, m)
	if err != nil {
		panic(fmt.Sprintf("gateway: %T: %v", m, err)) // only possible with invalid UTF-8 in one of our strings
	}
	return b
}
