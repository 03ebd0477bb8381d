package pyservice_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/netcode/wirepb"
)

// clientDir has our Python client for ferris1/wind's protocol.
const clientDir = "../../../netcode/testdata/python"

// mirror is a Python script that decodes each payload, encodes it again, and prints the message's id.
const mirror = `
import json, sys, windclient as wc
for line in sys.stdin:
    m = json.loads(line)
    fields = wc.decode(m["name"], bytes.fromhex(m["payload"]))
    print(json.dumps({"id": wc.MESSAGES[m["name"]][0], "payload": wc.encode(m["name"], **fields).hex()}))
`

// fill sets every field of a message.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for k := range fields.Len() {
		f := fields.Get(k)
		switch f.Kind() {
		case protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("Ζωή "+string(f.Name())))
		case protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(true))
		case protoreflect.Int32Kind:
			m.Set(f, protoreflect.ValueOfInt32(-300))
		case protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(1<<32-1))
		case protoreflect.FloatKind:
			m.Set(f, protoreflect.ValueOfFloat32(-1.5))
		case protoreflect.MessageKind:
			fill(m.Mutable(f).Message())
		}
	}
}

// TestClientInPythonKnowsTheMessages compares the client's hand-written Protobuf with Go's, message by message.
func TestClientInPythonKnowsTheMessages(t *testing.T) {
	all := []proto.Message{
		&speakpb.HeartbeatRequest{}, &speakpb.PlayerLoginRequest{}, &speakpb.PlayerLoginResponse{}, &speakpb.CreateRoleRequest{},
		&speakpb.CreateRoleResponse{}, &speakpb.SpeakOnWorldRequest{}, &speakpb.SpeakOnWorldResponse{}, &speakpb.Vector3{}, &speakpb.Vector2{},
		&speakpb.PlayerMoveRequest{}, &speakpb.PlayerMoveResponse{}, &speakpb.PlayerJoinRoomRequest{}, &speakpb.PlayerJoinRoomResponse{},
		&speakpb.PlayerUpdateTransformRequest{}, &speakpb.PlayerUpdateTransformResponse{}, &speakpb.RoleRequest{}, &speakpb.RoleResponse{}, &wirepb.Fault{},
	}
	type line struct {
		Name    string `json:"name"`
		ID      uint32 `json:"id"`
		Payload hexed  `json:"payload"`
	}
	var in bytes.Buffer
	for _, m := range all {
		fill(m.ProtoReflect())
		payload, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(&in).Encode(line{Name: string(m.ProtoReflect().Descriptor().Name()), Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	c := command(t, python(t), "-c", mirror)
	c.Dir, c.Stdin, c.Stderr = clientDir, &in, os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(bytes.NewReader(out))
	for _, m := range all {
		name := m.ProtoReflect().Descriptor().Name()
		var got line
		if err := answers.Decode(&got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		back := m.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(got.Payload, back); err != nil || !proto.Equal(m, back) {
			t.Errorf("%s came back as %v, %v", m, back, err)
		}
		if id := proto.GetExtension(m.ProtoReflect().Descriptor().Options(), wirepb.E_Id); id != got.ID {
			t.Errorf("%s has the id %d, but %d in Python", name, id, got.ID)
		}
	}
}

// TestClientInPython runs the client's own tests.
func TestClientInPython(t *testing.T) {
	c := command(t, python(t), "-m", "unittest")
	c.Dir = clientDir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// hexed is a byte slice that JSON holds as hexadecimal digits.
type hexed []byte

func (h hexed) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func (h *hexed) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}
