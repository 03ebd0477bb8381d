package service_test

import (
	"context"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/service"
	"github.com/ferris1/wind/netcode/service/servicetest"
	"github.com/ferris1/wind/netcode/wirepb"
	"github.com/ferris1/wind/systems/script"
)

// schema has messages without Go types, as in a game whose services are only in Starlark.
const schema = `
syntax = "proto3";
package shop;
import "wirepb/wire.proto";
message LoginRequest { option (wind.id) = 3001; string name = 1; }
message LoginResponse { option (wind.id) = 3002; string player = 1; }
enum Color { COLOR_NONE = 0; COLOR_RED = 1; }
message Item { string name = 1; int32 count = 2; }
message TradeRequest {
  option (wind.id) = 3003;
  enum Kind { KIND_BUY = 0; KIND_SELL = 1; }
  message Note { string text = 1; }
  Item item = 1;
  repeated Item items = 2;
  map<string, int32> prices = 3;
  map<string, Item> named = 4;
  Color color = 5;
  repeated Color colors = 6;
  Kind kind = 7;
  Note note = 8;
  optional int32 limit = 9;
  Tree tree = 10;
}
message TradeResponse { option (wind.id) = 3004; string text = 1; TradeRequest echo = 2; }
message Tree { Tree child = 1; repeated Tree more = 2; }
`

// compile makes descriptors from a schema.
func compile(t testing.TB, source string) protoreflect.FileDescriptor {
	t.Helper()
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(protocompile.ResolverFunc(func(name string) (protocompile.SearchResult, error) {
		if name == "wirepb/wire.proto" {
			return protocompile.SearchResult{Desc: wirepb.File_wirepb_wire_proto}, nil
		}
		return (&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{"shop.proto": source})}).FindFileByPath(name)
	}))}
	made, err := c.Compile(context.Background(), "shop.proto")
	if err != nil {
		t.Fatal(err)
	}
	return made[0]
}

// shop is a service with the schema's messages.
type shop struct {
	*servicetest.Service
	file protoreflect.FileDescriptor
}

func newShop(t testing.TB, c service.Config) shop {
	t.Helper()
	file := compile(t, schema)
	c.Files = append(c.Files, file)
	for _, m := range c.Scripts {
		if strings.Contains(string(m.Source), "def Handler_LoginRequest") {
			c.Login = append(c.Login, "LoginRequest")
		}
	}
	return shop{servicetest.Start(t, c), file}
}

// message returns a message of the schema.
func (s shop) message(t testing.TB, name, json string) proto.Message {
	t.Helper()
	m := dynamicpb.NewMessage(s.file.Messages().ByName(protoreflect.Name(name)))
	if err := protojson.Unmarshal([]byte(json), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// trade asks with a TradeRequest and returns the answer's text.
func (s shop) trade(t testing.TB, json string) (string, error) {
	t.Helper()
	a, err := s.Player("ann").Ask(s.message(t, "TradeRequest", json))
	if err != nil {
		return "", err
	}
	return a.ProtoReflect().Get(a.ProtoReflect().Descriptor().Fields().ByName("text")).String(), nil
}

// trader is a module whose handler of TradeRequest has the given body.
func trader(body string) []script.Module {
	return client("def Handler_TradeRequest(client, request):\n    " + body + "\n")
}

func TestIdsComeFromTheSchema(t *testing.T) {
	s := newShop(t, service.Config{Scripts: trader("return None")})
	want := rpc.Method{Name: "TradeRequest", ID: 3003, Answer: 3004}
	if m := s.Methods(); len(m) != 1 || m[0] != want {
		t.Fatalf("methods %+v, want %+v", m, want)
	}
}

func TestIdsThatClashAreRefused(t *testing.T) {
	head := "syntax = \"proto3\";\npackage shop;\nimport \"wirepb/wire.proto\";\n"
	for source, want := range map[string]string{
		"message A { option (wind.id) = 7; }\nmessage B { option (wind.id) = 7; }": "service: A and B both have the id 7",
		"message A { option (wind.id) = 2101; }":                                   "service: A has the id 2101: 1 to 2000 and 2200 to 2147483647 are for games",
		"message A { option (wind.id) = 2199; }":                                   "service: A has the id 2199",
		"message A { option (wind.id) = 2147483648; }":                             "service: A has the id 2147483648",
		"message len {}":           "service: shop.len: scripts already use that name",
		"enum store { NONE = 0; }": "service: shop.store: scripts already use that name",
	} {
		_, err := service.New(service.Config{Type: "game", ID: "game-1", Files: []protoreflect.FileDescriptor{compile(t, head+source)}})
		wantError(t, err, want)
	}
}

func TestTwoFilesCannotHaveOneShortName(t *testing.T) {
	_, err := service.New(service.Config{Type: "game", ID: "game-1", Files: []protoreflect.FileDescriptor{compile(t, schema), compile(t, schema)}})
	wantError(t, err, "one short name")
}

func TestServicesHaveNamesThatFitIntoSubjects(t *testing.T) {
	for _, c := range []struct{ kind, id, want string }{
		{"", "game-1", "its type: name \"\" has 0 bytes"},
		{"game", "", "service game: its id: name \"\" has 0 bytes"},
		{"a.b", "x", "its type: name \"a.b\": only a-z, 0-9 and - are allowed"},
		{"game", "Game", "its id: name \"Game\": only"},
		{"game", "a/b", "its id: name \"a/b\": only"},
	} {
		_, err := service.New(service.Config{Type: c.kind, ID: c.id})
		wantError(t, err, c.want)
	}
}
