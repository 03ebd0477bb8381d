package service_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/service/servicetest"
)

// border is a message with everything that JSON writes differently, and with fields named like keywords.
const border = `
syntax = "proto3";
package border;
message Inner { int64 gold = 1; bytes raw = 2; }
message BorderRequest {
  int64 signed = 1;
  uint64 unsigned = 2;
  repeated fixed64 many = 3;
  map<int64, Inner> by = 4;
  bytes raw = 5;
  double float = 6;
  string from = 7;
  int64 class = 8;
}
message BorderResponse { string text = 1; BorderRequest echo = 2; string in = 3; }
`

// TestMessagesSurviveJSONAndTheStore checks messages, and dicts of their JSON.
func TestMessagesSurviveJSONAndTheStore(t *testing.T) {
	file := compile(t, border)
	s := servicetest.Start(t, service.Config{Files: []protoreflect.FileDescriptor{file}, Scripts: client(`
def Handler_BorderRequest(client, request):
    message = json.decode(json.encode(request), message = BorderRequest)
    store.put("k", message, 0)
    kept, revision = store.get("k", message = BorderRequest)
    plain = json.decode(json.encode(kept))
    plain.pop("raw")                                  # base64 in JSON, which a dict cannot tell from a text
    plain.pop("float")
    for inner in plain["by"].values():
        inner.pop("raw")
    again = BorderRequest(**plain)
    if again.signed != request.signed or again.unsigned != request.unsigned or list(again.many) != list(request.many) or BorderRequest(plain).by[7].gold != request.by[7].gold:
        fail("%s is not %s" % (again, request))
    if getattr(kept, "from") != "ann" or getattr(kept, "class") != 3:
        fail(str(kept))
    setattr(kept, "from", "ben")
    setattr(kept, "class", "9007199254740993")
    made = BorderRequest(**{"from": "cid", "class": 5})
    return {"text": getattr(made, "from"), "echo": kept, "in": "out"}
`)})
	const request = `{"signed": "-9223372036854775808", "unsigned": "18446744073709551615", "many": ["9007199254740993", "1"],
		"by": {"7": {"gold": "9223372036854775807", "raw": "AP8="}}, "raw": "AAECgA==", "float": "NaN", "from": "ann", "class": "3"}`
	answer, err := s.Player("ann").Ask(shop{s, file}.message(t, "BorderRequest", request))
	if err != nil {
		t.Fatal(err)
	}
	want := shop{s, file}.message(t, "BorderRequest", request)
	fields := want.ProtoReflect().Descriptor().Fields()
	want.ProtoReflect().Set(fields.ByName("from"), protoreflect.ValueOfString("ben"))
	want.ProtoReflect().Set(fields.ByName("class"), protoreflect.ValueOfInt64(9007199254740993))
	of := func(name protoreflect.Name) protoreflect.Value {
		return answer.ProtoReflect().Get(answer.ProtoReflect().Descriptor().Fields().ByName(name))
	}
	if got := of("echo").Message().Interface(); !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if of("text").String() != "cid" || of("in").String() != "out" {
		t.Errorf("%v", answer)
	}
}
