package pyservice_test

import (
	"errors"
	"log/slog"
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
def Handler_PhraseLearned(client, request):
    answer = call("translate", S_LearnRequest(text = request.text, language = request.language, translation = "x"))
    return TranslateResponse(text = str(answer.known))
`

// TestProtobufReachesAServiceThatTakesJSONAlone: from a Protobuf client through a real gateway, and from a service in
// Starlark.
func TestProtobufReachesAServiceThatTakesJSONAlone(t *testing.T) {
	interpreter := python(t)
	i := startInfra(t)
	i.start(t, interpreter, "translate-1")
	schema, err := gen.Load(t.Context(), gen.Source{Protos: []string{"translate.proto"}})
	if err != nil {
		t.Fatal(err)
	}
	files, err := schema.Files()
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), node.Config{
		Game: arena.Game, Cluster: cluster, NATS: i.nats, Etcd: i.etcd, TCP: "127.0.0.1:0", NoShard: true,
		Services: []node.Service{{Type: "teacher", Files: files, Public: []string{"PhraseLearned"}}},
		Scripts:  fstest.MapFS{"teacher/handlers_client/teacher.star": {Data: []byte(teacher)}},
		Gateway:  &node.Gateway{Files: files}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Stop() }()
	message := func(name, text string) proto.Message {
		m := dynamicpb.NewMessage(files[0].Messages().ByName(protoreflect.Name(name)))
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
		for _, ask := range []struct{ name, text, want string }{
			{"TranslateRequest", "Good  Game", "gutes Spiel"},
			{"PhraseLearned", "run " + format.String(), map[rpc.Format]string{rpc.Protobuf: "6", rpc.JSON: "7"}[format]},
		} {
			answer := message("TranslateResponse", "")
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
