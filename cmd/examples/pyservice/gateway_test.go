package pyservice_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/cmd/examples/arena"
	"github.com/ferris1/wind/cmd/gen"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/rpc"
)

// teacher is a service in Starlark that calls the one in Python.
const teacher = `
def Handler_TeachRequest(client, request):
    answer = call("translate", S_LearnRequest(text = request.text, language = request.language, translation = "x"))
    return TeachResponse(text = str(answer.known))
`

const teacherProto = `
syntax = "proto3";
package teacher;
import "wirepb/wire.proto";
option go_package = "example.com/teacherpb";
message TeachRequest { option (wind.id) = 1301; string text = 1; string language = 2; }
message TeachResponse { option (wind.id) = 1302; string text = 1; }
`

// TestProtobufReachesAServiceThatTakesJSONAlone: from a Protobuf client through a real gateway, and from a service in
// Starlark.
func TestProtobufReachesAServiceThatTakesJSONAlone(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	i.start(t, interpreter, "translate-1")
	own := filepath.Join(t.TempDir(), "teacher.proto")
	if err := os.WriteFile(own, []byte(teacherProto), 0o600); err != nil {
		t.Fatal(err)
	}
	schema, err := gen.Load(t.Context(), gen.Source{Protos: []string{"translate.proto", own}})
	if err != nil {
		t.Fatal(err)
	}
	files, err := schema.Files()
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), node.Config{
		Game: arena.Game, Cluster: cluster, NATS: i.nats, Etcd: i.etcd, TCP: "127.0.0.1:0", NoShard: true,
		Services: []node.Service{{Type: "teacher", Files: files, Public: []string{"TeachRequest"}}},
		Scripts:  fstest.MapFS{"teacher/handlers_client/teacher.star": {Data: []byte(teacher)}},
		Gateway:  &node.Gateway{Files: files}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Stop() }()
	message := func(name, text string) proto.Message {
		var m *dynamicpb.Message
		for _, f := range files {
			if d := f.Messages().ByName(protoreflect.Name(name)); d != nil {
				m = dynamicpb.NewMessage(d)
			}
		}
		m.Set(m.Descriptor().Fields().ByName("text"), protoreflect.ValueOfString(text))
		if f := m.Descriptor().Fields().ByName("language"); f != nil {
			m.Set(f, protoreflect.ValueOfString("de"))
		}
		return m
	}
	for _, format := range []rpc.Format{rpc.Protobuf, rpc.JSON} {
		c, err := client.DialRPC(t.Context(), client.RPCConfig{Addr: n.TCPAddr(), Transport: client.TCP, Format: format})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, ask := range []struct{ name, answer, text, want string }{
			{"TranslateRequest", "TranslateResponse", "Good  Game", "gutes Spiel"},
			{"TeachRequest", "TeachResponse", "run " + format.String(), map[rpc.Format]string{rpc.Protobuf: "6", rpc.JSON: "7"}[format]},
		} {
			answer := message(ask.answer, "")
			if err := c.Call(t.Context(), message(ask.name, ask.text), answer); err != nil {
				t.Fatalf("%s in %s: %v", ask.name, format, err)
			}
			m := answer.ProtoReflect()
			if got := m.Get(m.Descriptor().Fields().ByName("text")).String(); got != ask.want {
				t.Errorf("%s in %s: %q, want %q", ask.name, format, got, ask.want)
			}
		}
		var failed *rpc.Error
		if err := c.Call(t.Context(), message("TranslateRequest", "xyzzy"), nil); !errors.As(err, &failed) || failed.Code != rpc.NotFound {
			t.Errorf("an unknown phrase in %s: %v", format, err)
		}
	}
}
