package wirepb

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Ids of the frame header. They restate the option (wind.id) of wire.proto so
// that code can switch on constants; a test holds both to the same values.
const (
	IDHello     = 2001
	IDChallenge = 2002
	IDWelcome   = 2003
	IDBye       = 2004
	IDInput     = 2005
	IDCommand   = 2006
	IDReply     = 2007
	IDEvent     = 2008
	IDUpdate    = 2009
	IDAck       = 2010
	IDPing      = 2011
	IDPong      = 2012
	IDControl   = 2013
	IDWait      = 2014
)

// Reserved tells whether id belongs to ferris1/wind's own messages, which no
// message of this package may take.
func Reserved(id uint32) bool { return id == 101 || id >= 1001 && id <= 1014 }

// IDOf is the frame id of m, and 0 for a message that has none.
func IDOf(m proto.Message) uint32 { return idOf(m.ProtoReflect().Descriptor()) }

func idOf(d protoreflect.MessageDescriptor) uint32 {
	id, _ := proto.GetExtension(d.Options(), E_Id).(uint32)
	return id
}

// IDs maps each message of this package that has an id to it.
func IDs() map[string]uint32 {
	ids := map[string]uint32{}
	messages := File_wirepb_wire_proto.Messages()
	for i := range messages.Len() {
		if id := idOf(messages.Get(i)); id != 0 {
			ids[string(messages.Get(i).Name())] = id
		}
	}
	return ids
}

// New makes an empty message for a frame id; an unknown id is an error.
func New(id uint32) (proto.Message, error) {
	switch id {
	case IDHello:
		return new(Hello), nil
	case IDChallenge:
		return new(Challenge), nil
	case IDWelcome:
		return new(Welcome), nil
	case IDBye:
		return new(Bye), nil
	case IDInput:
		return new(Input), nil
	case IDCommand:
		return new(Command), nil
	case IDReply:
		return new(Reply), nil
	case IDEvent:
		return new(Event), nil
	case IDUpdate:
		return new(Update), nil
	case IDAck:
		return new(Ack), nil
	case IDPing:
		return new(Ping), nil
	case IDPong:
		return new(Pong), nil
	case IDControl:
		return new(Control), nil
	case IDWait:
		return new(Wait), nil
	}
	return nil, fmt.Errorf("wirepb: no message has id %d", id)
}
