package bench

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ferris1/wind/cmd/examples/speak/speakpb"
	"github.com/ferris1/wind/cmd/node"
	"github.com/ferris1/wind/netcode/service"
)

// Echo is a service that answers what it is asked, in Go (SpeakOnWorldRequest) and in Starlark (CreateRoleRequest), to
// players that are logged in. Its script is in EchoScripts.
func Echo() node.Service {
	return node.Service{
		Type:     "echo",
		Handlers: func() (client, server []any) { return []any{echo{}}, nil },
		Files:    []protoreflect.FileDescriptor{speakpb.File_speakpb_speak_proto},
		Login:    []string{"PlayerLoginRequest"},
	}
}

//go:embed scripts
var scripts embed.FS

// EchoScripts are the scripts of a game that has the service Echo.
func EchoScripts() fs.FS {
	sub, err := fs.Sub(scripts, "scripts")
	if err != nil {
		panic(err) // the folder is in this binary
	}
	return sub
}

type echo struct{}

// PlayerLoginRequest lets in whom the gateway let in.
func (echo) PlayerLoginRequest(ctx *service.Ctx, request *speakpb.PlayerLoginRequest) (*speakpb.PlayerLoginResponse, error) {
	return &speakpb.PlayerLoginResponse{PlayerId: request.PlayerId, Result: true}, nil
}

// SpeakOnWorldRequest answers with what it got.
func (echo) SpeakOnWorldRequest(_ *service.Ctx, request *speakpb.SpeakOnWorldRequest) (*speakpb.SpeakOnWorldResponse, error) {
	return &speakpb.SpeakOnWorldResponse{Content: request.Content}, nil
}

// EchoWire is a player who logs in and asks Echo again and again, with messages of some bytes, at least 4.
func EchoWire(player, bytes int, script bool) Wire {
	text := strings.Repeat("x", max(0, bytes-2)) // behind a tag and a length
	if len(text) > 127 {
		text = text[:len(text)-1] // the length has two bytes
	}
	var request proto.Message = &speakpb.SpeakOnWorldRequest{Content: text}
	if script {
		request = &speakpb.CreateRoleRequest{PlayerId: text}
	}
	return &WindWire{Login: &speakpb.PlayerLoginRequest{PlayerId: fmt.Sprintf("player-%d", player)}, Request: request}
}
