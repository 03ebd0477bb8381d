package rpc

import (
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/wirepb"
)

// Encode encodes m as a payload. JSON uses the schema's field names and includes fields that are zero.
func Encode(f Format, m proto.Message) ([]byte, error) {
	if f == JSON {
		return protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	}
	return proto.Marshal(m)
}

// Decode reads a payload into m. An empty payload is an empty message in either format. A field in JSON that m lacks is an
// *UnknownField.
func Decode(f Format, payload []byte, m proto.Message) error {
	if f != JSON {
		return proto.Unmarshal(payload, m)
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if err := protojson.Unmarshal(payload, m); err != nil {
		return jsonError(err, payload, m)
	}
	return nil
}

// ShortName returns a message's name without its package.
func ShortName(m proto.Message) string { return string(m.ProtoReflect().Descriptor().Name()) }

// AnswerName returns the short name of the answer to a message: XResponse for both XRequest and X.
func AnswerName(request string) string { return strings.TrimSuffix(request, "Request") + "Response" }

// FrameID returns a message's option (wind.id), or 0 if it has none.
func FrameID(d protoreflect.MessageDescriptor) uint32 {
	id, _ := proto.GetExtension(d.Options(), wirepb.E_Id).(uint32)
	return id
}
