package gateway_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/ferris1/wind/netcode"
	"github.com/ferris1/wind/netcode/client"
	"github.com/ferris1/wind/netcode/gateway"
	"github.com/ferris1/wind/netcode/gateway/internal/testpb"
	"github.com/ferris1/wind/netcode/rpc"
	"github.com/ferris1/wind/netcode/wirepb"
)

// speaking maps instances that accept only one format to it, by id.
type speaking struct {
	directory
	only map[string]rpc.Format
}

func (s speaking) Takes(_, id string, f rpc.Format) bool {
	only, picky := s.only[id]
	return !picky || f == only
}

func TestARequestIsBroughtIntoAFormatThatItsInstanceTakes(t *testing.T) {
	c := newCluster(t)
	formats := make(chan rpc.Format, 16)
	for _, id := range []string{"game-1", "game-2"} {
		var i *instance
		i = c.start("game", id, func(r *rpc.Request, done func(rpc.Response)) {
			if r.Message != rpc.Disconnected {
				formats <- r.Format
			}
			i.serve(r, done)
		})
	}
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Directory = speaking{directory{&c.routes, c}, map[string]rpc.Format{"game-1": rpc.JSON, "game-2": rpc.Protobuf}}
	})
	for player, want := range map[string]rpc.Format{"player-0": rpc.JSON, "player-1": rpc.Protobuf} { // see directory.Pick
		for _, session := range []rpc.Format{rpc.Protobuf, rpc.JSON} {
			r := login(t, f, player, client.RPCConfig{Addr: f.server.TCPAddr().String(), Transport: client.TCP, Format: session})
			must(t, "format of the login", <-formats, want)
			got := echo(t, r, "hello")
			must(t, "format of a request", <-formats, want)
			if got.Text != "hello" || got.Player != player {
				t.Errorf("%s in %v got %v", player, session, got)
			}
			e := fault(t, call(r, t, &testpb.EchoRequest{Text: "broken"}))
			must(t, "format of a request that fails", <-formats, want)
			must(t, "code", e.Code, rpc.NotFound)
			r.Close()
		}
	}
}

// A request that went to a missing instance is converted to the format of the next one.
func TestARequestChangesItsFormatAgainOnItsWayToAnother(t *testing.T) {
	c := newCluster(t)
	first := c.start("game", "game-1", nil)
	var second *instance
	second = c.start("game", "game-2", func(r *rpc.Request, done func(rpc.Response)) {
		if r.Format != rpc.Protobuf {
			t.Errorf("%s in %s", r.Message, r.Format)
		}
		second.serve(r, done)
	})
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Directory = speaking{directory{&c.routes, c}, map[string]rpc.Format{"game-1": rpc.JSON, "game-2": rpc.Protobuf}}
	})
	r := login(t, f, "player-0", client.RPCConfig{})
	must(t, "instance", echo(t, r, "x").Instance, "game-1")
	c.kill(first)
	c.notice(first)
	must(t, "instance", echo(t, r, "y").Instance, "game-2")
}

func TestWhatCannotBeBroughtIntoAFormatIsTold(t *testing.T) {
	c := newCluster(t)
	game := c.start("game", "game-1", nil)
	c.routes.Set("game", "game-1", time.Time{}, append(gameMethods, rpc.Method{Name: "RiddleRequest", ID: 1299, Public: true}))
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Directory = speaking{directory{&c.routes, c}, map[string]rpc.Format{"game-1": rpc.JSON}}
	})
	r := login(t, f, "ann", client.RPCConfig{})
	before := len(game.log())
	for id, want := range map[uint32]struct {
		code rpc.Code
		text string
	}{
		1299: {rpc.Unimplemented, "this game accepts only json, and the gateway does not know RiddleRequest"},
		1201: {rpc.InvalidArgument, "the payload is not a valid EchoRequest in protobuf"},
	} {
		_, _, err := r.CallRaw(soon(t), id, []byte{0xff})
		e := fault(t, err)
		if e.Code != want.code || !strings.Contains(e.Text, want.text) || e.Maybe {
			t.Errorf("message %d: %v", id, e)
		}
	}
	must(t, "requests that reached the service", len(game.log())-before, 0)
	if got := echo(t, r, "still"); got.Text != "still" {
		t.Errorf("the session continues with %v", got)
	}
}

