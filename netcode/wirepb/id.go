package wirepb

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Protocol is the version of the wire protocol, which a client states in Hello.
const Protocol = 1

// Ids of the frame header. They repeat the option (wind.id) of wire.proto so that
// code can switch on constants; a test checks that both agree.
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

	IDFault          = 2101
	IDOpen           = 2102
	IDOpened         = 2103
	IDTicketRequest  = 2104
	IDTicketResponse = 2105
	IDReplaced       = 2106
)

// IDHeartbeat is the id of ferris1/wind's HeartbeatRequest, which keeps an RPC
// connection alive. The game defines the message.
const IDHeartbeat = 101

// IDCall is the bit in a frame id that marks a call, or the answer to one: the
// payload begins with the call's number.
const IDCall = 1 << 31

// Reserved reports whether id is closed to games' messages: this package's range,
// ids with the bit IDCall, and 0.
func Reserved(id uint32) bool { return id == 0 || id >= 2001 && id <= 2199 || id&IDCall != 0 }

// GameID reports whether a game's message may take id; ferris1/wind's heartbeat
// counts as one.
func GameID(id uint32) bool { return !Reserved(id) }

// ShardID reports whether id belongs to the simulation; all others belong to RPC.
func ShardID(id uint32) bool { return id >= 2001 && id <= 2099 }

// IDOf returns the frame id of m, 0 if it has none.
func IDOf(m proto.Message) uint32 { return idOf(m.ProtoReflect().Descriptor()) }

func idOf(d protoreflect.MessageDescriptor) uint32 {
	id, _ := proto.GetExtension(d.Options(), E_Id).(uint32)
	return id
}

// IDs returns the ids of this package's messages by name, without those that have
// none.
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

// New returns an empty message for a frame id. An unknown id is an error.
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
	case IDFault:
		return new(Fault), nil
	case IDOpen:
		return new(Open), nil
	case IDOpened:
		return new(Opened), nil
	case IDTicketRequest:
		return new(TicketRequest), nil
	case IDTicketResponse:
		return new(TicketResponse), nil
	case IDReplaced:
		return new(Replaced), nil
	}
	return nil, fmt.Errorf("wirepb: no message has id %d", id)
}