// A WebSocket client speaks JSON, whatever the service accepts.
func TestTextReachesAServiceThatTakesProtobuf(t *testing.T) {
	c := newCluster(t)
	c.start("game", "game-1", nil)
	f := c.front("gateway-1", func(g *gateway.Config, _ *netcode.Config) {
		g.Directory = speaking{directory{&c.routes, c}, map[string]rpc.Format{"game-1": rpc.Protobuf}}
	})
	k := talk(t, webSocket(t, f))
	k.say(`{"message":"PlayerLoginRequest","payload":{"player_id":"ann"}}`)
	k.hear(`{"message":"PlayerLoginResponse","payload":{"player_id":"ann","result":true}}`)
	k.say(`{"message":"EchoRequest","call":7,"payload":{"text":"hi"}}`)
	k.hear(`{"message":"EchoResponse","call":7,"payload":{"text":"hi","instance":"game-1","player":"ann"}}`)
}

// apiFile is the compiled file with EchoRequest.
func apiFile(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName((&wirepb.Fault{}).ProtoReflect().Descriptor().FullName())
	if err != nil {
		t.Fatal(err)
	}
	return d.ParentFile()
}

// copyOf is a file at another path with the messages of one; each of its messages gets more fields.
func copyOf(t *testing.T, path string, f protoreflect.FileDescriptor, more ...string) []protoreflect.FileDescriptor {
	t.Helper()
	p := protodesc.ToFileDescriptorProto(f)
	p.Name, p.Extension, p.EnumType = proto.String(path), nil, nil
	p.MessageType = slices.DeleteFunc(p.MessageType, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() != "Fault" })
	for _, name := range more {
		p.MessageType[0].Field = append(p.MessageType[0].Field, &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: proto.Int32(900), Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		})
	}
	same, err := protodesc.NewFile(p, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return []protoreflect.FileDescriptor{same}
}

func TestFilesThatChangeAMessageAreRefused(t *testing.T) {
	file := func(name string, id uint32) []protoreflect.FileDescriptor {
		options := &descriptorpb.MessageOptions{}
		proto.SetExtension(options, wirepb.E_Id, id)
		f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
			Name: proto.String("other/" + name + ".proto"), Package: proto.String("other"), Syntax: proto.String("proto3"),
			MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String(name), Options: options}},
		}, protoregistry.GlobalFiles)
		if err != nil {
			t.Fatal(err)
		}
		return []protoreflect.FileDescriptor{f}
	}
	for name, c := range map[string]struct {
		files []protoreflect.FileDescriptor
		want  string
	}{
		"a new one":                {file("Shop", 3900), ""},
		"a name that is taken":     {file("EchoRequest", 3901), "message other.EchoRequest of other/EchoRequest.proto (id 3901) is taken"},
		"the engine's own":         {file("Fault", 3902), "other.Fault"},
		"an id that is taken":      {file("Shop", 1201), "EchoRequest (id 1201)"},
		"two with the same id":     {append(file("Shop", 3903), file("Market", 3903)...), "the gateway already knows other.Shop"},
		"the same in a copy":       {copyOf(t, "copy/of.proto", apiFile(t)), ""},
		"another in a copy":        {copyOf(t, "copy/of.proto", apiFile(t), "more"), "is taken"},
		"what is compiled in":      {[]protoreflect.FileDescriptor{wirepb.File_wirepb_wire_proto}, ""},
		"two files with one there": {append(file("Shop", 3904), file("Market", 3905)...), ""},
	} {
		cluster := newCluster(t)
		b := &bus{c: cluster, players: map[string]int{}}
		g, err := gateway.New(gateway.Config{
			ID: "gateway-1", Directory: directory{&cluster.routes, cluster}, Link: b, Bindings: cluster.store, Files: c.files, Logger: slog.New(slog.DiscardHandler),
		})
		if g != nil {
			g.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
